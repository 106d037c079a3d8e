"""Names → shards: files, directories and stdin, recognised by their content."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.records.atomic_files import refuse_claimed
from synthtools.records.input_format import INPUT_FORMAT, InputFormat
from synthtools.records.memory_input import MemoryRecords
from synthtools.records.remote_paths import RemotePath, path_of
from synthtools.redaction import hide

STDIN = "-"
STDIN_NAME = "<stdin>"

_FINGERPRINT_SPAN = 1 << 20


@dataclass
class Shard:
    """One file of records, or stdin.

    ``bytes_read`` counts what has been taken from the file (compressed bytes of a compressed file),
    so that progress can be shown against ``size``. A ``temporary`` shard is a copy in TMPDIR, visible only
    to this machine.
    ``head`` holds bytes already taken from a pipe, with which its reader starts.
    ``status`` is the result of stat when the file was named; None if it is not a regular file.
    ``format`` is how its bytes become records.
    """

    name: str
    path: Path | RemotePath | None  # None: stdin, or records of the calling program
    size: int | None
    bytes_read: int = field(default=0, compare=False)
    temporary: bool = field(default=False, compare=False)
    head: bytes = field(default=b"", compare=False, repr=False)
    status: os.stat_result | None = field(default=None, compare=False, repr=False)
    records: MemoryRecords | None = field(default=None, compare=False, repr=False)
    format: InputFormat = field(default=InputFormat("jsonl"), compare=False, repr=False)
    _fingerprint: str | None = field(default=None, compare=False, repr=False)

    @property
    def is_stdin(self) -> bool:
        """Whether it is standard input, under whatever name."""
        return self.path is None and self.records is None

    def fingerprint(self) -> str | None:
        """A short hash of the size and of the first and last MiB, or of a store's ETag or the like: enough to
        detect a changed file.

        Computed once; None if there is no regular file (any more).
        """
        if self._fingerprint is None and self.path is not None and self.size is not None:
            if not self.path.exists():
                return None
            self._fingerprint = self._hashed(self.path, self.size)
        return self._fingerprint

    def account(self) -> dict[str, Any]:
        """What a report says of it."""
        return {"name": self.name, "bytes": self.size, "fingerprint": self.fingerprint()}

    def _hashed(self, path: Path | RemotePath, size: int) -> str:
        digest = hashlib.blake2b(str(size).encode(), digest_size=12)
        mark = path.mark() if isinstance(path, RemotePath) else None
        if mark is not None:
            digest.update(mark.encode())
            return digest.hexdigest()
        with open_unbuffered(path, self.name) as file, read_errors(self.name):
            digest.update(file.read(_FINGERPRINT_SPAN) or b"")
            if size > _FINGERPRINT_SPAN:
                file.seek(max(_FINGERPRINT_SPAN, size - _FINGERPRINT_SPAN))
                digest.update(file.read(_FINGERPRINT_SPAN) or b"")
        return digest.hexdigest()

    def change(self, file: io.RawIOBase) -> SynthError | None:
        """The error if an open file has changed since it was named; otherwise None."""
        if self.status is None or _version(os.fstat(file.fileno())) == _version(self.status):
            return None
        return SynthError(
            f"{self.name}: changed while it was read; run again when nothing writes to it"
        )

    def failure(self, error: SynthError | OSError, file: io.RawIOBase) -> SynthError:
        """The error of a failed read: a file that looks damaged may have changed during reading."""
        if isinstance(error, OSError):
            error = SynthError(f"{self.name}: cannot be read: {reason(error)}")
        return self.change(file) or error

    def digest(self) -> str:
        """A hash of the file's content.

        Raises:
            SynthError: it cannot be read, or is not a regular file.
        """
        if self.path is None or self.size is None:
            raise SynthError(f"{self.name}: not a regular file; this tool reads it more than once")
        with open_unbuffered(self.path, self.name) as file, read_errors(self.name):
            return hashlib.file_digest(file, hashlib.blake2b).hexdigest()


def find_shards(names: Sequence[str | MemoryRecords] | None) -> list[Shard]:
    """The shards of the given names, in the given order; those of a directory in name order.

    Args:
        names: files, directories, records of the calling program, ``-``, ``builtin:topics`` or ``builtin:sample``; none at all means stdin.

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
        elif name in (TOPICS, SAMPLE) and not os.path.exists(name):
            shards.append(_builtin(name))
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
        if shard.records is None and not shard.temporary:
            shard.format = form.of(shard.name)
    if form.split and all(shard.format.kind != "text" for shard in shards):
        raise UsageError(f"{parameter('split', form.split)}: for plain text (.txt, .md) alone")
    return shards


