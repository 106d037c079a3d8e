"""The format of files that is not evident from their first bytes: by name, or by option."""

from __future__ import annotations

import codecs
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Protocol

from synthtools.errors import SynthError, parameter

COMPRESSED = (".gz", ".zst", ".zstd")

_TABLES = {".csv": "csv", ".tsv": "tsv"}
_TEXTS = {".txt": "text", ".md": "text", ".markdown": "text"}
_KINDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", **_TABLES, **_TEXTS}


def _with_compressed(*stems: str) -> tuple[str, ...]:
    return stems + tuple(stem + end for stem in stems for end in COMPRESSED)


# Names of shards, whose format is recognised by content.
SHARD_SUFFIXES = (
    *_with_compressed(".jsonl", ".ndjson"),
    *(".json" + end for end in COMPRESSED),
    *(".parquet", ".arrow", ".feather", ".ipc"),
)
# A directory may hold more than data (a README, a licence): its shards are its files of the first of
# these kinds that it contains [ours].
_OF_DIRECTORIES = (
    SHARD_SUFFIXES,
    _with_compressed(*_TABLES),
    (".json",),
    _with_compressed(*_TEXTS),
)


def stem(name: str) -> str:
    """A file's name without the suffixes of format and compression: ``vicuna-v1.3.jsonl.zst`` →
    ``vicuna-v1.3``."""
    for suffixes in (COMPRESSED, (*_KINDS, ".parquet", ".arrow", ".feather", ".ipc")):
        end = next((one for one in suffixes if name.endswith(one)), "")
        name = name.removesuffix(end) or name
    return name


WINDOWS = f"{parameter('encoding', 'cp1252')} reads Windows-1252"
ARRAY = f"{parameter('input_format', 'json')} reads one array of records"


class Peekable(Protocol):
    """A stream with ``peek``."""

    def peek(self, size: int, /) -> bytes: ...


def begins_an_array(stream: Peekable) -> bool:
    """Whether text, in any encoding, starts with a bracket."""
    # Skip spaces, byte order marks and the zeros of UTF-16.
    head = stream.peek(1)[:64].translate(None, b" \t\r\n\0\xff\xfe\xef\xbb\xbf")
    return head.startswith(b"[")


@dataclass(frozen=True)
class InputFormat:
    """How the bytes of files become records.

    Attributes:
        kind: ``jsonl``, ``json`` (one array of records, otherwise JSONL), ``csv``, ``tsv``, ``text``; empty:
            by the file's name, otherwise as ``json``. Parquet and Arrow are always recognised.
        encoding: of text; None is UTF-8.
        split: for plain text: ``lines`` or ``paragraphs`` are records; None: a file is one record.
    """

    kind: str = ""
    encoding: str | None = None
    split: str | None = None

    @property
    def by_content(self) -> bool:
        """Whether the format depends only on the bytes of a file."""
        return self.kind in ("jsonl", "json") and self.encoding is None

    def is_jsonl(self, stream: Peekable) -> bool:
        """Whether a stream of this format is JSONL in UTF-8."""
        if self.encoding not in (None, "utf-8"):
            return False
        return self.kind == "jsonl" or (self.kind == "json" and not begins_an_array(stream))

    def of(self, name: str) -> InputFormat:
        """The format of a file with this name."""
        return self if self.kind else replace(self, kind=_kind(name))

    def shards_among(self, names: list[str]) -> list[str]:
        """The files of a directory that are its shards."""
        open_names = [n for n in names if not any(p[:1] in (".", "_") for p in n.split("/"))]
        for suffixes in _OF_DIRECTORIES:
            named = [name for name in open_names if name.lower().endswith(suffixes)]
            if self.kind:
                named = [name for name in named if _kind(name) == self.kind]
            if named:
                return named
        return []

    def refuse_unreadable(self, head: bytes, name: str) -> None:
        """Raises SynthError if the first bytes of a file show an unsupported format."""
        if head.startswith(b"PK\x03\x04"):
            raise SynthError(
                f"{name}: a zip archive or a spreadsheet: unzip it, or export it as CSV"
            )
        if head.startswith((b"BZh", b"\xfd7zXZ", b"\x04\x22\x4d\x18")):
            raise SynthError(f"{name}: compressed in a way that is not read here; use gzip or zstd")
        if self.encoding is None and head.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise SynthError(
                f"{name}: UTF-16 text, not UTF-8: {parameter('encoding', 'utf-16')} reads it"
            )
        if self.encoding is None and b"\0" in head:
            raise SynthError(
                f"{name}: neither text in UTF-8 nor Parquet nor Arrow (where it is UTF-16: "
                f"{parameter('encoding', 'utf-16-le')})"
            )


def _kind(name: str) -> str:
    name = name.lower()
    for end in COMPRESSED:
        name = name.removesuffix(end)
    return next((kind for suffix, kind in _KINDS.items() if name.endswith(suffix)), "json")


def encoding_of(text: str) -> str:
    """An encoding's name; raises ValueError if Python does not know it."""
    try:
        return codecs.lookup(text).name
    except LookupError:
        raise ValueError("not an encoding (examples: cp1252, utf-16, latin-1, gb18030)") from None


BY_NAME = InputFormat()
# Of the running tool.
INPUT_FORMAT: ContextVar[InputFormat] = ContextVar("input_format", default=BY_NAME)
