"""The report of ``synth dsir``: how much nearer to the target a selection lies."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Story, bars, pairs, plain


def figure(report: dict[str, Any]) -> Figure:
    """Divergence from the target before and after."""
    if report.get("kl_target_selected") is None:
        return Figure("Importance resampling")
    values = [report["kl_target_raw"], report["kl_target_selected"]]
    label = "KL(target ‖ ·) of hashed n-grams (nats)"
    return Figure(
        "Importance resampling",
        [bars("Distance from the target", label, ["all raw records", "the selection"], values)],
        "The selection should be nearer to the target than what it was drawn from; a small one has "
        "few n-grams and lies apart for that alone.",
    )


def story(report: dict[str, Any]) -> Story:
    """What the selection came to."""
    before, after = report.get("kl_target_raw"), report.get("kl_target_selected")
    line = "Nothing was selected; the records have weights."
    if after is not None and before is not None:
        line = (
            f"{number(report['selected'])} of {number(report['records_seen'])} records were "
            f"selected; they are {'nearer to' if after < before else 'farther from'} the target "
            f"than the whole (KL {number(after)} against {number(before)} nats)."
        )
    names = ("records_seen", "long_enough", "selected", "kl_target_raw")
    logw = report.get("selected_log_weight") or {}
    rows = [
        *((plain(name), report[name]) for name in names if name in report),
        *((f"log-weight of the selected, {name}", value) for name, value in logw.items()),
        *((f"share of target {target['name']}", target["share"]) for target in report["targets"]),
    ]
    return Story("Importance resampling", [line], [pairs("Selection", rows)])
