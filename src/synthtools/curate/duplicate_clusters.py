"""Which of the texts that are duplicates of each other is kept, and what that comes to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.records.batch import Batch


class RecordPlaces:
    """Where records stand, and which input each is of.

    Args:
        input_of: number of a shard's input by the shard's name.

    Memory: 12 bytes a record.
    """

    def __init__(self, input_of: dict[str, int]) -> None:
        self._input_of = input_of
        self._shards: list[str] = []
        self._shard: list[np.ndarray] = []
        self._numbers: list[np.ndarray] = []

    def add(self, batch: Batch) -> None:
        """Takes the next records."""
        if not self._shards or self._shards[-1] != batch.source:
            self._shards.append(batch.source)
        self._shard.append(np.full(len(batch), len(self._shards) - 1, np.int32))
        self._numbers.append(batch.numbers)

    def settle(self) -> None:
        """All records are there."""
        self._shard = [np.concatenate([np.zeros(0, np.int32), *self._shard])]
        self._numbers = [np.concatenate([np.zeros(0, np.int64), *self._numbers])]

    def __len__(self) -> int:
        return sum(map(len, self._numbers))

    def inputs(self) -> np.ndarray:
        """Number of each record's input, int64."""
        of_shard = np.array([self._input_of[name] for name in self._shards], np.int64)
        return of_shard[self._shard[0]] if len(of_shard) else np.zeros(0, np.int64)

    def of(self, record: int) -> tuple[str, int]:
        """The file and the line (or row) of a record."""
        return self._shards[self._shard[0][record]], int(self._numbers[0][record])


def equal_clusters(fingerprints: np.ndarray) -> np.ndarray:
    """The first text of those that are equal to each, int64 [texts].

    Args:
        fingerprints: uint64 [texts, 2].

    Memory: about 60 bytes a text.
    """
    first, second = fingerprints[:, 0], fingerprints[:, 1]
    order = np.lexsort((second, first))  # stable: equal ones in the order of the texts
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(first[order]) != 0) | (np.diff(second[order]) != 0)
    representatives = np.empty(len(order), np.int64)
    representatives[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]] if len(order) else order
    return representatives


def kept_of_clusters(roots: np.ndarray, fixed: int, keys: np.ndarray | None) -> np.ndarray:
    """For each text the one of its cluster that is kept, int64 [texts].

    Args:
        roots: the first text of each text's cluster.
        fixed: so many texts at the beginning stay whatever happens: a cluster that has one of them
            keeps its first alone, besides these.
        keys: float64 [texts]; of the others the one of the largest key is kept, the first of
            several, NaN below all; None for the first.
    """
    if keys is None or not len(roots):
        return roots
    order = np.lexsort((np.arange(len(roots)), -keys, roots))
    begins = np.concatenate([[True], np.diff(roots[order]) != 0])
    best = np.empty(len(roots), np.int64)
    best[roots[order][begins]] = order[begins]
    return np.where(roots < fixed, roots, best[roots])


@dataclass(frozen=True)
class DuplicateClusters:
    """Texts, and which of them is kept in the place of which.

    Attributes:
        roots: the first text of each text's cluster; kept: the kept one; both int64 [texts].
        fixed: how many texts at the beginning are not this run's to remove.
    """

    roots: np.ndarray
    kept: np.ndarray
    fixed: int

    def removed(self) -> np.ndarray:
        """Which texts are to go, bool [texts]."""
        own = np.arange(len(self.kept))
        removed: np.ndarray = (self.kept != own) & (own >= self.fixed)
        return removed

    def sizes(self) -> np.ndarray:
        """How many texts each text's cluster has, int64 [texts]."""
        sizes: np.ndarray = np.bincount(self.roots, minlength=len(self.roots))[self.roots]
        return sizes

    def summary(self, inputs: np.ndarray, names: list[str]) -> dict[str, Any]:
        """Counts of clusters by size, of removed texts by input, and by the input of what is kept.

        Args:
            inputs: number of each text's input, int64 [texts]; names: of the inputs.
        """
        per_root = np.bincount(self.roots, minlength=len(self.roots))
        sizes = Counter(per_root[per_root > 1].tolist())
        removed = np.flatnonzero(self.removed())
        there = np.bincount(inputs[self.fixed :], minlength=len(names))
        gone = np.bincount(inputs[removed], minlength=len(names))
        pairs = Counter(
            zip(inputs[removed].tolist(), inputs[self.kept[removed]].tolist(), strict=True)
        )
        return {
            "texts": len(self.roots) - self.fixed,
            "known": self.fixed,
            "removed": len(removed),
            "clusters": sum(sizes.values()),
            "largest_cluster": max(sizes, default=1 if len(self.roots) else 0),
            "cluster_sizes": sorted(map(list, sizes.items())),
            "by_input": [
                {"input": name, "texts": int(there[i]), "removed": int(gone[i])}
                for i, name in enumerate(names)
                if there[i]
            ],
            "by_pair": [
                {
                    "removed_from": names[left],
                    "kept_in": names[right],
                    "removed": count,
                    "share": count / int(there[left]),
                }
                for (left, right), count in sorted(pairs.items())
            ],
        }

    def examples(self, most: int) -> list[int]:
        """Removed texts to show: the first of so many clusters at even distances, int."""
        removed = np.flatnonzero(self.removed())
        _, first = np.unique(self.roots[removed], return_index=True)
        chosen = removed[np.sort(first)]
        step = max(1, -(-len(chosen) // most))
        return list(map(int, chosen[::step]))
