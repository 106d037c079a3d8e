"""Simple operations on streams of batches: head, select, regroup, merge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from synthtools.errors import TextError, parameter
from synthtools.records.batch import MISSING, ArrowBatch, Batch, JsonBatch
from synthtools.records.block_lines import BlockLines, joined
from synthtools.records.record_faults import no_field, without
from synthtools.records.rejects import LateRejects, Rejects

_R = TypeVar("_R")
_T = TypeVar("_T")


def first(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
    """The first ``count`` records, without reading further."""
    left = count
    if left <= 0:
        return
    for batch in batches:
        if len(batch) >= left:
            yield batch.take(range(left))
            return
        left -= len(batch)
        yield batch


def selected(batches: Iterable[Batch], names: list[str], rejects: Rejects) -> Iterator[Batch]:
    """Only the named fields; a record that lacks one goes to ``rejects``."""
    for batch in batches:
        bad: dict[int, str] = {}
        for name in names:
            for index, value in enumerate(batch.column(name)):
                if value is MISSING and index not in bad:
                    bad[index] = no_field(batch, index, name, f"see {parameter('select')}")
        batch = without(batch, bad, rejects)
        if len(batch):
            yield batch.select(names)


def without_failing(
    run: Sequence[Batch], work: Callable[[list[Batch]], _R], rejects: Rejects
) -> tuple[list[Batch], _R]:
    """The result of work on the texts of batches, without the records on whose texts it fails.

    Args:
        work: a function of all texts; raises TextError.

    Returns:
        The batches without those records (as many batches as were given), and the result.

    Raises:
        RecordError: at the first such record, unless ``rejects`` skips them.
    """
    late, left = LateRejects(rejects), list(run)
    while True:
        try:
            return left, work(left)
        except TextError as error:
            before, start = left, 0
            left = []
            for batch in before:
                places = range(start, start + len(batch))
                bad = {index - start: r for index, r in error.faults.items() if index in places}
                left.append(without(batch, bad, late))
                start += len(batch)


def kept_mask(batch: Batch, left: Batch) -> np.ndarray:
    """Which records of a batch ``without_failing`` kept, bool."""
    return np.isin(batch.numbers, left.numbers)


def in_calls(
    batches: Iterable[_T],
    sizes: Callable[[_T], np.ndarray],
    take: Callable[[_T, range], _T],
    most: int,
) -> Iterator[list[_T]]:
    """Batches regrouped for calls of a model, to about ``most`` bytes each. The first ones are smaller, from a
    sixteenth on, so that the first results come early.

    Args:
        sizes: bytes of a batch's records, int [records].
        take: the records of a batch in a range.
    """
    run: list[_T] = []
    goal = room = max(1, most // 16)
    for batch in batches:
        ends = np.cumsum(sizes(batch))
        start = done = 0
        while start < len(ends):
            stop = min(int(np.searchsorted(ends, done + room)) + 1, len(ends))
            run.append(batch if stop - start == len(ends) else take(batch, range(start, stop)))
            room -= int(ends[stop - 1]) - done
            start, done = stop, int(ends[stop - 1])
            if room <= 0:
                yield run
                run, goal = [], min(most, 2 * goal)
                room = goal
    if run:
        yield run


def as_lines(batch: Batch) -> JsonBatch:
    """The records as JSON lines; existing lines stay unchanged."""
    if isinstance(batch, JsonBatch):
        return batch
    lines = batch.json_lines()
    return JsonBatch(batch.source, batch.numbers, batch.ordinals, lines=lines, from_rows=True)


def merged(batches: Sequence[Batch], order: np.ndarray) -> Batch:
    """The records of batches as one batch, in a given order.

    Lines stay lines, and rows of one schema stay rows; lines and rows together, or rows of several schemas,
    become JSON. Added fields are dropped.

    Args:
        batches: at least one.
        order: int64 [records]: indices into the concatenated batches.
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
    parts = [batch.json_lines() for batch in batches]
    lines: Sequence[bytes]
    if any(isinstance(part, BlockLines) for part in parts):
        lines = joined([BlockLines.of(part) for part in parts], order)
    else:
        every = [line for part in parts for line in part]
        lines = [every[index] for index in order.tolist()]
    made = any(not isinstance(batch, JsonBatch) or batch.from_rows for batch in batches)
    return JsonBatch(source, numbers, lines=lines, from_rows=made, sources=of_each)
