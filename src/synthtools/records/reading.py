"""Shards → batches of sound records; what is not sound is told or set aside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING

import numpy as np

from synthtools.errors import RecordError, SynthError
from synthtools.records import jsonl
from synthtools.records.batch import MISSING, ArrowBatch, Batch, JsonBatch
from synthtools.records.compression import DecompressingReader
from synthtools.records.inputs import Shard, open_shard
from synthtools.records.rejects import Rejects

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_BYTES = 1 << 20
_MOST_ROWS = 1 << 13
_BOM = b"\xef\xbb\xbf"
_NAMED_FIELDS = 20


def read(
    shards: Iterable[Shard], rejects: Rejects, batch_bytes: int = BATCH_BYTES
) -> Iterator[Batch]:
    """All records of the shards, in order, in batches of one shard each.

    A batch holds about ``batch_bytes``, or what a slow pipe has given so far.

    Memory: one batch, or the longest record where that is larger.

    Raises:
        RecordError: at the first bad record, unless ``rejects`` skips them.
        SynthError: a shard cannot be opened or is damaged, unless ``rejects`` skips it.
    """
    ordinal = 0
    for shard in shards:
        for batch, seen in _shard_batches(shard, rejects, batch_bytes):
            batch.ordinals += ordinal
            ordinal += seen
            if len(batch):
                yield batch


def _shard_batches(shard: Shard, rejects: Rejects, batch_bytes: int) -> Iterator[tuple[Batch, int]]:
    with ExitStack() as stack:
        try:
            kind, file = stack.enter_context(open_shard(shard))
        except SynthError as error:
            rejects.add_broken_shard(shard.name, 1, error, b"")
            return
        yield from _batches(kind, file, shard, rejects, batch_bytes)


def _batches(
    kind: str, file: BufferedReader, shard: Shard, rejects: Rejects, batch_bytes: int
) -> Iterator[tuple[Batch, int]]:
    """Batches with ordinals from 0 at the batch's start, and how many records it stands for."""
    if kind == "empty":
        return iter(())
    if kind == "jsonl":
        return _json_batches(file, shard, rejects, batch_bytes)
    if kind in ("gzip", "zstd"):
        stream = DecompressingReader(file, kind, shard.name)
        return _json_batches(stream, shard, rejects, batch_bytes)
    return _arrow_batches(kind, file, shard, rejects, batch_bytes)


# ---------------------------------------------------------------- JSONL


def _json_batches(
    stream: BufferedReader | DecompressingReader, shard: Shard, rejects: Rejects, batch_bytes: int
) -> Iterator[tuple[Batch, int]]:
    number = 1
    rest: list[bytes] = []  # pieces of a line whose end has not come yet
    while True:
        try:
            block = stream.read1(batch_bytes)
        except (SynthError, OSError) as error:
            failure = error if isinstance(error, SynthError) else _unreadable(shard, error)
            rejects.add_broken_shard(shard.name, number, failure, b"".join(rest))
            return
        if block:
            end = block.rfind(b"\n") + 1
            if not end:
                rest.append(block)
                continue
            lines = b"".join([*rest, block[:end]]).split(b"\n")
            lines.pop()  # what follows the last newline
            rest = [block[end:]] if end < len(block) else []
        else:
            lines, rest = [b"".join(rest)] if rest else [], []
        if number == 1 and lines:
            lines[0] = lines[0].removeprefix(_BOM)
        yield _json_batch(lines, number, shard.name, rejects)
        number += len(lines)
        if not block:
            return


def _json_batch(
    lines: list[bytes], number: int, source: str, rejects: Rejects
) -> tuple[JsonBatch, int]:
    kept, objects, numbers, ordinals = [], [], [], []
    seen = 0
    for offset, line in enumerate(lines):
        if not line or line.isspace():
            continue  # a blank line is no record
        try:
            objects.append(jsonl.parse_object(line))
        except ValueError as error:
            rejects.add(RecordError(source, number + offset, str(error), line))
        else:
            kept.append(line)
            numbers.append(number + offset)
            ordinals.append(seen)
        seen += 1
    batch = JsonBatch(
        source,
        np.array(numbers, np.int64),
        np.array(ordinals, np.int64),
        lines=kept,
        objects=objects,
    )
    return batch, seen


def _unreadable(shard: Shard, error: OSError) -> SynthError:
    return SynthError(f"{shard.name}: cannot be read: {error.strerror or error}")


