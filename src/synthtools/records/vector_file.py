"""Vectors of records, kept on disk between two passes over the records."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from synthtools.closeable import Closeable
from synthtools.records.atomic_files import write_errors
from synthtools.records.batch import Batch

_WHERE = "vectors kept in TMPDIR"


class VectorFile(Closeable):
    """Rows of float32 in a temporary file."""

    def __init__(self) -> None:
        self._width = 0
        with write_errors(_WHERE):
            self._file: BinaryIO = tempfile.TemporaryFile(prefix="synth-")

    def close(self) -> None:
        self._file.close()

    def append(self, rows: np.ndarray, there: np.ndarray) -> None:
        """Adds the rows of a batch's records.

        Args:
            rows: float32 [rows, width], finite.
            there: bool [records], which records have a vector.
        """
        self._width = rows.shape[1]
        rows, vectors = np.full((len(there), self._width), np.nan, np.float32), rows
        rows[there] = vectors
        with write_errors(_WHERE):
            self._file.seek(0, 2)
            self._file.write(np.ascontiguousarray(rows, np.float32).tobytes())

    def read(self, start: int, count: int) -> np.ndarray:
        """Rows from ``start``, float32 [count, width]."""
        with write_errors(_WHERE):
            self._file.seek(4 * self._width * start)
            data = self._file.read(4 * self._width * count)
        return np.frombuffer(data, np.float32).reshape(count, self._width)

    def beside(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, np.ndarray]]:
        """The records with a vector, in batches with their rows."""
        start = 0
        for batch in batches:
            rows = self.read(start, len(batch))
            start += len(batch)
            there = ~np.isnan(rows).any(axis=1)
            yield batch.take(np.flatnonzero(there).tolist()), rows[there]
