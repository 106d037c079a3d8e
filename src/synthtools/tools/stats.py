"""Measure the length, vocabulary and diversity of texts, and test whether corpora differ.

Words are those of Unicode (UAX 29) in lower case: don't, 3.14 and नमस्ते are one each. In scripts
without spaces each ideograph and hiragana, and each letter of Thai, Lao, Khmer and Burmese, counts
as one: run a segmenter first where words are meant. Lengths are in characters, bytes, words and
tokens. The growth of the vocabulary is fitted by Heaps' law V(n) = K·n^β. Type-token ratio, MTLD
and HD-D are those of the package lexicalrichness; lexical diversity is 100 − self-BLEU by
sacreBLEU's definition, within documents and pooled (Baskets). Further: distinct-n and entropy of
n-grams, compression ratio, repeated openings, token frequencies, semantic diversity of vectors.

Each input is a group; --by makes groups of a field's values. Groups are compared by
Kruskal-Wallis, Levene, and Mann-Whitney for each pair, with Bonferroni's and Holm's corrections. A
number that cannot be computed is null, with a reason beside it.

\b
Examples:
  synth stats human.jsonl.zst synthetic.jsonl.zst
  synth stats outputs.jsonl.zst --text-field response --by model --json
  synth stats human.jsonl synthetic.jsonl --keywords --plot keywords.png
  synth stats human.jsonl synthetic.jsonl --match-words min --measures vocabulary,heaps
  synth stats answers.jsonl --by model --rate 'headings=(?m)^(Question|Answer):' --measures rates
  synth stats human.jsonl synthetic.jsonl --tokenizer builtin | jq .over_represented_tokens
  synth stats embedded.parquet --by source --vector-field embedding --measures semantic

Memory: 120 bytes a record of some words, 270 of one of 500 (measured), and 8 for each --rate; 20 kB
a group, the report included; of each group the texts of the sample (for --vector-model the records of all documents
that are embedded), 8 bytes for each of the words taken, 20 to 80 for each distinct word and token; 4 bytes for each
number of a sampled vector; at most 100 MB for keywords. At most a million groups. For more than 10,000 the report has
medians and totals alone, for more than 200 no pairs of groups and no over-represented tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli import quantities
from synthtools.cli.kinds import FieldName, ModelId, Name, Positive
from synthtools.cli.options import Inputs, Picture, Report, Seed, Workers
from synthtools.cli.parameters import option
from synthtools.cli.text_shape import ShapedText
from synthtools.errors import UsageError

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.measure.batch_statistics import BatchStatistics
    from synthtools.measure.group_statistics import GroupStatistics
    from synthtools.records.batch import Batch

_BY_DEFAULT = ("lengths", "vocabulary", "heaps", "ngrams", "compression", "self-bleu", "openings")
Measure = Literal[
    "lengths", "vocabulary", "heaps", "ngrams", "compression", "self-bleu", "openings",
    "tokens", "semantic", "rates", "keywords",
]  # fmt: skip
Test = Literal["words", "ttr", "mtld", "hdd", "entropy", "lexical_diversity", "all", "none"]

# The measure to which each number belongs by which groups are tested.
_TESTED = {
    "words": "lengths",
    "ttr": "vocabulary",
    "mtld": "vocabulary",
    "hdd": "vocabulary",
    "entropy": "vocabulary",
    "lexical_diversity": "self-bleu",
}


def _named_pattern(text: str) -> tuple[str, re.Pattern[str]]:
    from synthtools.measure.frequencies import named_pattern

    return named_pattern(text)


def _words_or_min(text: str) -> int:
    """A number, or 0 for as many as the smallest group has."""
    return 0 if text == "min" else quantities.count(text)


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, ShapedText, Report, Picture, Seed, Workers):
    """Options of ``synth stats``."""

    by: FieldName | None = option(
        help="Group records by this field (default: each input is a group)."
    )
    measures: list[Measure] | None = option(
        metavar="NAME,…",
        commas=True,
        help="What to measure: lengths, vocabulary, heaps, ngrams, compression, self-bleu, "
        "openings, tokens, semantic, rates, keywords (default: the first seven; tokens with "
        "--tokenizer, semantic with vectors, rates with --rate; only lengths and keywords with --keywords).",
    )
    tests: list[Test] | None = option(
        metavar="NAME,…",
        commas=True,
        help="Numbers per document that groups are tested on: words, ttr, mtld, hdd, entropy, "
        "lexical_diversity; or all, or none (default: words, mtld and lexical_diversity, where "
        "measured).",
    )
    rate: list[tuple[str, re.Pattern[str]]] | None = option(
        metavar="NAME=REGEX",
        parse=_named_pattern,
        help="Matches of this pattern (Python's re; (?i) ignores case) per 1,000 words, with a 95 "
        "% bootstrap interval over documents [ours]; repeatable. Patterns can be slow: try a few "
        "records.",
    )
    keywords: bool = option(
        False,
        help="Words, phrases and openings of sentences that tell each further group from the first.",
    )
    tokenizer: ModelId | None = option(
        help="Count the tokens of this tokenizer (builtin, a directory or a Hub id): lengths, "
        "frequencies, over-represented tokens."
    )
    vector_field: FieldName | None = option(help="Semantic diversity of the vectors in this field.")
    vector_model: Name | None = option(
        help="Take the vectors from this model instead (builtin, a directory or a Hub id): the "
        "mean of its last hidden states over the text [ours]. A drawn text that its tokenizer fails at is a "
        "bad record; where those are skipped it is missing in this measure alone."
    )
    sample: Positive = option(
        500, help="Documents per group, drawn by the seed, for self-BLEU, compression and openings."
    )
    pooled: Positive = option(
        100, help="Of the sample, the documents whose sentences are pooled for self-BLEU."
    )
    vectors: int = option(
        5000, metavar="N", min=2, help="Documents of a group for semantic diversity."
    )
    words: int = option(
        1_000_000,
        metavar="N",
        min=1000,
        help="Take n-grams, MTLD and HD-D over the first N words of a group [ours]; Heaps' law and "
        "the type-token ratio take all.",
    )
    match_words: int | None = option(
        metavar="N|min",
        parse=_words_or_min,
        help="Take Heaps' law, type-token ratio, MTLD, HD-D and n-grams over the first N words of "
        "each group (thousands; min: as many as the smallest group of 4,000 or more has) [ours], "
        "since they depend on the amount of text. Thin a sorted corpus with synth sample first. "
        "Groups of fewer words have null and a reason.",
    )

    def check(self) -> None:
        super().check()
        if self.vector_field and self.vector_model:
            raise UsageError("--vector-field and --vector-model: give one")
        names = [name for name, _ in self.rate or ()]
        for name in [name for name in names if names.count(name) > 1]:
            raise UsageError(f"--rate {name}=…: is given twice")
        vectors = bool(self.vector_field or self.vector_model)
        measures = self.measured()
        if "tokens" in measures and not self.tokenizer:
            raise UsageError("--measures tokens needs --tokenizer NAME (builtin is one)")
        if "semantic" in measures and not vectors:
            raise UsageError("--measures semantic needs --vector-field or --vector-model")
        if vectors and "semantic" not in measures:
            raise UsageError("vectors serve semantic diversity: add semantic to --measures")
        if "keywords" in measures and self.by is None and len(self.files or ()) < 2:
            raise UsageError("keywords tell groups apart: name two inputs, or a field with --by")
        if ("rates" in measures) != bool(names):
            raise UsageError("--measures rates needs --rate NAME=REGEX, and --rate needs it")
        if self.match_words and (self.match_words < 4000 or self.match_words % 1000):
            raise UsageError(f"--match-words {self.match_words}: min, or thousands from 4,000 on")
        for test in self.tests or ():
            if test in ("all", "none") and self.tests != [test]:
                raise UsageError(f"--tests {test} does not go with others")
            if test in _TESTED and _TESTED[test] not in measures:
                raise UsageError(f"--tests {test} needs the measure {_TESTED[test]}")

    def measured(self) -> set[str]:
        """Names of what is measured."""
        if self.measures is not None:
            return {*self.measures, *(["keywords"] if self.keywords else [])}
        asked = {
            "tokens": self.tokenizer,
            "semantic": self.vector_field or self.vector_model,
            "rates": self.rate,
        }
        default = ("lengths", "keywords") if self.keywords else _BY_DEFAULT
        return {*default, *(name for name, given in asked.items() if given)}

    def tested(self) -> list[str]:
        """The numbers of documents by which groups are tested."""
        measures = self.measured()
        possible = [name for name, measure in _TESTED.items() if measure in measures]
        if self.tests is None:
            return [name for name in ("words", "mtld", "lexical_diversity") if name in possible]
        if self.tests == ["all"]:
            return possible
        return [name for name in dict.fromkeys(self.tests) if name != "none"]


def run(options: Options) -> dict[str, Any]:
    """Reads the inputs once and reports on their groups."""
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark_unless
    from synthtools.curate.sampled_records import strata_of
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.text_tokenizer import open_tokenizer
    from synthtools.measure.batch_statistics import Measures, batch_statistics
    from synthtools.measure.frequencies import add_token_frequencies
    from synthtools.measure.group_statistics import GroupStatistics
    from synthtools.records.first_records import GroupingCheck, needs
    from synthtools.scale.threads import in_order

    measures = Measures(
        frozenset(options.measured()),
        options.sample,
        min(options.pooled, options.sample),
        options.vectors,
        options.words,
        options.vector_model is not None,
        options.match_words,
        dict(options.rate or ()),
        options.seed,
    )
    vectors = [(options.vector_field, "--vector-field")] if options.vector_field else []
    apart = options.by is None
    run: Run

    def check(first: Batch) -> None:
        field = options.text_in(first) if apart else run.text_field
        needs([(field, "--text-field")], vectors)(first)

    grouped = GroupingCheck(check, options.by, "--by")
    run = Run("stats", options, None, options.text_field, apart=apart, check=grouped)
    with run:
        grouped.tell(remark_unless(options.quiet))
        tokenizer = open_tokenizer(ModelName(options.tokenizer)) if options.tokenizer else None
        statistics = GroupStatistics(measures, "name a field of fewer values with --by")
        encode = tokenizer.encode if tokenizer is not None else None
        groups_of = None if apart else partial(strata_of, field=options.by)
        work = batch_statistics(measures, encode, groups_of)
        fields = _read(run, work, statistics, options)
        semantic = _semantic_diversity(run, statistics, options)
        report: dict[str, Any] = {
            "by": options.by or "input",
            "text_field": ", ".join(dict.fromkeys(fields)),
            "measures": sorted(measures.names),
            "sampled_documents": measures.sample,
            "pooled_documents": measures.pooled,
            "sampled_vectors": measures.vectors,
            "words_taken": measures.words,
            **statistics.results(lambda some, each: in_order(some, each, options.workers())),
        }
        groups = report["groups"]
        for group, diversity in zip(groups, semantic, strict=False):
            group["semantic_diversity"] = diversity
        if "tokens" in measures.names and tokenizer is not None:
            report["tokenizer"] = options.tokenizer
            report["over_represented_tokens"] = add_token_frequencies(
                groups, statistics.tokens.counts(), tokenizer.surfaces
            )
        return run.finish({**report, "tests": statistics.tests(options.tested())})


def _read(
    run: Run, work: Callable[..., BatchStatistics], statistics: GroupStatistics, options: Options
) -> list[str]:
    """Takes all records; which field the text of each input stood in."""
    import numpy as np

    from synthtools.curate.sampled_records import strata_of
    from synthtools.draws import lane_of, record_uniforms
    from synthtools.measure.embedded_records import with_vectors
    from synthtools.records.record_keys import ID_FIELD, RecordKeys
    from synthtools.records.rejects import Rejects

    keys, lane = RecordKeys(apart=True), lane_of("stats")
    by, field = options.by, options.vector_field
    dimensions: int | None = None
    text_fields = []
    run.units["bytes"] = 0
    for name, shards in run.groups() if by is None else [(None, run.shards)]:
        if name is not None:
            statistics.place(name)
        text_fields.append(run.text_field if name is None else options.text_of(shards, name))
        for one in run.worked(
            work,
            options,
            shards=shards,
            fields=[ID_FIELD, *([by] if by else [])],
            text_field=text_fields[-1],
            records=field is not None or options.vector_model is not None,
            texts=True,
        ):
            draws = record_uniforms(options.seed, keys.of_hashes(one.result.keys), lane)
            names = strata_of(one.batch, by) if name is None else [name] * len(one.batch)
            places = np.array([statistics.place(group) for group in names], np.int64)
            vectors = None
            if field is not None:
                # A record without a vector would count in some measures alone: none is skipped.
                embedded = with_vectors([one.batch], field, "--vector-field", Rejects(), dimensions)
                for _, vectors in embedded:
                    dimensions = vectors.shape[1]
            kept = one.batch if options.vector_model else None
            statistics.add(one.texts, one.result, places, draws, vectors, kept)
            run.units["bytes"] += one.text_bytes
            run.count(len(one.batch))
    return text_fields


def _semantic_diversity(
    run: Run, statistics: GroupStatistics, options: Options
) -> list[dict[str, Any]]:
    """Of each group; empty where it is not measured."""
    import numpy as np

    from synthtools.measure.diversity import semantic_diversity

    if options.vector_field is not None:
        rows = [group.vectors.result() for group in statistics.groups]
        return [semantic_diversity(np.stack(r) if r else np.zeros((0, 1))) for r in rows]
    if options.vector_model is None:
        return []
    from synthtools.cli import terminal
    from synthtools.lm.embedding_model import open_embedding_model
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.measure.embedded_records import vectors_of

    settings = ModelSettings(ModelName(options.vector_model), cores=options.jobs, ray=options.ray)
    with open_embedding_model(settings, remark=terminal.remark) as model:
        run.model = model.description
        figures = (
            vectors_of(g.strings()[: options.vectors], g.origins.result(), model, run.rejects)
            for g in statistics.groups
        )
        return [semantic_diversity(vectors) | {"skipped": n} for vectors, n in figures]
