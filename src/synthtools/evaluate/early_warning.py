"""The early warning of Ratios: calibration gets worse one or two iterations before accuracy does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict

from synthtools.evaluate.paired_comparison import PairedDifference

EARLY = "early warning"
# By whether calibration is certainly worse, and accuracy certainly lower.
_STATES = {
    (True, False): EARLY,
    (True, True): "both worse",
    (False, True): "accuracy lower",
    (False, False): "no sign",
}


class CalibrationChange(TypedDict):
    """A suite since the baseline; of ECE and accuracy [before, after, low, high], where the interval is
    of the change and may be unknown."""

    suite: str
    ece: list[float | None]
    paired: bool
    accuracy: list[float | None]
    state: str


def warnings(
    baseline: dict[str, Any], report: dict[str, Any], paired: Sequence[PairedDifference]
) -> list[CalibrationChange]:
    """Each suite whose calibration both reports have.

    Args:
        paired: item by item, where both reports have samples; else the interval of the change is
            that of independent samples, from the intervals of the two reports [ours].
    """
    rows: list[CalibrationChange] = []
    for name, section in report["suites"].items():
        before = baseline.get("suites", {}).get(name)
        if not before or "ece" not in section["figures"] or "ece" not in before.get("figures", {}):
            continue
        known = {row["figure"]: row for row in paired if row["suite"] == name}
        ece, accuracy = (
            _paired(known[figure]) if figure in known else _independent(before, section, figure)
            for figure in ("ece", "accuracy")
        )
        worse = ece[2] is not None and ece[2] > 0
        lower = accuracy[3] is not None and accuracy[3] < 0
        rows.append(
            {
                "suite": name,
                "ece": ece,
                "paired": "accuracy" in known,
                "accuracy": accuracy,
                "state": _STATES[worse, lower],
            }
        )
    return rows


def _paired(row: PairedDifference) -> list[float | None]:
    low, high = row["interval"] or (None, None)
    return [row["first"], row["other"], low, high]


def _independent(before: dict[str, Any], after: dict[str, Any], figure: str) -> list[float | None]:
    first, other = (part["figures"][figure] for part in (before, after))
    widths = []
    for part in (before, after):
        ends = (part.get("intervals") or {}).get(figure)
        if ends is None:
            return [first, other, None, None]
        widths.append((ends[1] - ends[0]) / 2)
    change, half_width = other - first, math.hypot(*widths)
    return [first, other, change - half_width, change + half_width]
