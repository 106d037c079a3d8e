"""The report of ``synth diff``: what changed, item by item, and by synthetic share."""

from __future__ import annotations

from typing import Any

from synthtools.errors import parameter
from synthtools.evaluate.generations import COLLAPSE, Generations, Tail, Trend
from synthtools.evaluate.synthetic_shares import TOLERANCE
from synthtools.reports.document import bracketed, cut, number, percent, reach
from synthtools.reports.figures.chart import (
    Figure,
    Panel,
    Series,
    Story,
    Table,
    bars,
    cell,
    named,
    table_of,
)

_MOST = 20
_ALPHA = 0.05
_SHOWN = 60  # figures at a terminal, without --all


def sentence(row: dict[str, Any], base: dict[str, Any]) -> str:
    """A paired row in words: the difference, and the detectable difference. ``base``: the first report, whose
    ``higher_is_better`` gives the direction, if it has it."""
    better = base["suites"][row["suite"]].get("higher_is_better", {}).get(row["figure"])
    up, down = {True: ("better", "worse"), False: ("worse", "better")}.get(
        better, ("higher", "lower")
    )
    # Shares of items are shown in percent.
    shares = (row["test"] or "").startswith("McNemar") and max(row["first"], row["other"]) <= 1
    times, percents, points = (100, " %", " points") if shares else (1, "", "")
    first, other = (f"{number(times * row[side], 3)}{percents}" for side in ("first", "other"))
    text = f"{row['suite']} {row['figure']}: {first} → {other}"
    if row["p_holm"] is None:
        return f"{text}."
    change = times * row["difference"]
    interval = bracketed(row["interval"] and [times * end for end in row["interval"]])
    if row["p_holm"] < _ALPHA:
        text += f", {up if change > 0 else down} by {number(abs(change), 3)}{points}{interval}"
    else:
        text += f", no difference seen: {number(change, 3)}{points}{interval}"
    seen = "no difference can"
    if row["detectable"] is not None:
        seen = f"a difference below {number(times * row['detectable'], 2)}{points} cannot"
    return (
        f"{text}, p = {number(row['p_holm'], 2)} after Holm's correction; with {row['n']:,} items "
        f"{seen} be seen (80 % power)."
    )


def figure(report: dict[str, Any]) -> Figure:
    """The series of shares, paired differences, or the largest relative changes."""
    if report.get("generations"):
        return generation_figure(report["generations"])
    panels = _budget(report["budget"]["rows"]) if report["budget"] else []
    others = report["reports"][1:]
    for name in others:
        rows = [r for r in report["paired"] if r["report"] == name and r["interval"]][:_MOST]
        if rows:
            intervals = [row["interval"] for row in rows]
            series = named("difference, 95 %", [row["difference"] for row in rows], intervals)
            names = [f"{row['suite']} {row['figure']}" for row in rows]
            title = f"{name}, item by item"
            panels.append(bars(title, "other − first", names, series, from_zero=False))
    rows = [row for row in report["rows"] if None not in row["relative"][1:]]
    rows.sort(key=lambda row: -max(abs(change) for change in row["relative"][1:]))
    rows = rows[:_MOST]
    if rows and not report["paired"]:
        changes = [
            named(name, [100 * row["relative"][index] for row in rows])
            for index, name in enumerate(others, 1)
        ]
        names = [row["figure"] for row in rows]
        panels.append(bars("Largest changes", "change (%)", names, *changes, from_zero=False))
    caption = f"Each report against {report['reports'][0]}."
    return Figure("Differences", panels, caption, corpora=report["reports"])


