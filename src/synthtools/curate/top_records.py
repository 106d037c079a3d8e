"""The records of a stream with the highest scores, in one pass, for one or several targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthtools.records.batch import Batch
from synthtools.records.reread_records import RereadRecords
from synthtools.records.spool import Spool

# So many more than requested are kept before the lowest are dropped.
_SPARE = 1 << 14


class TopRecords:
    """Keeps the ``count`` records with the highest scores; of equal ones the earlier.

    Args:
        spool: where they are, or how they can be found again.

    Disk: about count · (1 + ln(records / count)) records in the spool. Memory: 24 bytes for each
    record kept, and the spool's.
    """

    def __init__(self, count: int, spool: Spool | RereadRecords) -> None:
        self.spool = spool
        self._count = count
        self._threshold = -np.inf
        self._scores: list[np.ndarray] = []
        self._values: list[np.ndarray] = []
        self._handles: list[np.ndarray] = []
        self._held = 0

    def add(self, scores: np.ndarray, values: np.ndarray, batch: Batch) -> None:
        """Takes the next records.

        Args:
            scores: float64 [records]; -inf for a record that is not to be chosen.
            values: float64 [records], handed back with the best.
        """
        better = np.flatnonzero(scores > self._threshold)
        if not len(better) or not self._count:
            return
        self._handles.append(self.spool.add(batch, better))
        self._scores.append(scores[better])
        self._values.append(values[better])
        self._held += len(better)
        if self._held > 2 * self._count + _SPARE:
            self._prune()

    def _prune(self) -> None:
        scores, handles = np.concatenate(self._scores), np.concatenate(self._handles)
        # Handles ascend with the input: of equal scores the earlier record wins.
        order = np.lexsort((handles, -scores))
        best = np.sort(order[: self._count])
        self.spool.drop(handles[order[self._count :]])
        self._scores, self._handles = [scores[best]], [handles[best]]
        self._values = [np.concatenate(self._values)[best]]
        self._held = len(best)
        if self._held == self._count:
            self._threshold = float(scores[best].min())

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(scores, values, handles) of the best in input order; fewer where there are no more."""
        if not self._held:
            return np.zeros(0), np.zeros(0), np.zeros(0, np.int64)
        self._prune()
        return self._scores[0], self._values[0], self._handles[0]


@dataclass(frozen=True)
class Chosen:
    """Records chosen for several targets, in input order: int64 or float64 [records] each.

    Attributes:
        lanes: the target that a record was chosen for.
        handles: the record's place in the spool of that target.
        values: what ``TopRecords.add`` was given for it.
    """

    lanes: np.ndarray
    handles: np.ndarray
    values: np.ndarray


def choose(tops: Sequence[TopRecords], counts: Sequence[int]) -> Chosen:
    """Each target in turn takes its best records among those that are left.

    A target may lose as many records to earlier ones as they take, so ``tops[i]`` must have been made
    for ``sum(counts[: i + 1])`` records.
    """
    taken = np.zeros(0, np.int64)
    lanes, handles, values = [], [], []
    for lane, (top, count) in enumerate(zip(tops, counts, strict=True)):
        scores, given, held = top.result()
        ordinals = top.spool.ordinals(held)
        free = np.flatnonzero(~np.isin(ordinals, taken))
        picked = np.sort(free[np.lexsort((held[free], -scores[free]))[:count]])
        taken = np.concatenate([taken, ordinals[picked]])
        lanes.append(np.full(len(picked), lane))
        handles.append(held[picked])
        values.append(given[picked])
    order = np.argsort(taken, kind="stable")
    return Chosen(*(np.concatenate(part)[order] for part in (lanes, handles, values)))
