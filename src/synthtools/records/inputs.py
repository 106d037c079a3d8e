"""What the user named, as shards: files, directories and stdin, recognised by their content."""

from __future__ import annotations

import hashlib
import io
import os
import select
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from synthtools.errors import SynthError, UsageError
from synthtools.records.compression import compression_of
from synthtools.records.input_format import INPUT_FORMAT, InputFormat, option
from synthtools.records.memory_input import MemoryRecords
from synthtools.records.python_topics import TOPICS, topics_file
from synthtools.records.remote_paths import RemotePath, path_of
from synthtools.redaction import hide

STDIN = "-"
STDIN_NAME = "<stdin>"

_SNIFFED = 16
_FINGERPRINT_SPAN = 1 << 20


@dataclass
class Shard:
    """One file of records, or stdin.

    ``bytes_read`` counts what has been taken from the file (compressed bytes of a compressed file),
    so that progress can be shown against ``size``. A ``temporary`` one is a copy in TMPDIR, which only
    this machine sees.
    ``head`` is what has been taken from a pipe already, for its reader to begin with.
    ``found`` is what the system said of the file when it was named (None: no plain file).
    ``format`` is how its bytes become records.
    """

    name: str
    path: Path | RemotePath | None  # None: stdin, or records of the calling program
    size: int | None
    bytes_read: int = field(default=0, compare=False)
    temporary: bool = field(default=False, compare=False)
    head: bytes = field(default=b"", compare=False, repr=False)
    found: os.stat_result | None = field(default=None, compare=False, repr=False)
    records: MemoryRecords | None = field(default=None, compare=False, repr=False)
    format: InputFormat = field(default=InputFormat("jsonl"), compare=False, repr=False)
    _fingerprint: str | None = field(default=None, compare=False, repr=False)

    def fingerprint(self) -> str | None:
        """A short hash of the size and of the first and last MiB, or of what a store tells of its
        object's content: enough to notice another file.

        It is taken once, and None where there is no plain file (any more).
        """
        if self._fingerprint is None and self.path is not None and self.size is not None:
            if not self.path.exists():
                return None
            self._fingerprint = self._hashed(self.path, self.size)
        return self._fingerprint

    def _hashed(self, path: Path | RemotePath, size: int) -> str:
        digest = hashlib.blake2b(str(size).encode(), digest_size=12)
        mark = path.mark() if isinstance(path, RemotePath) else None
        if mark is not None:
            digest.update(mark.encode())
            return digest.hexdigest()
        with opened(path, self.name) as file, understood(self.name):
            digest.update(file.read(_FINGERPRINT_SPAN))
            if size > _FINGERPRINT_SPAN:
                file.seek(max(_FINGERPRINT_SPAN, size - _FINGERPRINT_SPAN))
                digest.update(file.read(_FINGERPRINT_SPAN))
        return digest.hexdigest()

    def changed(self, file: BinaryIO) -> bool:
        """Whether an open file of this shard is no longer what it was when it was named."""
        return self.found is not None and _version(os.fstat(file.fileno())) != _version(self.found)

    def digest(self) -> str:
        """A hash of all that the file holds.

        Raises:
            SynthError: it cannot be read, or is no file.
        """
        if self.path is None or self.size is None:
            raise SynthError(f"{self.name}: not a regular file; this tool reads it more than once")
        with opened(self.path, self.name) as file, understood(self.name):
            return hashlib.file_digest(file, hashlib.blake2b).hexdigest()  # type: ignore[arg-type]


