"""``synth stats``: lengths, vocabulary, diversity, and tests between corpora."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.options import Inputs, Seed, TextField, Workers
from synthtools.cli.parameters import option


def stats(
    reading: Inputs,
    text: TextField,
    seed: Seed,
    jobs: Workers,
    by: Annotated[
        str | None,
        option(
            "--by",
            metavar="FIELD",
            help="Groups are the values of this field (default: each input is a group).",
        ),
    ] = None,
    measures: Annotated[
        str | None,
        option(
            "--measures",
            metavar="NAME,…",
            help="What to measure: lengths, vocabulary, heaps, ngrams, compression, self-bleu, "
            "openings, tokens, semantic, rates (default: all that need no model, and what the options "
            "for a tokenizer, vectors and patterns ask for).",
        ),
    ] = None,
    tests: Annotated[
        str | None,
        option(
            "--tests",
            metavar="NAME,…",
            help="Numbers of documents by which groups are tested: words, ttr, mtld, hdd, entropy, "
            "lexical_diversity; or all, or none (default: words, mtld and lexical_diversity, as far as "
            "they are measured).",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        list[str] | None,
        option(
            "--rate",
            metavar="NAME=REGEX",
            help="How often this pattern (Python's re; (?i) for any case) comes in 1,000 words, "
            "with a 95 % bootstrap interval over documents [ours]. Again for further "
            "patterns. Nothing keeps a pattern from being slow: test it on a few records.",
            show_default=False,
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        option(
            "--tokenizer",
            metavar="MODEL",
            help="Count the tokens of this tokenizer (builtin, a directory or a Hub id): lengths, "
            "frequencies, tokens that stand out.",
        ),
    ] = None,
    vector_field: Annotated[
        str | None,
        option(
            "--vector-field",
            metavar="FIELD",
            help="Semantic diversity of the vectors in this field.",
        ),
    ] = None,
    vector_model: Annotated[
        str | None,
        option(
            "--vector-model",
            metavar="NAME",
            help="Take the vectors from this model instead (builtin, a directory or a Hub id): the "
            "mean of its last hidden states over the text [ours].",
        ),
    ] = None,
    sample: Annotated[
        int,
        option(
            "--sample",
            metavar="N",
            min=1,
            help="Documents of a group, drawn by the seed, for self-BLEU, compression and openings.",
        ),
    ] = 500,
    pooled: Annotated[
        int,
        option(
            "--pooled",
            metavar="N",
            min=1,
            help="Of the sample, the documents whose sentences are pooled for self-BLEU.",
        ),
    ] = 100,
    vectors: Annotated[
        int,
        option(
            "--vectors", metavar="N", min=2, help="Documents of a group for semantic diversity."
        ),
    ] = 5000,
    words: Annotated[
        int,
        option(
            "--words",
            metavar="N",
            min=1000,
            help="Words of a group, from its beginning, whose n-grams, MTLD and HD-D are taken "
            "[ours]; Heaps' law and the type-token ratio take all.",
        ),
    ] = 1_000_000,
    match_words: Annotated[
        str | None,
        option(
            "--match-words",
            metavar="N|min",
            help="Take Heaps' law, type-token ratio, MTLD, HD-D and n-grams over the first N words of "
            "each group (thousands; min: as many as the smallest group of 4,000 or more has) [ours]: "
            "they depend on the amount of text, and groups of different size compare only so. The "
            "input's order counts: thin a sorted corpus by synth sample. Groups of fewer words have "
            "null and a reason.",
        ),
    ] = None,
    plot: Annotated[
        str | None,
        option(
            "--plot",
            metavar="FILE",
            help="Draw the growth of vocabularies and the groups by diversity as PNG or SVG (needs "
            "[plot]).",
        ),
    ] = None,
    report: Annotated[
        str | None, option("--report", metavar="FILE", help="Write the report to this file too.")
    ] = None,
    json_output: Annotated[
        bool, option("--json", help="Print the report as JSON at a terminal too.")
    ] = False,
) -> None:
    """How long, how rich and how varied texts are, and whether corpora differ.

    Words are those of Unicode (UAX 29) in lower case: don't, 3.14 and नमस्ते are one each. Where no
    spaces are written, each ideograph and hiragana, and each letter of Thai, Lao, Khmer and Burmese,
    is counted as one: let a segmenter put spaces first where words are meant. Lengths are in
    characters, bytes, words, and tokens. The vocabulary's growth is fitted by Heaps' law V(n) = K·n^β. Type-token ratio, MTLD and HD-D are those of the package lexicalrichness; lexical diversity
    is 100 − self-BLEU by sacreBLEU's definition, within documents and pooled (Baskets). Beside them:
    distinct-n and entropy of n-grams, the compression ratio, repeated openings, frequencies of tokens,
    semantic diversity of vectors.

    Several inputs are groups of themselves; --by makes groups of a field's values. Groups are
    compared by Kruskal-Wallis, Levene, and Mann-Whitney for each pair, with Bonferroni's and Holm's
    corrections. A number that cannot be had is null, with a reason beside it.

    \b
    Examples:
      synth stats human.jsonl.zst synthetic.jsonl.zst
      synth stats outputs.jsonl.zst --text-field response --by model --json
      synth stats human.jsonl synthetic.jsonl --match-words min --measures vocabulary,heaps
      synth stats answers.jsonl --by model --rate 'headings=(?m)^(Question|Answer):' --measures rates
      synth stats human.jsonl synthetic.jsonl --tokenizer builtin | jq .over_represented_tokens
      synth stats embedded.parquet --by source --vector-field embedding --measures semantic

    Memory: 80 bytes a record, 8 for each --rate, and 8 to 16 to tell records apart; 20 kB a group, the report included; of
    each group the texts of the sample (for --vector-model of all documents that are embedded), 8 bytes
    for each of the words taken, 20 to 80 for each distinct word and token; 4 bytes for each number of
    a sampled vector. At most a million groups. Of more than 10,000 the report has medians and totals
    alone, of more than 200 no pairs of groups and no tokens that stand out.
    """
    from synthtools.cli import statistics

    options = statistics.Options(
        by,
        measures,
        tests,
        tokenizer,
        vector_field,
        vector_model,
        sample,
        pooled,
        vectors,
        words,
        match_words,
        tuple(rate or ()),
        seed.seed,
        report,
        plot,
        json_output,
    )
    statistics.run(reading, text.text_field, jobs, options)
