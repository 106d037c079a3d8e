"""``map_threads`` on a Ray cluster.

If only results are needed, tasks read the shards themselves and no record passes through this machine. If
the records are needed too, they are read here, where they will be written, and sent to the tasks block by
block.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from synthtools.errors import RecordError, SynthError, parameter
from synthtools.records.batch import ArrowBatch, Batch, JsonBatch
from synthtools.records.input_format import SHARD_SUFFIXES
from synthtools.records.inputs import Shard
from synthtools.records.map_threads import (
    BLOCK_BYTES,
    BlockResult,
    BlockTask,
    NotedRejects,
)
from synthtools.records.reader import blocks, blocks_between
from synthtools.records.rejects import Rejects
from synthtools.records.remote_paths import RemotePath
from synthtools.records.reread_records import picked as picked_here
from synthtools.records.shard_block import ShardBlock
from synthtools.records.shard_file import open_shard
from synthtools.records.text_buffer import TextBuffer

if TYPE_CHECKING:
    import pyarrow as pa

    from synthtools.scale.ray_cluster import RayCluster

_R = TypeVar("_R")

# Blocks of plain JSONL per task, so that one large file works as well as many small ones.
_PIECE = 16
# Results of a task that may be buffered.
_AHEAD, _AHEAD_WITH_TEXTS, _AHEAD_WITH_RECORDS = 256, 32, 8


@dataclass(frozen=True)
class KeptParts:
    """What the caller needs besides results; nothing else is transferred.

    Attributes:
        records: the complete records; otherwise only their numbers and the named fields.
        texts: the texts.
    """

    records: bool = True
    texts: bool = False


class _Piece(NamedTuple):
    """A shard, or some of its blocks."""

    shard: Shard
    start: int = 0
    end: int | None = None
    whole: bool = True


class _Done(NamedTuple):
    """The result of a block, without what is not needed.

    Attributes:
        number: of its first record; lines: their count; read: bytes read from the file.
        result: None if the shard is broken.
    """

    source: str
    number: int
    lines: int
    read: int
    noted: NotedRejects
    seen: int
    result: BlockResult[Any] | None
    broken: SynthError | None
    raw: bytes


def map_records(
    shards: Iterable[Shard],
    rejects: Rejects,
    task: BlockTask[_R],
    cluster: RayCluster,
    keep: KeptParts,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[BlockResult[_R]]:
    """Like ``map_threads.map_records``, with the same results.

    Memory: on this machine two blocks per CPU of the cluster if records are needed, otherwise their results.
    """
    ordinal = 0
    # Groups of shards that all nodes see, and of shards that only this machine sees (a pipe).
    for apart, some in groupby(shards, lambda shard: keep.records or not is_shared(shard)):
        way = _map_sent_blocks if apart else _map_where_read
        for done, result in way(some, task, cluster, keep, block_bytes):
            done.noted.tell(rejects)
            if result is None:
                assert done.broken is not None
                rejects.add_broken_shard(done.source, done.number, done.broken, done.raw)
                continue
            result.batch.ordinals += ordinal
            ordinal += done.seen
            if len(result.batch):
                yield result


def picked(
    shards: Sequence[Shard], numbers: Sequence[np.ndarray], cluster: RayCluster
) -> Iterator[Batch]:
    """Like ``reread_records.picked``, with the same results; tasks read the shards and send only the picked
    records.

    Args:
        shards: visible to all nodes.
    """
    wanted = (
        (_for_nodes(shard), some) for shard, some in zip(shards, numbers, strict=True) if len(some)
    )
    for _, batches in cluster.streams_in_order(wanted, _picked, _AHEAD_WITH_RECORDS):
        yield from batches


def _picked(wanted: tuple[Shard, np.ndarray]) -> Iterator[Batch]:
    shard, numbers = wanted
    _refuse_if_absent(shard)
    for batch in picked_here([shard], [numbers], BLOCK_BYTES):
        if isinstance(batch, ArrowBatch):
            batch.rows = _cut(batch.rows)
        yield batch


def _cut(rows: pa.Table) -> pa.Table:
    """A copy of the rows: a slice would be pickled with its whole table."""
    if rows.get_total_buffer_size() <= rows.nbytes:
        return rows
    return rows.take(np.arange(rows.num_rows))


def is_shared(shard: Shard) -> bool:
    """Whether other machines may see the shard."""
    here_alone = shard.temporary or (isinstance(shard.path, RemotePath) and not shard.path.shared)
    return shard.path is not None and shard.size is not None and not here_alone


# ---------------------------------------------------------------- records read here


def _map_sent_blocks(
    shards: Iterable[Shard],
    task: BlockTask[_R],
    cluster: RayCluster,
    keep: KeptParts,
    block_bytes: int,
) -> Iterator[tuple[_Done, BlockResult[_R] | None]]:
    sent: deque[ShardBlock] = deque()

    def noting() -> Iterator[ShardBlock]:
        for block in blocks(shards, block_bytes, True):
            sent.append(block)
            yield block if block.rows is None else replace(block, rows=_cut(block.rows))

    for done in cluster.in_order(noting(), partial(_done, task, replace(keep, records=False))):
        block = sent.popleft()
        yield done, done.result and replace(done.result, batch=_restored(block, done.result.batch))


def _restored(block: ShardBlock, stub: Batch) -> Batch:
    """The records of a stub, from their block."""
    batch = block.records(stub.numbers)
    batch.ordinals = stub.ordinals
    if isinstance(stub, JsonBatch) and isinstance(batch, JsonBatch) and not stub.lines:
        batch.scanned = stub.scanned
    return batch


# ---------------------------------------------------------------- records read by the tasks


def _map_where_read(
    shards: Iterable[Shard],
    task: BlockTask[_R],
    cluster: RayCluster,
    keep: KeptParts,
    block_bytes: int,
) -> Iterator[tuple[_Done, BlockResult[_R] | None]]:
    ahead = _AHEAD_WITH_TEXTS if keep.texts else _AHEAD
    own: dict[str, Shard] = {}

    def pieces() -> Iterator[_Piece]:
        for shard in shards:
            own[shard.name] = shard
            for piece in _pieces(shard, block_bytes):
                yield piece._replace(shard=_for_nodes(shard))

    before = 0  # lines before the piece in its shard
    for piece, results in cluster.streams_in_order(
        pieces(), partial(_piece_done, task, keep, block_bytes), ahead
    ):
        before = before if piece.start else 0
        lines = 0
        try:
            for done in results:
                own[piece.shard.name].bytes_read += done.read
                result = done.result
                if before:
                    noted = NotedRejects([error.after(before) for error in done.noted.errors])
                    done = done._replace(number=done.number + before, noted=noted)
                    if result is not None:
                        result.batch.numbers = result.batch.numbers + before
                lines += done.lines
                yield done, result
        except RecordError as error:
            raise error.after(before) from error
        before += lines


def _for_nodes(shard: Shard) -> Shard:
    """A shard with its absolute path, since nodes have other working directories."""
    path = Path(os.path.abspath(shard.path)) if isinstance(shard.path, Path) else shard.path
    return replace(shard, path=path, bytes_read=0)


def _refuse_if_absent(shard: Shard) -> None:
    if isinstance(shard.path, Path) and not shard.path.exists():
        raise SynthError(
            f"{shard.name}: is not there on a node of the cluster; with {parameter('ray')}, inputs lie where all "
            "nodes see them (a shared file system, s3://…)"
        )


def _pieces(shard: Shard, block_bytes: int) -> Iterator[_Piece]:
    """A large file of plain lines in pieces, any other shard as a whole."""
    size = shard.size or 0
    known = shard.name.lower().endswith((".jsonl", ".ndjson", ".json"))
    if size <= _PIECE * block_bytes or (shard.name.lower().endswith(SHARD_SUFFIXES) and not known):
        yield _Piece(shard)
        return
    try:
        with open_shard(replace(shard)) as (kind, stream, _):
            plain = kind == "jsonl" and shard.format.is_jsonl(stream)
    except SynthError:
        plain = False  # reported by its reader
    if not plain:
        yield _Piece(shard)
        return
    count = -(-size // block_bytes)
    for start in range(0, count, _PIECE):
        end = start + _PIECE
        yield _Piece(shard, start, end if end < count else None, False)


def _piece_done(
    task: BlockTask[Any], keep: KeptParts, block_bytes: int, piece: _Piece
) -> Iterator[_Done]:
    shard = piece.shard
    _refuse_if_absent(shard)
    if not piece.whole:
        for block in blocks_between(shard, block_bytes, piece.start, piece.end):
            yield _done(task, keep, block)._replace(read=len(block.lines))
        return
    read = 0
    for block in blocks([shard], block_bytes, True, task.columns):
        done = _done(task, keep, block)
        yield done._replace(read=shard.bytes_read - read)
        read = shard.bytes_read


def _done(task: BlockTask[Any], keep: KeptParts, block: ShardBlock) -> _Done:
    """Runs the work on a block, and keeps what is transferred."""
    noted = NotedRejects()
    source, number, lines = block.source, block.number, block.count
    if block.broken is not None:
        return _Done(source, number, lines, 0, noted, 0, None, block.broken, block.lines)
    result, seen = task.of(block, noted)
    result = BlockResult(
        result.batch if keep.records else _stub(result.batch, task.fields),
        result.texts if keep.texts else TextBuffer.of([]),
        result.result,
        result.text_bytes,
    )
    return _Done(source, number, lines, 0, noted, seen, result, None, b"")


def _stub(batch: Batch, fields: tuple[str, ...]) -> Batch:
    """The records with only their numbers and these fields."""
    if isinstance(batch, JsonBatch):
        if set(fields) <= set(batch.scanned):
            scanned = {name: batch.scanned[name] for name in fields}
            return replace(batch, lines=[], parsed=None, scanned=scanned)
        return replace(batch, lines=list(batch.lines), parsed=None)  # rare: not scanned
    import pyarrow as pa

    assert isinstance(batch, ArrowBatch)
    rows = batch.rows
    for index, field in enumerate(rows.schema):
        if field.name not in fields:
            try:
                rows = rows.set_column(index, field, pa.nulls(rows.num_rows, field.type))
            except (pa.ArrowException, NotImplementedError):
                pass  # a type without a column of nulls is sent as it is
    return replace(batch, rows=_cut(rows))
