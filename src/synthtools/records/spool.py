"""Records kept on disk until the selection is known."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from synthtools.closeable import Closeable
from synthtools.records.atomic_files import write_errors
from synthtools.records.batch import ArrowBatch, Batch, JsonBatch
from synthtools.records.block_lines import BlockLines

if TYPE_CHECKING:
    import pyarrow as pa

# Dropped bytes are freed when they exceed this number and the bytes still kept.
_WASTE = 64 << 20
# Pieces of rows cached in memory while records are read back.
_KEPT = 16
_WHERE = "records kept aside in TMPDIR"


@dataclass
class _Piece:
    """One batch in the file: lines, or rows as an Arrow stream.

    Attributes:
        start: position in the file; size: in bytes.
        ends: for lines, the end of each kept one in the piece; None for rows.
        living: which records are still kept, bool; ``places``: the index of each among those in the file.
        from_rows: some of the lines were converted from rows.
    """

    source: str
    start: int
    size: int
    ends: np.ndarray | None
    numbers: np.ndarray
    ordinals: np.ndarray
    living: np.ndarray
    places: np.ndarray
    from_rows: bool


class Spool(Closeable):
    """A temporary file (in TMPDIR) of records, each with a handle.

    Records are read back unchanged: lines byte for byte, rows with their types, with shard and line number.
    Added fields are not kept.

    Memory: about 30 bytes per record.
    """

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._dead = 0
        self._size = 0
        with write_errors(_WHERE):
            self._file: BinaryIO = tempfile.TemporaryFile(prefix="synth-")

    def close(self) -> None:
        self._file.close()

    def add(self, batch: Batch, records: np.ndarray | None = None) -> np.ndarray:
        """Stores records of a batch; returns their handles, int64, ascending.

        Args:
            records: indices to store, ascending; None for all.
        """
        if records is not None and len(records) < len(batch):
            batch = batch.take(records)
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
                isinstance(batch, JsonBatch) and batch.from_rows,
            )
        )
        # A handle encodes (piece, record in the piece).
        return (np.int64(len(self._pieces) - 1) << 32) + np.arange(count, dtype=np.int64)

    def _append(self, data: bytes | memoryview) -> int:
        start = self._size
        with write_errors(_WHERE):
            self._file.seek(start)
            self._file.write(data)
        self._size += len(data)
        return start

    def drop(self, handles: np.ndarray) -> None:
        """Drops records."""
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
        with old, write_errors(_WHERE):
            new: BinaryIO = tempfile.TemporaryFile(prefix="synth-")
            size = 0
            for piece in self._pieces:
                kept = np.flatnonzero(piece.living)
                data: bytes | memoryview = b""
                if len(kept):
                    batch: Batch
                    if piece.ends is None:
                        whole = _whole(piece, self._read(piece.start, piece.size))
                        batch = _some(whole, piece, kept)
                    else:
                        batch = self._line_batch(piece, kept)
                    data, piece.ends = _bytes_of(batch)
                piece.places = (np.cumsum(piece.living) - 1).astype(np.int32)
                piece.start, piece.size = size, len(data)
                new.write(data)
                size += len(data)
            self._file, self._size, self._dead = new, size, 0

    def ordinals(self, handles: np.ndarray) -> np.ndarray:
        """Index of each record in the input, int64."""
        ordinals = np.empty(len(handles), np.int64)
        order = np.argsort(handles, kind="stable")
        at = 0
        for number, records in _by_piece(handles[order]):
            ordinals[order[at : at + len(records)]] = self._pieces[number].ordinals[records]
            at += len(records)
        return ordinals

    def batches(self, handles: np.ndarray) -> Iterator[Batch]:
        """The records of the handles, in order; a repeated handle gives its record repeatedly."""
        rows: dict[int, ArrowBatch] = {}  # the last pieces: handles may alternate
        start = 0
        numbers = handles >> 32
        # Consecutive records of one piece form one batch.
        breaks = np.flatnonzero(np.diff(numbers)) + 1
        for end in [*breaks.tolist(), len(handles)]:
            if end == start:
                continue
            number, records = int(numbers[start]), handles[start:end] & 0xFFFFFFFF
            piece = self._pieces[number]
            start = end
            if piece.ends is not None:
                yield self._line_batch(piece, records)
                continue
            if number not in rows:
                if len(rows) == _KEPT:
                    del rows[next(iter(rows))]
                rows[number] = _whole(piece, self._read(piece.start, piece.size))
            yield _some(rows[number], piece, records)

    def _line_batch(self, piece: _Piece, records: np.ndarray) -> JsonBatch:
        assert piece.ends is not None
        places = piece.places[records]
        ends = piece.ends[places]
        starts = np.where(places > 0, piece.ends[places - 1], 0)
        first = int(starts.min())
        data = self._read(piece.start + first, int(ends.max()) - first)
        lines = BlockLines(np.frombuffer(data, np.uint8), starts - first, ends - first - 1)
        numbers, ordinals = piece.numbers[records], piece.ordinals[records]
        return JsonBatch(piece.source, numbers, ordinals, lines=lines, from_rows=piece.from_rows)

    def _read(self, start: int, size: int) -> bytes:
        with write_errors(_WHERE):
            self._file.seek(start)
            return self._file.read(size)


def _bytes_of(batch: Batch) -> tuple[bytes | memoryview, np.ndarray | None]:
    """The records in the file, and the end of each line."""
    if isinstance(batch, JsonBatch):
        lines = BlockLines.of(batch.lines)
        return lines.content(), np.cumsum(lines.sizes())
    import pyarrow as pa

    assert isinstance(batch, ArrowBatch)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.rows.schema) as writer:
        writer.write_table(batch.rows)
    return sink.getvalue().to_pybytes(), None


def _whole(piece: _Piece, data: bytes) -> ArrowBatch:
    """All rows of a piece in the file."""
    import pyarrow as pa

    rows: pa.Table = pa.ipc.open_stream(data).read_all()
    return ArrowBatch(piece.source, np.arange(rows.num_rows), rows=rows)


def _some(whole: ArrowBatch, piece: _Piece, records: np.ndarray) -> ArrowBatch:
    taken = whole.take(piece.places[records])
    taken.numbers, taken.ordinals = piece.numbers[records], piece.ordinals[records]
    return taken


def _by_piece(handles: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(piece, records in it) for consecutive handles."""
    numbers = handles >> 32
    breaks = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(handles)]
    for start, end in itertools.pairwise(breaks):
        if end > start:
            yield int(numbers[start]), handles[start:end] & 0xFFFFFFFF
