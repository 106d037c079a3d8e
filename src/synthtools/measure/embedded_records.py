"""Records → records with a vector of their text; vectors stored in records, and the density of records computed from
them (Sachdeva et al. 2024, algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.errors import RecordError, TextError
from synthtools.lm.embedding_model import EmbeddingModel
from synthtools.lm.scorer import NO_PROMPT, Tokenised
from synthtools.records.added_column import Column
from synthtools.records.batch import MISSING, ArrowBatch, Batch
from synthtools.records.record_faults import no_field, without
from synthtools.records.rejects import LateRejects, Rejects
from synthtools.records.transform import in_calls, kept_mask, without_failing
from synthtools.records.vector_file import VectorFile
from synthtools.scale.prefetch import overlapped

if TYPE_CHECKING:
    from synthtools.text.density_sketch import DensitySketch

FIELD = "embedding"
_TEXTS = 256  # embedded at a time


def embedded(
    batches: Iterable[Batch],
    model: EmbeddingModel,
    text_field: str,
    rejects: Rejects,
    *,
    all_kept: bool = False,
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
    """Records, their vectors and which of them have one; reading and tokenising, the model, and the caller run in
    parallel.

    Args:
        rejects: receives the records on which the tokenizer fails.
        all_kept: keep those records, without a vector.

    Yields:
        (batch, vectors, present): float32 [records, width], bool [records]; a text without tokens has no
        vector, and a row of zeros.
    """

    def tokens_of(run: list[Batch]) -> list[Tokenised]:
        return model.tokenise([text for batch in run for text in batch.column(text_field)])

    def tokenise(run: list[Batch]) -> tuple[list[Batch], list[Tokenised]]:
        left, texts = without_failing(run, tokens_of, rejects)
        if not all_kept:
            return left, texts
        nothing, tokenised = Tokenised(NO_PROMPT, NO_PROMPT), iter(texts)
        flags = [flag for pair in zip(run, left, strict=True) for flag in kept_mask(*pair).tolist()]
        return run, [next(tokenised) if flag else nothing for flag in flags]

    def embed(
        item: tuple[list[Batch], list[Tokenised]],
    ) -> tuple[list[Batch], np.ndarray, np.ndarray]:
        run, texts = item
        return run, model.embed(texts), np.array([len(text.ids) > 0 for text in texts], bool)

    runs = in_calls(batches, lambda batch: batch.sizes(), Batch.take, model.chunk_bytes)
    for run, vectors, present in overlapped(runs, tokenise, embed, at_once=model.calls):
        start = 0
        for batch in run:
            end = start + len(batch)
            yield batch, vectors[start:end], present[start:end]
            start = end


def keep_vectors(
    batches: Iterable[Batch],
    model: EmbeddingModel,
    text_field: str,
    rejects: Rejects,
    file: VectorFile,
) -> None:
    """Stores the vectors of records in order; ``rejects`` receives those on which the tokenizer fails."""

    def tokens_of(run: list[Batch]) -> list[Tokenised]:
        return model.tokenise(run[0].column(text_field))

    for batch in batches:
        (left,), tokens = without_failing([batch], tokens_of, rejects)
        file.append(model.embed(tokens), kept_mask(batch, left))


def vectors_of(
    texts: list[str], records: list[RecordError], model: EmbeddingModel, rejects: Rejects
) -> tuple[np.ndarray, int]:
    """The vectors of texts with tokens, float32 [texts, width], and the number of texts on which the tokenizer
    fails; ``rejects`` receives their ``records``."""
    rows, skipped, late = [np.zeros((0, 1), np.float32)], 0, LateRejects(rejects)
    for start in range(0, len(texts), _TEXTS):
        places = list(range(start, min(start + _TEXTS, len(texts))))
        while True:
            try:
                tokens = model.tokenise([texts[place] for place in places])
                break
            except TextError as error:
                for index, reason in error.faults.items():
                    record = records[places[index]]
                    late.add(RecordError(record.source, record.number, reason, record.raw))
                places = [p for index, p in enumerate(places) if index not in error.faults]
                skipped += len(error.faults)
        rows.append(model.embed(tokens)[[len(text.ids) > 0 for text in tokens]])
    return np.concatenate(rows[1:] or rows), skipped


def with_field(batch: Batch, vectors: np.ndarray, present: np.ndarray) -> Batch:
    """The batch with ``embedding``; null for a text without a vector."""
    values = [row if has else None for row, has in zip(vectors, present, strict=True)]
    tally = {"vectors": present.astype(np.int64)}
    return batch.adding({FIELD: Column("vector", values)}, tally)


def without_nulls(batches: Iterable[Batch], field: str) -> Iterator[tuple[Batch, int]]:
    """For each batch, the records whose field is not null, and the number of others."""
    for batch in batches:
        kept = [index for index, value in enumerate(batch.column(field)) if value is not None]
        missing = len(batch) - len(kept)
        yield (batch.take(kept) if missing else batch), missing


# Vectors from which the width of a bucket is computed [ours].
_MEASURED = 1000

Embedded = tuple[Batch, np.ndarray]


def with_vectors(
    batches: Iterable[Batch],
    field: str,
    option: str,
    rejects: Rejects,
    dimensions: int | None = None,
) -> Iterator[Embedded]:
    """Records and their vectors, float32 [records, dimensions]; invalid ones go to ``rejects``.

    Args:
        option: the option that names the field, for error messages.
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
    """The vectors of a batch if they already form a matrix of finite numbers."""
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
    """A width for the hash buckets: the mean distance between the first vectors [ours], 0 if they are equal."""
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
    """The sketch of all vectors; None without vectors."""
    from synthtools.text.density_sketch import DensitySketch

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
    """Mean, median and percentiles of densities (records in the same bucket, averaged over rows)."""
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
