"""Opening a shard by its first bytes, and copying inputs that can be read only once."""

from __future__ import annotations

import io
import os
import select
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from synthtools.errors import SynthError
from synthtools.records.compression import compression_of
from synthtools.records.inputs import STDIN_NAME, Shard, open_unbuffered, reason

_SNIFFED = 16


class CountingFile(io.RawIOBase):
    """A raw file that counts the bytes read in its shard's ``bytes_read``."""

    def __init__(self, file: io.RawIOBase, shard: Shard) -> None:
        self._file = file
        self._shard = shard

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while (count := self._file.readinto(buffer)) is None:
            # Another process made the shared pipe non-blocking; None does not mean its end.
            select.select([self._file], [], [])
        self._shard.bytes_read += count
        return count

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


@contextmanager
def open_shard(shard: Shard) -> Iterator[tuple[str, io.BufferedReader, io.RawIOBase]]:
    """Opens a shard and recognises its format.

    Yields:
        (kind, file, raw): kind is ``jsonl``, ``gzip``, ``zstd``, ``parquet``, ``arrow-file``,
        ``arrow-stream`` or ``empty``; file is buffered, at the first byte; raw is the
        unbuffered file below it.

    Raises:
        SynthError: the file cannot be opened, or has a format without records.
    """
    with _source(shard) as raw, _buffered(CountingFile(raw, shard)) as file:
        yield *_sniffed(file, shard), raw


@contextmanager
def _source(shard: Shard) -> Iterator[io.RawIOBase]:
    if shard.records is not None:
        with shard.records.open() as file:
            yield file
        return
    if shard.path is not None:
        with open_unbuffered(shard.path, shard.name) as file:
            yield file
        return
    if sys.stdin is None:
        raise SynthError(f"{STDIN_NAME}: is closed; name files or directories")
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as file:
        head, shard.head = shard.head, b""
        yield _Rejoined(head, file) if head else file


def _buffered(raw: io.RawIOBase) -> io.BufferedReader:
    return io.BufferedReader(raw, buffer_size=1 << 18)


def _sniffed(file: io.BufferedReader, shard: Shard) -> tuple[str, io.BufferedReader]:
    head = b""
    try:
        # The start of JSON is recognised at once, without waiting for more of a slow pipe.
        while len(head) < _SNIFFED and not head.lstrip().startswith(b"{"):
            piece = file.read1(_SNIFFED - len(head))
            if not piece:
                break
            head += piece
    except OSError as error:
        raise SynthError(f"{shard.name}: cannot be read: {reason(error)}") from error
    if file.seekable():
        file.seek(-len(head), os.SEEK_CUR)
    else:
        file = _buffered(_Rejoined(head, file))
    kind = _kind(head, shard)
    if kind in ("parquet", "arrow-file") and not file.seekable():
        file = _spooled(file, shard)
    return kind, file


def _kind(head: bytes, shard: Shard) -> str:
    compression = compression_of(head)
    if compression is not None:
        return compression
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1"):
        return "arrow-file"
    if head.startswith(b"\xff\xff\xff\xff"):
        return "arrow-stream"
    shard.format.refuse_unreadable(head, shard.name)
    return "jsonl" if head else "empty"


class _Rejoined(io.RawIOBase):
    """Bytes already read, then the rest of the stream."""

    def __init__(self, head: bytes, rest: io.BufferedReader | io.FileIO) -> None:
        self._head = head
        self._rest = rest

    def fileno(self) -> int:
        return self._rest.fileno()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._head:
            # One read only: do not wait until a slow pipe fills the buffer.
            rest = self._rest
            once = rest.readinto1 if isinstance(rest, io.BufferedReader) else rest.readinto
            return once(buffer)
        piece, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


@contextmanager
def rereadable(shard: Shard, as_file: bool = False) -> Iterator[Shard]:
    """The shard, or if it can be read only once, a copy in TMPDIR.

    Args:
        as_file: whether a file is needed; in-memory records are then always copied.
    """
    again = shard.records is not None and shard.records.rereadable and not as_file
    if again or (shard.path is not None and shard.path.is_file()):
        yield shard
        return
    with tempfile.NamedTemporaryFile(prefix="synth-") as copy:
        with _source(shard) as file:
            try:
                shutil.copyfileobj(file, copy, 1 << 20)
                copy.flush()
            except OSError as error:
                raise SynthError(
                    f"{shard.name}: is read twice and therefore kept in TMPDIR, which fails: "
                    f"{reason(error)}"
                ) from error
        size = os.path.getsize(copy.name)
        yield Shard(shard.name, Path(copy.name), size, temporary=True, format=shard.format)


def _spooled(file: io.BufferedReader, shard: Shard) -> io.BufferedReader:
    # Parquet and Arrow files are read from their end: a pipe has to be copied to disk first.
    try:
        spool = tempfile.TemporaryFile(prefix="synth-")
        while piece := file.read(1 << 20):
            spool.write(piece)
        spool.seek(0)
    except OSError as error:
        raise SynthError(
            f"{shard.name}: a piped Parquet or Arrow file is kept in TMPDIR to be read, which "
            f"fails: {reason(error)}"
        ) from error
    return cast(io.BufferedReader, spool)  # it has the same interface
