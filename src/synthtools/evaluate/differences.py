"""Differences between reports of one kind.

The figures of a report are all its numbers, by the path of names that leads to them. Objects in a list are
named by their first text, numbers in a short list by their position (from 1). Long lists (histograms,
densities) are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

from synthtools.evaluate.paired_comparison import PairedDifference

# How a report was made, and the data of its plots.
_ASIDE = {"made_by", "samples", "intervals", "per_item", "reliability", "edges", "grid"}

_LONGEST_LIST = 12

# Words that mark figures where lower is better; for others higher is taken to be better.
_LOWER = ("perplexity", "ppl", "nll", "loss", "ece", "mce", "brier", "bits_per_byte", "spb", "psb")


def figures(report: dict[str, Any]) -> dict[str, float]:
    """The figures of a report by path (``suites.arc_easy.accuracy``); ``figures`` is left out of the path."""
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
    """The intervals in a report, by the path of their figure."""
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
    """Whether lower is better for the figure of this path, by the words in its last name. Figures under ``valid``
    are perplexities, named after their data."""
    last = figure.rsplit(".", 1)[-1].lower()
    return figure.startswith("valid.") or any(f"_{word}_" in f"_{last}_" for word in _LOWER)


def table(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of two or more reports; the first is the baseline.

    Returns:
        ``rows``, the figures that differ: ``values``, ``changes`` from the first (None for the first), these
        ``relative`` to its absolute value, and the reports' ``intervals``; ``equal``, the number of figures that
        are the same in all; ``missing``, those that not all reports have.
    """
    by_report = [figures(report) for report in reports]
    stated = [intervals(report) for report in reports]
    rows = []
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
# By (calibration is significantly worse, accuracy is significantly lower).
_STATES = {
    (True, False): EARLY,
    (True, True): "both worse",
    (False, True): "accuracy lower",
    (False, False): "no sign",
}


class CalibrationChange(TypedDict):
    """A suite compared with the baseline; ECE and accuracy as [before, after, low, high], the last two being
    the interval of the change, if known."""

    suite: str
    ece: list[float | None]
    paired: bool
    accuracy: list[float | None]
    state: str


def warnings(
    baseline: dict[str, Any], report: dict[str, Any], paired: Sequence[PairedDifference]
) -> list[CalibrationChange]:
    """The change of each suite whose calibration is in both reports.

    Args:
        paired: differences item by item, if both reports have samples; otherwise the interval of the change
            is that of independent samples, from the intervals of the two reports [ours].
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
