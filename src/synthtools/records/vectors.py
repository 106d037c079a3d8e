"""Vectors of many records, kept on disk between two readings of the records."""

from __future__ import annotations

import tempfile
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from synthtools.records.files import told

_WHERE = "vectors kept in TMPDIR"


class VectorFile:
    """Rows of float32 in a temporary file."""

    def __init__(self) -> None:
        self._width = 0
        with told(_WHERE):
            self._file: BinaryIO = tempfile.TemporaryFile(prefix="synth-")  # type: ignore[assignment]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, rows: np.ndarray) -> None:
        """Adds rows, float32 [rows, width]."""
        self._width = rows.shape[1]
        with told(_WHERE):
            self._file.seek(0, 2)
            self._file.write(np.ascontiguousarray(rows, np.float32).tobytes())

    def read(self, start: int, count: int) -> np.ndarray:
        """Rows from ``start`` on, float32 [count, width]."""
        with told(_WHERE):
            self._file.seek(4 * self._width * start)
            data = self._file.read(4 * self._width * count)
        return np.frombuffer(data, np.float32).reshape(count, self._width)
