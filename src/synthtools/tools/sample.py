"""``synth sample``: records drawn uniformly or by weight."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.options import Inputs, Output, Picture, Seed, TextField
from synthtools.cli.parameters import option


def sample(
    reading: Inputs,
    text: TextField,
    writing: Output,
    plotting: Picture,
    seed: Seed,
    count: Annotated[str, option("--count", "-n", metavar="N", help="How many records to draw.")],
    by: Annotated[
        str | None,
        option(
            "--by",
            metavar="FIELD",
            help="Draw with probability proportional to the weight in this field (default: all "
            "equal). Records of weight 0 are never drawn.",
        ),
    ] = None,
    scale: Annotated[
        str,
        option(
            "--scale",
            metavar="auto|linear|log",
            help="What the field holds: weights or their natural logarithms. auto takes names that "
            "end in logw for logarithms.",
        ),
    ] = "auto",
    inverse: Annotated[
        bool,
        option(
            "--inverse",
            help="With probability proportional to 1/weight: density sampling (Sachdeva et al.).",
        ),
    ] = False,
    with_replacement: Annotated[
        bool, option("--with-replacement", help="A record may be drawn several times.")
    ] = False,
    stratify_by: Annotated[
        str | None,
        option(
            "--stratify-by", metavar="FIELD", help="Draw from each value of this field by itself."
        ),
    ] = None,
    allocation: Annotated[
        str,
        option(
            "--allocation",
            metavar="proportional|equal",
            help="What each stratum gives: its share of the records, or all the same.",
        ),
    ] = "proportional",
    or_all: Annotated[
        bool,
        option("--or-all", help="Take all records where there are fewer than N."),
    ] = False,
    rest: Annotated[
        str | None,
        option(
            "--rest",
            metavar="PATH",
            help="Write the records that were not drawn here, in input order: a split that loses "
            "nothing. A file or a directory, like -o.",
        ),
    ] = None,
) -> None:
    """Draw N records, uniformly or by a weight field, in one pass.

    The draw belongs to the seed and the record (its id, else its text, else the whole record), not
    to files or their order. Drawn records are written as they were, in input order. Without
    replacement the N largest of log-weight plus Gumbel noise win. With replacement each draw is
    independent; which records come then depends on the order of the input as well.

    \b
    Examples:
      synth sample human/ -n 10K -o sample.jsonl
      synth dsir raw.jsonl --target human.jsonl --weights | synth sample -n 100 --by dsir_logw
      synth sample embedded.parquet -n 1000 --by density --inverse
      synth sample answers.jsonl -n 400 --stratify-by model --allocation equal
      synth sample human/ -n 40 -o held-out.jsonl --rest training.jsonl.zst

    Memory: about 60 bytes for each candidate, and 8 to 16 for each record read (records with equal ids
    or texts are told apart by their order). Candidates wait in TMPDIR: about n·(1 + ln(N/n)) of N
    records, for each stratum at most. --rest reads the input a second time, for which stdin waits in
    TMPDIR as a whole, and takes 8 bytes for each record drawn.
    """
    from synthtools.cli import quantities
    from synthtools.cli.run import Run
    from synthtools.curate.drawing import Drawing, draw, undrawn
    from synthtools.errors import SynthError, UsageError

    if scale not in ("auto", "linear", "log"):
        raise UsageError(f"--scale {scale}: use auto, linear or log")
    if allocation not in ("proportional", "equal"):
        raise UsageError(f"--allocation {allocation}: use proportional or equal")
    if (inverse or scale != "auto") and by is None:
        raise UsageError("--inverse and --scale are about the weights of --by FIELD")
    if with_replacement and stratify_by is not None:
        raise UsageError("--with-replacement does not go with --stratify-by")
    if with_replacement and or_all:
        raise UsageError(
            "--with-replacement draws N of any number of records: --or-all says nothing"
        )
    if with_replacement and rest is not None:
        raise UsageError("--with-replacement does not go with --rest: records stay to be drawn")
    drawing = Drawing(
        quantities.count(count, "-n"),
        seed.seed,
        text.text_field,
        by,
        scale == "log" or (scale == "auto" and by is not None and by.endswith("logw")),
        inverse,
        with_replacement,
        stratify_by,
        allocation == "equal",
        or_all,
    )
    further = None if rest is None else (rest, "--rest")
    with Run("sample", reading, writing, plot=plotting.plot, further=further) as run:
        if run.done:
            run.finish()
            return
        others = run.further
        if others is not None:
            run.shards = run.twice(run.shards)
        drawn = draw(run.records(), drawing, run.rejects)
        run.write(drawn.batches)
        report = drawn.report
        if others is not None:
            for batch in undrawn(run.records(again=True), drawing, drawn.ordinals):
                others.write(batch)
            report["rest"] = others.records
            if others.records + len(drawn.ordinals) != report["records_seen"]:
                raise SynthError(f"--rest {rest}: the input has changed while it was read")
        run.finish(report)
