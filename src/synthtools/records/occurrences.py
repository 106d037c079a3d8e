"""How often each of many values has come before."""

from __future__ import annotations

import numpy as np


class Occurrences:
    """Counts 64-bit values as they come.

    What has been seen is kept as few sorted arrays, each more than twice as long as the next, so
    that looking up and merging stay cheap.

    Memory: about 8 bytes for each distinct value, twice that while arrays are merged, and about 100
    for each that has come more than once.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []
        self._repeated: dict[int, int] = {}  # how often, where more than once

    def of(self, values: np.ndarray) -> np.ndarray:
        """How often each of the next values has come before it: int64 [values].

        Args:
            values: uint64.
        """
        if not len(values):
            return np.zeros(0, np.int64)
        order = np.argsort(values, kind="stable")
        ascending = values[order]
        starts = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
        counts = np.diff(np.append(starts, len(values)))
        distinct = ascending[starts]
        known = self._known(distinct)
        before = np.zeros(len(distinct), np.int64)
        for index in np.flatnonzero(known | (counts > 1)).tolist():
            value = int(distinct[index])
            if known[index]:
                before[index] = self._repeated.get(value, 1)
            self._repeated[value] = int(before[index] + counts[index])
        self._keep(distinct[~known])
        times = np.empty(len(values), np.int64)
        times[order] = np.arange(len(values)) - np.repeat(starts - before, counts)
        return times

    def _known(self, distinct: np.ndarray) -> np.ndarray:
        known = np.zeros(len(distinct), bool)
        for run in self._runs:
            places = np.searchsorted(run, distinct)
            known |= run[np.minimum(places, len(run) - 1)] == distinct
        return known

    def _keep(self, run: np.ndarray) -> None:
        if not len(run):
            return
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort(kind="stable")  # which merges what is sorted in parts
        self._runs.append(run)
