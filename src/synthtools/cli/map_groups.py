"""Groups of documents for a map: how they come out of the inputs, and what is kept of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.cli import quantities
from synthtools.cli.publish import check_plot
from synthtools.cli.run import Run
from synthtools.errors import SynthError, UsageError
from synthtools.records.batch import MISSING, Batch
from synthtools.records.identity import ID_FIELD
from synthtools.records.rejects import Rejects

# All are compared with all, and each needs a mark that can be told from the others.
_MOST_GROUPS = 12
# Beyond this, squares and their sums leave the range in which coordinates are computed.
_LARGEST = 1e15


@dataclass(frozen=True)
class Map:
    """Options of a map, as given.

    Attributes:
        vector_field: None for vectors of the model.
    """

    vector_field: str | None
    limit: str
    by: str | None
    reference: str | None
    method: str
    neighbours: int
    permutations: int
    plot: str | None
    seed: int

    def check(self) -> int | None:
        """Refuses what cannot be before anything is read; the limit, None for none.

        Raises:
            UsageError, SynthError
        """
        from synthtools.measure.projection import METHODS, require

        if self.method not in METHODS:
            raise UsageError(f"--method {self.method}: use one of {', '.join(METHODS)}")
        if self.neighbours % 2 == 0:
            raise UsageError("--neighbours must be odd, so that there is a majority")
        require(self.method)
        if self.plot is not None:
            check_plot(self.plot)
        return None if self.limit == "all" else quantities.count(self.limit, "--limit")


def read_groups(run: Run, samples: Any, options: Map) -> dict[str, int]:
    """Draws from all records; how many of each group have null for a vector."""
    from synthtools.curate.drawing import strata_of

    missing: dict[str, int] = {}
    dimensions: int | None = None
    for name, shards in _inputs(run, options):
        if name is not None:
            samples.start(name)
        for batch in run.records(shards=shards):
            run.count(len(batch))
            groups = strata_of(batch, options.by) if name is None else [name] * len(batch)
            for group in dict.fromkeys(groups):
                members = [index for index, of in enumerate(groups) if of == group]
                some = batch if len(members) == len(batch) else batch.take(members)
                if options.vector_field:
                    some, nulls, dimensions = _sound(
                        some, options.vector_field, run.rejects, dimensions
                    )
                    missing[group] = missing.get(group, 0) + nulls
                if len(some):
                    samples.add(group, some)
                if len(samples.names()) > _MOST_GROUPS:
                    raise SynthError(
                        f"more than {_MOST_GROUPS} groups: all are compared with all; choose a "
                        "field of fewer values for --by, or fewer inputs"
                    )
    return missing


def _inputs(run: Run, options: Map) -> list[tuple[str | None, list[Any]]]:
    """(group, its shards) of each input; None for the group where a field says it."""
    if options.by is not None:
        return [(None, run.shards)]
    found: list[tuple[str | None, list[Any]]] = []
    times: dict[str, int] = {}
    for name, shards in run.groups():
        times[name] = times.get(name, 0) + 1
        found.append((name if times[name] == 1 else f"{name} ({times[name]})", shards))
    return found


def _sound(
    batch: Batch, field: str, rejects: Rejects, dimensions: int | None
) -> tuple[Batch, int, int | None]:
    """Records with a vector, how many have null for one, and the vectors' dimensions by now."""
    from synthtools.measure.density import with_vectors
    from synthtools.measure.embedding import without_nulls

    ((kept, nulls),) = without_nulls([batch], field)
    found = list(with_vectors([kept], field, "--vector-field", rejects, dimensions))
    if not found:
        return kept.take([]), nulls, dimensions
    return found[0][0], nulls, found[0][1].shape[1]


def ordered(names: list[str], options: Map) -> list[str]:
    """The groups, the reference first."""
    if options.by is not None:
        names = sorted(names)
    first = options.reference
    if first is None:
        return names
    if first not in names:
        raise SynthError(f"--reference {first}: no such group (there are: {', '.join(names)})")
    return [first, *(name for name in names if name != first)]


class Group:
    """A group of documents.

    Attributes:
        order: in which the drawn documents stand.
        vectors: float32 [points, width]; points: what names each.
        missing: records that have null for a vector.
    """

    def __init__(self, name: str, seen: int, batches: Iterator[Batch], order: np.ndarray) -> None:
        self.name = name
        self.seen = seen
        self.batches = batches
        self.order = order
        self.missing = 0
        self.vectors = np.zeros((0, 0), np.float32)
        self.points: list[dict[str, Any]] = []

    def take(self, found: Iterator[tuple[Batch, np.ndarray, np.ndarray]]) -> None:
        """Takes the drawn records with their vectors, in the order in which they lie."""
        rows, names, there = [], [], [np.zeros(0, bool)]
        for batch, vectors, has in found:
            rows.append(vectors)
            there.append(has)
            ids = [None if value is MISSING else value for value in batch.column(ID_FIELD)]
            for value, line in zip(ids, batch.numbers.tolist(), strict=True):
                names.append({"group": self.name, "id": value, "record": f"{batch.source}:{line}"})
        kept = self.order[np.concatenate(there)[self.order]]
        if len(kept):
            self.vectors = np.concatenate(rows)[kept]
        self.points = [names[index] for index in kept]

    def report(self) -> dict[str, Any]:
        """How many documents there were, were drawn, and are on the map."""
        return {
            "name": self.name,
            "records": self.seen + self.missing,
            "drawn": len(self.order),
            "without_vector": self.missing + len(self.order) - len(self.points),
            "points": len(self.points),
        }


def stored(
    batches: Iterator[Batch], field: str, unit: bool
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
    from synthtools.lm.vectors import unit_length
    from synthtools.measure.density import with_vectors

    for batch, vectors in with_vectors(batches, field, "--vector-field", Rejects()):
        yield batch, unit_length(vectors) if unit else vectors, np.ones(len(batch), bool)


def stacked(groups: list[Group]) -> np.ndarray:
    """The vectors of all groups, float32 [points, width].

    Raises:
        SynthError: a group is empty, or a number is too large.
    """
    if not groups:
        raise SynthError("there are no documents to put on a map")
    for group in groups:
        if not len(group.points):
            seen = group.seen + group.missing
            why = f"none of its {seen:,} records has a vector" if seen else "there are no records"
            raise SynthError(f"{group.name}: {why}, so that it has no place on a map")
    vectors = np.concatenate([group.vectors for group in groups])
    if np.abs(vectors).max() > _LARGEST:
        raise SynthError(f"vectors hold numbers beyond {_LARGEST:g}; scale them (--normalize does)")
    return vectors
