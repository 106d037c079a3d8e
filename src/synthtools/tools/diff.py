"""Compare reports: what changed between two runs of any tool.

Every number that all reports have is compared with that of the first report. For reports of synth
eval whose samples are available, models are also compared item by item: differences with paired
bootstrap intervals, McNemar's exact test for right and wrong, a sign-flip permutation test for
other figures, p-values with Holm's correction. Items are matched by suite, subject and id; where
these repeat, by occurrence if their texts agree, else the comparison is refused.

\b
Examples:
  synth diff base.json tuned.json
  synth diff base.json tuned.json --json | jq '.paired[] | select(.p_holm < 0.05)'
  synth diff human.json edited.json --figure perplexity
  synth diff mix0.json mix20.json mix40.json --budget --shares 0,20%,40% --plot budget.png

Memory: the reports, and the samples of two of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from synthtools.cli import quantities
from synthtools.cli.options import ARGUMENTS, FileFormat, Picture, Report, Seed
from synthtools.cli.parameters import operand, option
from synthtools.errors import SynthError, UsageError
from synthtools.reports import document


@dataclass(frozen=True, kw_only=True)
class Options(Seed, FileFormat, Picture, Report):
    """Options of ``synth diff``."""

    reports: list[str] | None = operand(
        None,
        metavar="REPORT",
        help="Two or more reports of one tool (--report FILE, --json); each is compared with the "
        "first. - is stdin.",
    )
    samples: list[str] | None = option(
        None,
        metavar="FILE",
        help="The samples of each report of synth eval, in the same order (default: the path in "
        "the report, or that name beside the report).",
    )
    figure: list[str] | None = option(
        None,
        metavar="PATH",
        help="Only figures whose path contains this (suites.arc_easy, ece); with --budget, the "
        "full path of a figure whose loss counts (default: accuracy or perplexity of each suite).",
    )
    budget: bool = option(
        False,
        help="Treat the reports as runs of increasing synthetic share and compare them with the "
        "guidance of Ratios: up to 20 % is safe, 20–30 % depends on scale, more hurts.",
    )
    shares: list[float] | None = option(
        None,
        metavar="LIST",
        parse=quantities.share,
        min=0,
        max=1,
        commas=True,
        help="With --budget: the synthetic share of each report (0,10%,20% or 0,0.1,0.2).",
    )
    parameters: int | None = option(
        None,
        metavar="N",
        parse=quantities.count,
        min=1,
        help="With --budget: number of parameters of the models (1B), on which the guidance "
        "between 20 and 30 % depends.",
    )
    bootstrap: int = option(
        1000,
        metavar="B",
        min=0,
        max=100_000,
        help="Resamples for the 95 % intervals of paired differences [ours]; 0 for none.",
    )
    all: bool = option(False, help="Show all figures at a terminal, not only the first 60.")

    def check(self) -> None:
        super().check()
        reports = self.reports or []
        if len(reports) < 2:
            raise UsageError("name two reports or more: synth diff BASE.json OTHER.json")
        if reports.count("-") > 1:
            raise UsageError("-: stdin holds one report")
        if self.samples and len(self.samples) != len(reports):
            raise UsageError(f"--samples: name {len(reports)} files, one for each report")
        if not self.budget:
            if self.shares or self.parameters:
                raise UsageError("--shares and --parameters go with --budget")
            return
        if not self.shares:
            raise UsageError("--budget needs the share of each report: --shares 0,20%,30%")
        if len(self.shares) != len(reports):
            raise UsageError(f"--shares names {len(self.shares)} shares for {len(reports)} reports")
        if self.shares != sorted(set(self.shares)):
            raise UsageError("--shares must grow: name the reports in that order")


def run(options: Options) -> dict[str, Any]:
    """Compares each report with the first."""
    from synthtools.evaluate import differences
    from synthtools.evaluate.budget import series
    from synthtools.records.inputs import find_shards

    start = time.monotonic()
    given = options.reports or []
    names = [str(one) for one in given]
    reports = [document.load(one) for one in given]
    kinds = sorted({report["kind"] for report in reports})
    if len(kinds) > 1:
        raise SynthError(
            f"{names[0]}: reports of different kinds ({', '.join(kinds)}) have nothing in common"
        )
    figures = options.figure or []
    table = differences.table(reports)
    if figures and not options.budget:
        table["rows"] = [r for r in table["rows"] if any(part in r["figure"] for part in figures)]
    paired = _paired(names, reports, options)
    budget = None
    if options.shares:
        size = None if options.parameters is None else float(options.parameters)
        budget = series(reports, options.shares, figures, size)
    inputs = [
        {"name": s.name, "bytes": s.size, "fingerprint": s.fingerprint()}
        for one in given
        for s in find_shards([one])
    ]
    return {
        "kind": "diff",
        "of": kinds[0],
        "reports": names,
        **table,
        "paired": paired,
        "budget": budget,
        "made_by": document.made_by(
            "diff", ARGUMENTS.get({}), inputs, {"reports": len(names)}, time.monotonic() - start
        ),
    }


def _paired(
    names: list[str], reports: list[dict[str, Any]], options: Options
) -> list[dict[str, Any]]:
    """Paired rows of each report against the first, where both have their samples."""
    from synthtools.cli.terminal import remark
    from synthtools.evaluate.evaluator import Evaluator
    from synthtools.evaluate.paired_comparison import by_suite, compared
    from synthtools.evaluate.samples import samples_beside

    fields = {
        suite: section["per_item"]
        for suite, section in (reports[0].get("suites") or {}).items()
        if isinstance(section, dict) and section.get("per_item")
    }
    if not fields:
        return []
    paths: list[str | None] = [*(options.samples or ())] or [
        samples_beside(name, report, remark) for name, report in zip(names, reports, strict=True)
    ]
    if paths[0] is None:
        return []
    first = by_suite(Evaluator().records(paths[0]))
    rows = []
    for name, path in zip(names[1:], paths[1:], strict=True):
        if path is None:
            continue
        other = by_suite(Evaluator().records(path))
        try:
            found = compared(first, other, fields, options.bootstrap, options.seed)
        except SynthError as error:
            raise SynthError(f"{paths[0]} and {path}: {error}") from error
        if not found:
            remark(f"{path}: no sample of the suites of {paths[0]}; not compared item by item")
        rows += [{"report": name, **row} for row in found]
    return rows
