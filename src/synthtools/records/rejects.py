"""What happens to bad records: the tool stops at the first, or they are set aside with reasons."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from synthtools.errors import RecordError, SynthError
from synthtools.records.jsonl import json_bytes
from synthtools.records.files import AtomicFile


@dataclass
class Rejects:
    """The fate of bad records.

    Args:
        skip: set bad records aside instead of stopping at the first.
        file: where they are kept, as JSONL of ``file``, ``line``, ``reason`` and ``raw`` (or
            ``raw_base64`` where the bytes are not UTF-8).
    """

    skip: bool = False
    file: AtomicFile | None = None
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return self.reasons.total()

    def add(self, error: RecordError) -> None:
        """Takes a bad record.

        Raises:
            RecordError: the record's own error, unless bad records are skipped.
        """
        if not self.skip:
            raise error
        self.reasons[error.reason] += 1
        self._write(error.source, error.number, error.reason, error.raw)

    def add_broken_shard(self, source: str, number: int, error: SynthError, raw: bytes) -> None:
        """Takes a shard that cannot be read beyond a record.

        Args:
            number: the first record that could not be read.
            raw: the piece of it that could.

        Raises:
            SynthError: the shard's own error, unless bad records are skipped.
        """
        if not self.skip:
            raise error
        reason = str(error).removeprefix(f"{source}: ")
        self.reasons[reason] += 1
        self._write(source, number, f"{reason} (the rest of the file is lost)", raw)

    def _write(self, source: str, number: int, reason: str, raw: bytes) -> None:
        if self.file is None:
            return
        entry: dict[str, Any] = {"file": source, "line": number, "reason": reason}
        try:
            entry["raw"] = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            entry["raw_base64"] = base64.b64encode(raw).decode("ascii")
        self.file.write(json_bytes(entry) + b"\n")
