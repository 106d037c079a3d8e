"""Batches → CSV and TSV (RFC 4180, with the line ends of Unix)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from synthtools.errors import SynthError
from synthtools.records.batch import Batch
from synthtools.records.compression import DecompressingReader, compression_of
from synthtools.records.encoder_base import Encoder, EncoderTarget, compressor
from synthtools.records.jsonl import members, parse_value
from synthtools.records.nonfinite import Nonfinite
from synthtools.records.text_lines import decoded

_QUOTED = re.compile('[",\t\r\n]')


class CsvEncoder(Encoder):
    """A header and a row a record: strings as they are, null as nothing, other values as JSON.

    The header names the fields in the order in which they came. Where a later record has one more, the
    rows written so far are copied; on a pipe, where that cannot be done, it is an error.
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
        line = self._apart.join(cells) or '""'  # an empty line is no row
        return line.encode("utf-8") + b"\n"

    def _widen(self, new: list[str]) -> None:
        """Starts the table, or starts it over with more columns."""
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
    """The rows of a table that was written here, without its header."""
    with open(path, "rb") as file:
        codec = compression_of(file.peek(8))
        stream = file if codec is None else DecompressingReader(file, codec, str(path))
        csv.field_size_limit(1 << 31)
        rows = csv.reader(decoded(stream, "utf-8"), delimiter=apart, strict=True)
        next(rows)
        yield from rows
