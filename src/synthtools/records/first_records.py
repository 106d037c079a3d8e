"""Checks of each input's first record before the work starts.

Files, also as stdin, are only peeked at. Of a pipe only what it already holds is checked and kept for the
reader, without waiting for a record.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from synthtools.errors import RecordError, SynthError
from synthtools.records.batch import MISSING, Batch
from synthtools.records.inputs import Shard
from synthtools.records.reader import batch_of, blocks
from synthtools.records.record_faults import no_field, require_text
from synthtools.records.rejects import Rejects
from synthtools.records.remote_paths import RemotePath
from synthtools.records.shard_block import ShardBlock

# With more shards than this, as many at even distances [ours]; a remote object costs a request.
_FILES, _OBJECTS = 1000, 16
_BLOCK = 1 << 14
_IN_PIPE = 1 << 16
_LONGEST = 1 << 26  # a longer first record is not checked


def first_record(shards: Sequence[Shard]) -> Batch | None:
    """The first record of the input as a batch of one; None if there is none, or it cannot be read in advance.

    On a pipe it blocks until the record arrives.
    """
    batches: list[Batch] = []
    for shard in shards[:_OBJECTS]:
        try:
            if shard.records is not None:
                records = shard.records.first()
                if records is not None:
                    _check_first(_blocks(replace(shard, records=records)), batches.append)
            elif shard.is_stdin:
                _check_stdin(shard, batches.append, wait=True)
            else:
                check_first_records([shard], batches.append)
        except SynthError:
            return None  # reported by its reader
        if batches:
            return batches[0]
    return None


def check_first_records(shards: Sequence[Shard], check: Callable[[Batch], object]) -> None:
    """Calls ``check`` with the first record of each shard as a batch of one.

    Raises:
        SynthError: a shard cannot be opened, or starts with a bad record; also what ``check`` raises.
    """
    for shard in _evenly_spaced([s for s in shards if s.status is not None], _FILES):
        _check_first(_blocks(shard), check)
    for shard in _evenly_spaced([s for s in shards if isinstance(s.path, RemotePath)], _OBJECTS):
        _check_first(_blocks(shard), check)
    for shard in shards:
        if shard.is_stdin:
            _check_stdin(shard, check)


def needs(
    texts: Sequence[tuple[str, str]], fields: Sequence[tuple[str, str]]
) -> Callable[[Batch], None]:
    """A check that first records have the fields, with the option that names each.

    Args:
        texts: fields with text; fields: others, which may be null.
    """

    def check(batch: Batch) -> None:
        for name, option in texts:
            require_text(batch, name, Rejects(), option)
        for name, option in fields:
            if batch.column(name)[0] is MISSING:
                reason = no_field(batch, 0, name, f"use {option}")
                raise RecordError(batch.source, int(batch.numbers[0]), reason, batch.raw(0))

    return check


class GroupingCheck:
    """A check of first records that also looks for the field to group by.

    Args:
        check: applied to each record.
        field: None for no groups.
        option: the option that names the field.
    """

    def __init__(self, check: Callable[[Batch], object], field: str | None, option: str) -> None:
        self._check = check
        self._field = field
        self._option = option
        self._lacking: str | None = None  # of the last record without it
        self._field_seen = False

    def __call__(self, batch: Batch) -> None:
        self._check(batch)
        if self._field is not None and batch.column(self._field)[0] is MISSING:
            self._lacking = no_field(batch, 0, self._field)
        else:
            self._field_seen = True

    def tell(self, remark: Callable[[str], None]) -> None:
        """Remarks if no first record has the field, which may be a typing error."""
        if self._lacking is not None and not self._field_seen:
            remark(
                f"{self._option}: the first record of each input has {self._lacking}; all such "
                "records are one group, (none)"
            )


def _evenly_spaced(shards: list[Shard], most: int) -> list[Shard]:
    return shards[:: max(1, -(-len(shards) // most))]


def _blocks(shard: Shard) -> Iterator[ShardBlock]:
    # A copy, so that progress does not count what is only checked.
    return blocks([replace(shard)], _BLOCK, whole=False)


def _check_first(shard_blocks: Iterator[ShardBlock], check: Callable[[Batch], object]) -> None:
    for block in shard_blocks:
        if block.broken is not None:
            raise block.broken
        first = _first_of(block)
        if first is not None:
            batch, _ = batch_of(first, Rejects())
            check(batch)
            return


def _first_of(block: ShardBlock) -> ShardBlock | None:
    """A block with the first record only; None if the block has no record."""
    if block.rows is not None:
        return replace(block, rows=block.rows.slice(0, 1)) if len(block.rows) else None
    for place, line in enumerate(block.lines.split(b"\n")):
        if line and not line.isspace():
            return replace(block, number=block.number + place, lines=line)
    return None


def _check_stdin(shard: Shard, check: Callable[[Batch], object], wait: bool = False) -> None:
    if sys.stdin is None:
        return
    descriptor = sys.stdin.fileno()
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            _check_first(_blocks(shard), check)
        finally:
            os.lseek(descriptor, place, os.SEEK_SET)
        return
    data = b"?"
    while b"\n" not in shard.head and len(shard.head) < (_LONGEST if wait else _IN_PIPE) and data:
        if not wait and not select.select([descriptor], [], [], 0)[0]:
            break
        select.select([descriptor], [], [])
        data = os.read(descriptor, _IN_PIPE)
        shard.head += data
    end = shard.head.rfind(b"\n") if data else len(shard.head)
    if end >= 0 and shard.format.by_content and shard.head.lstrip().startswith(b"{"):
        lines = shard.head[:end]
        _check_first(iter([ShardBlock(shard.name, 1, lines)]), check)
