"""How many records were read of each input, and which inputs had none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from synthtools.records.batch import Batch
from synthtools.records.inputs import Shard
from synthtools.records.rejects import Rejects

_T = TypeVar("_T")


class InputCounts:
    """The records of inputs, bad ones too; those that are read several times count once.

    Args:
        inputs: the shards whose records count.
    """

    def __init__(self, inputs: Sequence[Shard]) -> None:
        self._inputs = [shard.name for shard in inputs]
        self._read: Counter[str] = Counter()
        self._empty: set[str] = set()

    @property
    def total(self) -> int:
        return self._read.total()

    @property
    def empty(self) -> list[str]:
        """Names of the inputs that were read to their end without a record."""
        return [name for name in self._inputs if name in self._empty]

    def counted(
        self,
        shards: Sequence[Shard],
        items: Iterable[_T],
        rejects: Rejects,
        batch_of: Callable[[Any], Batch] = lambda batch: batch,
    ) -> Iterator[_T]:
        """What comes of one reading of shards, passed on while it is counted."""
        names = {shard.name for shard in shards}.intersection(self._inputs)
        seen: Counter[str] = Counter()
        source, before = "", rejects.early
        for item in items:
            batch = batch_of(item)
            source = batch.source
            seen[source] += len(batch) + rejects.early - before
            if source in names:
                self._read[source] = max(self._read[source], seen[source])
            yield item
            before = rejects.early  # what users of the records found wrong has been counted
        seen[source] += rejects.early - before
        if source in names or not source:
            self._read[source] = max(self._read[source], seen[source])
        if not rejects.early:  # else it may be that all of its records are bad
            self._empty |= names - seen.keys()