def _budget(rows: list[dict[str, Any]]) -> list[Panel]:
    label, shares = "synthetic share (%)", [100 * row["share"] for row in rows]
    ends = [shares[0], shares[-1]]
    loss = Series("loss", shares, [100 * row["loss"] for row in rows])
    allowed = Series("3 %", ends, [100 * TOLERANCE] * 2, reference=True)
    panels = [Panel("Loss", label, "loss of the baseline (%)", [loss, allowed])]
    ece = [row["ece"] for row in rows]
    if None not in ece:
        series = [Series("ECE", shares, ece), Series("none", ends, [0, 0], reference=True)]
        panels.append(Panel("Calibration", label, "change of ECE", series))
    return panels


def story(report: dict[str, Any]) -> Story:
    if report.get("generations"):
        return generation_story(report["generations"])
    counts = len(report["rows"]), report["equal"], len(report["missing"])
    lines = ["{} figures differ, {} are equal, {} are not in all reports.".format(*counts)]
    lines += [
        f"{row['report']}: {row['sentence']}" for row in report["paired"] if row["p"] is not None
    ]
    values = [[row["figure"], *map(cell, row["values"])] for row in report["rows"]]
    tables = [Table("Figures", ["figure", *report["reports"]], values)]
    if report["budget"]:
        largest = report["budget"]["largest_within"]
        if largest is not None:
            lines.append(f"Within 3 % of the baseline up to a share of {percent(largest)}.")
        columns = (
            ("share", lambda row: percent(row["share"])),
            ("loss", lambda row: percent(row["loss"], ".2f")),
            ("zone of Ratios", "zone"),
            ("the paper", "guidance"),
        )
        tables.insert(0, table_of("Synthetic share", report["budget"]["rows"], columns))
    return Story(f"Differences of {report['of']}", lines, tables)


def lines(report: dict[str, Any]) -> list[str]:
    if report.get("generations"):
        return generation_lines(report["generations"])
    lines = _figures(report)
    if report["paired"]:
        lines += ["", "item by item (other − first, 95 %)"]
        several = len(report["reports"]) > 2
        for row in report["paired"]:
            interval = bracketed(row["interval"])
            p = "" if row["p"] is None else f"  p = {number(row['p'], 2)} ({row['test']})"
            of = f"{row['report']}  " if several else ""
            lines.append(
                f"  {of}{row['suite']} {row['figure']}: {number(row['difference'])}{interval}"
                f"{p}  n = {row['n']:,}"
            )
        lines += ["", *(row["sentence"] for row in report["paired"] if row["p"] is not None)]
    if report["budget"]:
        lines += ["", *_budget_lines(report["budget"])]
    return lines


def _figures(report: dict[str, Any]) -> list[str]:
    everything = report["made_by"]["arguments"].get("all")
    rows = report["rows"] if everything else report["rows"][:_SHOWN]
    wide = max((len(row["figure"]) for row in rows), default=6)
    head = "".join(f"  {cut(name, 22):>22}" for name in report["reports"])
    lines = [" " * wide + head]
    for row in rows:
        cells = [f"  {number(row['values'][0]):>22}"]
        for value, change in zip(row["values"][1:], row["changes"][1:], strict=True):
            sign = "+" if change > 0 else ""
            cells.append(f"  {f'{number(value)} ({sign}{number(change, 3)})':>22}")
        lines.append(f"{row['figure']:<{wide}}" + "".join(cells))
    more = len(report["rows"]) - len(rows)
    if more:
        lines.append(f"… {more} more ({parameter('all')})")
    if report["equal"]:
        lines.append(f"{report['equal']} figures are equal in all")
    if report["missing"]:
        lines.append(f"{len(report['missing'])} figures are not in all reports")
    return lines