def find_shards(names: Sequence[str | MemoryRecords] | None) -> list[Shard]:
    """The shards behind what the user named, in the order given, a directory's in name order.

    Args:
        names: files, directories, records of the calling program, ``-``, or ``builtin:topics``; none at all means stdin.

    Raises:
        SynthError: a name does not exist, cannot be read, or is a directory without shards.
        UsageError: stdin is named twice, or is a terminal and nothing else was named.
    """
    if not names:
        if sys.stdin is not None and sys.stdin.isatty():
            raise UsageError("no input: name files or directories, or pipe records in")
        names = [STDIN]
    if list(names).count(STDIN) > 1:
        raise UsageError("stdin (-) can be read only once")
    shards: list[Shard] = []
    for name in names:
        if isinstance(name, MemoryRecords):
            shards.append(Shard(name.name, None, None, records=name))
        elif name == STDIN:
            shards.append(Shard(STDIN_NAME, None, None))
        elif name == TOPICS and not os.path.exists(name):
            shards.append(_topics())
        else:
            place = path_of(name)
            if isinstance(place, RemotePath):
                shards.extend(_shards_at(place))
            elif os.path.isdir(name):
                shards.extend(_directory_shards(name))
            else:
                shards.append(_file_shard(place, name))
    form = INPUT_FORMAT.get()
    for shard in shards:
        if shard.records is None and shard.name != TOPICS:
            shard.format = form.of(shard.name)
    if form.split and all(shard.format.kind != "text" for shard in shards):
        raise UsageError(f"{option('split', form.split)}: for plain text (.txt, .md) alone")
    return shards


