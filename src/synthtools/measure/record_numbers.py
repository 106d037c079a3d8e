"""Numbers of the records of many groups: stored in columns, summarised for all groups at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthtools.measure.perplexity import PERCENTILES

MIDDLE = (50,)


class RecordNumbers:
    """Named numbers of records, by group.

    Memory: 8 bytes per number and 8 per record; as much again for one name at a time while sorting. Groups cost
    nothing.
    """

    def __init__(self) -> None:
        self._places: list[np.ndarray] = []
        self._columns: dict[str, list[np.ndarray]] = {}
        self._ordered: dict[str, np.ndarray] = {}
        self._starts = np.zeros(1, np.int64)

    def add(self, places: np.ndarray, numbers: dict[str, np.ndarray]) -> None:
        """Takes the numbers of some records. ``places``: the group of each, int64; ``numbers``: float64 or int64
        by name, the same names at each call."""
        self._places.append(places)
        for name, values in numbers.items():
            self._columns.setdefault(name, []).append(values.astype(np.float64))

    def order(self, groups: int) -> None:
        """Sorts the records by group, in order of arrival; afterwards none is taken."""
        places = np.concatenate([np.zeros(0, np.int64), *self._places])
        self._places = []
        order = np.argsort(places, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(places, minlength=groups))])
        for name in list(self._columns):
            self._ordered[name] = np.concatenate(self._columns.pop(name))[order]

    def names(self) -> list[str]:
        return list(self._ordered)

    def values(self, name: str, group: int) -> np.ndarray:
        """The values of a number for the records of a group, float64; empty without any."""
        if name not in self._ordered:
            return np.zeros(0)
        return self._ordered[name][self._starts[group] : self._starts[group + 1]]

    def summaries(self, name: str, percentiles: tuple[int, ...]) -> list[dict[str, Any]]:
        return summaries(self._ordered[name], self._starts, percentiles)

    def totals(self, name: str) -> list[int]:
        """The sum of an integer number in each group."""
        groups = _groups(self._starts)
        sums = np.bincount(groups, self._ordered[name], len(self._starts) - 1)
        return [int(total) for total in sums]


def summaries(
    values: np.ndarray, starts: np.ndarray, percentiles: tuple[int, ...] = PERCENTILES
) -> list[dict[str, Any]]:
    """Location and spread of each of many groups of values.

    Args:
        values: float64, by group; non-finite ones are left out and counted as ``without``.
        starts: int64 [groups + 1], the start of each group.
        percentiles: interpolated as in ``numpy.percentile``.

    Returns:
        For each group ``documents``, ``without``, ``mean``, ``standard_deviation`` (of a sample), ``min``, ``max``
        and ``percentiles``; None if there are too few values.
    """
    groups = _groups(starts)
    known = np.isfinite(values)
    values, groups = values[known], groups[known]
    order = np.lexsort((values, groups))
    values = values[order]
    size = len(starts) - 1
    counts = np.bincount(groups, minlength=size)
    present = np.flatnonzero(counts)
    few = counts[present]
    first = (np.cumsum(counts) - counts)[present]
    mean = np.bincount(groups, values, size)[present] / few
    apart = values - np.repeat(mean, few)
    squares = np.bincount(groups, apart * apart, size)[present]
    shares = np.array(percentiles)[:, None] / 100 * (few - 1)
    below = np.floor(shares).astype(np.int64)
    left = values[first + below]
    right = values[first + np.minimum(below + 1, few - 1)]
    part, gap = shares - below, right - left
    inner = np.where(part < 0.5, left + gap * part, right - gap * (1 - part))
    spread = np.sqrt(squares / np.maximum(few - 1, 1))
    names = [str(p) for p in percentiles]
    report: list[dict[str, Any]] = [
        {
            "documents": n,
            "without": without,
            **dict.fromkeys(("mean", "standard_deviation", "min", "max", "percentiles")),
        }
        for n, without in zip(counts.tolist(), (np.diff(starts) - counts).tolist(), strict=True)
    ]
    rows = zip(
        present.tolist(), few.tolist(), mean.tolist(), spread.tolist(), values[first].tolist(),
        values[first + few - 1].tolist(), inner.T.tolist(), strict=True,
    )  # fmt: skip
    for group, n, middle, deviation, low, high, points in rows:
        report[group] |= {
            "mean": middle,
            "standard_deviation": deviation if n > 1 else None,
            "min": low,
            "max": high,
            "percentiles": dict(zip(names, points, strict=True)),
        }
    return report


def _groups(starts: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(starts) - 1), np.diff(starts))