def _budget_lines(budget: dict[str, Any]) -> list[str]:
    lines = [
        "synthetic share and the guidance of Ratios",
        f"{'share':>7}  {'loss':>7}  {'Δ ECE':>8}  {'≤ 3 %':>6}  paper",
    ]
    for row in budget["rows"]:
        ece = "–" if row["ece"] is None else f"{row['ece']:+.4f}"
        lines.append(
            f"{100 * row['share']:>6.1f}%  {100 * row['loss']:>6.2f}%  {ece:>8}  "
            f"{'yes' if row['within'] else 'no':>6}  {row['zone']}: {row['guidance']}"
        )
    within = budget["largest_within"]
    stays = "exceeds 3 % from the start"
    if within is not None:
        stays = f"stays within 3 % up to a share of {100 * within:g} %"
    lines.append(f"this series {stays}")
    if budget["calibration_first"] is not None:
        share = 100 * budget["calibration_first"]
        lines.append(f"calibration is worse already at {share:g} %: the early warning")
    return lines


_MOST_CURVES = 8


def _drift(row: Trend) -> str:
    first, last = number(row["values"][0]), number(row["values"][-1])
    return (
        f"{row['figure']}: {first} to {last}, {percent(row['drift'], '+.2g')} a generation "
        f"(p = {number(row['p_holm'], 2)} after Holm)"
    )


def _moved(row: Tail) -> str:
    return (
        f"{row['figure']} of generation {row['left']} is {row['side']} the range expected from the first generation: "
        f"{number(row['values'][row['left'] or 0])}, {reach(row['interval'])}"
    )


def _generation_findings(report: Generations) -> list[str]:
    towards = [row for row in report["trends"] if row["state"] == COLLAPSE]
    count = f"{len(towards)} of {len(report['trends'])} measures drift towards collapse"
    warned = [row for row in report["tails"] if row["left"] is not None]
    findings = [f"{report['verdict']}: {count}"]
    if report["warning"] is not None:
        findings.append(f"early warning at generation {report['warning']} (the first is 0)")
    warned.sort(key=lambda row: row["left"] or 0)
    return [*findings, *map(_moved, warned), *report["notes"]]


def generation_lines(report: Generations) -> list[str]:
    drifting = [row for row in report["trends"] if row["state"] != "none"]
    return _generation_findings(report) + [f"  {row['state']}: {_drift(row)}" for row in drifting]


def generation_figure(report: Generations) -> Figure:
    """The measures as multiples of the first generation's, and each tail that left its interval."""
    panels = []
    trends = [row for row in report["trends"] if row["values"][0]][:_MOST_CURVES]
    if trends:
        generations = list(range(len(trends[0]["values"])))
        curves = [
            Series(row["figure"], generations, [v / row["values"][0] for v in row["values"]])
            for row in trends
        ]
        even = Series("first", [0, generations[-1]], [1, 1], reference=True)
        label = "multiple of the first"
        panels.append(Panel("Measures", "generation", label, [*curves, even]))
    for row in [row for row in report["tails"] if row["left"] is not None][:3]:
        generations = list(range(len(row["values"])))
        low, high = ([end] * len(generations) for end in row["interval"])
        middle = [row["values"][0]] * len(generations)
        allowed = Series("first, 95 %", generations, middle, low=low, high=high)
        series = [allowed, Series("generation", generations, row["values"])]
        label = f"percentile {row['figure'].rpartition('.')[2]}"
        panels.append(Panel(row["figure"], "generation", label, series))
    return Figure("Generations", panels, "Each generation against the first.")


def generation_story(report: Generations) -> Story:
    columns = (
        ("measure", "figure"),
        ("first", lambda row: row["values"][0]),
        ("last", lambda row: row["values"][-1]),
        ("a generation", lambda row: percent(row["drift"], "+.2g")),
        ("collapse is", lambda row: row["collapse"] or "–"),
        ("p (Holm)", lambda row: number(row["p_holm"], 2)),
        "state",
    )
    tails = (
        ("tail", "figure"),
        ("expected range", lambda row: reach(row["interval"])),
        ("left in generation", lambda row: "–" if row["left"] is None else str(row["left"])),
    )
    tables = [
        table_of("Trends", report["trends"], columns),
        table_of("Tails", report["tails"], tails),
    ]
    return Story("Generations", [f"{line}." for line in _generation_findings(report)], tables)
