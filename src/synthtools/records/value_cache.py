"""A cache of values shared by runs and processes; keys are hashes of everything that a value depends on."""

from __future__ import annotations

import fcntl
import math
import os
import re
import threading
from hashlib import blake2b
from pathlib import Path
from typing import Any

from synthtools.errors import SynthError
from synthtools.records.atomic_files import write_errors
from synthtools.records.jsonl import json_bytes, parse_object

# The checksum detects changes by a faulty disk or an editor.
_LINE = re.compile(rb'\{"key":"([0-9a-f]{32})","sum":"([0-9a-f]{16})","value":(\{.*\})\}\n')
_HEAD = len(b'{"key":"')


class ValueCache:
    """A directory of at most 256 files of JSON lines, by the first two digits of keys.

    Safe for concurrent threads and processes: lines are appended under a lock of the file. The last value of
    a key is valid.

    Args:
        most_bytes: of all values; a file that reaches its share of them, a 256th, is emptied first.

    Attributes:
        hits: successful lookups; added: values added by this run.
        damaged: invalid lines, which are ignored and kept.

    Raises:
        SynthError: the directory cannot be written.

    Memory: about 100 bytes per value in the files that were read.
    """

    def __init__(self, folder: Path, most_bytes: int | None = None) -> None:
        self.hits = self.added = self.damaged = 0
        self._folder = folder
        self._most = math.inf if most_bytes is None else most_bytes / 256
        self._ends: dict[str, int] = {}  # bytes read of each file
        self._places: dict[bytes, tuple[int, int]] = {}
        self._lock = threading.Lock()
        if folder.exists() and not folder.is_dir():
            raise SynthError(f"{folder}: is a file; a cache is a directory")
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key[:2]}.jsonl"

    def get(self, key: str, again: bool = False) -> dict[str, Any] | None:
        """The value of a key, None without.

        Args:
            again: do not count this lookup, which repeats an earlier one.
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
        """Indexes the values appended since the last read."""
        end = self._ends.get(part, 0)
        if os.fstat(file).st_size < end:
            end = 0  # it was emptied
        with os.fdopen(os.dup(file), "rb") as lines:
            lines.seek(end)
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # being written
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
        """Stores a value."""
        body = json_bytes(value)
        name = key.encode()
        line = b'{"key":"%s","sum":"%s","value":%s}\n' % (name, _sum(name, body), body)
        with self._lock, write_errors(self._path(key)):
            file = os.open(self._path(key), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)  # released by closing
                size = os.fstat(file).st_size
                if size + len(line) > self._most:
                    os.ftruncate(file, 0)
                    size = 0
                if size and os.pread(file, 1, size - 1) != b"\n":
                    line = b"\n" + line  # a writer was killed in the middle of a line
                os.write(file, line)
            finally:
                os.close(file)
            self.added += 1

    def account(self) -> dict[str, int]:
        """The cache's entry in a report."""
        return {"hits": self.hits, "added": self.added, "damaged": self.damaged}


def _sum(key: bytes, body: bytes) -> bytes:
    return blake2b(key + body, digest_size=8).hexdigest().encode()
