"""Values written to disk at once, for resuming a killed run."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from synthtools.errors import SynthError, parameter
from synthtools.records.atomic_files import write_errors
from synthtools.records.job_difference import difference
from synthtools.records.jsonl import json_bytes, parse_object


class ValueJournal:
    """JSON lines, one per key and value, each written at once.

    Thread-safe. An incomplete last line is ignored.

    Args:
        job: the run's arguments and inputs, as JSON values.
        again: resume from existing values; otherwise they are dropped.

    Raises:
        SynthError: the existing values belong to another job.

    Attributes:
        totals: sums of the tallies of the existing values.
        unfinished: whether the values are still needed after the output is complete.

    Memory: about 100 bytes per existing value.
    """

    @staticmethod
    def holds_values(path: Path) -> bool:
        """Whether a journal holds any complete value."""
        with write_errors(path):
            if not path.exists():
                return False
            with open(path, "rb") as file:
                file.readline()  # the job
                return file.readline().endswith(b"\n")

    def __init__(self, path: Path, job: dict[str, Any], again: bool) -> None:
        self.path = path
        self.unfinished = False
        self.totals: Counter[str] = Counter()
        self._places: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._any = False
        with write_errors(path):
            end = self._take_up(job) if again and path.exists() else 0
            self._file = open(path, "r+b" if end else "w+b", buffering=0)
            self._file.truncate(end)
            self._file.seek(end)
        if not end:
            self._append({"job": job})

    def _take_up(self, job: dict[str, Any]) -> int:
        """Indexes the existing values; returns the end of the last complete line."""
        end = 0
        with open(self.path, "rb") as file:
            for line in file:
                try:
                    value = parse_object(line) if line.endswith(b"\n") else {}
                except ValueError:
                    break
                if not end and value.get("job", job) != (own := json.loads(json.dumps(job))):
                    raise SynthError(
                        f"{self.path}: belongs to a run with other {difference(value['job'], own)}; "
                        f"{parameter('force')} starts over"
                    )
                if end and "key" not in value:
                    break
                if end:
                    self._places[value["key"]] = (end, len(line))
                    self.totals.update(value.get("tally"))
                end += len(line)
        return end

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str, again: bool = False) -> dict[str, Any] | None:
        """The existing value of a key, None without."""
        if key not in self._places:
            return None
        start, length = self._places[key]
        with write_errors(self.path):
            value = parse_object(os.pread(self._file.fileno(), length, start))
        del value["key"]
        value.pop("tally", None)
        return value

    def add(self, key: str, value: dict[str, Any], tally: dict[str, int] | None = None) -> None:
        """Stores a value, and numbers that ``totals`` of a later run sums up."""
        self._any = True
        self._append({"key": key, **({"tally": tally} if tally else {}), **value})

    def _append(self, value: dict[str, Any]) -> None:
        line = json_bytes(value) + b"\n"
        with self._lock, write_errors(self.path):
            if not self._file.closed:
                self._file.write(line)

    def close(self) -> None:
        """Closes the file, and keeps it if it holds values."""
        with self._lock:
            self._file.close()
        if not self._any and not self._places:
            self.path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes the file when the output is complete, unless ``unfinished``."""
        self.close()
        if not self.unfinished:
            self.path.unlink(missing_ok=True)
