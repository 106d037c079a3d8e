"""Near-duplicates for reports: which documents, how many, within and across inputs."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from synthtools.records.batch import MISSING, Batch, JsonBatch
from synthtools.records.jsonl import json_bytes
from synthtools.records.record_keys import ID_FIELD
from synthtools.text.near_duplicates import NearDuplicates

_BATCH = 4096
_SHOWN = 1000


class DocumentSignatures:
    """Signatures and positions of documents.

    Memory: the signatures (4 bytes per value), about 20 bytes per document, and its id.
    """

    def __init__(self, inputs: list[str]) -> None:
        self.inputs = inputs
        self._signatures: list[np.ndarray] = []
        self._inputs: list[np.ndarray] = []
        self._ids: list[Any] = []
        # Of each batch: its first document, its source, and the numbers of its records.
        self._starts: list[int] = []
        self._places: list[tuple[str, np.ndarray]] = []

    def add(self, number: int, batch: Batch, signatures: np.ndarray) -> None:
        """Takes a batch of the input ``number``; signatures: uint32 [records, permutations]."""
        self._starts.append(len(self))
        self._places.append((batch.source, batch.numbers))
        self._signatures.append(signatures)
        self._inputs.append(np.full(len(batch), number, np.int32))
        self._ids += batch.column(ID_FIELD)

    def __len__(self) -> int:
        return len(self._ids)

    def signatures(self) -> np.ndarray:
        """uint32 [documents, permutations]."""
        if not self._signatures:
            return np.zeros((0, 2), np.uint32)
        self._signatures = [np.concatenate(self._signatures)]
        return self._signatures[0]

    def input_of(self) -> np.ndarray:
        """Number of each document's input, int32 [documents]."""
        return np.concatenate([np.zeros(0, np.int32), *self._inputs])

    def place(self, index: int) -> dict[str, Any]:
        """File, line and, if it has one, id of a document."""
        batch = bisect_right(self._starts, index) - 1
        source, numbers = self._places[batch]
        place = {"file": source, "line": int(numbers[index - self._starts[batch]])}
        identifier = self._ids[index]
        return place if identifier is MISSING else {**place, "id": identifier}


def summary(documents: DocumentSignatures, duplicates: NearDuplicates) -> dict[str, Any]:
    """Counts of pairs and clusters, and the first thousand pairs."""
    sizes = Counter(duplicates.cluster_of.tolist())
    clusters = {cluster: size for cluster, size in sizes.items() if cluster >= 0}
    inputs = documents.input_of()
    between = Counter(
        zip(inputs[duplicates.left].tolist(), inputs[duplicates.right].tolist(), strict=True)
    )
    folded: Counter[tuple[int, int]] = Counter()
    for (a, b), count in between.items():
        folded[min(a, b), max(a, b)] += count
    return {
        "documents": len(documents),
        "pairs_found": len(duplicates.left),
        "clusters": len(clusters),
        "documents_in_clusters": sum(clusters.values()),
        "largest_cluster": max(clusters.values(), default=0),
        "cluster_sizes": sorted(map(list, Counter(clusters.values()).items())),
        "by_input": [
            {"left": documents.inputs[a], "right": documents.inputs[b], "pairs": count}
            for (a, b), count in sorted(folded.items())
        ],
        "pairs": [_pair(documents, duplicates, row) for row in range(min(_SHOWN, len(duplicates)))],
    }


def _pair(documents: DocumentSignatures, duplicates: NearDuplicates, row: int) -> dict[str, Any]:
    return {
        "left": documents.place(int(duplicates.left[row])),
        "right": documents.place(int(duplicates.right[row])),
        "similarity": float(duplicates.similarity[row]),
    }


def pair_batches(documents: DocumentSignatures, duplicates: NearDuplicates) -> Iterator[Batch]:
    """The pairs as records: ``left`` and ``right`` (file, line, id), ``similarity``, ``cluster``."""
    for start in range(0, len(duplicates.left), _BATCH):
        rows = range(start, min(start + _BATCH, len(duplicates.left)))
        lines = []
        for row in rows:
            cluster = int(duplicates.cluster_of[duplicates.left[row]])
            lines.append(json_bytes({**_pair(documents, duplicates, row), "cluster": cluster}))
        numbers = np.array(rows, np.int64)
        yield JsonBatch("<pairs>", numbers + 1, numbers, lines=lines)
