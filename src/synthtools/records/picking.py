"""Records that are known by their place, read again without a look into them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np

from synthtools.errors import SynthError
from synthtools.records.batch import ArrowBatch, Batch, JsonBatch
from synthtools.records.inputs import Shard
from synthtools.records.reading import BATCH_BYTES, Block, blocks


def picked(shards: Sequence[Shard], numbers: Sequence[np.ndarray]) -> Iterator[Batch]:
    """Records of shards that have been read before, in order.

    Args:
        numbers: int64, of each shard the lines or rows that are wanted, from 1, ascending.

    Memory: one batch.

    Raises:
        SynthError: a shard no longer holds what it held.
    """
    for shard, wanted in zip(shards, numbers, strict=True):
        at = 0
        with closing(blocks([shard], BATCH_BYTES, whole=True)) as found:
            while at < len(wanted):
                block = next(found, None)
                if block is None or block.broken is not None:
                    raise SynthError(f"{shard.name}: has changed while it was read")
                count, lines = _lines(block)
                end = int(np.searchsorted(wanted, block.number + count))
                if end > at:
                    yield _some(block, lines, wanted[at:end])
                at = end


def _lines(block: Block) -> tuple[int, list[bytes]]:
    if block.rows is not None:
        return block.rows.num_rows, []
    lines = block.lines.split(b"\n")
    return len(lines) - (not lines[-1]), lines


def _some(block: Block, lines: list[bytes], numbers: np.ndarray) -> Batch:
    places = numbers - block.number
    if block.rows is None:
        return JsonBatch(block.source, numbers, lines=[lines[i] for i in places.tolist()])
    whole = ArrowBatch(block.source, np.arange(block.rows.num_rows), rows=block.rows)
    some = whole.take(places)
    some.numbers = numbers
    return some
