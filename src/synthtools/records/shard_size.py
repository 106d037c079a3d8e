"""Sizes of shards, and splitting batches accordingly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Imported by the options: numpy would double the time of --help.
    import numpy as np

    from synthtools.records.batch import Batch


@dataclass(frozen=True)
class ShardSize:
    """The size at which the next shard starts, in records or bytes."""

    count: int
    unit: str  # "records" or "bytes"

    def __str__(self) -> str:
        return f"{self.count / 1e6:g}MB" if self.unit == "bytes" else str(self.count)

    def weights(self, batch: Batch) -> np.ndarray:
        """Each record's size in the unit, int64."""
        sizes = batch.sizes()
        if self.unit == "records":
            sizes[:] = 1
        return sizes


def parts(weights: np.ndarray, filled: int, limit: int) -> Iterator[tuple[int, int, int]]:
    """Splits records so that each part ends with the record that brings it to ``limit``.

    The splits depend only on the records, not on their batches.

    Args:
        weights: size of each record, int64.
        filled: size of the current part before this batch.

    Yields:
        (start, end, weight of the part so far); the part is whole if the weight reaches the limit.
    """
    sums = weights.cumsum()
    before = -filled  # the sum at the start of the current part
    start = 0
    while start < len(weights):
        end = min(int(sums.searchsorted(before + limit)) + 1, len(weights))
        weight = int(sums[end - 1]) - before
        yield start, end, weight
        start = end
        if weight >= limit:
            before = int(sums[end - 1])
