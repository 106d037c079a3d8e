"""Lines in blocks of text: chosen and put in order without an object for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class BlockLines(Sequence[bytes]):
    """Lines of a block, copied on demand.

    Args:
        block: the text, uint8.
        starts, ends: of each line in the block, without its newline, int64 [lines].
    """

    def __init__(self, block: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
        self._block = block
        self._starts = starts
        self._ends = ends

    @classmethod
    def ending(cls, block: bytes | np.ndarray, ends: np.ndarray) -> BlockLines:
        """All lines of a block, by their ends."""
        starts = np.zeros(len(ends), np.int64)
        starts[1:] = ends[:-1] + 1
        return cls(np.frombuffer(block, np.uint8), starts, ends)

    @classmethod
    def within(cls, block: bytes) -> BlockLines:
        """All lines of a block, the last of which may lack its newline."""
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
        if block[-1:] not in (b"", b"\n"):
            ends = np.append(ends, len(block))
        return cls.ending(block, ends)

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> BlockLines:
        """Any lines."""
        if isinstance(lines, cls):
            return lines
        ends = np.cumsum([len(line) + 1 for line in lines], dtype=np.int64) - 1
        return cls.ending(b"\n".join([*lines, b""]), ends)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [*self.take(index)]
        return self._block[self._starts[index] : self._ends[index]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        block = self._block.data
        spans = zip(self._starts.tolist(), self._ends.tolist(), strict=True)
        return (block[start:end].tobytes() for start, end in spans)

    @property
    def block_bytes(self) -> int:
        """Size of the block, which stays in memory with any of its lines."""
        return len(self._block)

    def sizes(self) -> np.ndarray:
        """Bytes of each line with its newline, int64."""
        sizes: np.ndarray = self._ends - self._starts + 1
        return sizes

    def take(self, indices: Sequence[int] | np.ndarray | slice) -> BlockLines:
        """Some of the lines: a range in the same block (as of Arrow), others in a block of their own."""
        if isinstance(indices, range) and indices.step == 1:
            indices = slice(indices.start, indices.stop)
        if isinstance(indices, slice):
            return BlockLines(self._block, self._starts[indices], self._ends[indices])
        return joined([self], np.asarray(indices, np.int64))

    def content(self) -> memoryview:
        """The lines, each with its newline; not copied if they follow each other in the block."""
        if not len(self):
            return self._block[:0].data
        end = self._ends[-1] + 1
        if end <= len(self._block) and (self._starts[1:] == self._ends[:-1] + 1).all():
            return self._block[self._starts[0] : end].data
        return joined([self], np.arange(len(self)))._block.data


def joined(parts: Sequence[BlockLines], order: np.ndarray) -> BlockLines:
    """Lines of several blocks in one.

    Args:
        order: int64 [lines]: indices into the concatenated parts.
    """
    from synthtools.records.scan_lines import copy_lines

    starts = np.concatenate([part._starts for part in parts])[order]
    ends = np.concatenate([part._ends for part in parts])[order]
    sizes = ends - starts + 1
    new_ends = np.cumsum(sizes)
    places = new_ends - sizes
    out = np.empty(new_ends[-1] if len(order) else 0, np.uint8)
    first = 0
    for part in parts:
        own = np.flatnonzero((order >= first) & (order < first + len(part)))
        copy_lines(part._block, starts[own], ends[own], out, places[own])
        first += len(part)
    return BlockLines(out, places, new_ends - 1)
