"""``synth diff --generations``: drifts towards collapse and tails that moved, in words and curves."""

from __future__ import annotations

from synthtools.evaluate.generations import COLLAPSE, Generations, Tail, Trend
from synthtools.reports.document import number, percent, reach
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, table_of

_CURVES = 8


def _drift(row: Trend) -> str:
    first, last = number(row["values"][0]), number(row["values"][-1])
    return (
        f"{row['figure']}: {first} to {last}, {percent(row['drift'], '+.2g')} a generation "
        f"(p = {number(row['p_holm'], 2)} after Holm)"
    )


def _moved(row: Tail) -> str:
    return (
        f"{row['figure']} of generation {row['left']} is {row['side']} what the first generation allows: "
        f"{number(row['values'][row['left'] or 0])}, {reach(row['interval'])}"
    )


def _findings(report: Generations) -> list[str]:
    towards = [row for row in report["trends"] if row["state"] == COLLAPSE]
    count = f"{len(towards)} of {len(report['trends'])} measures drift towards collapse"
    warned = [row for row in report["tails"] if row["left"] is not None]
    findings = [f"{report['verdict']}: {count}"]
    if report["warning"] is not None:
        findings.append(f"early warning at generation {report['warning']} (the first is 0)")
    warned.sort(key=lambda row: row["left"] or 0)
    return [*findings, *map(_moved, warned), *report["notes"]]


def lines(report: Generations) -> list[str]:
    drifting = [row for row in report["trends"] if row["state"] != "none"]
    return _findings(report) + [f"  {row['state']}: {_drift(row)}" for row in drifting]


def figure(report: Generations) -> Figure:
    """The measures as multiples of the first generation's, and each tail that left its interval."""
    panels = []
    trends = [row for row in report["trends"] if row["values"][0]][:_CURVES]
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


def story(report: Generations) -> Story:
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
        ("first allows", lambda row: reach(row["interval"])),
        ("left in generation", lambda row: "–" if row["left"] is None else str(row["left"])),
    )
    tables = [
        table_of("Trends", report["trends"], columns),
        table_of("Tails", report["tails"], tails),
    ]
    return Story("Generations", [f"{line}." for line in _findings(report)], tables)
