"""Values that runs and processes share, under keys that are hashes of all that a value depends on."""

from __future__ import annotations

import fcntl
import os
import re
import threading
from hashlib import blake2b
from pathlib import Path
from typing import Any

from synthtools.errors import SynthError
from synthtools.records.atomic_files import write_errors
from synthtools.records.jsonl import json_bytes, parse_object

# The sum tells what a disk or an editor has changed since.
_LINE = re.compile(rb'\{"key":"([0-9a-f]{32})","sum":"([0-9a-f]{16})","value":(\{.*\})\}\n')
_HEAD = len(b'{"key":"')


class ValueCache:
    """A directory of at most 256 files of JSON lines, by the first two letters of keys.

    Safe to be used from any thread and any process: lines are appended under the system's lock of their
    file. Of several values under a key the last one counts.

    Attributes:
        hits: values that were asked for and there; added: of this run.
        damaged: lines that are no values; they are left as they are.

    Raises:
        SynthError: the directory cannot be written.

    Memory: about 100 bytes for each value in the files that were looked into.
    """

    def __init__(self, folder: Path) -> None:
        self.hits = self.added = self.damaged = 0
        self._folder = folder
        self._ends: dict[str, int] = {}  # how far each file has been read
        self._places: dict[bytes, tuple[int, int]] = {}
        self._lock = threading.Lock()
        if folder.exists() and not folder.is_dir():
            raise SynthError(f"{folder}: is a file; a cache is a directory")
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key[:2]}.jsonl"

    def get(self, key: str, again: bool = False) -> dict[str, Any] | None:
        """The value under a key, None where there is none.

        Args:
            again: it has been asked for, and counted, before.
        """
        with self._lock, write_errors(self._path(key)):
            try:
                file = os.open(self._path(key), os.O_RDONLY)
            except FileNotFoundError:
                return None
            try:
                name = key.encode()
                if name not in self._places:
                    self._read_on(file, key[:2])
                value = self._value(file, name)
            finally:
                os.close(file)
            self.hits += value is not None and not again
            return value

    def _read_on(self, file: int, part: str) -> None:
        """Notes where the values are that were appended since the last look."""
        end = self._ends.get(part, 0)
        with os.fdopen(os.dup(file), "rb") as lines:
            lines.seek(end)
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # somebody is writing it
                key = line[_HEAD : _HEAD + 32]
                if line.startswith(b'{"key":"') and key.startswith(part.encode()):
                    self._places[key] = end, len(line)
                else:
                    self.damaged += len(line) > 1
                end += len(line)
        self._ends[part] = end

    def _value(self, file: int, key: bytes) -> dict[str, Any] | None:
        place = self._places.get(key)
        if place is None:
            return None
        line = _LINE.fullmatch(os.pread(file, place[1], place[0]))
        if line and line[1] == key and line[2] == _sum(key, line[3]):
            try:
                return parse_object(line[3])
            except ValueError:
                pass
        self.damaged += 1
        del self._places[key]
        return None

    def add(self, key: str, value: dict[str, Any]) -> None:
        """Keeps a value."""
        body = json_bytes(value)
        name = key.encode()
        line = b'{"key":"%s","sum":"%s","value":%s}\n' % (name, _sum(name, body), body)
        with self._lock, write_errors(self._path(key)):
            file = os.open(self._path(key), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)  # let go by the close
                size = os.fstat(file).st_size
                if size and os.pread(file, 1, size - 1) != b"\n":
                    line = b"\n" + line  # a writer was killed in the middle of a line
                os.write(file, line)
            finally:
                os.close(file)
            self.added += 1

    def account(self) -> dict[str, int]:
        """Its part of a report."""
        return {"hits": self.hits, "added": self.added, "damaged": self.damaged}


def _sum(key: bytes, body: bytes) -> bytes:
    return blake2b(key + body, digest_size=8).hexdigest().encode()
