"""Shards → batches of sound records; the others are reported or set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from synthtools.errors import RecordError, SynthError
from synthtools.records import jsonl
from synthtools.records.batch import MISSING, ArrowBatch, Batch, JsonBatch
from synthtools.records.compression import DecompressingReader
from synthtools.records.input_format import ARRAY
from synthtools.records.inputs import Shard, open_shard
from synthtools.records.record_faults import no_field, text_fault
from synthtools.records.rejects import Rejects
from synthtools.records.shard_block import ShardBlock, changed, unreadable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_BYTES = 1 << 20
# A line of more is refused [ours]: it is no record but a file without line ends, or a bomb.
LONGEST_RECORD = 1 << 28
# So much of what cannot be read is kept in the rejects file.
_SHOWN = 1 << 12
# Rows of Parquet that are read at once hold no more, whatever their dictionaries stand for.
_MOST_DECODED = 1 << 28
_MOST_ROWS = 1 << 13
_BOM = b"\xef\xbb\xbf"


def read(
    shards: Iterable[Shard], rejects: Rejects, batch_bytes: int = BATCH_BYTES
) -> Iterator[Batch]:
    """All records of the shards, in order, in batches of one shard each.

    A batch holds about ``batch_bytes``, or what a slow pipe has given so far.

    Memory: one batch, or the longest record where that is larger (a line: ``LONGEST_RECORD``).

    Raises:
        RecordError: at the first bad record, unless ``rejects`` skips them.
        SynthError: a shard cannot be opened or is damaged, unless ``rejects`` skips it.
    """
    ordinal = 0
    for block in blocks(shards, batch_bytes, whole=False):
        if block.broken is not None:
            rejects.add_broken_shard(block.source, block.number, block.broken, block.lines)
            continue
        batch, seen = batch_of(block, rejects)
        batch.ordinals += ordinal
        ordinal += seen
        if len(batch):
            yield batch


def blocks(shards: Iterable[Shard], batch_bytes: int, whole: bool) -> Iterator[ShardBlock]:
    """The shards in pieces of about ``batch_bytes``.

    Args:
        whole: wait until a block of lines is full, so that its end depends on the data alone.
    """
    for shard in shards:
        with ExitStack() as stack:
            try:
                kind, file, raw = stack.enter_context(open_shard(shard))
            except SynthError as error:
                yield ShardBlock(shard.name, 1, broken=error)
                continue
            if kind == "empty":
                continue
            if kind in ("jsonl", "gzip", "zstd"):
                compressed = kind != "jsonl"
                stream = DecompressingReader(file, kind, shard.name) if compressed else file
                if shard.format.is_jsonl(stream):
                    yield from _line_blocks(stream, raw, shard, batch_bytes, whole)
                else:
                    from synthtools.records import conversion

                    yield from conversion.blocks(stream, raw, shard, batch_bytes)
            else:
                yield from _row_blocks(kind, file, raw, shard, batch_bytes)


def blocks_between(
    shard: Shard, batch_bytes: int, start: int, end: int | None
) -> Iterator[ShardBlock]:
    """Some of the blocks that ``blocks`` gives of plain JSONL, numbers counted from the first.

    Args:
        start, end: stretches of ``batch_bytes`` of the file, whose ends the blocks end in; None is
            the last.
    """
    with open_shard(shard) as (_, file, raw):
        try:
            before = _unfinished(file, start * batch_bytes)
        except OSError as error:
            yield ShardBlock(shard.name, 1, broken=unreadable(shard, error))
            return
        stretches = None if end is None else end - start
        before = before if start else None
        yield from _line_blocks(file, raw, shard, batch_bytes, True, before, stretches)


def _unfinished(file: BufferedReader, end: int) -> bytes:
    """What stands in a file before a place and after the last line that ends before it; the file
    is then at that place."""
    pieces: list[bytes] = []
    at = end
    while at:
        size = min(at, 1 << 16)
        at -= size
        file.seek(at)
        data = file.read(size)
        last = data.rfind(b"\n") + 1
        pieces.append(data[last:] if at or last else data.removeprefix(_BOM))
        if last:
            break
    file.seek(end)
    return b"".join(reversed(pieces))


def batch_of(block: ShardBlock, rejects: Rejects) -> tuple[Batch, int]:
    """The sound records of a block, with ordinals from 0, and how many records it stands for."""
    if block.rows is None:
        lines = [] if block.lines.isspace() else block.lines.split(b"\n")
        return json_batch(lines, range(block.number, block.number + len(lines)), block, rejects)
    from synthtools.records import to_json

    count = block.rows.num_rows
    numbers = np.arange(block.number, block.number + count, dtype=np.int64)
    batch = ArrowBatch(block.source, numbers, numbers - block.number, rows=block.rows)
    return without(batch, to_json.faults(block.rows), rejects), count


# ---------------------------------------------------------------- JSONL


def _line_blocks(
    stream: BufferedReader | DecompressingReader,
    raw: BinaryIO,
    shard: Shard,
    batch_bytes: int,
    whole: bool,
    before: bytes | None = None,
    stretches: int | None = None,
) -> Iterator[ShardBlock]:
    """Blocks of a stream of lines.

    Args:
        before: of the line that the stream begins within; None at the beginning of the file.
        stretches: of ``batch_bytes`` to read, None for all.
    """
    number = 1
    rest = [before] if before else []  # pieces of a line whose end has not come yet
    held = len(before or b"")  # bytes of them
    while stretches is None or stretches:
        stretches = None if stretches is None else stretches - 1
        try:
            data = _full(stream, batch_bytes) if whole else stream.read1(batch_bytes)
            if not data and shard.changed(raw):
                raise changed(shard)
        except (SynthError, OSError) as error:
            failure = error if isinstance(error, SynthError) else unreadable(shard, error)
            if shard.changed(raw):  # what looks damaged was cut or added to meanwhile
                failure = changed(shard)
            yield ShardBlock(shard.name, number, b"".join(rest), broken=failure)
            return
        end = data.rfind(b"\n") + 1
        if data and not end:
            rest.append(data)
            held += len(data)
            if held > LONGEST_RECORD:
                yield ShardBlock(
                    shard.name, number, rest[0][:_SHOWN], broken=_endless(shard, number)
                )
                return
            continue
        lines = b"".join([*rest, memoryview(data)[:end]])
        rest = [data[end:]] if end < len(data) else []
        held = len(data) - end
        if lines:
            text = lines.removeprefix(_BOM) if number == 1 and before is None else lines
            yield ShardBlock(shard.name, number, text)
            number += lines.count(b"\n")
        if not data:
            return


def _full(stream: BufferedReader | DecompressingReader, size: int) -> bytes:
    if isinstance(stream, BufferedReader):
        return stream.read(size)
    pieces: list[bytes] = []
    try:
        while size and (piece := stream.read1(size)):
            pieces.append(piece)
            size -= len(piece)
    except (SynthError, OSError):
        if not pieces:  # else what came before the damage goes first; it is met again
            raise
    return b"".join(pieces)


def json_batch(
    lines: Sequence[bytes], numbers: Sequence[int], block: ShardBlock, rejects: Rejects
) -> tuple[JsonBatch, int]:
    """The sound records among lines of a block, and how many records the lines stand for."""
    kept, objects, kept_numbers, ordinals = [], [], [], []
    seen = 0
    for number, line in zip(numbers, lines, strict=True):
        if not line or line.isspace():
            continue  # a blank line is no record
        try:
            if number in block.faults:
                raise ValueError(block.faults[number])
            objects.append(jsonl.parse_object(line))
        except ValueError as error:
            rejects.add(RecordError(block.source, number, str(error), line))
        else:
            kept.append(line)
            kept_numbers.append(number)
            ordinals.append(seen)
        seen += 1
    batch = JsonBatch(
        block.source,
        np.array(kept_numbers, np.int64),
        np.array(ordinals, np.int64),
        lines=kept,
        parsed=objects,
    )
    return batch, seen


def _endless(shard: Shard, number: int) -> SynthError:
    return SynthError(
        f"{shard.name}:{number}: a line of more than {LONGEST_RECORD >> 20} MiB is not a record; is "
        f"this JSONL? ({ARRAY})"
    )


# ---------------------------------------------------------------- Parquet and Arrow


def _row_blocks(
    kind: str, file: BufferedReader, raw: BinaryIO, shard: Shard, batch_bytes: int
) -> Iterator[ShardBlock]:
    import pyarrow as pa

    number = 1
    tables = _arrow_tables(kind, file, shard.name, batch_bytes)
    while True:
        try:
            table = next(tables, None)
            if table is not None:
                table.validate(full=True)
        except SynthError as error:
            yield ShardBlock(shard.name, number, broken=error)
            return
        except (pa.ArrowException, OSError, ValueError) as error:
            if shard.changed(raw):
                yield ShardBlock(shard.name, number, broken=changed(shard))
                return
            reason = f"damaged or truncated {kind} data ({_short(error)}); fetch or write it again"
            if isinstance(error, pa.ArrowNotImplementedError):
                reason = f"{kind} data of a kind that pyarrow does not read ({_short(error)})"
            yield ShardBlock(shard.name, number, broken=SynthError(f"{shard.name}: {reason}"))
            return
        if table is None:
            if shard.changed(raw):
                yield ShardBlock(shard.name, number, broken=changed(shard))
            return
        rows = max(1, int(batch_bytes * table.num_rows / max(1, _decoded_bytes(table))))
        for start in range(0, table.num_rows, rows):
            piece = table.slice(start, min(rows, table.num_rows - start))
            yield ShardBlock(shard.name, number, rows=piece)
            number += piece.num_rows


def _arrow_tables(
    kind: str, file: BufferedReader, name: str, batch_bytes: int
) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if kind == "parquet":
        parquet = pq.ParquetFile(file, pre_buffer=False, arrow_extensions_enabled=True)
        _refuse_equal_names(parquet.schema_arrow, name)
        for piece in parquet.iter_batches(batch_size=_rows_of(parquet.metadata, batch_bytes)):
            yield pa.Table.from_batches([piece])
    elif kind == "arrow-file":
        reader = pa.ipc.open_file(file)
        _refuse_equal_names(reader.schema, name)
        for index in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(index)])
    else:
        watched = _Watched(file)
        stream = pa.ipc.open_stream(watched)
        _refuse_equal_names(stream.schema, name)
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
    rows = min(_MOST_ROWS, max(1, batch_bytes * metadata.num_rows // max(1, size)))
    longest = max(map(_longest_row, groups), default=0)
    return max(1, min(rows, _MOST_DECODED // max(1, longest)))


def _longest_row(group: pq.RowGroupMetaData) -> int:
    """About how many bytes a row may have whose values stand in dictionaries: one of them can stand
    for any number of rows."""
    size = 0
    for index in range(group.num_columns):
        column = group.column(index)
        if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page:
            ratio = column.total_uncompressed_size / max(1, column.total_compressed_size)
            page = column.data_page_offset - (column.dictionary_page_offset or 0)
            size += int(max(0, page) * max(1.0, ratio))
    return size


def _decoded_bytes(table: pa.Table) -> int:
    """Bytes of a table with every value of a dictionary where it stands for a row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    size: int = table.nbytes
    for column in table.columns:
        kind = column.type
        if not pa.types.is_dictionary(kind) or not (
            pa.types.is_string(kind.value_type)
            or pa.types.is_large_string(kind.value_type)
            or pa.types.is_binary(kind.value_type)
        ):
            continue
        for chunk in column.chunks:
            lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
            size += pc.sum(lengths.take(chunk.indices)).as_py() or 0
    return size


def _refuse_equal_names(schema: pa.Schema, source: str) -> None:
    again = [name for name, count in Counter(schema.names).items() if count > 1]
    if again:
        raise SynthError(
            f'{source}: two columns have the name "{again[0]}", and a record has one value of a name: '
            "rename one of them where the file was made"
        )


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
        if value is MISSING:
            bad[index] = no_field(batch, index, name, f"use {option}")
        elif fault := text_fault(name, value):
            bad[index] = fault if type(value) is str else f"{fault} (use {option})"
    return without(batch, bad, rejects)


def without(batch: Batch, bad: dict[int, str], rejects: Rejects) -> Batch:
    """The batch without the records at ``bad`` (index → reason), which go to ``rejects``."""
    if not bad:
        return batch
    for index, reason in bad.items():
        number = int(batch.numbers[index])
        rejects.add(RecordError(batch.source, number, reason, batch.raw(index)))
    return batch.take([i for i in range(len(batch)) if i not in bad])
