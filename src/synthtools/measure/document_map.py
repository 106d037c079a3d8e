"""A map of groups of documents: their vectors, coordinates, and differences between groups."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthtools.errors import SynthError
from synthtools.lm.embedding_model import unit_length
from synthtools.measure.embedded_records import with_vectors, without_nulls
from synthtools.measure.projection import project
from synthtools.measure.two_sample import compare
from synthtools.records.batch import MISSING, Batch
from synthtools.records.record_keys import ID_FIELD
from synthtools.records.rejects import Rejects

# Beyond this, squares and their sums overflow the range in which coordinates are computed.
_LARGEST = 1e15


@dataclass
class MapGroup:
    """A group of documents.

    Attributes:
        missing: records with null for a vector; seen: all others.
        batches, order: the drawn documents, and their order in the sample, int64.
        vectors: float32 [points, width]; points: group, id and record of each.
    """

    name: str
    missing: int
    seen: int
    batches: Iterator[Batch]
    order: np.ndarray
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    points: list[dict[str, Any]] = field(default_factory=list)

    def take(
        self,
        embedded: Iterable[tuple[Batch, np.ndarray, np.ndarray]],
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Takes (batch, vectors, which have one) of the drawn documents. ``advance``: called with the number of
        documents of each batch."""
        rows, names, present = [], [], [np.zeros(0, bool)]
        for batch, vectors, has_vector in embedded:
            advance(len(batch))
            rows.append(vectors)
            present.append(has_vector)
            ids = [None if value is MISSING else value for value in batch.column(ID_FIELD)]
            for value, line in zip(ids, batch.numbers.tolist(), strict=True):
                names.append({"group": self.name, "id": value, "record": f"{batch.source}:{line}"})
        kept = self.order[np.concatenate(present)[self.order]]
        if len(kept):
            self.vectors = np.concatenate(rows)[kept]
        self.points = [names[index] for index in kept]

    def report(self) -> dict[str, Any]:
        """The numbers of documents in all, drawn, and on the map."""
        return {
            "name": self.name,
            "records": self.seen + self.missing,
            "drawn": len(self.order),
            "without_vector": self.missing + len(self.order) - len(self.points),
            "points": len(self.points),
        }


def sound_vectors(
    batch: Batch, field: str, option: str, rejects: Rejects, dimensions: int | None
) -> tuple[Batch, int, int | None]:
    """Records with a vector, the number with null, and the vectors' dimensions, if known."""
    ((kept, nulls),) = without_nulls([batch], field)
    for sound, vectors in with_vectors([kept], field, option, rejects, dimensions):
        return sound, nulls, vectors.shape[1]
    return kept.take([]), nulls, dimensions


def stored_vectors(
    batches: Iterable[Batch], field: str, unit: bool
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
    """Records and the vectors of a field, checked by ``sound_vectors``; ``unit``: scaled to length 1."""
    for batch, vectors in with_vectors(batches, field, "", Rejects()):
        yield batch, unit_length(vectors) if unit else vectors, np.ones(len(batch), bool)


def document_map(
    groups: list[MapGroup],
    method: str,
    *,
    neighbours: int,
    permutations: int,
    seed: int,
    stage: Callable[[str], None],
) -> dict[str, Any]:
    """The report of a map.

    Args:
        method: see ``projection.project``; neighbours, permutations: see ``two_sample.compare``.
        stage: called with a description of each stage.

    Raises:
        SynthError: a group is empty, or a number is too large.
    """
    vectors = _stacked(groups)
    stage(f"placing {len(vectors):,} documents on a map")
    coordinates, projection = project(vectors, method, seed)
    stage("comparing groups, two by two")
    chance: Any = {"neighbours": neighbours, "permutations": permutations, "seed": seed}
    pairs = [
        {"left": a.name, "right": b.name, **compare(a.vectors, b.vectors, **chance)}
        for a, b in itertools.combinations(groups, 2)
    ]
    points = [point for group in groups for point in group.points]
    return {
        "kind": "embed-map",
        **projection,
        "dimensions": vectors.shape[1],
        "permutations": permutations,
        "groups": [group.report() for group in groups],
        "pairs": pairs,
        "points": [
            {**point, "x": float(x), "y": float(y)}
            for point, (x, y) in zip(points, coordinates, strict=True)
        ],
    }


def _stacked(groups: list[MapGroup]) -> np.ndarray:
    """The vectors of all groups, float32 [points, width]."""
    if not groups:
        raise SynthError("there are no documents to put on a map")
    for group in groups:
        if not len(group.points):
            seen = group.seen + group.missing
            why = f"none of its {seen:,} records has a vector" if seen else "there are no records"
            raise SynthError(f"{group.name}: {why}, so that it cannot be put on a map")
    vectors = np.concatenate([group.vectors for group in groups])
    if np.abs(vectors).max() > _LARGEST:
        raise SynthError(f"vectors have numbers beyond {_LARGEST:g}; scale them to length 1")
    return vectors
