"""In-memory records as an input."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from synthtools.errors import RecordError
from synthtools.records.jsonl import json_bytes


class MemoryRecords:
    """Dicts, or anything with ``__arrow_c_stream__``, as an input that tools read like a file.

    Args:
        records: an iterator is read once, anything else as often as needed.
        name: the input's name in errors.
    """

    def __init__(self, records: Any, name: str) -> None:
        self._records = records
        self.name = name
        self.rereadable = not isinstance(records, Iterator)

    def __str__(self) -> str:
        return self.name

    def first(self) -> MemoryRecords | None:
        """The first record, without consuming it; None if it cannot be peeked at."""
        if hasattr(self._records, "__arrow_c_stream__"):
            return self if self.rereadable else None
        records = iter(self._records)
        one = list(islice(records, 1))
        if not self.rereadable:
            self._records = chain(one, records)
        return MemoryRecords(one, self.name)

    def open(self) -> io.RawIOBase:
        """The records as bytes: JSON lines or an Arrow stream."""
        if hasattr(self._records, "__arrow_c_stream__"):
            return _Bytes(_arrow(self._records))
        return _Bytes(_lines(self._records, self.name))


def _lines(records: Iterable[Any], name: str) -> Iterator[bytes]:
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise RecordError(name, number, f"a record must be a dict, not {type(record).__name__}")
        try:
            line = json_bytes(record)
            if b"null" in line and _has_nonfinite(record):  # handled by the output
                line = json.dumps(record, ensure_ascii=False, default=_plain).encode()
            yield line + b"\n"
        except (TypeError, ValueError) as error:
            raise RecordError(name, number, f"a value that JSON cannot hold: {error}") from error


def _has_nonfinite(value: Any) -> bool:
    value = _plain(value)
    if isinstance(value, dict):
        return any(map(_has_nonfinite, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_nonfinite, value))
    return isinstance(value, float) and not math.isfinite(value)


def _plain(value: Any) -> Any:
    """numpy arrays and numbers as Python lists and numbers."""
    return value.tolist() if hasattr(value, "tolist") else value


def _arrow(table: Any) -> Iterator[bytes]:
    import pyarrow as pa

    reader = pa.RecordBatchReader.from_stream(table)
    written = io.BytesIO()
    with pa.ipc.new_stream(written, reader.schema) as stream:
        for batch in reader:
            stream.write_batch(batch)
            yield written.getvalue()
            written.seek(0)
            written.truncate()
    yield written.getvalue()


class _Bytes(io.RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
