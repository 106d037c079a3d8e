"""Shards → batches of sound records; what is not sound is told or set aside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from synthtools.errors import RecordError, SynthError
from synthtools.records import jsonl
from synthtools.records.batch import MISSING, ArrowBatch, Batch, JsonBatch
from synthtools.records.compression import DecompressingReader
from synthtools.records.inputs import Shard, open_shard
from synthtools.records.rejects import Rejects

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES = 1 << 20
_ARROW_ROWS = 1024


def read(
    shards: Iterable[Shard], rejects: Rejects, batch_bytes: int = BATCH_BYTES
) -> Iterator[Batch]:
    """All records of the shards, in order, in batches of about ``batch_bytes`` of one shard each.

    Memory: one batch, or the longest record where that is larger.

    Raises:
        RecordError: at the first bad record, unless ``rejects`` skips them.
        SynthError: a shard cannot be opened or is damaged.
    """
    ordinal = 0
    for shard in shards:
        with open_shard(shard) as (kind, file):
            for batch, seen in _batches(kind, file, shard, rejects, batch_bytes):
                batch.ordinals += ordinal
                ordinal += seen
                if len(batch):
                    yield batch


def _batches(
    kind: str, file: BinaryIO, shard: Shard, rejects: Rejects, batch_bytes: int
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
    stream: BinaryIO | DecompressingReader, shard: Shard, rejects: Rejects, batch_bytes: int
) -> Iterator[tuple[Batch, int]]:
    number = 1
    rest: list[bytes] = []  # pieces of a line whose end has not come yet
    first = True
    while True:
        try:
            block = stream.read(batch_bytes)
        except (SynthError, OSError) as error:
            failure = error if isinstance(error, SynthError) else _unreadable(shard, error)
            rejects.add_broken_shard(shard.name, number, failure, b"".join(rest))
            return
        if first:
            block = block.removeprefix(b"\xef\xbb\xbf")
            first = False
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
    kind: str, file: BinaryIO, shard: Shard, rejects: Rejects, batch_bytes: int
) -> Iterator[tuple[Batch, int]]:
    import pyarrow as pa

    number = 1
    tables = _arrow_tables(kind, file)
    while True:
        try:
            table = next(tables, None)
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = f"damaged or truncated {kind} data ({_short(error)}); fetch or write it again"
            rejects.add_broken_shard(
                shard.name, number, SynthError(f"{shard.name}: {reason}"), b""
            )
            return
        if table is None:
            return
        rows = max(1, int(batch_bytes * table.num_rows / max(1, table.nbytes)))
        for start in range(0, table.num_rows, rows):
            piece = table.slice(start, rows)
            count = piece.num_rows
            numbers = np.arange(number, number + count, dtype=np.int64)
            yield ArrowBatch(shard.name, numbers, numbers - number, rows=piece), count
            number += count


def _arrow_tables(kind: str, file: BinaryIO) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if kind == "parquet":
        parquet = pq.ParquetFile(file, pre_buffer=False, arrow_extensions_enabled=True)
        _refuse_equal_names(parquet.schema_arrow)
        for piece in parquet.iter_batches(batch_size=_ARROW_ROWS):
            yield pa.Table.from_batches([piece])
    elif kind == "arrow-file":
        reader = pa.ipc.open_file(file)
        _refuse_equal_names(reader.schema)
        for index in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(index)])
    else:
        stream = pa.ipc.open_stream(file)
        _refuse_equal_names(stream.schema)
        for piece in stream:
            yield pa.Table.from_batches([piece])


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
            names = ", ".join(batch.field_names(index)) or "none"
            bad[index] = f'no field "{name}" (fields: {names}; use {option})'
        else:
            kind = _JSON_KINDS.get(type(value), f"a {type(value).__name__}")
            bad[index] = f'field "{name}" is {kind}, not a string (use {option})'
    return without(batch, bad, rejects)


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
