"""Batches → the bytes of a format: JSONL (plain, gzip, zstd), Parquet, Arrow IPC, CSV."""

from __future__ import annotations

import csv
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from synthtools.errors import SynthError
from synthtools.records.batch import ArrowBatch, Batch
from synthtools.records.block_lines import BlockLines
from synthtools.records.compression import DecompressingReader, compression_of
from synthtools.records.jsonl import members, parse_value
from synthtools.records.shard_size import parts
from synthtools.records.sink import Nonfinite
from synthtools.records.text_lines import decoded

if TYPE_CHECKING:
    import pyarrow as pa

    from synthtools.records.schemas import TablePiece


class EncoderTarget(Protocol):
    """The target of an encoder; files also have ``restart`` (see AtomicFile)."""

    file: BinaryIO


class Encoder(ABC):
    """Writes batches to one target in one format.

    The bytes depend only on the records, not on their batches.
    """

    @abstractmethod
    def write(self, batch: Batch) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Completes the format (footer, last frame); the target stays open."""

    def abandon(self) -> None:  # noqa: B027 (most formats need nothing)
        """Stops writing; the output stays visibly incomplete."""


class _Plain:
    """No compression."""

    def compress(self, data: Any) -> Any:
        return data

    def flush(self) -> bytes:
        return b""


def compressor(compression: str) -> Any:
    """A compressor of a byte stream: ``gz``, ``zst``, or none."""
    if compression == "gz":
        return zlib.compressobj(6, zlib.DEFLATED, 31)
    if compression == "zst":
        import zstandard

        return zstandard.ZstdCompressor(level=3).compressobj()
    return _Plain()


_QUOTED = re.compile('[",\t\r\n]')


class CsvEncoder(Encoder):
    """A header and one row per record: strings as they are, null as an empty cell, other values as JSON.

    The header lists the fields in order of first occurrence. If a later record has a new field, the rows
    written so far are rewritten; on a pipe this is an error.
    """

    def __init__(self, target: EncoderTarget, form: str, nonfinite: Nonfinite) -> None:
        kind, _, self._compression = form.partition(".")
        self._apart = "\t" if kind == "tsv" else ","
        self._target = target
        self._nonfinite = nonfinite
        self._compressor = compressor(self._compression)
        self._header: list[str] = []

    def write(self, batch: Batch) -> None:
        rows: list[bytes] = []
        for index, line in enumerate(self._nonfinite.lines(batch)):
            cells = {name: _cell(line[a:b]) for name, _, a, b in members(line, line.index(b"{"))}
            new = [name for name in cells if name not in self._header]
            if new:
                self._put(rows)
                rows = []
                self._widen(new)
            try:
                rows.append(self._row(cells.get(name, "") for name in self._header))
            except UnicodeEncodeError as error:
                reason = "holds half of a surrogate pair, which no UTF-8 text can"
                raise batch.fault(index, reason) from error
        self._put(rows)

    def close(self) -> None:
        self._target.file.write(self._compressor.flush())

    def _put(self, rows: Iterable[bytes]) -> None:
        self._target.file.write(self._compressor.compress(b"".join(rows)))

    def _row(self, values: Iterable[str]) -> bytes:
        cells = [f'"{v.replace(chr(34), chr(34) * 2)}"' if _QUOTED.search(v) else v for v in values]
        line = self._apart.join(cells) or '""'  # an empty line would not be read as a row
        return line.encode("utf-8") + b"\n"

    def _widen(self, new: list[str]) -> None:
        """Starts the table, or restarts it with more columns."""
        written: Path | None = None
        if self._header:
            restart = getattr(self._target, "restart", None)
            if restart is None:
                raise SynthError(
                    f'field "{new[0]}" is not in the header that was written from the records before: '
                    "write to a file with -o, or pipe JSONL"
                )
            self.close()
            written = restart()
            self._compressor = compressor(self._compression)
        self._header += new
        self._put([self._row(self._header)])
        if written is not None:
            more = [""] * len(new)
            for row in _rows_in(written, self._apart):
                self._put([self._row(row + more)])


def _cell(value: bytes) -> str:
    if value.startswith(b'"'):
        return str(parse_value(value))
    return "" if value == b"null" else value.decode("utf-8")


def _rows_in(path: Path, apart: str) -> Iterator[list[str]]:
    """The rows of a table written by ``CsvEncoder``, without its header."""
    with open(path, "rb") as file:
        codec = compression_of(file.peek(8))
        stream = file if codec is None else DecompressingReader(file, codec, str(path))
        csv.field_size_limit(1 << 31)
        rows = csv.reader(decoded(stream, "utf-8"), delimiter=apart, strict=True)
        next(rows)
        yield from rows


# Size of row groups: small enough for memory, large enough for column readers.
_GROUP_BYTES = 64 << 20
# In a stream the next tool waits for each group.
_STREAM_GROUP_BYTES = 2 << 20

_LINES = ("jsonl", "csv", "tsv")
FORMATS = (
    *_LINES,
    *(f"{one}.{end}" for one in _LINES for end in ("gz", "zst")),
    "parquet",
    "arrow",
)


def encoder(form: str, target: EncoderTarget, nonfinite: Nonfinite) -> Encoder:
    """The encoder of a format named in ``FORMATS``, or ``arrow-stream`` for pipes."""
    if form.startswith("jsonl"):
        return JsonlEncoder(target, form.removeprefix("jsonl").removeprefix("."), nonfinite)
    if form.startswith(("csv", "tsv")):
        from synthtools.records.encoders import CsvEncoder

        return CsvEncoder(target, form, nonfinite)
    return TableEncoder(target, form)


class JsonlEncoder(Encoder):
    """One JSON object per line; ``compression`` is ``""``, ``gz`` or ``zst``."""

    def __init__(self, target: EncoderTarget, compression: str, nonfinite: Nonfinite) -> None:
        self._nonfinite = nonfinite
        self._file = target.file
        self._compressor = compressor(compression)

    def write(self, batch: Batch) -> None:
        if not len(batch):
            return
        data = BlockLines.of(self._nonfinite.lines(batch)).content()
        self._file.write(self._compressor.compress(data))

    def close(self) -> None:
        self._file.write(self._compressor.flush())


class TableEncoder(Encoder):
    """Parquet, an Arrow IPC file, or an Arrow IPC stream.

    The schema is inferred from the records. If later records need a wider one (a column that was null so
    far, a fraction in a column of integers), the rows written so far are rewritten; on a pipe this is an
    error. There the first group is as large as in a file where its schema is inferred from JSON.
    """

    def __init__(self, target: EncoderTarget, form: str) -> None:
        self._target = target
        self._form = form
        self._schema: pa.Schema | None = None
        self._writer: Any = None
        self._pending: list[TablePiece] = []
        self._filled = 0

    def write(self, batch: Batch) -> None:
        sizes, start = batch.written_sizes(), 0
        while start < len(batch):
            known = self._writer is not None or isinstance(batch, ArrowBatch)
            whole = self._form != "arrow-stream" or not known
            limit = _GROUP_BYTES if whole else _STREAM_GROUP_BYTES
            _, end, self._filled = next(parts(sizes[start:], self._filled, limit))
            part = batch if end == len(batch) else batch.take(range(start, start + end))
            self._pending.append(part.piece())
            start += end
            if self._filled >= limit:
                self._flush()

    def close(self) -> None:
        self._flush(last=True)
        if self._writer is None:
            import pyarrow as pa

            # Parquet needs a column even without records.
            self._open(pa.schema([("text", pa.string())]))
        self._writer.close()

    def abandon(self) -> None:
        # A discarded Parquet writer would write its footer to the closed file.
        if self._form == "parquet" and self._writer is not None:
            self._writer.is_open = False

    def _flush(self, last: bool = False) -> None:
        if not self._pending:
            return
        from synthtools.records import schemas

        schema = self._schema
        for piece in self._pending:
            piece_schema = piece.table.schema
            schema = piece_schema if schema is None else schemas.unify(schema, piece_schema)
        assert schema is not None
        if self._form == "parquet" and not schema.names and not last:
            self._filled = 0  # Parquet needs a field: wait for a record with one
            return
        schema, tables = schemas.fitted(self._pending, schema)
        if self._writer is None:
            self._open(schema)
        elif not schema.equals(self._schema):
            schema = self._widen(schema)
            schema, tables = schemas.fitted(self._pending, schema)
        self._write_group(schemas.joined(tables))
        self._pending, self._filled = [], 0

    def _write_group(self, group: pa.Table) -> None:
        if self._form == "parquet":
            self._writer.write_table(group, row_group_size=max(1, group.num_rows))
        else:
            self._writer.write_table(group)

    def _open(self, schema: pa.Schema) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = schema
        if self._form == "parquet":
            if not schema.names:
                raise SynthError("records without any field cannot be kept as Parquet; write JSONL")
            try:
                self._writer = pq.ParquetWriter(self._target.file, schema, compression="zstd")
            except pa.ArrowNotImplementedError as error:
                raise SynthError(f"Parquet cannot keep a field ({error}); write .arrow") from error
        elif self._form == "arrow":
            self._writer = pa.ipc.new_file(self._target.file, schema)
        else:
            self._writer = pa.ipc.new_stream(self._target.file, schema)

    def _widen(self, schema: pa.Schema) -> pa.Schema:
        from synthtools.records import schemas

        assert self._schema is not None
        restart = getattr(self._target, "restart", None)
        if restart is None:
            changed = [f.name for f in schema if self._schema.get_field_index(f.name) < 0] or [
                f.name for f in schema if not f.type.equals(self._schema.field(f.name).type)
            ]
            raise SynthError(
                f'the type of field "{changed[0]}" changes in the middle of the stream, which a '
                "pipe cannot take back: write to a file with -o, or pipe JSONL"
            )
        self._writer.close()
        written = restart()
        # Two passes: first check whether every old group fits; if one does not, its column becomes JSON
        # for all.
        for group in _tables_in(written, self._form):
            schema, _ = schemas.fitted([schemas.TablePiece(group)], schema)
        self._open(schema)
        for group in _tables_in(written, self._form):
            self._write_group(schemas.fitted([schemas.TablePiece(group)], schema)[1][0])
        return schema


def _tables_in(path: Path, form: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if form == "parquet":
        with pq.ParquetFile(path, arrow_extensions_enabled=True) as parquet:
            for index in range(parquet.num_row_groups):
                yield parquet.read_row_group(index)
    else:
        with pa.OSFile(str(path)) as file:
            reader = pa.ipc.open_file(file)
            for index in range(reader.num_record_batches):
                yield pa.Table.from_batches([reader.get_batch(index)])
