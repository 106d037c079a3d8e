"""What changed between reports: by how much, item by item, and by synthetic share."""

from __future__ import annotations

from typing import Any

from synthtools.evaluate.budget import TOLERANCE
from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table, bars

_MOST = 20


def figure(report: dict[str, Any]) -> Figure:
    """Of a report of ``diff``: the series of shares, paired differences, largest relative changes."""
    panels = []
    if report["budget"]:
        panels += _budget(report["budget"])
    for name in report["reports"][1:]:
        rows = [r for r in report["paired"] if r["report"] == name and r["interval"]][:_MOST]
        if rows:
            series = Series(
                "difference, 95 %",
                [row["difference"] for row in rows],
                form="named",
                low=[row["interval"][0] for row in rows],
                high=[row["interval"][1] for row in rows],
            )
            names = [f"{row['suite']} {row['figure']}" for row in rows]
            title = f"{name}, item by item"
            panels.append(bars(title, "other − first", names, series, from_zero=False))
    rows = [row for row in report["rows"] if None not in row["relative"][1:]]
    rows.sort(key=lambda row: -max(abs(change) for change in row["relative"][1:]))
    rows = rows[:_MOST]
    if rows and not report["paired"]:
        series = [
            Series(name, [100 * row["relative"][index] for row in rows], form="named")
            for index, name in enumerate(report["reports"][1:], 1)
        ]
        names = [row["figure"] for row in rows]
        panels.append(bars("Largest changes", "change (%)", names, *series, from_zero=False))
    return Figure(
        "Differences",
        panels,
        f"Each report against {report['reports'][0]}.",
        corpora=report["reports"],
    )


def _budget(found: dict[str, Any]) -> list[Panel]:
    shares = [100 * row["share"] for row in found["rows"]]
    loss = Series("loss", shares, [100 * row["loss"] for row in found["rows"]])
    ends = [shares[0], shares[-1]]
    allowed = Series("3 %", ends, [100 * TOLERANCE] * 2, reference=True)
    panels = [Panel("Loss", "synthetic share (%)", "loss of the baseline (%)", [loss, allowed])]
    ece = [row["ece"] for row in found["rows"]]
    if None not in ece:
        panels.append(
            Panel(
                "Calibration",
                "synthetic share (%)",
                "change of ECE",
                [Series("ECE", shares, ece), Series("none", ends, [0, 0], reference=True)],
            )
        )
    return panels


def story(report: dict[str, Any]) -> Story:
    """What changed, in words and tables."""
    counts = len(report["rows"]), report["equal"], len(report["missing"])
    lines = ["{} figures differ, {} are equal, {} are not in all reports.".format(*counts)]
    certain = [
        row for row in report["paired"] if row["p_holm"] is not None and row["p_holm"] < 0.05
    ]
    for row in certain:
        lines.append(
            f"{row['report']}, {row['suite']} {row['figure']}: {number(row['difference'])} "
            f"({row['test']}, p = {number(row['p_holm'], 2)} after Holm)."
        )
    tables = [
        Table(
            "Figures",
            ["figure", *report["reports"]],
            [[row["figure"], *(number(v) for v in row["values"])] for row in report["rows"]],
        )
    ]
    if report["budget"]:
        found = report["budget"]
        largest = found["largest_within"]
        if largest is not None:
            lines.append(f"Within 3 % of the baseline up to a share of {100 * largest:g} %.")
        rows = [
            [f"{100 * r['share']:g} %", f"{100 * r['loss']:.2f} %", r["zone"], r["guidance"]]
            for r in found["rows"]
        ]
        tables.insert(
            0, Table("Synthetic share", ["share", "loss", "zone of Ratios", "the paper"], rows)
        )
    return Story(f"Differences of {report['of']}", lines, tables)