def part_of(shards: list[Shard], index: int, count: int) -> list[Shard]:
    """The ``index``-th (from 1) of ``count`` groups of consecutive shards, as equal as possible.

    Raises:
        UsageError: there are fewer shards than parts.
    """
    if len(shards) < count:
        raise UsageError(
            f"{parameter('shard', f'{index}/{count}')} needs at least {count} input files, there are {len(shards)}: "
            "cut the input with synth cat"
        )
    start, end = (len(shards) * i // count for i in (index - 1, index))
    return shards[start:end]


def _file_shard(path: Path, name: str) -> Shard:
    try:
        status = os.stat(name)
    except OSError as error:
        more = "; builtin:sample and builtin:topics are texts, builtin alone is a model"
        raise SynthError(
            f"{name or repr(name)}: {reason(error)}{more if name == 'builtin' else ''}"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        # Its reader starts with what was looked at in advance, which another opening would lack.
        return Shard(name, None if name == "/dev/stdin" else path, None)
    refuse_claimed(name, status)
    return Shard(name, path, status.st_size, status=status)


def _builtin(name: str) -> Shard:
    with read_errors(name):
        file = builtin_file(name)
    return Shard(name, file, file.stat().st_size, temporary=True)


def _version(status: os.stat_result) -> tuple[int, int, int]:
    # Not st_dev, which differs between nodes for shared storage.
    return status.st_ino, status.st_size, status.st_mtime_ns


def _shards_at(place: RemotePath) -> list[Shard]:
    """The shards at a URL: a directory's, or the file."""
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
        raise SynthError(f"{place}: {reason(error)}") from error
    if not files:
        raise _no_shards(str(place))
    return [Shard(hide(str(file)), file, size) for file, size in zip(files, sizes, strict=True)]


def _no_shards(name: str) -> SynthError:
    return SynthError(
        f"{name}: no shards in this directory (looked for *.jsonl, *.parquet, *.arrow, *.csv, *.tsv, "
        "*.json, *.txt, *.md, also as .gz and .zst)"
    )


def _directory_shards(name: str) -> list[Shard]:
    paths: list[str] = []
    # Links are followed, but no directory is visited twice, so that loops of links end.
    seen = {str(parent) for parent in Path(os.path.realpath(name)).parents}

    def refuse(error: OSError) -> None:
        raise SynthError(f"{error.filename}: {reason(error)}") from error

    for folder, folders, files in os.walk(name, followlinks=True, onerror=refuse):
        here = os.path.realpath(folder)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        if "config.json" in files and any(file.endswith(".safetensors") for file in files):
            raise SynthError(f"{folder}: a model, not a directory of records; name records here")
        folders[:] = sorted(f for f in folders if not f.startswith((".", "_")))
        below = folder[len(name) :].lstrip("/")
        paths += [os.path.join(below, file) for file in files]
    paths = INPUT_FORMAT.get().shards_among(paths)
    if not paths:
        raise _no_shards(name)
    shards = sorted(os.path.join(name, path) for path in paths)
    return [_file_shard(Path(path), path) for path in shards]


@contextmanager
def open_unbuffered(path: Path | RemotePath, name: str) -> Iterator[io.RawIOBase]:
    """An unbuffered file for reading; errors of the system become one line."""
    try:
        file: io.RawIOBase
        file = path.open() if isinstance(path, RemotePath) else open(path, "rb", buffering=0)
    except OSError as error:
        raise SynthError(f"{name}: {reason(error)}") from error
    with file:
        yield file


@contextmanager
def read_errors(name: str) -> Iterator[None]:
    """Turns operating-system errors of a read into one line."""
    try:
        yield
    except OSError as error:
        raise SynthError(f"{name}: cannot be read: {reason(error)}") from error


def reason(error: OSError) -> str:
    return error.strerror or str(error)


TOPICS = "builtin:topics"
SAMPLE = "builtin:sample"  # SmolLM2-135M on 24 of them, made by docs/demo/make_synthetic.sh

_KEPT: list[object] = []  # kept until the process ends


@cache
def builtin_file(name: str) -> Path:
    """A file of the records of ``builtin:topics`` (``id``, ``text`` of each topic of ``pydoc_data.topics``, by
    name) or of ``builtin:sample`` (``id``, ``text``, ``label``: on each topic a ``human`` and a ``synthetic`` one).

    The file belongs to this process: in memory if possible, otherwise in TMPDIR. Its content depends on
    the version of Python.

    Raises:
        OSError: it cannot be created.
    """
    from pydoc_data.topics import topics

    if name == TOPICS:
        return _file_of({"id": topic, "text": topics[topic]} for topic in sorted(topics))
    lines = Path(__file__).with_name("sample.jsonl").read_text("utf-8").splitlines()
    written = {record["id"]: record["text"] for record in map(json.loads, lines)}
    return _file_of(
        {"id": topic, "text": text, "label": label}
        for topic in written
        for label, text in (("human", topics.get(topic)), ("synthetic", written[topic]))
        if text is not None
    )


def _file_of(records: Iterable[dict[str, str]]) -> Path:
    content = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    if hasattr(os, "memfd_create") and os.path.isdir(f"/proc/{os.getpid()}/fd"):
        number = os.memfd_create("topics.jsonl")
        with open(number, "wb", closefd=False) as file:
            file.write(content)
        return Path(f"/proc/{os.getpid()}/fd/{number}")
    copy = tempfile.NamedTemporaryFile(prefix="synth-", suffix=".jsonl")
    _KEPT.append(copy)
    copy.write(content)
    copy.flush()
    return Path(copy.name)
