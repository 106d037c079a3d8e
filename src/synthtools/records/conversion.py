"""CSV, arrays, plain text and other encodings → lines of JSON."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from typing import cast

from synthtools.errors import SynthError, parameter
from synthtools.records import csv_records, json_array, text_lines
from synthtools.records.compression import DecompressingReader
from synthtools.records.input_format import InputFormat, Peekable, begins_an_array
from synthtools.records.inputs import Shard
from synthtools.records.shard_block import ShardBlock
from synthtools.records.text_lines import JsonLine


def blocks(
    stream: BufferedReader | DecompressingReader, raw: RawIOBase, shard: Shard, batch_bytes: int
) -> Iterator[ShardBlock]:
    """Blocks of what is no JSONL, as JSONL: a record at the number that it has in the file."""
    number = 1  # of the next line
    broken = None
    found = _json_lines(stream, shard.format, shard.name)
    while broken is None:
        first, lines, faults, size = number, list[bytes](), dict[int, str](), 0
        try:
            while size < batch_bytes and (line := next(found, None)):
                lines += [b""] * (line.number - number)  # lines on which no record begins
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
        name: of the file, for errors and for what plain text is told by.

    Memory: a record.

    Raises:
        SynthError: the stream is damaged, or not of the format.
    """
    kind, encoding = form.kind, form.encoding
    text = text_lines.decoded(stream, encoding)
    try:
        if kind in ("csv", "tsv"):
            yield from csv_records.records(text, name, kind, encoding)
        elif kind == "text":
            yield from text_lines.documents(text, name, encoding, form.split)
        elif kind == "json" and begins_an_array(cast(Peekable, text.buffer)):
            # Bytes that cannot be decoded stay what they are: the record's error says so.
            def read(size: int) -> bytes:
                return text.read(size).encode("utf-8", "surrogateescape")

            yield from json_array.elements(read, name)
        else:
            yield from text_lines.recoded_lines(text, name, encoding)
    except UnicodeError as error:
        raise SynthError(
            f"{name}: not {encoding or 'UTF-8'} ({error}); name its {parameter('encoding')}"
        ) from error
