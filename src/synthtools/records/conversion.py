"""CSV, arrays, plain text and other encodings → lines of JSON."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from io import BufferedReader, RawIOBase
from itertools import chain
from typing import TextIO, cast

from synthtools.errors import SynthError, parameter
from synthtools.records import text_lines
from synthtools.records.compression import DecompressingReader
from synthtools.records.input_format import InputFormat, Peekable, begins_an_array
from synthtools.records.inputs import Shard
from synthtools.records.shard_block import ShardBlock
from synthtools.records.text_lines import LONGEST, JsonLine, bounded_lines, json_line

# Maximal characters of a value [ours]; a longer one has an unclosed quote.
_LONGEST_VALUE = 1 << 26


def csv_rows(text: TextIO, name: str, kind: str, encoding: str | None) -> Iterator[JsonLine]:
    """The records of a table, each with the number of its first line.

    If a CSV header has no comma, the separator is a semicolon or tab, as in files from spreadsheets in
    locales with a decimal comma.

    Args:
        kind: ``csv`` or ``tsv``.

    Raises:
        SynthError: the header is missing, or names a field twice.
    """
    csv.field_size_limit(_LONGEST_VALUE)
    lines = bounded_lines(text, name)
    head = next(lines, "")
    apart = "\t" if kind == "tsv" else next((c for c in ",;\t" if c in head), ",")
    taken: list[str] = []  # lines of the current record

    def noted() -> Iterator[str]:
        for line in chain([head] if head else [], lines):
            taken.append(line)
            yield line

    rows = csv.reader(noted(), delimiter=apart, strict=True)
    number = 1
    header: list[str] | None = None
    while True:
        taken.clear()
        try:
            row = next(rows, None)
            fault = None
        except csv.Error as error:
            row, fault = [], f"not {kind.upper()}: {_plain(error, rows.line_num - number + 1)}"
        at, number = number, rows.line_num + 1
        if row is None:
            return
        if header is None:
            if fault is not None:
                raise SynthError(f"{name}:{at}: {fault}")
            header = _header(row, name) if row else None
        elif fault is not None:
            yield json_line(at, "".join(taken), encoding, fault)
        elif row and len(row) != len(header):
            fault = (
                f"{len(row)} value{'s' * (len(row) != 1)} where the header names {len(header)} (a value with "
                f"{'tabs' if apart == chr(9) else repr(apart)} stands in double quotes)"
            )
            yield json_line(at, row, encoding, fault)
        elif row:
            yield json_line(at, dict(zip(header, row, strict=True)), encoding)


def _header(names: list[str], source: str) -> list[str]:
    again = [name for name, count in Counter(names).items() if count > 1]
    if again:
        raise SynthError(
            f'{source}:1: two columns have the name "{again[0]}", and a record has one value of a '
            "name: rename one of them"
        )
    return names


def _plain(error: csv.Error, lines: int) -> str:
    reason = str(error)
    if "field larger" in reason or "unexpected end" in reason:
        return f"a double quote that opens a value is not closed within {lines:,} lines"
    if "expected after" in reason:
        return 'text behind a closing double quote (within a quoted value, a quote is written "")'
    return reason


_CHUNK = 1 << 18
# A string, a structural character, or a string whose end has not been read yet.
_TOKEN = re.compile(rb'"(?:[^"\\\n]++|\\[^\n])*+"|[\[\]{},]|"', re.DOTALL)
# Only from the first of several blanks: tried from each, a long run of blanks would take quadratic time.
_LINE_END = re.compile(rb"(?<![ \t\r])[ \t\r]*+\n[ \t\r\n]*+")


def array_elements(read: Callable[[int], bytes], name: str) -> Iterator[JsonLine]:
    """The elements of an array, of any kind, as one line each.

    Args:
        read: returns so many bytes of the array's text in UTF-8, fewer at its end.

    Memory: 256 KB, or twice the longest element.

    Raises:
        SynthError: the text is not exactly one complete array.
    """
    held, start, at = b"", 0, 0  # bytes; start of the element; scanned up to here
    depth = number = 0
    while data := read(max(_CHUNK, len(held) - start)):
        held, at, start = held[start:] + data, at - start, 0
        if len(held) > LONGEST:
            raise _broken(name, number, f"is longer than {LONGEST >> 20} MiB")
        for token in _TOKEN.finditer(held, at):
            at = token.start()
            mark = held[at : at + 1]
            if mark == b'"' and len(token[0]) == 1:
                if held.find(b"\n", at) >= 0:
                    raise _broken(name, number, "has a string that its line does not close")
                break
            at = token.end()
            if depth == 1 and mark == b"}":
                raise _broken(name, number, "ends with a brace that nothing opens")
            if depth == 1 and mark in (b",", b"]"):
                element = held[start : at - 1].strip()
                if element or mark == b"," or number > 1:
                    if not element:
                        raise _broken(name, number, "is empty (a comma too many)")
                    yield JsonLine(number, _LINE_END.sub(b" ", element))
                start = at
                number += 1
            if mark in (b"[", b"{"):
                depth += 1
                if depth == 1:
                    start, number = at, 1
            elif mark in (b"]", b"}"):
                depth -= 1
            if not depth:
                _refuse_more(held[at:], read, name)
                return
        else:
            at = len(held)
    raise SynthError(f"{name}: truncated: the JSON array has no end; fetch or write the file again")


def _refuse_more(rest: bytes, read: Callable[[int], bytes], name: str) -> None:
    while not rest.strip():
        if not (rest := read(_CHUNK)):
            return
    raise SynthError(
        f"{name}: something stands behind the JSON array; if this is JSONL: "
        f"{parameter('input_format', 'jsonl')}"
    )


def _broken(name: str, number: int, why: str) -> SynthError:
    return SynthError(f"{name}: element {number} of the JSON array {why}")


def blocks(
    stream: BufferedReader | DecompressingReader, raw: RawIOBase, shard: Shard, batch_bytes: int
) -> Iterator[ShardBlock]:
    """Blocks of other formats as JSONL: each record at its line number in the file."""
    number = 1  # the next line's
    broken = None
    json_blocks = _json_lines(stream, shard.format, shard.name)
    while broken is None:
        first, lines, faults, size = number, list[bytes](), dict[int, str](), 0
        try:
            while size < batch_bytes and (line := next(json_blocks, None)):
                lines += [b""] * (line.number - number)  # lines without the start of a record
                lines.append(line.json)
                number = line.number + 1
                size += len(line.json)
                if line.fault is not None:
                    faults[line.number] = line.fault
            if not lines:
                broken = shard.change(raw)
                if broken is None:
                    return
        except (SynthError, OSError) as error:
            broken = shard.failure(error, raw)
        if lines:
            yield ShardBlock(shard.name, first, b"\n".join([*lines, b""]), faults=faults)
    yield ShardBlock(shard.name, number, broken=broken)


def _json_lines(
    stream: BufferedReader | DecompressingReader, form: InputFormat, name: str
) -> Iterator[JsonLine]:
    """The records of a stream that is not JSONL in UTF-8.

    Args:
        name: the file's, for errors and the path field of plain text.

    Memory: one record.

    Raises:
        SynthError: the stream is damaged, or not of the format.
    """
    kind, encoding = form.kind, form.encoding
    text = text_lines.decoded(stream, encoding)
    try:
        if kind in ("csv", "tsv"):
            yield from csv_rows(text, name, kind, encoding)
        elif kind == "text":
            yield from text_lines.documents(text, name, encoding, form.split)
        elif kind == "json" and begins_an_array(cast(Peekable, text.buffer)):
            # Undecodable bytes are kept, and reported as the record's error.
            def read(size: int) -> bytes:
                return text.read(size).encode("utf-8", "surrogateescape")

            yield from array_elements(read, name)
        else:
            yield from text_lines.recoded_lines(text, name, encoding)
    except UnicodeError as error:
        raise SynthError(
            f"{name}: not {encoding or 'UTF-8'} ({error}); name its {parameter('encoding')}"
        ) from error
