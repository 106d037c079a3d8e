"""All texts of a search for duplicates: those of an index, those only compared with, and the run's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.closeable import Closeable
from synthtools.curate.fingerprint_store import ArrayFile, FingerprintIndex, SharedIndex
from synthtools.curate.text_fingerprints import DocumentComparison, Fingerprints
from synthtools.records.batch import Batch
from synthtools.text.shingles import Shingles
from synthtools.text.similar_clusters import estimate, similar_clusters, true_jaccard


class RecordPlaces:
    """Positions and inputs of records. ``input_of``: number of a shard's input, by the shard's name.

    Memory: 12 bytes per record.
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
        """Concatenates the arrays, after the last record."""
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
    """For each text the first text equal to it, int64 [texts]; ``fingerprints``: uint64 [texts, 2].

    Memory: about 60 bytes per text.
    """
    first, second = fingerprints[:, 0], fingerprints[:, 1]
    order = np.lexsort((second, first))  # stable: equal ones in the order of the texts
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(first[order]) != 0) | (np.diff(second[order]) != 0)
    representatives = np.empty(len(order), np.int64)
    representatives[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]] if len(order) else order
    return representatives


def kept_of_clusters(roots: np.ndarray, fixed: int, keys: np.ndarray | None) -> np.ndarray:
    """For each text the kept text of its cluster, int64 [texts].

    Args:
        roots: the first text of each text's cluster.
        fixed: this many texts at the beginning are never removed: a cluster with one of them keeps only its
            first, besides these.
        keys: float64 [texts]; in other clusters the text with the largest key is kept (NaN last, ties to the
            first); None: the first.
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
    """Clusters of duplicates.

    Attributes:
        roots: the first text of each text's cluster; kept: the kept one; both int64 [texts].
        fixed: number of texts at the beginning that this run does not remove.
    """

    roots: np.ndarray
    kept: np.ndarray
    fixed: int

    def removed(self) -> np.ndarray:
        """Which texts are removed, bool [texts]."""
        own = np.arange(len(self.kept))
        return np.asarray((self.kept != own) & (own >= self.fixed))

    def sizes(self) -> np.ndarray:
        """The size of each text's cluster, int64 [texts]."""
        return np.asarray(np.bincount(self.roots, minlength=len(self.roots))[self.roots])

    def summary(self, inputs: np.ndarray, names: list[str]) -> dict[str, Any]:
        """Counts of clusters by size, and of removed texts by input and by the input of the kept text. ``inputs``:
        number of each text's input, int64 [texts]; ``names``: of the inputs."""
        per_root = np.bincount(self.roots, minlength=len(self.roots))
        sizes = Counter(per_root[per_root > 1].tolist())
        removed = np.flatnonzero(self.removed())
        totals = np.bincount(inputs[self.fixed :], minlength=len(names))
        gone = np.bincount(inputs[removed], minlength=len(names))
        ends = inputs[removed].tolist(), inputs[self.kept[removed]].tolist()
        pairs = Counter(zip(*ends, strict=True))
        return {
            "texts": len(self.roots) - self.fixed,
            "known": self.fixed,
            "removed": len(removed),
            "clusters": sum(sizes.values()),
            "largest_cluster": max(sizes, default=1 if len(self.roots) else 0),
            "cluster_sizes": sorted(map(list, sizes.items())),
            "by_input": [
                {"input": name, "texts": int(totals[i]), "removed": int(gone[i])}
                for i, name in enumerate(names)
                if totals[i]
            ],
            "by_pair": [
                {
                    "removed_from": names[left],
                    "kept_in": names[right],
                    "removed": count,
                    "share": count / int(totals[left]),
                }
                for (left, right), count in sorted(pairs.items())
            ],
        }

    def examples(self, most: int) -> list[int]:
        """At most ``most`` removed texts to show: the first of evenly spaced clusters."""
        removed = np.flatnonzero(self.removed())
        _, first = np.unique(self.roots[removed], return_index=True)
        chosen = removed[np.sort(first)]
        step = max(1, -(-len(chosen) // most))
        return list(map(int, chosen[::step]))


class KnownTexts(Closeable):
    """Fingerprints and positions of texts, in order.

    A text is a record, or a paragraph or line of one. Texts are numbered: first those of the index, then those of
    records that are only read, and from ``fixed`` on those of the run's own records.

    Args:
        names: of the inputs; input_of: the number of each shard's input by the shard's name.
    """

    def __init__(
        self,
        comparison: DocumentComparison,
        names: Sequence[str],
        input_of: dict[str, int],
        index: FingerprintIndex | SharedIndex | None,
    ) -> None:
        self.comparison = comparison
        self._names = [*names, *([] if index is None else [str(index.path)])]
        self._rows = ArrayFile(*comparison.row)
        self._sets = ArrayFile(np.uint64)
        self._set_sizes: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []
        self._keys: list[np.ndarray] = []
        self._places = RecordPlaces(input_of)
        self._own_from = 0
        self.fixed = 0
        self.partly = 0
        if isinstance(index, FingerprintIndex):
            index.into(self._rows)
        self._shared = index if isinstance(index, SharedIndex) else None
        self._offset = len(self._rows)

    def close(self) -> None:
        self._rows.close()
        self._sets.close()

    def add(self, batch: Batch, fingerprints: Fingerprints) -> None:
        """Takes the next records; those that are only read come first."""
        self._places.add(batch)
        self._rows.append(fingerprints.rows)
        self._counts.append(fingerprints.counts)
        if fingerprints.keys is not None:
            self._keys.append(np.repeat(fingerprints.keys, fingerprints.counts))
        if fingerprints.sets is not None:
            self._sets.append(fingerprints.sets.hashes)
            self._set_sizes.append(np.diff(fingerprints.sets.offsets))

    def begin_own(self) -> None:
        """Marks the following records as the run's own."""
        self._own_from = len(self._places)
        self.fixed = len(self._rows)

    def settle(self) -> None:
        """Completes the arrays, after the last record."""
        if self._shared is not None:  # its texts come before all others
            known = self._shared.near(self.own_rows())
            with self._rows as others:
                self._rows = ArrayFile(*self.comparison.row)
                self._rows.append(known)
                self._rows.append_parts(others.array())
            self._offset = len(known)
            self.fixed += len(known)
        self._places.settle()
        counts = np.concatenate([np.zeros(1, np.int64), *self._counts])
        self._counts = []
        self._starts = np.cumsum(counts) + self._offset

    def own_rows(self) -> np.ndarray:
        """Fingerprints of the run's own texts."""
        return self._rows.array()[self.fixed :]

    @property
    def own_records(self) -> int:
        return len(self._places) - self._own_from

    def texts_of(self, first: int, count: int) -> np.ndarray:
        """The first text of each of ``count`` of the run's own records, from record ``first`` (from 0) on, and the
        end of the last, int64 [count + 1]."""
        at = self._own_from + first
        return self._starts[at : at + count + 1]

    def equal(self) -> DuplicateClusters:
        """Clusters of equal texts."""
        return self._duplicates(equal_clusters(self._rows.array()))

    def similar(
        self,
        threshold: float,
        mapped: Callable[..., Iterable[Any]],
        advance: Callable[[int], None],
    ) -> DuplicateClusters:  # fmt: skip
        """Clusters of similar texts (see ``similar_clusters``)."""
        sets = self._shingles()
        roots, self.partly = similar_clusters(self._rows.array(), threshold, sets, mapped, advance)
        return self._duplicates(roots)

    def _shingles(self) -> Shingles | None:
        if not self.comparison.verify:
            return None
        sizes = np.concatenate([np.zeros(1, np.int64), *self._set_sizes])
        return Shingles(self._sets.array(), np.cumsum(sizes))

    def _duplicates(self, roots: np.ndarray) -> DuplicateClusters:
        keys = None
        if self._keys:
            keys = np.concatenate([np.full(self._offset, np.nan), *self._keys])
        return DuplicateClusters(roots, kept_of_clusters(roots, self.fixed, keys), self.fixed)

    def similarity(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Jaccard indices of pairs, estimated unless texts are verified; 1 for equal texts."""
        if self.comparison.method == "exact":
            return np.ones(len(left))
        sets = self._shingles()
        if sets is not None:
            return true_jaccard(sets, left, right)
        return estimate(self._rows.array(), left, right)

    def _record(self, text: int) -> int:
        return int(np.searchsorted(self._starts, text, side="right")) - 1

    def place(self, text: int) -> tuple[str, int]:
        """File and line of a text; for a text of the index, its number there."""
        if text < self._offset:
            return self._names[-1], text + 1
        return self._places.of(self._record(text))

    def summary(self, clusters: DuplicateClusters) -> dict[str, Any]:
        """Counts of clusters, and of removed texts by input."""
        inputs = np.repeat(self._places.inputs(), np.diff(self._starts))
        of_index = np.full(self._offset, len(self._names) - 1)
        return clusters.summary(np.concatenate([of_index, inputs]), self._names)

    def own_record(self, text: int) -> int | None:
        """The number of a text's record among the run's own; None for other records."""
        return self._record(text) - self._own_from if text >= self.fixed else None
