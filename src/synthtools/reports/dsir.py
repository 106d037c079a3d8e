"""The report of ``synth dsir``: how much nearer to the target a selection lies."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Story, Table, bars


def figure(report: dict[str, Any]) -> Figure:
    """Of a report of ``dsir`` that selected: divergence from the target before and after."""
    if report.get("kl_target_selected") is None:
        return Figure("Importance resampling")
    names = ["all raw records", "the selection"]
    values = [report["kl_target_raw"], report["kl_target_selected"]]
    label = "KL(target ‖ ·) of hashed n-grams (nats)"
    panel = bars("Distance from the target", label, names, values)
    return Figure(
        "Importance resampling",
        [panel],
        "The selection should be nearer to the target than what it was drawn from; a small one has "
        "few n-grams and lies apart for that alone.",
    )


def story(report: dict[str, Any]) -> Story:
    """What the selection came to."""
    before, after = report.get("kl_target_raw"), report.get("kl_target_selected")
    if after is None or before is None:
        lines = ["Nothing was selected; the records have weights."]
    else:
        nearer = "nearer to" if after < before else "farther from"
        lines = [
            (
                f"{number(report['selected'])} of {number(report['records_seen'])} records were "
                f"selected; they are {nearer} the target than the whole "
                f"(KL {number(after)} against {number(before)} nats)."
            )
        ]
    rows = [
        [name.replace("_", " "), number(report[name])]
        for name in ("records_seen", "long_enough", "selected", "kl_target_raw")
        if name in report
    ]
    for name, value in (report.get("selected_log_weight") or {}).items():
        rows.append([f"log-weight of the selected, {name}", number(value)])
    rows += [[f"share of target {t['name']}", number(t["share"])] for t in report["targets"]]
    return Story("Importance resampling", lines, [Table("Selection", ["", ""], rows)])
