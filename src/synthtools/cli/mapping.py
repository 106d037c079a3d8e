"""The runs behind ``synth embed``: records with vectors, and the map of groups of documents."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.cli import terminal
from synthtools.cli.map_groups import Group, Map, ordered, read_groups, stacked, stored
from synthtools.cli.model_options import VectorModel
from synthtools.cli.options import Inputs, Jobs, Output, TextField
from synthtools.cli.publish import draw, show
from synthtools.cli.run import Run
from synthtools.errors import UsageError
from synthtools.records.batch import Batch
from synthtools.reports import document
from synthtools.reports.document import number, table

Embedded = tuple[Batch, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Pooling:
    """Options of vectors, as given (see ``lm.vectors.open_vector_model``)."""

    how: str | None
    unit: bool
    most: int | None

    def check(self, model: VectorModel, jobs: Jobs) -> None:
        """Raises UsageError where the options cannot be, whatever the model."""
        from synthtools.lm.vectors import POOLING

        if self.how is not None and self.how not in POOLING:
            raise UsageError(f"--pooling {self.how}: use one of {', '.join(POOLING)}")
        model.settings(jobs)

    def open(self, model: VectorModel, jobs: Jobs) -> Any:
        """The model that gives vectors."""
        from synthtools.lm.vectors import open_vector_model

        return open_vector_model(
            model.settings(jobs), self.how, self.unit, self.most, terminal.remark
        )


def run_records(
    reading: Inputs,
    text: TextField,
    writing: Output,
    model: VectorModel,
    jobs: Jobs,
    pooling: Pooling,
) -> None:
    """The records with a field ``embedding``."""
    pooling.check(model, jobs)
    with Run("embed", reading, writing, text.text_field) as run:
        if run.done:
            run.finish({"vectors": run.totals.get("vectors", 0)})
            return
        from synthtools.measure.embedding import embedded, with_field

        with pooling.open(model, jobs) as vectors:
            run.model = vectors.description
            found = embedded(run.batches(vectors.chunk_bytes), vectors, text.text_field)
            run.write(with_field(*item) for item in found)
        run.finish({"vectors": run.totals.get("vectors", 0)})


def run_map(
    reading: Inputs,
    text: TextField,
    writing: Output,
    model: VectorModel,
    jobs: Jobs,
    pooling: Pooling,
    options: Map,
    json_output: bool,
) -> None:
    """Groups of documents on one map, and how far apart they are."""
    limit = options.check()
    pooling.check(model, jobs)
    if reading.shard:
        raise UsageError("--shard takes a part of the inputs; a map needs the whole of each")
    text_field = None if options.vector_field else text.text_field
    with Run("embed", reading, None, text_field, apart=options.by is None) as run:
        from synthtools.curate.groups import GroupSamples
        from synthtools.measure.projection import project
        from synthtools.measure.two_sample import compare
        from synthtools.records.spool import Spool

        with Spool() as spool:
            samples = GroupSamples(limit, options.seed, text.text_field, spool)
            missing = read_groups(run, samples, options)
            names = ordered(samples.names(), options)
            groups = [Group(name, *samples.drawn(name)) for name in names]
            for group in groups:
                group.missing = missing.get(group.name, 0)
            if options.vector_field:
                for group in groups:
                    group.take(stored(group.batches, options.vector_field, pooling.unit))
            else:
                _embed(run, groups, text.text_field, model, jobs, pooling)
        vectors = stacked(groups)
        run.stage(f"placing {len(vectors):,} documents on a map")
        coordinates, made = project(vectors, options.method, options.seed)
        placed = np.split(coordinates, np.cumsum([len(g.vectors) for g in groups])[:-1])
        run.stage("comparing groups, two by two")
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
        draw(result, options.plot)
        report = run.finish(result)
    if writing.report:
        document.save(report, writing.report)
    show(report, json_output, map_lines(report))


def _embed(
    run: Run,
    groups: list[Group],
    text_field: str,
    model: VectorModel,
    jobs: Jobs,
    pooling: Pooling,
) -> None:
    """Takes the vectors of all groups from the model."""
    from synthtools.measure.embedding import embedded

    with pooling.open(model, jobs) as vectors:
        run.model = vectors.description
        run.stage("documents embedded", sum(len(group.order) for group in groups))
        for group in groups:
            group.take(_counted(run, embedded(group.batches, vectors, text_field)))


def _counted(run: Run, found: Iterator[Embedded]) -> Iterator[Embedded]:
    for item in found:
        run.advance(len(item[0]))
        yield item


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
