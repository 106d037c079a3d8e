"""The run behind ``synth diff``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from synthtools.cli import quantities
from synthtools.cli.options import ARGUMENTS
from synthtools.cli.publish import check_plot, draw, show
from synthtools.cli.terminal import remark
from synthtools.errors import SynthError, UsageError
from synthtools.evaluate import budget, differences, paired_comparison
from synthtools.evaluate.evaluator import Evaluator
from synthtools.evaluate.samples import found_beside
from synthtools.records.inputs import find_shards
from synthtools.reports import document
from synthtools.reports.document import number

_SHOWN = 60


@dataclass(frozen=True)
class Differing:
    """Options of ``synth diff``, as given."""

    samples: tuple[str, ...]
    figures: tuple[str, ...]
    shares: str | None
    parameters: str | None
    budget: bool
    resamples: int
    seed: int
    everything: bool


def run_diff(
    names: list[str],
    options: Differing,
    report_file: str | None,
    plot: str | None,
    json_output: bool,
) -> None:
    """Compares the reports, each with the first, and prints what changed.

    Raises:
        UsageError: options that do not fit together.
        SynthError: reports of different kinds.
    """
    start = time.monotonic()
    if len(names) < 2:
        raise UsageError("name two reports or more: synth diff BASE.json OTHER.json")
    if names.count("-") > 1:
        raise UsageError("-: stdin holds one report")
    if plot is not None:
        check_plot(plot)
    shares = _shares(options, len(names))
    found = [document.load(name) for name in names]
    kinds = {report["kind"] for report in found}
    if len(kinds) > 1:
        raise SynthError(
            f"{names[0]}: reports of different kinds ({', '.join(sorted(kinds))}) have nothing in common"
        )
    table = differences.table(found)
    if options.figures and not options.budget:
        table["rows"] = [
            row for row in table["rows"] if any(part in row["figure"] for part in options.figures)
        ]
    result: dict[str, Any] = {
        "kind": "diff",
        "of": kinds.pop(),
        "reports": names,
        **table,
        "paired": _paired(names, found, options),
        "budget": None,
    }
    if shares is not None:
        size = options.parameters
        count = float(quantities.count(size, "--parameters")) if size else None
        result["budget"] = budget.series(found, shares, options.figures, count)
    made_by = document.made_by(
        "diff",
        ARGUMENTS.get({}),
        [
            {"name": s.name, "bytes": s.size, "fingerprint": s.fingerprint()}
            for name in names
            for s in find_shards([name])
        ],
        {"reports": len(names)},
        time.monotonic() - start,
    )
    report = result | {"made_by": made_by}
    draw(report, plot)
    if report_file:
        document.save(report, report_file)
    show(report, json_output, lines(report, options.everything))


def _shares(options: Differing, count: int) -> list[float] | None:
    if not options.budget:
        if options.shares or options.parameters:
            raise UsageError("--shares and --parameters go with --budget")
        return None
    if not options.shares:
        raise UsageError("--budget needs the synthetic share of each report: --shares 0,20%,30%")
    found = quantities.shares(options.shares, count)
    if found != sorted(set(found)):
        raise UsageError("--shares must grow: name the reports in that order")
    return found


def _paired(
    names: list[str], found: list[dict[str, Any]], options: Differing
) -> list[dict[str, Any]]:
    """Paired rows of each report against the first, where both have their samples.

    Raises:
        SynthError: samples cannot be paired.
    """
    if options.samples and len(options.samples) != len(names):
        raise UsageError(f"--samples: name {len(names)} files, one for each report")
    fields = {
        suite: section["per_item"]
        for suite, section in (found[0].get("suites") or {}).items()
        if isinstance(section, dict) and section.get("per_item")
    }
    if not fields:
        return []
    paths = [
        options.samples[i] if options.samples else found_beside(name, report, remark)
        for i, (name, report) in enumerate(zip(names, found, strict=True))
    ]
    if paths[0] is None:
        return []
    first = paired_comparison.by_suite(Evaluator().records(paths[0]))
    rows = []
    for name, path in zip(names[1:], paths[1:], strict=True):
        if path is not None:
            other = paired_comparison.by_suite(Evaluator().records(path))
            try:
                found_rows = paired_comparison.compared(
                    first, other, fields, options.resamples, options.seed
                )
            except SynthError as error:
                raise SynthError(f"{paths[0]} and {path}: {error}") from error
            if not found_rows:
                remark(f"{path}: no sample of the suites of {paths[0]}; not compared item by item")
            rows += [{"report": name, **row} for row in found_rows]
    return rows


def lines(report: dict[str, Any], everything: bool) -> list[str]:
    """The differences as tables."""
    found = _figures(report, everything)
    if report["paired"]:
        found += ["", "item by item (other − first, 95 %)"]
        several = len(report["reports"]) > 2
        for row in report["paired"]:
            ends = row["interval"]
            reach = f" [{number(ends[0], 3)}, {number(ends[1], 3)}]" if ends else ""
            p = "" if row["p"] is None else f"  p = {number(row['p'], 2)} ({row['test']})"
            of = f"{row['report']}  " if several else ""
            found.append(
                f"  {of}{row['suite']} {row['figure']}: {number(row['difference'])}{reach}"
                f"{p}  n = {row['n']:,}"
            )
    if report["budget"]:
        found += ["", *_budget(report["budget"])]
    return found


def _figures(report: dict[str, Any], everything: bool) -> list[str]:
    rows = report["rows"] if everything else report["rows"][:_SHOWN]
    wide = max((len(row["figure"]) for row in rows), default=6)
    head = "".join(f"  {_short(name):>22}" for name in report["reports"])
    lines = [" " * wide + head]
    for row in rows:
        cells = [f"  {number(row['values'][0]):>22}"]
        for value, change in zip(row["values"][1:], row["changes"][1:], strict=True):
            sign = "+" if change > 0 else ""
            cells.append(f"  {f'{number(value)} ({sign}{number(change, 3)})':>22}")
        lines.append(f"{row['figure']:<{wide}}" + "".join(cells))
    more = len(report["rows"]) - len(rows)
    if more:
        lines.append(f"… {more} more (--all)")
    if report["equal"]:
        lines.append(f"{report['equal']} figures are equal in all")
    if report["missing"]:
        lines.append(f"{len(report['missing'])} figures are not in all reports")
    return lines


def _short(name: str) -> str:
    return name if len(name) <= 22 else "…" + name[-21:]


def _budget(found: dict[str, Any]) -> list[str]:
    lines = [
        "synthetic share and what Ratios says of it",
        f"{'share':>7}  {'loss':>7}  {'Δ ECE':>8}  {'≤ 3 %':>6}  paper",
    ]
    for row in found["rows"]:
        ece = "–" if row["ece"] is None else f"{row['ece']:+.4f}"
        lines.append(
            f"{100 * row['share']:>6.1f}%  {100 * row['loss']:>6.2f}%  {ece:>8}  "
            f"{'yes' if row['within'] else 'no':>6}  {row['zone']}: {row['guidance']}"
        )
    largest = found["largest_within"]
    lines.append(
        "this series leaves 3 % at once"
        if largest is None
        else f"this series stays within 3 % up to a share of {100 * largest:g} %"
    )
    if found["calibration_first"] is not None:
        share = 100 * found["calibration_first"]
        lines.append(f"calibration is worse at {share:g} % already: the early warning")
    return lines
