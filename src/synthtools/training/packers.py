"""Rows of a batch as a pure function of (seed, step), so that a resumed run is identical.

Two ways to pack documents into rows of equal length:

- ``CutPacker``, for pre-training: each epoch shuffles the documents, concatenates their tokens and cuts them
  into rows; the rows are shuffled again, so that a long document does not fill a batch. The rest of a document
  that is cut is a separate document in another row.
- ``WholePacker``, for conversations and for ``--no-pack``: documents are not cut. Several share a row if they
  fit (best fit, longest first), or each has its own; the rest of a row is padding.

``Blend`` takes rows from several sources: each row of an epoch once, or by shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

IGNORED = -100  # the label of a position that is not learned
# In place of "learned": the first token of the second text of a pair, which shares its row.
SECOND = 2
_NEIGHBOURS = 4096  # documents that are packed together


class Rows(NamedTuple):
    """A batch.

    Attributes:
        tokens: int64 [rows, length].
        positions: int64 [rows, length]; restart at 0 at the start of each document.
        labels: int64 [rows, length]; the next token, ``IGNORED`` across documents, for tokens that are
            not learned, and for padding.
        sources: int64 [rows], index of each row's source.
    """

    tokens: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    sources: np.ndarray

    def part(self, rows: slice) -> Rows:
        """Some of the rows, without columns of padding only."""
        tokens, positions, labels, sources = (field[rows] for field in self)
        used = np.flatnonzero((labels != IGNORED).any(0))
        # The last label's position is an input; multiples of 64 limit the number of shapes.
        width = min(tokens.shape[1], -(-(int(used[-1]) + 1) // 64) * 64) if len(used) else 1
        return Rows(tokens[:, :width], positions[:, :width], labels[:, :width], sources)


class Packer(Protocol):
    """Numbers the rows of a source, epoch after epoch."""

    def rows_in(self, epoch: int) -> int:
        """Rows of an epoch (from 0); 0 if not counted yet."""

    def row(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens, positions and labels of a row (from 0), each [length]."""

    def first_pass(self, rows: int) -> int:
        """Rows of the first epoch; 0 where the first ``rows`` rows do not tell."""
        return self.rows_in(0)


def _random(seed: int, epoch: int, window: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, (window << 32) + epoch]))


