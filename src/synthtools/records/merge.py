"""Records of several sources in one order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthtools.records.batch import ArrowBatch, Batch, JsonBatch


def as_lines(batch: Batch) -> JsonBatch:
    """The records as lines of JSON; those that are lines stay what they are."""
    if isinstance(batch, JsonBatch):
        return batch
    lines = batch.json_lines()
    return JsonBatch(batch.source, batch.numbers, batch.ordinals, lines=lines, from_rows=True)


def merged(batches: Sequence[Batch], order: np.ndarray) -> Batch:
    """The records of batches as one batch.

    Lines stay lines and rows of one schema stay rows; where both come together, or rows of several
    schemas, all become JSON, which holds them all. Added fields are not taken over.

    Args:
        batches: at least one.
        order: int64 [records]: which record of all of them, counted through, comes at each place.
    """
    numbers = np.concatenate([batch.numbers for batch in batches])[order]
    sources = np.repeat(np.array([b.source for b in batches], object), [len(b) for b in batches])
    first = batches[0]
    source, of_each = first.source, sources[order]
    if isinstance(first, ArrowBatch) and first.rows.num_columns:
        import pyarrow as pa

        tables = [batch.rows for batch in batches if isinstance(batch, ArrowBatch)]
        if len(tables) == len(batches) and all(t.schema.equals(first.rows.schema) for t in tables):
            rows = pa.concat_tables(tables).combine_chunks().take(order)
            return ArrowBatch(source, numbers, rows=rows, sources=of_each)
    lines = [line for batch in batches for line in batch.json_lines()]
    made = any(not isinstance(batch, JsonBatch) or batch.from_rows for batch in batches)
    in_order = [lines[index] for index in order.tolist()]
    return JsonBatch(source, numbers, lines=in_order, from_rows=made, sources=of_each)
