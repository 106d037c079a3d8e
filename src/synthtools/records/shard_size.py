"""Quantities of records, and where a batch is cut so that parts reach them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Options are read with this module: numpy would double the time that --help takes.
    import numpy as np

    from synthtools.records.batch import Batch


@dataclass(frozen=True)
class ShardSize:
    """How large a shard grows before the next is begun: records or bytes."""

    count: int
    unit: str  # "records" or "bytes"

    def __str__(self) -> str:
        return f"{self.count / 1e6:g}MB" if self.unit == "bytes" else str(self.count)

    def weights(self, batch: Batch) -> np.ndarray:
        """What each record of a batch adds, int64."""
        sizes = batch.sizes()
        if self.unit == "records":
            sizes[:] = 1
        return sizes


def parts(weights: np.ndarray, filled: int, limit: int) -> Iterator[tuple[int, int, int]]:
    """Cuts records so that each part ends with the record that brings it to ``limit``.

    Where the cuts fall depends on the records alone, not on how they came in batches.

    Args:
        weights: of each record, int64.
        filled: weight of the part that earlier batches have begun.

    Yields:
        (start, end, weight of the part so far); the part is whole if the weight reaches the limit.
    """
    sums = weights.cumsum()
    before = -filled  # the sum at which the part in hand began
    start = 0
    while start < len(weights):
        end = min(int(sums.searchsorted(before + limit)) + 1, len(weights))
        weight = int(sums[end - 1]) - before
        yield start, end, weight
        start = end
        if weight >= limit:
            before = int(sums[end - 1])
