"""Compare reports: what changed between two runs of any tool.

Every number that all reports have is compared with that of the first report. For reports of synth
eval whose samples are available, models are also compared item by item: differences with paired
bootstrap intervals, McNemar's exact test for right and wrong, a sign-flip permutation test for
other figures, p-values with Holm's correction, and the smallest difference that such a test would
find (80 % power). Items are matched by suite, subject and id; where these repeat, by occurrence if
their texts agree, else the comparison is refused.

Results of other programs are read like reports of synth eval, recognised by what they hold:
lm-evaluation-harness (results_….json, with the samples_….jsonl beside it; or such samples alone),
Inspect (.json and .eval), alpaca_eval (annotations, leaderboards), FastChat (model_judgment/).

With --generations the reports are of successive generations of a corpus or model: which measures
drift towards collapse (Mann-Kendall test with Holm's correction over all measures, at least 1 % per
generation), and the first generation whose 5th or 95th percentile over documents leaves the interval
of the first generation's [ours].

\b
Examples:
  synth diff base.json tuned.json
  synth diff samples_arc_easy_base.jsonl samples_arc_easy_tuned.jsonl
  synth diff base.json tuned.json --json | jq '.paired[] | select(.p_holm < 0.05)'
  synth diff human.json edited.json --figure perplexity
  synth diff mix0.json mix20.json mix40.json --budget --shares 0,20%,40% --plot budget.png
  synth diff gen0.json gen1.json gen2.json gen3.json gen4.json gen5.json --generations

Memory: the reports, and the samples of two of them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthtools.cli.kinds import Count, FileName, PathName, ReportName, Resamples, Shares
from synthtools.cli.options import ARGUMENTS, FileFormat, Picture, Report, Seed
from synthtools.cli.parameters import operand, option
from synthtools.errors import SynthError, UsageError
from synthtools.reports import document

if TYPE_CHECKING:
    from synthtools.evaluate.paired_comparison import Samples


@dataclass(frozen=True, kw_only=True)
class Options(Seed, FileFormat, Picture, Report):
    """Options of ``synth diff``."""

    reports: list[ReportName] | None = operand(
        help="Two or more reports of one tool (--report FILE, --json), or results of other programs; "
        "each is compared with the first. - is stdin."
    )
    samples: list[FileName] | None = option(
        help="The samples of each report of synth eval, in the same order (default: the path in "
        "the report, or that name beside the report)."
    )
    figure: list[PathName] | None = option(
        help="Only figures whose path contains this (suites.arc_easy, ece); with --budget, the "
        "full path of a figure whose loss counts (default: accuracy or perplexity of each suite)."
    )
    budget: bool = option(
        False,
        help="Treat the reports as runs of increasing synthetic share and compare them with the "
        "guidance of Ratios: up to 20 % is safe, 20–30 % depends on scale, more hurts.",
    )
    shares: list[Shares] | None = option(
        commas=True,
        help="With --budget: the synthetic share of each report (0,10%,20% or 0,0.1,0.2).",
    )
    parameters: Count | None = option(
        help="With --budget: number of parameters of the models (1B), on which the guidance "
        "between 20 and 30 % depends."
    )
    generations: bool = option(
        False,
        help="Treat the reports as successive generations, starting with the original data, and warn of "
        "collapse.",
    )
    bootstrap: Resamples = option(
        1000, help="Resamples for the 95 % intervals of paired differences [ours]; 0 for none."
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
        if self.generations and (self.budget or self.samples or len(reports) < 4):
            raise UsageError(
                "--generations needs four reports or more, without --budget and --samples"
            )
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
    from synthtools.evaluate.generations import followed
    from synthtools.evaluate.synthetic_shares import series
    from synthtools.records.inputs import find_shards

    start = time.monotonic()
    given = options.reports or []
    names = [str(one) for one in given]
    reports, own = zip(*(document.load_result(one) for one in given), strict=True)
    kinds = sorted({report["kind"] for report in reports})
    if len(kinds) > 1:
        raise SynthError(
            f"{names[0]}: reports of different kinds ({', '.join(kinds)}) have nothing in common"
        )
    figures = options.figure or []
    table = differences.table(reports)
    if figures and not options.budget:
        table["rows"] = [r for r in table["rows"] if any(part in r["figure"] for part in figures)]
    paired = [] if options.generations else _paired(names, reports, own, options)
    budget = None
    if options.shares:
        size = None if options.parameters is None else float(options.parameters)
        budget = series(reports, options.shares, figures, size)
    inputs = [shard.account() for one in given for shard in find_shards([one])]
    return {
        "kind": "diff",
        "of": kinds[0],
        "reports": names,
        **table,
        "paired": paired,
        "budget": budget,
        "generations": followed(reports, figures) if options.generations else None,
        "made_by": document.made_by(
            "diff", ARGUMENTS.get({}), inputs, {"reports": len(names)}, time.monotonic() - start
        ),
    }


def _paired(
    names: list[str],
    reports: Sequence[dict[str, Any]],
    own: Sequence[list[dict[str, Any]] | None],
    options: Options,
) -> list[dict[str, Any]]:
    """Paired rows of each report against the first, where both have their samples. ``own``: samples that came
    with a report."""
    from synthtools.cli.terminal import remark
    from synthtools.evaluate.paired_comparison import compared
    from synthtools.reports.diff import sentence

    fields = {
        suite: section["per_item"]
        for suite, section in (reports[0].get("suites") or {}).items()
        if isinstance(section, dict) and section.get("per_item")
    }
    if not fields:
        return []
    samples = [
        _samples(name, report, held, options.samples[place] if options.samples else None)
        for place, (name, report, held) in enumerate(zip(names, reports, own, strict=True))
    ]
    if samples[0] is None:
        return []
    of_first, first = samples[0]
    rows = []
    for name, its in zip(names[1:], samples[1:], strict=True):
        if its is None:
            continue
        of_other, other = its
        try:
            comparisons = compared(first, other, fields, options.bootstrap, options.seed)
        except SynthError as error:
            raise SynthError(f"{of_first} and {of_other}: {error}") from error
        if missing := [suite for suite in fields if suite not in other]:
            remark(f"{of_other}: no sample of {', '.join(missing)}; not compared item by item")
        for row in {row["suite"]: row for row in comparisons}.values():
            if row["other_text"]:
                texts = f"{row['other_text']:,} items of one id have two texts: left out"
                remark(f"{of_other}: {row['suite']}: {texts}")
            for what, count in row["unlike"].items():
                remark(
                    f"{of_other}: {row['suite']}: another {what.removesuffix('_hash')} than in "
                    f"{of_first} in {count:,} of {row['n']:,} items: the difference is of that, too"
                )
        rows += [
            {"report": name, **row, "sentence": sentence({**row}, reports[0])}
            for row in comparisons
        ]
    return rows


def _samples(
    name: str, report: dict[str, Any], own: list[dict[str, Any]] | None, path: str | None
) -> tuple[str, Samples] | None:
    """The samples of a report, and where they are from; with remarks on what they lack."""
    from synthtools.cli.terminal import remark
    from synthtools.evaluate.evaluator import Evaluator, samples_beside
    from synthtools.evaluate.paired_comparison import by_suite

    path = path or samples_beside(name, report, remark)
    if path is not None:
        return path, by_suite(Evaluator().records(path))
    for suite, section in report["suites"].items() if own is not None else ():
        for figure, count in section["left_out"].items():
            remark(f"{name}: {suite}: {count:,} items have no number for {figure}: left out there")
        if section.get("status", "success") != "success":
            remark(f"{name}: {suite}: its run ended with status {section['status']}")
    return (name, by_suite(own)) if own else None
