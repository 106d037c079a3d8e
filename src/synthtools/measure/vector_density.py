"""Density of records by the vectors in one of their fields (Sachdeva et al. 2024, algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from synthtools.records.batch import MISSING, ArrowBatch, Batch
from synthtools.records.record_faults import no_field, without
from synthtools.records.rejects import Rejects
from synthtools.text.density_sketch import DensitySketch

# The width of a bucket follows from so many vectors [ours].
_MEASURED = 1000

Embedded = tuple[Batch, np.ndarray]


def with_vectors(
    batches: Iterable[Batch],
    field: str,
    option: str,
    rejects: Rejects,
    dimensions: int | None = None,
) -> Iterator[Embedded]:
    """Records and their vectors, float32 [records, dimensions]; others go to ``rejects``.

    Args:
        option: the option that names the field, for the remedy.
        dimensions: of a vector; None: the first one decides.
    """
    for batch in batches:
        vectors = _columnar(batch, field)
        if vectors is None or (dimensions is not None and vectors.shape[1] != dimensions):
            batch, vectors = _one_by_one(batch, field, option, dimensions, rejects)
        if len(batch):
            dimensions = vectors.shape[1]
            yield batch, vectors


def _columnar(batch: Batch, field: str) -> np.ndarray | None:
    """The vectors of a batch where they are already a matrix of finite numbers."""
    if not isinstance(batch, ArrowBatch) or field not in batch.rows.column_names:
        return None
    import pyarrow as pa
    import pyarrow.compute as pc

    column = batch.rows.column(field)
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (is_list or pa.types.is_fixed_size_list(kind)) or column.null_count:
        return None
    if not pa.types.is_floating(kind.value_type):
        return None
    lengths = np.asarray(pc.list_value_length(column))
    flat = pc.list_flatten(column)
    if not len(lengths) or (lengths != lengths[0]).any() or not lengths[0] or flat.null_count:
        return None
    vectors = np.asarray(flat.cast(pa.float32())).reshape(len(lengths), -1)
    return vectors if np.isfinite(vectors).all() else None


def _one_by_one(
    batch: Batch, field: str, option: str, dimensions: int | None, rejects: Rejects
) -> Embedded:
    bad: dict[int, str] = {}
    rows: list[np.ndarray] = []
    for index, value in enumerate(batch.column(field)):
        if value is MISSING:
            bad[index] = no_field(batch, index, field, f"use {option}")
            continue
        vector = _vector(value)
        if vector is None:
            bad[index] = f'field "{field}" is not a list of finite numbers (use {option})'
        elif dimensions is not None and len(vector) != dimensions:
            bad[index] = f'field "{field}" has {len(vector)} numbers where others have {dimensions}'
        else:
            dimensions = len(vector)
            rows.append(vector)
    batch = without(batch, bad, rejects)
    return batch, np.stack(rows) if rows else np.zeros((0, dimensions or 1), np.float32)


def _vector(value: Any) -> np.ndarray | None:
    if not isinstance(value, list) or not value:
        return None
    if any(type(item) not in (int, float) for item in value):
        return None
    vector = np.array(value, np.float64).astype(np.float32)
    return vector if np.isfinite(vector).all() else None


def width_of(embedded: Iterable[Embedded]) -> float:
    """A width for the hash buckets: the mean distance between the first vectors [ours], 0 where they
    are all equal."""
    kept: list[np.ndarray] = []
    for _, vectors in embedded:
        kept.append(vectors)
        if sum(map(len, kept)) >= _MEASURED:
            break
    if not kept:
        return 1.0
    sample = np.concatenate(kept)[:_MEASURED].astype(np.float64)
    squares = (sample**2).sum(axis=1)
    distances = np.sqrt(np.maximum(0, squares[:, None] + squares - 2 * sample @ sample.T))
    pairs = len(sample) * (len(sample) - 1)
    return float(distances.sum() / pairs) if pairs else 1.0


def sketched(
    vectors: Iterable[np.ndarray], rows: int, buckets: int, width: float, seed: int
) -> DensitySketch | None:
    """The sketch of all vectors; None where there are none."""
    sketch: DensitySketch | None = None
    for some in vectors:
        if sketch is None:
            sketch = DensitySketch(
                some.shape[1], rows=rows, buckets=buckets, width=width, seed=seed
            )
        sketch.add(some)
    return sketch


def with_density(
    embedded: Iterable[Embedded], sketch: DensitySketch | None
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Records and the densities of their vectors, float64 [records]; none without a sketch."""
    if sketch is not None:
        for batch, vectors in embedded:
            yield batch, sketch.density(vectors)


def distribution(densities: list[np.ndarray]) -> dict[str, Any]:
    """Mean, median and percentiles of densities (records in the same bucket, a mean over rows)."""
    values = np.concatenate([np.zeros(0), *densities])
    if not len(values):
        return {"documents": 0, "mean": None, "median": None, "percentiles": None}
    marks = (1, 5, 25, 50, 75, 95, 99)
    percentiles = dict(zip(map(str, marks), np.percentile(values, marks).tolist(), strict=True))
    return {
        "documents": len(values),
        "mean": float(values.mean()),
        "median": percentiles["50"],
        "percentiles": percentiles,
    }
