"""What changed between reports of one kind.

A report is taken apart into its figures: every number, by the path of names that leads to it. Of a list of
objects, each is known by its first text; of a short list of numbers, each by its place (from 1). Long
ones (histograms, densities) are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

from synthtools.evaluate.paired_comparison import PairedDifference

# What says how a report was made, and the numbers of figures.
_ASIDE = {"made_by", "samples", "intervals", "per_item", "reliability", "edges", "grid"}

_LONGEST_LIST = 12

# Words by which a figure is known to be better when it is lower; others are taken to be better higher.
_LOWER = ("perplexity", "ppl", "nll", "loss", "ece", "mce", "brier", "bits_per_byte", "spb", "psb")


def figures(report: dict[str, Any]) -> dict[str, float]:
    """The figures of a report by path (``suites.arc_easy.accuracy``); ``figures`` itself is not part of it."""
    return dict(_walk(report, ()))


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        if math.isfinite(value):
            yield ".".join(path), float(value)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key not in _ASIDE:
                yield from _walk(one, path if key == "figures" else (*path, key))
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        names = [_name(one) for one in value]
        if None not in names and len(set(names)) == len(names):
            for name, one in zip(names, value, strict=True):
                yield from _walk(one, (*path, str(name)))
    elif isinstance(value, list) and len(value) <= _LONGEST_LIST:
        for place, one in enumerate(value, 1):
            if isinstance(one, int | float):
                yield from _walk(one, (*path[:-1], f"{path[-1]}[{place}]"))


def _name(value: dict[str, Any]) -> str | None:
    for key, one in value.items():
        if isinstance(one, str) and key != "kind":
            other = value.get("right") if key == "left" else None
            return f"{one}–{other}" if isinstance(other, str) else one
    return None


def intervals(report: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """The intervals that a report states, by the path of their figure."""
    return dict(_ends(report, ()))


def _ends(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[float, float]]]:
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        for one in value:
            yield from _ends(one, (*path, str(_name(one))))
    if not isinstance(value, dict):
        return
    stated = value.get("intervals")
    for key, ends in stated.items() if isinstance(stated, dict) else ():
        if isinstance(ends, list) and len(ends) == 2 and None not in ends:
            yield ".".join((*path, key)), (float(ends[0]), float(ends[1]))
    for key, one in value.items():
        if key not in _ASIDE and key != "figures":
            yield from _ends(one, (*path, key))


def lower_is_better(figure: str) -> bool:
    """Whether a figure of this path is better when it is lower, by the words in its last name. Figures under
    ``valid`` are perplexities, by the names of their data."""
    last = figure.rsplit(".", 1)[-1].lower()
    return figure.startswith("valid.") or any(f"_{word}_" in f"_{last}_" for word in _LOWER)


class FigureRow(TypedDict):
    """A figure of several reports: its values, their changes against the first (None for the first) and
    these as shares of its size, and the intervals that the reports state."""

    figure: str
    values: list[float]
    changes: list[float | None]
    relative: list[float | None]
    intervals: list[list[float] | None]


class FigureTable(TypedDict):
    """Figures that differ; ``equal``: how many more are the same in all; ``missing``: those that not all
    reports have."""

    rows: list[FigureRow]
    equal: int
    missing: list[str]


def table(reports: Sequence[dict[str, Any]]) -> FigureTable:
    """The figures that all reports have, set beside each other. ``reports``: two or more; the first is what the
    others are measured against."""
    by_report = [figures(report) for report in reports]
    stated = [intervals(report) for report in reports]
    rows: list[FigureRow] = []
    equal, missing = 0, []
    for key in dict.fromkeys(key for one in by_report for key in one):
        values = [one[key] for one in by_report if key in one]
        if len(values) < len(reports):
            missing.append(key)
            continue
        if len(set(values)) == 1:
            equal += 1
            continue
        first = values[0]
        changes = [None, *(value - first for value in values[1:])]
        rows.append(
            {
                "figure": key,
                "values": values,
                "changes": changes,
                "relative": [
                    None if change is None or first == 0 else change / abs(first)
                    for change in changes
                ],
                "intervals": [list(one[key]) if key in one else None for one in stated],
            }
        )
    return {"rows": rows, "equal": equal, "missing": missing}


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
    ends = [e for part in (before, after) if (e := (part.get("intervals") or {}).get(figure))]
    if len(ends) < 2:
        return [first, other, None, None]
    change, half_width = other - first, math.hypot(*((high - low) / 2 for low, high in ends))
    return [first, other, change - half_width, change + half_width]
