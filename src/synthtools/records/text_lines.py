"""Decoded text → lines of JSON, and plain text as records."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BufferedReader, RawIOBase, TextIOWrapper
from itertools import chain
from typing import Any, NamedTuple, Protocol, TextIO

from synthtools.errors import SynthError, parameter
from synthtools.records.input_format import WINDOWS
from synthtools.records.jsonl import json_bytes

# Longer lines and documents are refused [ours].
LONGEST = 1 << 28


class JsonLine(NamedTuple):
    """A record as one line of JSON.

    Attributes:
        number: of the line in the file, or the element in the array, from 1.
        fault: why it is not a record; ``json`` then holds the text.
    """

    number: int
    json: bytes
    fault: str | None = None


class ByteStream(Protocol):
    """Bytes as they come."""

    def read1(self, size: int, /) -> bytes: ...


class _Raw(RawIOBase):
    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def decoded(stream: ByteStream, encoding: str | None) -> TextIOWrapper:
    """A stream as text with original line ends; undecodable bytes become lone surrogates, which
    ``json_line`` reports per record. A byte order mark is removed."""
    raw = BufferedReader(_Raw(stream), 1 << 18)
    name = "utf-8-sig" if encoding in (None, "utf-8") else encoding
    return TextIOWrapper(raw, name, errors="surrogateescape", newline="")


def bounded_lines(text: TextIO, name: str) -> Iterator[str]:
    """Lines with their ends.

    Raises:
        SynthError: one has more than ``LONGEST`` characters.
    """
    number = 0
    while line := text.readline(LONGEST):
        number += 1
        if len(line) == LONGEST:
            raise SynthError(
                f"{name}:{number}: a line of more than {LONGEST >> 20} Mi characters is not a record"
            )
        yield line


def json_line(number: int, value: Any, encoding: str | None, fault: str | None = None) -> JsonLine:
    """A value as a line of JSON; with a fault if it has undecodable bytes."""
    line = json_bytes(value)
    if fault is None and b"\\ud" in line and _undecoded(value):
        fault = f"bytes that are not {encoding or f'UTF-8; {WINDOWS}'}"
    return JsonLine(number, line, fault)


def _undecoded(value: Any) -> bool:
    texts = [*value, *value.values()] if isinstance(value, dict) else [value]
    return any(
        "\udc80" <= character <= "\udcff"
        for text in texts
        if isinstance(text, str) and not text.isascii()
        for character in text
    )


def recoded_lines(text: TextIO, name: str, encoding: str | None) -> Iterator[JsonLine]:
    """JSON lines of a file in another encoding, in UTF-8."""
    for number, line in enumerate(bounded_lines(text, name), 1):
        line = line.rstrip("\r\n")
        try:
            yield JsonLine(number, line.encode("utf-8"))
        except UnicodeEncodeError:
            yield json_line(number, line, encoding)


def documents(
    text: TextIO, name: str, encoding: str | None, split: str | None
) -> Iterator[JsonLine]:
    """Plain text as records with ``path`` and ``text``, and for parts of a file the ``line`` of their start.

    Args:
        split: ``lines`` or ``paragraphs`` (separated by blank lines); None: the file is one record.

    Raises:
        SynthError: a document is too long.
    """
    path = os.fsencode(name).decode("utf-8", "replace")
    if split is None:
        body = text.read(LONGEST + 1)
        if len(body) > LONGEST:
            raise SynthError(
                f"{name}: a document of more than {LONGEST >> 20} Mi characters: "
                f"{parameter('split', 'paragraphs')} makes records of its parts"
            )
        if body.strip():
            yield json_line(1, {"path": path, "text": body}, encoding)
        return
    begin, piece = 1, ""
    for number, line in enumerate(chain(bounded_lines(text, name), [""]), 1):
        blank = not line.strip()
        if piece and (blank or split == "lines"):
            record = {"path": path, "line": begin, "text": piece.rstrip("\r\n")}
            yield json_line(begin, record, encoding)
            piece = ""
        if not blank:
            begin, piece = (begin, piece + line) if piece else (number, line)