# ---------------------------------------------------------------- Parquet and Arrow


def _arrow_batches(
    kind: str, file: BufferedReader, shard: Shard, rejects: Rejects, batch_bytes: int
) -> Iterator[tuple[Batch, int]]:
    import pyarrow as pa

    from synthtools.records import columnar

    number = 1
    tables = _arrow_tables(kind, file, batch_bytes)
    while True:
        try:
            table = next(tables, None)
            if table is not None:
                table.validate(full=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = f"damaged or truncated {kind} data ({_short(error)}); fetch or write it again"
            rejects.add_broken_shard(shard.name, number, SynthError(f"{shard.name}: {reason}"), b"")
            return
        if table is None:
            return
        rows = max(1, int(batch_bytes * table.num_rows / max(1, table.nbytes)))
        for start in range(0, table.num_rows, rows):
            count = min(rows, table.num_rows - start)
            piece = table.slice(start, count)
            numbers = np.arange(number, number + count, dtype=np.int64)
            batch = ArrowBatch(shard.name, numbers, numbers - number, rows=piece)
            yield without(batch, columnar.faults(piece), rejects), count
            number += count


def _arrow_tables(kind: str, file: BufferedReader, batch_bytes: int) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if kind == "parquet":
        parquet = pq.ParquetFile(file, pre_buffer=False, arrow_extensions_enabled=True)
        _refuse_equal_names(parquet.schema_arrow)
        for piece in parquet.iter_batches(batch_size=_rows_of(parquet.metadata, batch_bytes)):
            yield pa.Table.from_batches([piece])
    elif kind == "arrow-file":
        reader = pa.ipc.open_file(file)
        _refuse_equal_names(reader.schema)
        for index in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(index)])
    else:
        watched = _Watched(file)
        stream = pa.ipc.open_stream(watched)
        _refuse_equal_names(stream.schema)
        for piece in stream:
            yield pa.Table.from_batches([piece])
        if watched.ended:
            raise ValueError("the stream ends without its end mark")


class _Watched(RawIOBase):
    """A stream that tells whether its reader has come to its end.

    The reader of an Arrow stream stops at the end mark. Where there is none, whoever wrote the
    stream did not finish.
    """

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.ended |= size != 0 and not data
        return data


def _rows_of(metadata: pq.FileMetaData, batch_bytes: int) -> int:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    size = sum(group.total_byte_size for group in groups)
    return min(_MOST_ROWS, max(1, batch_bytes * metadata.num_rows // max(1, size)))


def _refuse_equal_names(schema: pa.Schema) -> None:
    names = schema.names
    if len(set(names)) < len(names):
        raise ValueError("two columns have the same name")


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


# ---------------------------------------------------------------- fields that a tool needs


def require_text(batch: Batch, name: str, rejects: Rejects, option: str = "--text-field") -> Batch:
    """The records whose field is a string of valid Unicode; the others go to ``rejects``.

    Args:
        option: the option that names the field, for the remedy.
    """
    bad: dict[int, str] = {}
    for index, value in enumerate(batch.column(name)):
        if type(value) is str:
            if value.isascii() or _encodable(value):
                continue
            bad[index] = f'field "{name}" holds half of a surrogate pair, which no UTF-8 text can'
        elif value is MISSING:
            bad[index] = f'no field "{name}" (fields: {fields_of(batch, index)}; use {option})'
        else:
            kind = _JSON_KINDS.get(type(value), f"a {type(value).__name__}")
            bad[index] = f'field "{name}" is {kind}, not a string (use {option})'
    return without(batch, bad, rejects)


def fields_of(batch: Batch, index: int) -> str:
    """Names of a record's fields, for a reason."""
    names = batch.field_names(index)
    more = f" … {len(names) - _NAMED_FIELDS} more" if len(names) > _NAMED_FIELDS else ""
    return (", ".join(names[:_NAMED_FIELDS]) or "none") + more


_JSON_KINDS = {
    int: "a number",
    float: "a number",
    bool: "a boolean",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def _encodable(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def without(batch: Batch, bad: dict[int, str], rejects: Rejects) -> Batch:
    """The batch without the records at ``bad`` (index → reason), which go to ``rejects``."""
    if not bad:
        return batch
    for index, reason in bad.items():
        number = int(batch.numbers[index])
        rejects.add(RecordError(batch.source, number, reason, batch.raw(index)))
    return batch.take([i for i in range(len(batch)) if i not in bad])
