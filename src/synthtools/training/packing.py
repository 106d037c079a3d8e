"""Rows of a batch as a pure function of (seed, step): what makes a resumed run the same run.

Each epoch shuffles the documents, lays their tokens end to end and cuts the line into rows of equal
length; the rows are shuffled again, so that a long document does not fill a batch. A document that
a cut divides goes on in another row, as a document of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

IGNORED = -100  # the label of a token that is not to be predicted


class Rows(NamedTuple):
    """A batch.

    Attributes:
        tokens: int64 [rows, length].
        positions: int64 [rows, length]; begin again at 0 where a document begins.
        labels: int64 [rows, length]; the token that follows, ``IGNORED`` across documents.
    """

    tokens: np.ndarray
    positions: np.ndarray
    labels: np.ndarray


class Packing:
    """Packs documents into rows.

    Args:
        tokens: all token ids, [n], documents end to end.
        starts: int64 [documents + 1], where each document begins, and n.
        length: tokens of a row.
        seed: decides the order.

    Memory: 16 bytes a document.
    """

    def __init__(self, tokens: np.ndarray, starts: np.ndarray, length: int, seed: int) -> None:
        self._tokens = tokens
        self._starts = starts
        self._length = length
        self._seed = seed
        self.rows = len(tokens) // length  # per epoch; what does not fill a row waits for the next
        self._epoch = -1
        if self.rows < 1:
            raise ValueError(f"{len(tokens)} tokens do not fill one row of {length}")

    def batch(self, step: int, rows: int) -> Rows:
        """The batch of a step (from 0), of ``rows`` rows."""
        picked = [self._row(number) for number in range(step * rows, (step + 1) * rows)]
        tokens, positions = (np.stack(part) for part in zip(*picked, strict=True))
        labels = np.full_like(tokens, IGNORED)
        follows = positions[:, 1:] > 0
        labels[:, :-1][follows] = tokens[:, 1:][follows]
        return Rows(tokens, positions, labels)

    def _row(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, row = divmod(number, self.rows)
        if epoch != self._epoch:
            self._shuffle(epoch)
        start = int(self._row_order[row]) * self._length
        end = start + self._length
        first = int(np.searchsorted(self._ends, start, side="right"))
        tokens, positions = [], []
        place = start
        while place < end:
            document = self._order[first]
            finish = min(int(self._ends[first]), end)
            # Where the piece lies in the corpus, and in its document.
            here = int(self._starts[document + 1]) - (int(self._ends[first]) - place)
            tokens.append(self._tokens[here : here + finish - place])
            positions.append(np.arange(finish - place))
            place, first = finish, first + 1
        return np.concatenate(tokens).astype(np.int64), np.concatenate(positions)

    def _shuffle(self, epoch: int) -> None:
        random = np.random.Generator(np.random.Philox(key=[self._seed, epoch]))
        self._order = random.permutation(len(self._starts) - 1)
        self._ends = np.cumsum(np.diff(self._starts)[self._order])
        self._row_order = random.permutation(self.rows)
        self._epoch = epoch
