"""``synth mix``: several sources in exact shares."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.options import BadRecords, Output, Picture, Seed, TextField, Workers
from synthtools.cli.parameters import operand, option


def mix(
    bad: BadRecords,
    text: TextField,
    writing: Output,
    plotting: Picture,
    seed: Seed,
    jobs: Workers,
    sources: Annotated[
        list[str] | None,
        operand(
            metavar="SOURCE=SHARE",
            help="A file, a directory or a quoted glob, and its share: 0.75, 75% or 3/4.",
        ),
    ] = None,
    unit: Annotated[
        str | None,
        option(
            "--unit",
            metavar="tokens|words|bytes|documents",
            help="What shares and --total count (default: tokens with --tokenizer, else bytes of "
            "text). Words are those of synth stats.",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        option(
            "--tokenizer",
            metavar="NAME",
            help="Counts the tokens: builtin, a directory or a Hub id. A record that says its number "
            "in --tokens-field is not counted again.",
        ),
    ] = None,
    tokens_field: Annotated[
        str,
        option(
            "--tokens-field", metavar="FIELD", help="Where a record says how many tokens it has."
        ),
    ] = "tokens",
    total: Annotated[
        str | None,
        option(
            "--total",
            metavar="COUNT",
            help="Size of the mixture in units (8.4B). Default: the most that repeats no document "
            "(or none more than --epochs times).",
        ),
    ] = None,
    epochs: Annotated[
        int,
        option(
            "--epochs",
            metavar="E",
            min=1,
            help="Let documents of a source that is too small come up to E times.",
        ),
    ] = 1,
    shuffle: Annotated[
        bool,
        option("--shuffle", help="Shuffle the whole mixture (in TMPDIR) instead of interleaving."),
    ] = False,
    label: Annotated[
        str | None,
        option("--label", metavar="FIELD", help="Write each record's source into this field."),
    ] = None,
    workflow: Annotated[
        str | None,
        option(
            "--workflow",
            metavar="replace|accumulate|accumulate-subsample",
            help="Training sets of iterated generations instead of shares: the last generation, all "
            "of them, or a sample of --total from all (default: as much as the first holds).",
        ),
    ] = None,
    generation: Annotated[
        list[str] | None,
        option(
            "--generation",
            metavar="PATH",
            help="A generation's records, the real data first; once for each.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, option("--dry-run", help="Print what would be taken from where, and write nothing.")
    ] = False,
    json_output: Annotated[
        bool, option("--json", help="Print the plan of --dry-run as JSON at a terminal too.")
    ] = False,
) -> None:
    """Mix sources in exact shares of tokens, words, bytes or documents.

    Each source is off its share by less than one document. Which documents come is drawn by seed
    and document; their order is an even interleave, in which every source stays near its share from
    the first document on and keeps its own order, or a full shuffle. Neither depends on --jobs.
    Records pass through as they are.

    Shares sum to 1. Without --total the mixture is as large as it can be without repeats. A source
    that is too small is an error that says what it is enough for.

    \b
    Examples:
      synth mix human/=0.75 cosmopedia/=0.25 --total 8.4B --tokenizer builtin -o mix25/
      synth mix 'human/*.zst=75%' synthetic.parquet=25% --unit words --label source | synth ppl
      synth mix --workflow accumulate --generation real/ --generation g1/ -o train/

    Memory: about 70 bytes for each document (--shuffle: 170), never the texts; some MB of each source,
    with --shuffle 64 MB some times over or a 128th part of the mixture. Sources are read twice; what
    comes through a pipe (/dev/stdin=0.25), and with --shuffle the mixture, waits in TMPDIR.
    """
    from synthtools.cli import mixing

    mixing.run(
        bad,
        text,
        writing,
        jobs,
        mixing.Options(
            tuple(sources or ()),
            unit,
            tokenizer,
            tokens_field,
            total,
            epochs,
            shuffle,
            label,
            workflow,
            tuple(generation or ()),
            seed.seed,
        ),
        dry_run,
        json_output,
        plotting.plot,
    )
