"""The runs behind ``synth embed``: records with vectors, and the map of groups of documents."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.console import quantities, reports, terminal
from synthtools.console.models import VectorModel
from synthtools.console.options import Jobs, Reading, Text, Writing
from synthtools.console.pictures import check_name, figure
from synthtools.console.reports import number, table
from synthtools.console.run import Run
from synthtools.errors import SynthError, UsageError
from synthtools.records.batch import MISSING, Batch
from synthtools.records.identity import ID_FIELD
from synthtools.records.rejects import Rejects

# All are compared with all, and each needs a mark that can be told from the others.
_MOST_GROUPS = 12
# Beyond this, squares and their sums leave the range in which coordinates are computed.
_LARGEST = 1e15


@dataclass(frozen=True)
class Pooling:
    """Options of vectors, as given (see ``lm.vectors.open_vector_model``)."""

    how: str | None
    unit: bool
    most: int | None

    def open(self, model: VectorModel, jobs: Jobs) -> Any:
        """The model that gives vectors."""
        from synthtools.lm.vectors import open_vector_model

        return open_vector_model(
            model.settings(jobs), self.how, self.unit, self.most, terminal.remark
        )


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
        from synthtools.analysis.projection import METHODS, require

        if self.method not in METHODS:
            raise UsageError(f"--method {self.method}: use one of {', '.join(METHODS)}")
        if self.neighbours % 2 == 0:
            raise UsageError("--neighbours must be odd, so that there is a majority")
        require(self.method)
        if self.plot is not None:
            check_name(self.plot)
            figure(1, 1)
        return None if self.limit == "all" else quantities.count(self.limit, "--limit")


def run_records(
    reading: Reading,
    text: Text,
    writing: Writing,
    model: VectorModel,
    jobs: Jobs,
    pooling: Pooling,
) -> None:
    """The records with a field ``embedding``."""
    with Run("embed", reading, writing, text.text_field) as run:
        if run.done:
            run.finish({"vectors": run.totals.get("vectors", 0)})
            return
        from synthtools.analysis.embedding import embedded, with_field

        with pooling.open(model, jobs) as vectors:
            run.model = vectors.description
            found = embedded(run.batches(vectors.chunk_bytes), vectors, text.text_field)
            run.write(with_field(*item) for item in found)
        run.finish({"vectors": run.totals.get("vectors", 0)})


def run_map(
    reading: Reading,
    text: Text,
    writing: Writing,
    model: VectorModel,
    jobs: Jobs,
    pooling: Pooling,
    options: Map,
    json_output: bool,
) -> None:
    """Groups of documents on one map, and how far apart they are."""
    limit = options.check()
    text_field = None if options.vector_field else text.text_field
    with Run("embed", reading, None, text_field) as run:
        from synthtools.analysis.projection import project
        from synthtools.analysis.two_sample import compare
        from synthtools.curation.groups import GroupSamples
        from synthtools.records.spool import Spool

        with Spool() as spool:
            samples = GroupSamples(limit, options.seed, text.text_field, spool)
            missing = _read(run, samples, options)
            names = _ordered(samples.names(), options)
            groups = [_Group(name, *samples.drawn(name)) for name in names]
            for group in groups:
                group.missing = missing.get(group.name, 0)
            if options.vector_field:
                for group in groups:
                    group.take(_stored(group.batches, options.vector_field, pooling.unit))
            else:
                _embed(run, groups, text.text_field, model, jobs, pooling)
        vectors = _stacked(groups)
        coordinates, made = project(vectors, options.method, options.seed)
        placed = np.split(coordinates, np.cumsum([len(g.vectors) for g in groups])[:-1])
        pairs = [
            {
                "left": left.name,
                "right": right.name,
                **compare(
                    left.vectors,
                    right.vectors,
                    neighbours=options.neighbours,
                    permutations=options.permutations,
                    seed=options.seed,
                ),
            }
            for left, right in itertools.combinations(groups, 2)
        ]
        result = {
            "kind": "embed-map",
            **made,
            "dimensions": vectors.shape[1],
            "permutations": options.permutations,
            "groups": [group.report() for group in groups],
            "pairs": pairs,
            "points": [
                {**name, "x": float(x), "y": float(y)}
                for group, where in zip(groups, placed, strict=True)
                for name, (x, y) in zip(group.points, where, strict=True)
            ],
        }
        if options.plot is not None:
            from synthtools.console.map_picture import scatter

            scatter(
                options.plot,
                made["method"],
                [(g.name, where) for g, where in zip(groups, placed, strict=True)],
            )
        report = run.finish(result)
    if writing.report:
        reports.save(report, writing.report)
    reports.show(report, json_output, map_lines(report))


# ---------------------------------------------------------------- records → groups


def _read(run: Run, samples: Any, options: Map) -> dict[str, int]:
    """Draws from all records; how many of each group have null for a vector."""
    from synthtools.curation.drawing import strata_of

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
    from synthtools.analysis.density import with_vectors
    from synthtools.analysis.embedding import without_nulls

    ((kept, nulls),) = without_nulls([batch], field)
    found = list(with_vectors([kept], field, "--vector-field", rejects, dimensions))
    if not found:
        return kept.take([]), nulls, dimensions
    return found[0][0], nulls, found[0][1].shape[1]


def _ordered(names: list[str], options: Map) -> list[str]:
    """The groups, the reference first."""
    if options.by is not None:
        names = sorted(names)
    first = options.reference
    if first is None:
        return names
    if first not in names:
        raise SynthError(f"--reference {first}: no such group (there are: {', '.join(names)})")
    return [first, *(name for name in names if name != first)]


class _Group:
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
        return {
            "name": self.name,
            "records": self.seen + self.missing,
            "drawn": len(self.order),
            "without_vector": self.missing + len(self.order) - len(self.points),
            "points": len(self.points),
        }


def _stored(
    batches: Iterator[Batch], field: str, unit: bool
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
    from synthtools.analysis.density import with_vectors
    from synthtools.lm.vectors import unit_length

    for batch, vectors in with_vectors(batches, field, "--vector-field", Rejects()):
        yield batch, unit_length(vectors) if unit else vectors, np.ones(len(batch), bool)


def _embed(
    run: Run,
    groups: list[_Group],
    text_field: str,
    model: VectorModel,
    jobs: Jobs,
    pooling: Pooling,
) -> None:
    """Takes the vectors of all groups from the model."""
    from synthtools.analysis.embedding import embedded

    with pooling.open(model, jobs) as vectors:
        run.model = vectors.description
        for group in groups:
            group.take(embedded(group.batches, vectors, text_field))


def _stacked(groups: list[_Group]) -> np.ndarray:
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


# ---------------------------------------------------------------- for a person

_NUMBERS = (
    ("energy distance", "energy_distance"),
    ("… as a share (0…1)", "energy_coefficient"),
    ("MMD²", "mmd2"),
    ("k-NN accuracy", "knn_accuracy"),
    ("coverage", "coverage"),
    ("density", "density"),
    ("isolated, left", "isolated_left"),
    ("isolated, right", "isolated_right"),
)


def map_lines(report: dict[str, Any]) -> list[str]:
    """The groups and their differences as tables."""
    lines = table(
        [
            (g["name"], f"{g['points']:,} of {g['records']:,}" + _without(g))
            for g in report["groups"]
        ]
    )
    for pair in report["pairs"]:
        lines += ["", f"{pair['left']}  against  {pair['right']}  (k = {pair['neighbours']})"]
        if pair["neighbours"] is None:
            lines.append("too few documents to compare: two of each are needed")
            continue
        lines.append(f"{'':20}{'':>12}{'if equal':>12}{'p':>10}")
        for name, key in _NUMBERS:
            cells = (pair[key]["value"], pair[key]["expected"], pair[key]["p_value"])
            value, expected, p = map(number, cells)
            lines.append(f"{name:<20}{value:>12}{expected:>12}{p:>10}")
    return lines


def _without(group: dict[str, Any]) -> str:
    return f", {group['without_vector']:,} without a vector" if group["without_vector"] else ""
