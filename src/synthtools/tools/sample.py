"""Draw N records, uniformly or by a weight field, in one pass.

The draw depends on the seed and the record (its id, else its text, else the whole record), not
on files or their order. Drawn records are written unchanged, in input order. Without replacement
the N largest of log-weight plus Gumbel noise are taken. With replacement each draw is independent;
the result then depends on the order of the input as well.

\b
Examples:
  synth sample human/ -n 10K -o sample.jsonl
  synth dsir raw.jsonl --target human.jsonl --weights | synth sample -n 100 --by dsir_logw
  synth sample embedded.parquet -n 1000 --by density --inverse
  synth origin crawl/ --calibration cal.json --per-record | synth sample -n 1M --by origin
  synth sample answers.jsonl -n 400 --stratify-by model --allocation equal
  synth sample human/ -n 40 -o held-out.jsonl --rest training.jsonl.zst

Memory: about 60 bytes for each candidate, and 8 to 16 for each record read (records with equal ids
or texts are distinguished by their order). Candidates are kept in TMPDIR: about n·(1 + ln(N/n)) of
N records, at most this for each stratum. --rest reads the input a second time, for which all of
stdin is kept in TMPDIR, and takes 8 bytes for each record drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from synthtools.cli.kinds import Count, FieldName, PathName
from synthtools.cli.options import Inputs, Output, Picture, Seed, TextField
from synthtools.cli.parameters import option
from synthtools.errors import SynthError, UsageError


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, TextField, Output, Picture, Seed):
    """Options of ``synth sample``."""

    count: Count = option(..., "-n", help="How many records to draw (1000, 10M).")
    by: FieldName | None = option(
        help="Draw with probability proportional to the weight in this field (default: all equal). "
        "Records of weight 0 are never drawn."
    )
    scale: Literal["auto", "linear", "log", "origin"] = option(
        "auto",
        help="Whether the field holds weights, their natural logarithms, or probabilities q of being "
        "synthetic (synth origin), of weight (1 - q)^B. auto takes names that end in logw for "
        "logarithms, and origin for q.",
    )
    bias: float | None = option(
        metavar="B",
        min=0.0,
        help="How much a record of origin q is drawn less (Drayson et al. 2025; default: 10, as in their "
        "code). They draw half as many again as there are, none more than ten times; here "
        "--with-replacement has no such limit.",
        show_default=False,
    )
    inverse: bool = option(
        False,
        help="Draw with probability proportional to 1/weight: density sampling (Sachdeva et al.).",
    )
    with_replacement: bool = option(False, help="A record may be drawn several times.")
    stratify_by: FieldName | None = option(help="Draw separately from each value of this field.")
    allocation: Literal["proportional", "equal"] = option(
        "proportional",
        help="Records from each stratum: in proportion to its size, or equally many.",
    )
    or_all: bool = option(False, help="Take all records if there are fewer than N.")
    rest: PathName | None = option(
        help="Write the records that were not drawn to this file or directory, in input order: a "
        "split that loses nothing."
    )

    def check(self) -> None:
        super().check()
        if (self.inverse or self.scale != "auto") and self.by is None:
            raise UsageError("--inverse and --scale need --by FIELD, the weights")
        if self.bias is not None and not self.origins:
            raise UsageError("--bias belongs to --by origin")
        if not self.with_replacement:
            return
        if self.stratify_by is not None:
            raise UsageError("--with-replacement does not go with --stratify-by")
        if self.or_all:
            raise UsageError(
                "--with-replacement draws N of any number of records: leave out --or-all"
            )
        if self.rest is not None:
            raise UsageError("--with-replacement leaves no rest: leave out --rest")

    @property
    def origins(self) -> bool:
        """Whether the weights are made of probabilities of being synthetic."""
        return self.scale == "origin" or (self.scale == "auto" and self.by == "origin")

    @property
    def logarithms(self) -> bool:
        """Whether the weights are natural logarithms."""
        named = self.by is not None and self.by.endswith("logw")
        return self.scale == "log" or (self.scale == "auto" and named)


def run(options: Options) -> dict[str, Any] | None:
    """Draws in one pass; a second one writes the rest."""
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark_unless
    from synthtools.curate.sampled_records import SampleSettings, draw, undrawn
    from synthtools.records.first_records import GroupingCheck, needs

    settings = SampleSettings(
        options.count,
        options.seed,
        options.text_field,
        options.by,
        options.logarithms,
        options.inverse,
        options.with_replacement,
        options.stratify_by,
        options.allocation == "equal",
        options.or_all,
        (10.0 if options.bias is None else options.bias) if options.origins else None,
    )
    further = None if options.rest is None else (options.rest, "--rest")
    weights = needs([], [] if options.by is None else [(options.by, "--by")])
    check = GroupingCheck(weights, options.stratify_by, "--stratify-by")
    with Run("sample", options, options, plot=options.plot, further=further, check=check) as run:
        check.tell(remark_unless(options.quiet))
        if run.done:
            return run.finish()
        rest = run.further
        if rest is not None:
            run.shards = run.twice(run.shards)
        drawn = draw(run.records(), settings, run.rejects)
        run.write(drawn.batches)
        report = drawn.report
        if rest is not None:
            for batch in undrawn(run.records(again=True), settings, drawn.ordinals):
                run.write_further(batch)
            report["rest"] = rest.records
            if rest.records + len(drawn.ordinals) != report["records_seen"]:
                raise SynthError(f"--rest {options.rest}: the input has changed while it was read")
        return run.finish(report)
