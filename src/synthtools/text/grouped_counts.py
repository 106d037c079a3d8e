"""Counts of values by group, and the growth of the number of distinct values: compiled."""

from __future__ import annotations

import itertools

import numpy as np

from synthtools.compiled import compiled
from synthtools.text.tokeniser import GOLDEN, finalise

_U = np.uint64
_FEWEST = 1 << 12


class GroupedCounts:
    """Counts 64-bit values per group, in order of arrival.

    Args:
        step: a group's vocabulary size is recorded after every ``step`` of its values.

    Memory: 20 bytes for each distinct value of a group, at most four times that while the table
    grows; 24 bytes for each step.

    Attributes:
        totals, distinct: of each group, values and distinct values: int64 [groups].
    """

    def __init__(self, step: int = 1000) -> None:
        self._step = step
        self._held = 0
        self._values, self._groups, self._counts = _table(_FEWEST)
        self.totals = np.zeros(0, np.int64)
        self.distinct = np.zeros(0, np.int64)
        self._curve: list[np.ndarray] = []

    def add(self, values: np.ndarray, starts: np.ndarray, groups: np.ndarray, known: int) -> None:
        """Counts the values of documents.

        Args:
            values: uint64; starts: int64 [documents + 1].
            groups: int64 [documents], the group of each, below ``known``, the groups so far.
        """
        if known > len(self.totals):
            more = np.zeros(max(known, 2 * len(self.totals)) - len(self.totals), np.int64)
            self.totals = np.concatenate([self.totals, more])
            self.distinct = np.concatenate([self.distinct, more])
        curve = np.empty((len(values) // self._step + len(groups) + 1, 3), np.int64)
        noted = document = at = 0
        while True:
            self._held, noted, document, at = _add(
                self._values, self._groups, self._counts, self._held,
                values, starts, groups, self._step,
                self.totals, self.distinct, curve, noted, document, at,
            )  # fmt: skip
            if document >= len(groups):
                break
            old = self._values, self._groups, self._counts
            self._values, self._groups, self._counts = _table(2 * len(old[0]))
            _move(*old, self._values, self._groups, self._counts)
        if noted:
            self._curve.append(curve[:noted].copy())

    def curves(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """(values, distinct values so far) every ``step`` values, for each group that has them."""
        rows = np.concatenate([np.zeros((0, 3), np.int64), *self._curve])
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        return {group: (rows[at, 1], rows[at, 2]) for group, at in _runs(rows[:, 0])}

    def counts(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """The distinct values, ascending, and their counts, for each group that has any."""
        there = np.flatnonzero(self._counts)
        groups, values, counts = self._groups[there], self._values[there], self._counts[there]
        order = np.lexsort((values, groups))
        values, counts = values[order], counts[order]
        return {group: (values[at], counts[at]) for group, at in _runs(groups[order])}


def _runs(groups: np.ndarray) -> list[tuple[int, slice]]:
    """Each group of an ascending array, and its range."""
    edges = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)]
    return [(int(groups[a]), slice(a, b)) for a, b in itertools.pairwise(edges) if b > a]


def _table(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros(size, np.uint64), np.zeros(size, np.int32), np.zeros(size, np.int64)


@compiled
def _place(values, groups, counts, value, group):
    """The slot of a group's value, or the free slot for it."""
    mask = _U(values.size - 1)
    slot = finalise(value + _U(group) * GOLDEN) & mask
    while counts[slot] != 0 and (values[slot] != value or groups[slot] != group):
        slot = (slot + _U(1)) & mask
    return slot


@compiled
def _move(values, groups, counts, to_values, to_groups, to_counts):
    for old in range(values.size):
        if counts[old] != 0:
            slot = _place(to_values, to_groups, to_counts, values[old], groups[old])
            to_values[slot], to_groups[slot], to_counts[slot] = (
                values[old], groups[old], counts[old],
            )  # fmt: skip


@compiled
def _add(
    values, groups, counts, held, more, starts, of_documents, step, totals, distinct, curve, noted,
    document, at,
):  # fmt: skip
    """Continues from a document's value until all are counted or the table is half full."""
    while document < of_documents.size:
        group = of_documents[document]
        at = max(at, starts[document])
        while at < starts[document + 1]:
            slot = _place(values, groups, counts, more[at], group)
            if counts[slot] == 0:
                if 2 * held >= values.size:
                    return held, noted, document, at
                values[slot], groups[slot] = more[at], group
                held += 1
                distinct[group] += 1
            counts[slot] += 1
            totals[group] += 1
            if totals[group] % step == 0:
                curve[noted, 0], curve[noted, 1], curve[noted, 2] = (
                    group, totals[group], distinct[group],
                )  # fmt: skip
                noted += 1
            at += 1
        document += 1
    return held, noted, document, at
