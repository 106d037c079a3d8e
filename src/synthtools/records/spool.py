"""Records kept aside on disk until it is known which of them are wanted."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np

from synthtools.records.batch import ArrowBatch, Batch, JsonBatch
from synthtools.records.files import told

if TYPE_CHECKING:
    import pyarrow as pa

# Dead bytes are given back when there are more than this, and more of them than of living ones.
_WASTE = 64 << 20
_WHERE = "records kept aside in TMPDIR"


@dataclass
class _Piece:
    """What one batch left in the file: lines, or rows as an Arrow stream.

    Attributes:
        start: of the piece in the file; size: its bytes.
        ends: of lines, where each living one ends in the piece; None for rows.
        living: records that are wanted still, bool; ``places`` is where each lies among those that
            are in the file.
    """

    source: str
    start: int
    size: int
    ends: np.ndarray | None
    numbers: np.ndarray
    ordinals: np.ndarray
    living: np.ndarray
    places: np.ndarray


class Spool:
    """A temporary file (in TMPDIR) of records; each is known by a handle.

    Records come back as they were: lines byte for byte, rows with their types, with the shard and
    the line that they were read from. Fields that were added to them are not kept.

    Memory: about 30 bytes a record.
    """

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._dead = 0
        self._size = 0
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

    def add(self, batch: Batch) -> np.ndarray:
        """Keeps the records of a batch; returns their handles, int64, ascending."""
        count = len(batch)
        data, ends = _bytes_of(batch)
        start = self._append(data)
        ordinals = batch.ordinals if len(batch.ordinals) else np.arange(count, dtype=np.int64)
        self._pieces.append(
            _Piece(
                batch.source,
                start,
                len(data),
                ends,
                batch.numbers,
                ordinals,
                np.ones(count, bool),
                np.arange(count, dtype=np.int32),
            )
        )
        # A handle is (piece, record in the piece).
        return (np.int64(len(self._pieces) - 1) << 32) + np.arange(count, dtype=np.int64)

    def _append(self, data: bytes) -> int:
        start = self._size
        with told(_WHERE):
            self._file.seek(start)
            self._file.write(data)
        self._size += len(data)
        return start

    def drop(self, handles: np.ndarray) -> None:
        """Forgets records."""
        for number, records in _by_piece(np.sort(handles)):
            piece = self._pieces[number]
            left = int(piece.living.sum())
            piece.living[records] = False
            gone = left - int(piece.living.sum())
            self._dead += piece.size * gone // max(1, len(piece.places))
        if self._dead > max(_WASTE, self._size - self._dead):
            self._compact()

    def _compact(self) -> None:
        old = self._file
        with old, told(_WHERE):
            self._file = tempfile.TemporaryFile(prefix="synth-")  # type: ignore[assignment]
            self._size = self._dead = 0
            for piece in self._pieces:
                kept = np.flatnonzero(piece.living)
                data = b""
                if len(kept):
                    old.seek(piece.start)
                    batch = self._batch(piece, old.read(piece.size), kept)
                    data, piece.ends = _bytes_of(batch)
                piece.places = (np.cumsum(piece.living) - 1).astype(np.int32)
                piece.start, piece.size = self._append(data), len(data)

    def ordinals(self, handles: np.ndarray) -> np.ndarray:
        """Place of each record in the input, int64."""
        found = np.empty(len(handles), np.int64)
        order = np.argsort(handles, kind="stable")
        at = 0
        for number, records in _by_piece(handles[order]):
            found[order[at : at + len(records)]] = self._pieces[number].ordinals[records]
            at += len(records)
        return found

    def batches(self, handles: np.ndarray) -> Iterator[Batch]:
        """The records of the handles, in their order; a handle that stands twice gives two."""
        start = 0
        numbers = handles >> 32
        # Runs of records of one piece come as one batch.
        breaks = np.flatnonzero(np.diff(numbers)) + 1
        for end in [*breaks.tolist(), len(handles)]:
            if end > start:
                piece = self._pieces[int(numbers[start])]
                yield self._batch(piece, self._read(piece), handles[start:end] & 0xFFFFFFFF)
            start = end

    def _batch(self, piece: _Piece, data: bytes, records: np.ndarray) -> Batch:
        numbers, ordinals = piece.numbers[records], piece.ordinals[records]
        places = piece.places[records]
        if piece.ends is None:
            return ArrowBatch(piece.source, numbers, ordinals, rows=_rows(data).take(places))
        starts = np.concatenate([[0], piece.ends[:-1]])
        lines = [data[starts[i] : piece.ends[i]] for i in places]
        return JsonBatch(piece.source, numbers, ordinals, lines=lines)

    def _read(self, piece: _Piece) -> bytes:
        with told(_WHERE):
            self._file.seek(piece.start)
            return self._file.read(piece.size)


def _bytes_of(batch: Batch) -> tuple[bytes, np.ndarray | None]:
    if isinstance(batch, JsonBatch):
        return b"".join(batch.lines), np.cumsum([len(line) for line in batch.lines], dtype=np.int64)
    import pyarrow as pa

    assert isinstance(batch, ArrowBatch)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.rows.schema) as writer:
        writer.write_table(batch.rows)
    return sink.getvalue().to_pybytes(), None


def _rows(data: bytes) -> pa.Table:
    import pyarrow as pa

    return pa.ipc.open_stream(data).read_all()


def _by_piece(handles: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(piece, records in it) of handles in ascending order of pieces."""
    numbers = handles >> 32
    breaks = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(handles)]
    for start, end in itertools.pairwise(breaks):
        if end > start:
            yield int(numbers[start]), handles[start:end] & 0xFFFFFFFF