def part_of(shards: list[Shard], index: int, count: int) -> list[Shard]:
    """The ``index``-th (from 1) of ``count`` runs of neighbouring shards, as even as they can be.

    Raises:
        UsageError: there are fewer shards than parts.
    """
    if len(shards) < count:
        raise UsageError(
            f"--shard {index}/{count} needs at least {count} input files, there are {len(shards)}: "
            "cut the input with synth cat … -o DIR/ --shard-size SIZE"
        )
    start, end = (len(shards) * i // count for i in (index - 1, index))
    return shards[start:end]


def _file_shard(path: Path, name: str) -> Shard:
    try:
        found = os.stat(name)
    except OSError as error:
        raise SynthError(f"{name or repr(name)}: {_reason(error)}") from error
    if not stat.S_ISREG(found.st_mode):
        return Shard(name, path, None)
    return Shard(name, path, found.st_size, found=found)


def _topics() -> Shard:
    with understood(TOPICS):
        file = topics_file()
    return Shard(TOPICS, file, file.stat().st_size, temporary=True)


def _version(found: os.stat_result) -> tuple[int, int, int]:
    # Not st_dev: shared storage has another number on each node.
    return found.st_ino, found.st_size, found.st_mtime_ns


def _shards_at(place: RemotePath) -> list[Shard]:
    """The shards of a directory by URL, or a file by URL."""
    if place.single and str(place).endswith("/"):
        raise SynthError(f"{place}: over HTTP files are read, not directories: name each file")
    try:
        files = [place] if place.is_file() else place.walk()
        if not place.exists():
            raise SynthError(f"{place}: No such file or directory")
        if not place.is_file():
            below = {str(file)[len(str(place).rstrip("/")) + 1 :]: file for file in files}
            files = [below[name] for name in INPUT_FORMAT.get().shards_among(list(below))]
        sizes = [file.details().get("size") for file in files]
    except OSError as error:
        raise SynthError(f"{place}: {_reason(error)}") from error
    if not files:
        raise _no_shards(str(place))
    return [Shard(hide(str(file)), file, size) for file, size in zip(files, sizes, strict=True)]


def _no_shards(name: str) -> SynthError:
    return SynthError(
        f"{name}: no shards in this directory (looked for *.jsonl, *.parquet, *.arrow, *.csv, *.tsv, "
        "*.json, *.txt, *.md, also as .gz and .zst)"
    )


def _directory_shards(name: str) -> list[Shard]:
    found: list[str] = []
    # Links are followed, but no directory is taken twice, nor one that holds this one: a loop of
    # links ends there.
    seen = {str(parent) for parent in Path(os.path.realpath(name)).parents}

    def refuse(error: OSError) -> None:
        raise SynthError(f"{error.filename}: {_reason(error)}") from error

    for folder, folders, files in os.walk(name, followlinks=True, onerror=refuse):
        here = os.path.realpath(folder)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(f for f in folders if not f.startswith((".", "_")))
        below = folder[len(name) :].lstrip("/")
        found += [os.path.join(below, file) for file in files]
    found = INPUT_FORMAT.get().shards_among(found)
    if not found:
        raise _no_shards(name)
    paths = sorted(os.path.join(name, path) for path in found)
    return [_file_shard(Path(path), path) for path in paths]


class CountingFile(io.RawIOBase):
    """A raw file that adds what is read from it to its shard's ``bytes_read``."""

    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self._file = file
        self._shard = shard

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while (count := self._file.readinto(buffer)) is None:  # type: ignore[attr-defined]
            # Someone who shares the pipe has made it non-blocking; None is not its end.
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
def opened(path: Path | RemotePath, name: str) -> Iterator[BinaryIO]:
    """An unbuffered file for reading; what the system refuses becomes one line."""
    try:
        file = path.open() if isinstance(path, RemotePath) else open(path, "rb", buffering=0)
    except OSError as error:
        raise SynthError(f"{name}: {_reason(error)}") from error
    with file:
        yield file  # type: ignore[misc]


@contextmanager
def understood(name: str) -> Iterator[None]:
    """Turns what the system says of reading into one line."""
    try:
        yield
    except OSError as error:
        raise SynthError(f"{name}: cannot be read: {_reason(error)}") from error


@contextmanager
def open_shard(shard: Shard) -> Iterator[tuple[str, io.BufferedReader, BinaryIO]]:
    """Opens a shard and tells what it holds.

    Yields:
        (kind, file, raw): kind is ``jsonl``, ``gzip``, ``zstd``, ``parquet``, ``arrow-file``,
        ``arrow-stream`` or ``empty``; file is buffered, at the first byte; raw is the file of the
        system below it.

    Raises:
        SynthError: the file cannot be opened, or is of a kind we know not to be records.
    """
    with _source(shard) as raw, _buffered(CountingFile(raw, shard)) as file:
        yield *_sniffed(file, shard), raw


@contextmanager
def _source(shard: Shard) -> Iterator[BinaryIO]:
    if shard.records is not None:
        with shard.records.open() as file:
            yield file  # type: ignore[misc]
        return
    if shard.path is not None:
        with opened(shard.path, shard.name) as file:
            yield file
        return
    if sys.stdin is None:
        raise SynthError(f"{STDIN_NAME}: is closed; name files or directories")
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as file:
        head, shard.head = shard.head, b""
        yield _Rejoined(head, file) if head else file  # type: ignore[misc]


def _buffered(raw: io.RawIOBase) -> io.BufferedReader:
    return io.BufferedReader(raw, buffer_size=1 << 18)


def _sniffed(file: io.BufferedReader, shard: Shard) -> tuple[str, io.BufferedReader]:
    head = b""
    try:
        # What begins like JSON is known at once: a slow pipe need not give more.
        while len(head) < _SNIFFED and not head.lstrip().startswith(b"{"):
            piece = file.read1(_SNIFFED - len(head))
            if not piece:
                break
            head += piece
    except OSError as error:
        raise SynthError(f"{shard.name}: cannot be read: {_reason(error)}") from error
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
    """Bytes taken for a look, then the rest of the stream."""

    def __init__(self, head: bytes, rest: io.BufferedReader | io.FileIO) -> None:
        self._head = head
        self._rest = rest

    def fileno(self) -> int:
        return self._rest.fileno()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._head:
            # Once: a pipe that gives little must not be waited for until the buffer is full.
            rest = self._rest
            once = rest.readinto1 if isinstance(rest, io.BufferedReader) else rest.readinto
            return once(buffer)
        piece, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


@contextmanager
def rereadable(shard: Shard, file: bool = False) -> Iterator[Shard]:
    """The shard, or where it can be read only once, a copy of it in TMPDIR.

    Args:
        file: it must be a file; records of the calling program are copied in any case.
    """
    again = shard.records is not None and shard.records.rereadable and not file
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
                    f"{_reason(error)}"
                ) from error
        size = os.path.getsize(copy.name)
        yield Shard(shard.name, Path(copy.name), size, temporary=True, format=shard.format)


def _spooled(file: io.BufferedReader, shard: Shard) -> io.BufferedReader:
    # Parquet and Arrow files are read from their end: a pipe has to be laid on disk first.
    try:
        spool = tempfile.TemporaryFile(prefix="synth-")
        while piece := file.read(1 << 20):
            spool.write(piece)
        spool.seek(0)
    except OSError as error:
        raise SynthError(
            f"{shard.name}: a piped Parquet or Arrow file is kept in TMPDIR to be read, which "
            f"fails: {_reason(error)}"
        ) from error
    return spool  # type: ignore[return-value]


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
