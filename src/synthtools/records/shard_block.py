"""Unparsed blocks of shards; for Parquet and Arrow of bounded size, whatever the file claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING

import numpy as np

from synthtools.errors import SynthError
from synthtools.records.batch import ArrowBatch, Batch, JsonBatch
from synthtools.records.block_lines import BlockLines
from synthtools.records.inputs import Shard
from synthtools.records.text_buffer import newlines

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class ShardBlock:
    """An unparsed block of a shard.

    Attributes:
        source: the shard's name.
        number: line or row of its first record in the shard, from 1.
        lines: whole lines of JSONL, without a byte order mark.
        rows: rows of Parquet or Arrow.
        faults: reasons of lines that are not records, by number.
        broken: why the rest of the shard cannot be read; ``lines`` then holds its last bytes.
    """

    source: str
    number: int
    lines: bytes = b""
    rows: pa.Table | None = None
    faults: Mapping[int, str] = field(default_factory=dict)
    broken: SynthError | None = None

    @cached_property
    def count(self) -> int:
        """Number of lines or rows."""
        if self.rows is not None:
            return int(self.rows.num_rows)
        return newlines(self.lines) + (self.lines[-1:] not in (b"", b"\n"))

    def records(self, numbers: np.ndarray) -> Batch:
        """The records at these lines or rows of the shard, int64; without ordinals, unparsed."""
        places = numbers - self.number
        if self.rows is None:
            lines = BlockLines.within(self.lines)
            some = lines if len(places) == len(lines) else lines.take(places)
            return JsonBatch(self.source, numbers, lines=some)
        rows = ArrowBatch(self.source, np.arange(self.count), rows=self.rows).take(places.tolist())
        rows.numbers = numbers
        return rows


# Bound on rows of Parquet read at once, with dictionaries expanded.
_MOST_DECODED = 1 << 28
_MOST_ROWS = 1 << 13


def row_blocks(
    kind: str,
    file: BufferedReader,
    raw: RawIOBase,
    shard: Shard,
    batch_bytes: int,
    columns: Collection[str] | None = None,
) -> Iterator[ShardBlock]:
    """Blocks of about ``batch_bytes`` of a file of rows, of a kind of ``open_shard``; the last one has the
    error, if the rest cannot be read.

    Args:
        columns: read only these from Parquet, if it has any of them.
    """
    import pyarrow as pa

    number = 1
    tables = _arrow_tables(kind, file, shard.name, batch_bytes, columns)
    while True:
        broken: SynthError | None = None
        table = None
        try:
            table = next(tables, None)
            if table is not None:
                table.validate(full=True)
            else:
                broken = shard.change(raw)
        except SynthError as error:
            broken = error
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = (
                f"damaged or truncated {kind} data ({_first_line(error)}); fetch or write it again"
            )
            if isinstance(error, pa.ArrowNotImplementedError):
                reason = f"{kind} data of a kind that pyarrow does not read ({_first_line(error)})"
            broken = shard.failure(SynthError(f"{shard.name}: {reason}"), raw)
        if broken is not None:
            yield ShardBlock(shard.name, number, broken=broken)
        if broken is not None or table is None:
            return
        rows = max(1, int(batch_bytes * table.num_rows / max(1, _decoded_bytes(table))))
        for start in range(0, table.num_rows, rows):
            piece = table.slice(start, min(rows, table.num_rows - start))
            yield ShardBlock(shard.name, number, rows=piece)
            number += piece.num_rows


def _arrow_tables(
    kind: str, file: BufferedReader, name: str, batch_bytes: int, columns: Collection[str] | None
) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if kind == "parquet":
        parquet = pq.ParquetFile(file, pre_buffer=False, arrow_extensions_enabled=True)
        _refuse_equal_names(parquet.schema_arrow, name)
        taken = [one for one in parquet.schema_arrow.names if columns and one in columns] or None
        rows = _rows_of(parquet.metadata, batch_bytes, taken)
        for piece in parquet.iter_batches(batch_size=rows, columns=taken):
            yield pa.Table.from_batches([piece])
    elif kind == "arrow-file":
        reader = pa.ipc.open_file(file)
        _refuse_equal_names(reader.schema, name)
        for index in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(index)])
    else:
        watched = _EndTrackingStream(file)
        stream = pa.ipc.open_stream(watched)
        _refuse_equal_names(stream.schema, name)
        for piece in stream:
            yield pa.Table.from_batches([piece])
        if watched.ended:
            raise ValueError("the stream ends without its end mark")


class _EndTrackingStream(RawIOBase):
    """A stream that records whether it was read to its end.

    The reader of an Arrow stream stops at the end mark. Without one, the writing process did not finish.
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


def _rows_of(metadata: pq.FileMetaData, batch_bytes: int, columns: Sequence[str] | None) -> int:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    if columns is None:
        size = sum(group.total_byte_size for group in groups)
    else:
        roots = tuple(f"{name}." for name in columns)
        every = (group.column(index) for group in groups for index in range(group.num_columns))
        size = sum(
            one.total_uncompressed_size
            for one in every
            if f"{one.path_in_schema}.".startswith(roots)
        )
    rows = min(_MOST_ROWS, max(1, batch_bytes * metadata.num_rows // max(1, size)))
    longest = max(map(_longest_row, groups), default=0)
    return int(max(1, min(rows, _MOST_DECODED // max(1, longest))))


def _longest_row(group: pq.RowGroupMetaData) -> int:
    """Approximate maximal bytes of a row with dictionary-encoded values: one value may occur in any
    number of rows."""
    size = 0
    for index in range(group.num_columns):
        column = group.column(index)
        if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page:
            ratio = column.total_uncompressed_size / max(1, column.total_compressed_size)
            page = column.data_page_offset - (column.dictionary_page_offset or 0)
            size += int(max(0, page) * max(1.0, ratio))
    return size


def _decoded_bytes(table: pa.Table) -> int:
    """Bytes of a table with dictionaries expanded."""
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
