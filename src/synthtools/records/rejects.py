"""Handling of bad records: stop at the first, or set them aside with reasons."""

from __future__ import annotations

import base64
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthtools.errors import RecordError, SynthError
from synthtools.records.atomic_files import AtomicFile
from synthtools.records.jsonl import json_bytes, parse_value
from synthtools.redaction import hide

# Reasons may name fields, so that there may be as many as records: beyond this number they are counted
# together.
_MOST_REASONS = 1000
_OTHER = "other reasons"
# Readers, models and outputs run in different threads.
_LOCK = threading.RLock()


@dataclass
class Rejects:
    """Handles bad records.

    Args:
        skip: set bad records aside instead of stopping at the first.
        file: the rejects file, JSONL with ``file``, ``line``, ``reason`` and ``raw`` (or
            ``raw_base64`` if the bytes are not UTF-8).
    """

    skip: bool = False
    file: AtomicFile | None = None
    reasons: Counter[str] = field(default_factory=Counter)
    late: int = 0  # records that were valid when read

    @property
    def count(self) -> int:
        return self.reasons.total()

    @property
    def early(self) -> int:
        """Bad records found on reading."""
        with _LOCK:
            return self.count - self.late

    def add(self, error: RecordError) -> None:
        """Handles a bad record.

        Raises:
            RecordError: the record's own error, unless bad records are skipped.
        """
        if not self.skip:
            raise error
        reason = hide(error.reason)
        self._count(hide(error.kind))
        self._write(error.source, error.number, reason, error.raw)

    def add_broken_shard(self, source: str, number: int, error: SynthError, raw: bytes) -> None:
        """Handles a shard that cannot be read to its end.

        Args:
            number: the first unreadable record.
            raw: its readable part.

        Raises:
            SynthError: the shard's own error, unless bad records are skipped.
        """
        if not self.skip:
            raise error
        reason = hide(str(error).removeprefix(f"{source}: "))
        self._count(reason)
        self._write(source, number, f"{reason} (the rest of the file is lost)", raw)

    def _count(self, reason: str) -> None:
        with _LOCK:
            known = reason in self.reasons or len(self.reasons) < _MOST_REASONS
            self.reasons[reason if known else _OTHER] += 1

    def _write(self, source: str, number: int, reason: str, raw: bytes) -> None:
        if self.file is None:
            return
        entry: dict[str, Any] = {"file": source, "line": number, "reason": reason}
        try:
            entry["raw"] = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            entry["raw_base64"] = base64.b64encode(raw).decode("ascii")
        self.file.write(json_bytes(entry) + b"\n")


class LateRejects(Rejects):
    """Passes bad records on; those are already counted as read."""

    def __init__(self, rejects: Rejects) -> None:
        super().__init__(rejects.skip)
        self._rejects = rejects

    def add(self, error: RecordError) -> None:
        with _LOCK:
            self._rejects.add(error)
            self._rejects.late += 1


class KeptRejects(Rejects):
    """Passes bad records on, and stores them in a file for ``replay_rejects``."""

    def __init__(self, rejects: Rejects, file: Path) -> None:
        super().__init__(skip=True)
        self._rejects = rejects
        self._file = file

    def add(self, error: RecordError) -> None:
        self._rejects.add(error)
        self._note(error.source, error.number, error.reason, error.raw)

    def add_broken_shard(self, source: str, number: int, error: SynthError, raw: bytes) -> None:
        self._rejects.add_broken_shard(source, number, error, raw)
        self._note(source, number, str(error).removeprefix(f"{source}: "), raw)

    def _note(self, source: str, number: int, reason: str, raw: bytes) -> None:
        entry = [source, number, hide(reason), base64.b64encode(raw).decode("ascii")]
        with open(self._file, "ab") as file:
            file.write(json_bytes(entry) + b"\n")


def replay_rejects(file: Path, rejects: Rejects) -> None:
    """Passes on the bad records that ``KeptRejects`` has stored, if any.

    Raises:
        RecordError: the first of them, unless bad records are skipped.
    """
    if not file.exists():
        return
    for line in file.read_bytes().splitlines():
        source, number, reason, raw = parse_value(line)
        rejects.add(RecordError(source, number, reason, base64.b64decode(raw)))
