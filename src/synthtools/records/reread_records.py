"""Records read again by position, without parsing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing

import numpy as np

from synthtools.errors import SynthError
from synthtools.records.batch import Batch
from synthtools.records.inputs import Shard
from synthtools.records.reader import BATCH_BYTES, blocks


class RereadRecords:
    """Records by position, read again when needed: a ``Spool`` for inputs that can be read twice. May be
    shared.

    Memory: about 200 bytes per shard and per blank line.

    Args:
        shards: the inputs, with distinct names.
        pick: see ``picked``.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        pick: Callable[[Sequence[Shard], Sequence[np.ndarray]], Iterator[Batch]],
    ) -> None:
        self._shards = list(shards)
        self._pick = pick
        self._of_name = {shard.name: index for index, shard in enumerate(self._shards)}
        # From an ordinal on: (shard, line number − ordinal). Within a shard the difference only grows, so
        # what holds for two records holds for all between them.
        self._stretches: dict[int, tuple[int, int]] = {}
        self._newest = 0, (-1, 0)

    def add(self, batch: Batch, records: np.ndarray | None = None) -> np.ndarray:
        """Records the positions of some records of a batch; returns handles, int64, ascending."""
        some = slice(None) if records is None else records
        ordinals, numbers = batch.ordinals[some], batch.numbers[some]
        shard = self._of_name[batch.source]
        ahead = numbers - ordinals
        for start in [0, *(np.flatnonzero(np.diff(ahead)) + 1).tolist()] if len(ahead) else []:
            first, stretch = int(ordinals[start]), (shard, int(ahead[start]))
            if stretch != self._newest[1] or first < self._newest[0]:
                self._stretches[first] = stretch
                self._newest = first, stretch
        return ordinals

    def drop(self, handles: np.ndarray) -> None:
        """Does nothing: no data is kept."""

    def ordinals(self, handles: np.ndarray) -> np.ndarray:
        """Index of each record in the input, int64."""
        return handles

    def batches(self, handles: np.ndarray) -> Iterator[Batch]:
        """The records of ascending handles, in batches of one shard each.

        Raises:
            SynthError: a shard has changed.
        """
        if not len(handles):
            return
        firsts = np.array(sorted(self._stretches), np.int64)
        stretches = np.array([self._stretches[first] for first in firsts.tolist()], np.int64)
        shards, ahead = stretches[np.searchsorted(firsts, handles, side="right") - 1].T
        numbers = handles + ahead
        ends = np.searchsorted(shards, np.arange(1, len(self._shards)))
        at = 0
        for batch in self._pick(self._shards, np.split(numbers, ends)):
            batch.ordinals = handles[at : at + len(batch)]
            at += len(batch)
            yield batch


def picked(
    shards: Iterable[Shard], numbers: Iterable[np.ndarray], block_bytes: int = BATCH_BYTES
) -> Iterator[Batch]:
    """Selected records of shards, in order.

    Args:
        numbers: int64, for each shard the lines or rows to read, from 1, ascending.

    Memory: one block.

    Raises:
        SynthError: a shard has changed.
    """
    for shard, wanted in zip(shards, numbers, strict=True):
        at = 0
        with closing(blocks([shard], block_bytes, whole=True)) as shard_blocks:
            while at < len(wanted):
                block = next(shard_blocks, None)
                if block is None or block.broken is not None:
                    raise SynthError(f"{shard.name}: has changed while it was read")
                end = int(np.searchsorted(wanted, block.number + block.count))
                if end > at:
                    yield block.records(wanted[at:end])
                at = end