def _row(
    pieces: Sequence[np.ndarray], learned: Sequence[np.ndarray] | None, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A row of parts of documents, padded to ``length``."""
    tokens = np.zeros(length, np.int64)
    labels = np.full(length, IGNORED, np.int64)
    # Padding continues the positions: it comes after all learned tokens.
    positions = np.arange(length)
    place = 0
    for number, piece in enumerate(pieces):
        end = place + len(piece)
        tokens[place:end] = piece
        positions[place:] = np.arange(length - place)
        follows = piece[1:].astype(np.int64)
        if learned is not None:
            follows = np.where(learned[number][1:] == 1, follows, IGNORED)
            for begins in np.flatnonzero(learned[number] == SECOND) + place:
                positions[begins:] = np.arange(length - begins)
        labels[place : end - 1] = follows
        place = end
    return tokens, positions, labels


class CutPacker(Packer):
    """Concatenated documents, cut into rows; the last row may be shorter.

    Args:
        tokens: all token ids, [n], documents concatenated.
        starts: int64 [documents + 1], start of each document, and n.
        length: tokens of a row.
        seed: determines the order; window: number of a window, each with its own order.

    Memory: 16 bytes per document.
    """

    def __init__(
        self, tokens: np.ndarray, starts: np.ndarray, length: int, seed: int, window: int = 0
    ) -> None:
        self._window = window
        self._tokens = tokens
        self._starts = starts
        self._length = length
        self._seed = seed
        self.rows = -(-len(tokens) // length)
        self._epoch = -1
        if not self.rows:
            raise ValueError("there are no documents")

    def rows_in(self, epoch: int) -> int:
        return self.rows

    def row(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        epoch, row = divmod(number, self.rows)
        if epoch != self._epoch:
            self._shuffle(epoch)
        place = int(self._row_order[row]) * self._length
        end = min(place + self._length, len(self._tokens))
        first = int(np.searchsorted(self._ends, place, side="right"))
        pieces = []
        while place < end:
            document = self._order[first]
            finish = min(int(self._ends[first]), end)
            # The document's index in the corpus.
            here = int(self._starts[document + 1]) - (int(self._ends[first]) - place)
            pieces.append(self._tokens[here : here + finish - place])
            place, first = finish, first + 1
        return _row(pieces, None, self._length)

    def _shuffle(self, epoch: int) -> None:
        random = _random(self._seed, epoch, self._window)
        self._order = random.permutation(len(self._starts) - 1)
        self._ends = np.cumsum(np.diff(self._starts)[self._order])
        self._row_order = random.permutation(self.rows)
        self._epoch = epoch


class WholePacker(Packer):
    """Uncut documents, one or several per row.

    Args:
        tokens, starts, length, seed: as for ``CutPacker``.
        learned: bool or uint8 [n], 1 for tokens to learn, ``SECOND`` for the start of the second text of a
            pair; None for all.
        pack: let several documents share a row.

    A document longer than a row becomes several of at most ``length`` tokens.

    Memory: 24 bytes per document.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        starts: np.ndarray,
        length: int,
        seed: int,
        learned: np.ndarray | None = None,
        pack: bool = True,
    ) -> None:
        self._tokens = tokens
        self._learned = learned
        self._length = length
        self._seed = seed
        self._pack = pack
        sizes = np.diff(starts)
        counts = -(-sizes // length)
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        self._starts = np.repeat(starts[:-1], counts) + within * length
        self._sizes = np.minimum(np.repeat(sizes, counts) - within * length, length)
        if not len(self._sizes):
            raise ValueError("there are no documents")
        self._rows, self._epoch = self._laid(0), 0
        self.rows = len(self._rows)
        self._before = [0, self.rows]  # rows of all earlier epochs

    def rows_in(self, epoch: int) -> int:
        while epoch >= len(self._before) - 1:
            self._count()
        return self._before[epoch + 1] - self._before[epoch]

    def _count(self) -> None:
        """Counts the rows of one more epoch."""
        rows = self.rows
        if self._pack and len(self._sizes) > _NEIGHBOURS:  # groups depend on the order
            rows = len(self._laid(len(self._before) - 1))
        self._before.append(self._before[-1] + rows)

    def row(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        while number >= self._before[-1]:
            self._count()
        epoch = int(np.searchsorted(self._before, number, side="right")) - 1
        if epoch != self._epoch:
            self._rows, self._epoch = self._laid(epoch), epoch
        where = [
            slice(int(self._starts[p]), int(self._starts[p] + self._sizes[p]))
            for p in self._rows[number - self._before[epoch]]
        ]
        learned = None if self._learned is None else [self._learned[w] for w in where]
        return _row([self._tokens[w] for w in where], learned, self._length)

    def _laid(self, epoch: int) -> list[list[int]]:
        """The parts in each row of an epoch, in order."""
        random = _random(self._seed, epoch)
        order = random.permutation(len(self._sizes))
        rows: list[list[int]] = []
        if not self._pack:
            rows = [[int(piece)] for piece in order]
        for first in range(0, len(order) if self._pack else 0, _NEIGHBOURS):
            near = order[first : first + _NEIGHBOURS]
            rows += _filled(
                near[np.argsort(-self._sizes[near], kind="stable")], self._sizes, self._length
            )
        return [rows[i] for i in random.permutation(len(rows))]


def _filled(pieces: np.ndarray, sizes: np.ndarray, length: int) -> list[list[int]]:
    """Best fit: parts, longest first, each into the fullest row with room for it."""
    rows: list[list[int]] = []
    room: list[list[int]] = [[] for _ in range(length + 1)]  # rows by their free space
    for piece in pieces:
        size = int(sizes[piece])
        left = next((space for space in range(size, length + 1) if room[space]), None)
        if left is None:
            rows.append([])
            row, left = len(rows) - 1, length
        else:
            row = room[left].pop()
        rows[row].append(int(piece))
        room[left - size].append(row)
    return rows


class RowsGiven(NamedTuple):
    """The rows of a source that a run uses; ``repeated``: those after its first pass; ``left``: unused rows
    of its first pass, None if not counted."""

    rows: int
    repeated: int
    left: int | None


class Blend:
    """Rows from several sources.

    The source of a row depends only on its number. Without shares an epoch has each row of every source once,
    with each source spread evenly. With shares the order of sources is a low-discrepancy sequence (multiples
    of the golden ratio): after R rows each source has its share of them up to a few rows.

    Args:
        packers: the sources.
        shares: of the rows, summing to 1; None for all rows of each.

    Memory: 10 bytes per row of the run.
    """

    def __init__(self, packers: Sequence[Packer], shares: Sequence[float] | None = None) -> None:
        self.packers = list(packers)
        self._shares = None if shares is None else np.array(shares, np.float64)
        self._epochs = 0  # epochs in ``_sources``, without shares
        self._sources = np.zeros(0, np.uint16)
        self._numbers = np.zeros(0, np.int64)

    def batch(self, step: int, rows: int, end: int | None = None) -> Rows:
        """The batch of a step (from 0) with ``rows`` rows; fewer in the last step of a run of ``end``
        rows."""
        first = step * rows
        last = first + rows if end is None else min(first + rows, end)
        self._reach(last)
        sources = self._sources[first:last]
        picked = [
            self.packers[source].row(int(number))
            for source, number in zip(sources, self._numbers[first:last], strict=True)
        ]
        tokens, positions, labels = (np.stack(part) for part in zip(*picked, strict=True))
        return Rows(tokens, positions, labels, sources.astype(np.int64))

    def _reach(self, rows: int) -> None:
        """Computes the sources of at least so many rows."""
        if rows <= len(self._sources):
            return
        rows = max(rows, 2 * len(self._sources))
        if self._shares is None:
            parts, known = [self._sources], len(self._sources)
            while known < rows:
                parts.append(self._epoch(self._epochs))
                known += len(parts[-1])
                self._epochs += 1
            self._sources = np.concatenate(parts)
        else:
            limits = (np.cumsum(self._shares)[:-1] * 2.0**64).astype(np.uint64)
            spread = np.arange(rows, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            self._sources = np.searchsorted(limits, spread, side="right").astype(np.uint16)
        self._numbers = np.zeros(len(self._sources), np.int64)
        for source in range(len(self.packers)):
            mine = self._sources == source
            self._numbers[mine] = np.arange(int(mine.sum()))

    def _epoch(self, epoch: int) -> np.ndarray:
        """The sources of an epoch's rows, uint16."""
        counts = [packer.rows_in(epoch) for packer in self.packers]
        places = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
        sources = np.repeat(np.arange(len(counts), dtype=np.uint16), counts)
        return sources[np.argsort(places, kind="stable")]

    def rows_of(self, epochs: float) -> int:
        """Rows of so many passes over all sources; with shares, until the first source has completed so
        many passes."""
        wanted = [_passes(packer, epochs) for packer in self.packers]
        if self._shares is None:
            return sum(wanted)
        while True:
            ends = [
                int(np.flatnonzero(self._sources == source)[count - 1]) + 1
                for source, count in enumerate(wanted)
                if count <= int((self._sources == source).sum())
            ]
            if ends:
                return min(ends)
            self._reach(len(self._sources) + 1)

    def given(self, rows: int) -> list[RowsGiven]:
        """The rows of each source among the first ``rows`` rows."""
        self._reach(rows)
        given = []
        counts = np.bincount(self._sources[:rows], minlength=len(self.packers)).tolist()
        for packer, count in zip(self.packers, counts, strict=True):
            first = packer.first_pass(count)
            left = max(0, first - count) if first else None
            given.append(RowsGiven(count, max(0, count - first) if first else 0, left))
        return given


def _passes(packer: Packer, epochs: float) -> int:
    """Rows of so many passes over a source, at least one."""
    whole = int(epochs)
    rows = sum(packer.rows_in(epoch) for epoch in range(whole))
    if epochs > whole:
        rows += round((epochs - whole) * packer.rows_in(whole))
    return max(1, rows)
