"""A function over records on all cores: read once, results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from synthtools.errors import RecordError, TextError
from synthtools.records.batch import ArrowBatch, Batch, JsonBatch
from synthtools.records.block_lines import BlockLines
from synthtools.records.field_paths import with_root_fields
from synthtools.records.inputs import Shard
from synthtools.records.reader import batch_of, blocks, json_batch
from synthtools.records.record_faults import require_text, without
from synthtools.records.rejects import Rejects
from synthtools.records.scan import ASK, LOCATED, LineScan, scan
from synthtools.records.shard_block import ShardBlock
from synthtools.records.text_buffer import TextBuffer
from synthtools.scale.threads import in_order

_R = TypeVar("_R")

BLOCK_BYTES = 4 << 20


class NotedRejects(Rejects):
    """Bad records collected in a thread, to be reported in the order of the input.

    Args:
        skip: otherwise the first one is raised.
    """

    def __init__(self, errors: Iterable[RecordError] = (), skip: bool = True) -> None:
        super().__init__(skip)
        self.errors = list(errors)

    def add(self, error: RecordError) -> None:
        if not self.skip:
            raise error
        self.errors.append(error)

    def tell(self, rejects: Rejects) -> None:
        for error in sorted(self.errors, key=lambda error: error.number):
            rejects.add(error)


@dataclass(frozen=True)
class BlockResult(Generic[_R]):
    """Records and their result.

    Attributes:
        batch: the records; those from JSONL are parsed only on demand.
        texts: the text of each.
        result: returned by the work.
        text_bytes: total size of the texts.
    """

    batch: Batch
    texts: TextBuffer
    result: _R
    text_bytes: int


@dataclass(frozen=True)
class BlockTask(Generic[_R]):
    """The work on each block.

    Attributes:
        work: a function of the valid records and their texts; after a TextError it is called again
            without the texts that the error names.
        fields: other fields that will be needed, read along with the text.
        fields_only: no fields but these are needed.
        option: the option that names the text field, for errors (see ``require_text``).
    """

    work: Callable[[Batch, TextBuffer], _R]
    text_field: str
    fields: tuple[str, ...] = ()
    option: str | None = None
    fields_only: bool = False

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns to read from Parquet; None for all."""
        return with_root_fields([self.text_field, *self.fields]) if self.fields_only else None

    def of(self, block: ShardBlock, noted: NotedRejects) -> tuple[BlockResult[_R], int]:
        """The result of a block, and its number of records, bad ones included."""
        batch, texts, seen = _with_texts(block, self.text_field, self.fields, self.option, noted)
        while True:
            try:
                result = self.work(batch, texts)
                break
            except TextError as error:
                batch = without(batch, error.faults, noted)
                texts = TextBuffer.of([t for i, t in enumerate(texts) if i not in error.faults])
        size = int(texts.offsets[-1] - texts.offsets[0])
        return BlockResult(batch, texts, result, size), seen


def map_records(
    shards: Iterable[Shard],
    rejects: Rejects,
    task: BlockTask[_R],
    *,
    jobs: int = 1,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[BlockResult[_R]]:
    """The valid records of the shards in order, in batches with their results.

    The work runs in ``jobs`` threads; the blocks depend only on the data, not on the number of threads.

    Memory: ``jobs`` + 2 blocks, each about three times ``block_bytes`` or its longest record.

    Raises:
        RecordError: at the first bad record, unless ``rejects`` skips them.
        SynthError: a shard cannot be opened or is damaged, unless ``rejects`` skips it.
    """

    def done(block: ShardBlock) -> tuple[ShardBlock, BlockResult[_R] | None, int, NotedRejects]:
        noted = NotedRejects()
        return block, *((None, 0) if block.broken is not None else task.of(block, noted)), noted

    ordinal = 0
    parts = blocks(shards, block_bytes, True, task.columns)
    for block, result, seen, noted in in_order(parts, done, jobs):
        noted.tell(rejects)
        if result is None:
            assert block.broken is not None
            rejects.add_broken_shard(block.source, block.number, block.broken, block.lines)
            continue
        result.batch.ordinals += ordinal
        ordinal += seen
        if len(result.batch):
            yield result


def _with_texts(
    block: ShardBlock, text_field: str, fields: Sequence[str], option: str | None, rejects: Rejects
) -> tuple[Batch, TextBuffer, int]:
    if block.rows is None:
        return _scanned(block, text_field, fields, option, rejects)
    batch, seen = batch_of(block, rejects)
    assert isinstance(batch, ArrowBatch)
    batch = require_text(batch, text_field, rejects, option)
    return batch, _texts_of(batch, text_field), seen


def _texts_of(batch: ArrowBatch, text_field: str) -> TextBuffer:
    import pyarrow as pa

    from synthtools.records.nested_columns import column_of

    if not len(batch):
        return TextBuffer.of([])
    column = column_of(batch.rows, text_field)
    assert column is not None
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return TextBuffer.of(batch.column(text_field))
    array = column.cast(pa.large_string()).combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    size = 0 if data is None else data.size
    content = np.frombuffer(data, np.uint8) if size else np.zeros(0, np.uint8)
    return TextBuffer(content, ends)


def _scanned(
    block: ShardBlock, text_field: str, fields: Sequence[str], option: str | None, rejects: Rejects
) -> tuple[Batch, TextBuffer, int]:
    scanned = scan(block.lines, text_field, fields, block.count)
    lines = BlockLines.ending(block.lines, scanned.line_ends)
    sound = np.flatnonzero(scanned.states == LOCATED)
    asked = np.flatnonzero(scanned.states == ASK)
    batch = JsonBatch(
        block.source,
        block.number + sound,
        lines=lines if len(sound) == len(lines) else lines.take(sound),
        scanned=_values(block.lines, scanned, sound, fields),
    )
    offsets = np.concatenate([[0], scanned.ends[sound]]).astype(np.int64)
    texts = TextBuffer(scanned.data, offsets)
    if not len(asked):
        batch.ordinals = np.arange(len(sound), dtype=np.int64)
        return batch, texts, len(sound)
    # Lines that the scan rejected: the slow parser decides.
    numbers = block.number + asked
    slow, _ = json_batch([lines[i] for i in asked], numbers.tolist(), block, rejects)
    slow = require_text(slow, text_field, rejects, option)
    # Lines that only the slow parser recognises as blank are not records either.
    blank = np.array([lines[i].isspace() for i in asked], bool)
    records = np.sort(np.concatenate([sound, asked[~blank]]))
    seen = len(records)
    place = np.concatenate([batch.numbers, slow.numbers])
    order = np.argsort(place, kind="stable")
    strings = [*texts, *slow.column(text_field)]
    all_lines = [*batch.lines, *slow.lines]
    both = JsonBatch(
        block.source,
        place[order],
        np.searchsorted(records, place[order] - block.number).astype(np.int64),
        lines=[all_lines[i] for i in order],
    )
    return both, TextBuffer.of([strings[i] for i in order]), seen


def _values(
    block: bytes, scanned: LineScan, sound: np.ndarray, fields: Sequence[str]
) -> dict[str, list[bytes | None]]:
    values: dict[str, list[bytes | None]] = {}
    for index, name in enumerate(fields):
        spans = scanned.spans[sound, index].tolist()
        values[name] = [None if start < 0 else block[start:end] for start, end in spans]
    return values
