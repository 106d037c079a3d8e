"""All texts that a search for duplicates knows: those of an index, those held against, and its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from synthtools.closeable import Closeable
from synthtools.curate.duplicate_clusters import (
    DuplicateClusters,
    RecordPlaces,
    equal_clusters,
    kept_of_clusters,
)
from synthtools.curate.fingerprint_store import ArrayFile, FingerprintIndex
from synthtools.curate.shared_index import SharedIndex
from synthtools.curate.text_fingerprints import DocumentComparison, Fingerprints
from synthtools.records.batch import Batch
from synthtools.text.shingles import Shingles
from synthtools.text.similar_clusters import estimate, similar_clusters, true_jaccard


class KnownTexts(Closeable):
    """Fingerprints of texts in their order, and where each stands.

    A text is a record, or a paragraph or line of one. Texts are numbered: those of the index, those
    of records that are only read, and from ``fixed`` on those of the run's own records.

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
        """Takes the next records, those that are only read first."""
        self._places.add(batch)
        self._rows.append(fingerprints.rows)
        self._counts.append(fingerprints.counts)
        if fingerprints.keys is not None:
            self._keys.append(np.repeat(fingerprints.keys, fingerprints.counts))
        if fingerprints.sets is not None:
            self._sets.append(fingerprints.sets.hashes)
            self._set_sizes.append(np.diff(fingerprints.sets.offsets))

    def begin_own(self) -> None:
        """From here on records are the run's own."""
        self._own_from = len(self._places)
        self.fixed = len(self._rows)

    def settle(self) -> None:
        """All records are there."""
        if self._shared is not None:
            self._begin_with(self._shared.near(self.own_rows()))
        self._places.settle()
        counts = np.concatenate([np.zeros(0, np.int64), *self._counts])
        self._counts = []
        self._starts = np.concatenate([[0], np.cumsum(counts)]) + self._offset

    def _begin_with(self, known: np.ndarray) -> None:
        """Puts texts of an index before all others."""
        others, self._rows = self._rows, ArrayFile(*self.comparison.row)
        self._rows.append(known)
        rows = others.array()
        for at in range(0, len(rows), 1 << 16):
            self._rows.append(rows[at : at + (1 << 16)])
        others.close()
        self._offset = len(known)
        self.fixed += len(known)

    def own_rows(self) -> np.ndarray:
        """Fingerprints of the run's own texts."""
        return self._rows.array()[self.fixed :]

    @property
    def own_records(self) -> int:
        return len(self._places) - self._own_from

    def texts_of(self, first: int, count: int) -> np.ndarray:
        """Where the texts of some of the run's own records begin, and where the last ends.

        Args:
            first: the first record, from 0; count: of the records.

        Returns:
            int64 [count + 1].
        """
        at = self._own_from + first
        return self._starts[at : at + count + 1]

    def equal(self) -> DuplicateClusters:
        """Which texts are equal."""
        return self._duplicates(equal_clusters(self._rows.array()))

    def similar(
        self,
        threshold: float,
        mapped: Callable[..., Iterable[Any]],
        advance: Callable[[int], None],
    ) -> DuplicateClusters:  # fmt: skip
        """Which texts are similar (see ``similar_clusters``)."""
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
        """Jaccard indices of pairs, estimated where texts are not verified; 1 of equal texts."""
        if self.comparison.method == "exact":
            return np.ones(len(left))
        sets = self._shingles()
        if sets is not None:
            return true_jaccard(sets, left, right)
        return estimate(self._rows.array(), left, right)

    def _record(self, text: int) -> int:
        return int(np.searchsorted(self._starts, text, side="right")) - 1

    def place(self, text: int) -> tuple[str, int]:
        """Where a text stands: file and line; of a text of the index, its number there."""
        if text < self._offset:
            return self._names[-1], text + 1
        return self._places.of(self._record(text))

    def summary(self, clusters: DuplicateClusters) -> dict[str, Any]:
        """Counts of clusters, and of removed texts by input."""
        inputs = np.repeat(self._places.inputs(), np.diff(self._starts))
        of_index = np.full(self._offset, len(self._names) - 1)
        return clusters.summary(np.concatenate([of_index, inputs]), self._names)

    def own_record(self, text: int) -> int | None:
        """The number of a text's record among the run's own, None for another's."""
        return self._record(text) - self._own_from if text >= self.fixed else None
