"""The report of ``synth dsir``: how much closer to the target a selection is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from synthtools.reports import document
from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Story, bars, pairs, plain


class Target(TypedDict):
    name: str
    share: float
    tokens: int


class DsirReport(document.BaseReport):
    """About an estimator, and a selection if one was made; divergences in nats."""

    n: int
    buckets: int
    hash: str
    smoothing: float
    targets: list[Target]
    raw_tokens_fitted: int
    min_tokens: int
    records_seen: NotRequired[int]
    long_enough: NotRequired[int]
    selected: NotRequired[int]
    selected_log_weight: NotRequired[dict[str, float] | None]
    kl_target_raw: NotRequired[float | None]
    kl_target_selected: NotRequired[float | None]
    kl_reduction: NotRequired[float | None]


def figure(report: DsirReport) -> Figure:
    before, after = report.get("kl_target_raw"), report.get("kl_target_selected")
    if before is None or after is None:
        return Figure("Importance resampling")
    labels = ("Distance from the target", "KL(target ‖ ·) of hashed n-grams (nats)")
    return Figure(
        "Importance resampling",
        [bars(*labels, ["all raw records", "the selection"], [before, after])],
        "The selection should be closer to the target than the raw data; a small selection has few "
        "n-grams and differs for that reason alone.",
    )


def story(report: DsirReport) -> Story:
    before, after = report.get("kl_target_raw"), report.get("kl_target_selected")
    line = "Nothing was selected; the records have weights."
    if after is not None and before is not None:
        line = (
            f"{number(report['selected'])} of {number(report['records_seen'])} records were "
            f"selected; they are {'closer to' if after < before else 'farther from'} the target "
            f"than the raw data (KL {number(after)} against {number(before)} nats)."
        )
    values: Mapping[str, Any] = report
    names = ("records_seen", "long_enough", "selected", "kl_target_raw")
    logw = report.get("selected_log_weight") or {}
    rows = [
        *((plain(name), values[name]) for name in names if name in values),
        *((f"log-weight of the selected, {name}", value) for name, value in logw.items()),
        *((f"share of target {target['name']}", target["share"]) for target in report["targets"]),
    ]
    return Story("Importance resampling", [line], [pairs("Selection", rows)])
