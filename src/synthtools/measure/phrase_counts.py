"""Counts of the words, phrases and openings of a corpus (``text.phrases``), in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from synthtools.records.text_buffer import TextBuffer
from synthtools.text.phrases import KINDS, PhraseTable, PhraseTables, tabulate_phrases

# Phrases of a kind that are held at most.
_HELD = 400_000


class PhraseCounts:
    """Counts of one kind of phrase, batch by batch.

    A phrase that a batch's table lacks may have occurred ``missed`` times in it. Where more than
    ``capacity`` are held, the rarer half is dropped (Manku and Motwani's lossy counting, 2002), and the
    most that one of them can have occurred is missed from then on.

    Memory: 32 bytes and 8 for each word a phrase, three times that while tables are merged.

    Attributes:
        total: number of all occurrences of all phrases; missed: the most that a phrase which is not
            held can have occurred.
    """

    def __init__(self, n: int, capacity: int = _HELD) -> None:
        self.total = self.missed = 0
        self._capacity = capacity
        self._hashes, self._words = np.zeros(0, np.uint64), np.zeros((0, n), np.uint64)
        # Columns: tokens, documents, and of ``missed`` what cannot have been this phrase's.
        self._numbers = np.zeros((0, 3), np.int64)
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._more = 0

    def add(self, table: PhraseTable) -> None:
        self.total += table.total
        self.missed += table.missed
        sure = np.full(len(table.hashes), table.missed)
        numbers = np.stack([table.tokens, table.documents, sure], axis=1)
        self._waiting.append((table.hashes, table.words, numbers))
        self._more += len(table.hashes)
        if self._more > max(len(self._hashes), self._capacity // 4):
            self._join()

    def _join(self) -> None:
        if not self._waiting:
            return
        parts = [(self._hashes, self._words, self._numbers), *self._waiting]
        hashes, words, numbers = (np.concatenate([part[i] for part in parts]) for i in range(3))
        self._waiting, self._more = [], 0
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        first = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]])[: len(hashes)])
        self._hashes, self._words = hashes[first], words[order[first]]
        self._numbers = np.add.reduceat(numbers[order], first) if len(first) else numbers
        if len(self._hashes) <= self._capacity:
            return
        most = self._numbers[:, 0] + self.missed - self._numbers[:, 2]
        least = np.partition(most, -(self._capacity // 2))[-(self._capacity // 2)]
        kept = most > least
        self._hashes, self._words = self._hashes[kept], self._words[kept]
        self._numbers = self._numbers[kept]
        self._numbers[:, 2] += max(0, int(least) - self.missed)
        self.missed = max(self.missed, int(least))

    def held(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes, ascending, and the hashes of their words, uint64 [held] and [held, n]."""
        self._join()
        return self._hashes, self._words

    def of(self, hashes: np.ndarray) -> np.ndarray:
        """Of each: tokens, documents, and the most by which they can be too low, int64 [hashes, 3]."""
        self._join()
        numbers = np.zeros((len(hashes), 3), np.int64)
        place = np.searchsorted(self._hashes, hashes)
        there = place < len(self._hashes)
        there[there] = self._hashes[place[there]] == hashes[there]
        numbers[there] = self._numbers[place[there]]
        numbers[:, 2] = self.missed - numbers[:, 2]
        return numbers


class KeywordCounts:
    """Counts of a corpus's words, phrases and openings.

    Memory: at most 100 MB for phrases, and the text of each word that is held.

    Attributes:
        documents, words: of the corpus; kinds: by kind of phrase.
    """

    def __init__(self) -> None:
        self.documents = self.words = 0
        self.kinds = {kind: PhraseCounts(n) for kind, n in KINDS.items()}
        self._texts: dict[int, str] = {}

    def add(self, texts: TextBuffer | Sequence[str] | PhraseTables) -> None:
        """Takes texts, or what ``tabulate_phrases`` made of them in a thread."""
        if not isinstance(texts, PhraseTables):
            texts = texts if isinstance(texts, TextBuffer) else TextBuffer.of(texts)
            texts = tabulate_phrases(texts)
        for kind, table in texts.tables.items():
            self.kinds[kind].add(table)
        self.documents += texts.documents
        self.words += texts.words
        for entry, word in enumerate(texts.tables["word"].hashes.tolist()):
            if word not in self._texts:
                begin = texts.ends[entry - 1] if entry else 0
                self._texts[word] = texts.pool[begin : texts.ends[entry]].tobytes().decode()
        if len(self._texts) > 2 * _HELD:
            # Words that are in nothing that is held go.
            held = (np.unique(counts.held()[1]).tolist() for counts in self.kinds.values())
            kept = set(chain.from_iterable(held))
            self._texts = {word: text for word, text in self._texts.items() if word in kept}

    def text(self, words: Iterable[int]) -> str | None:
        """The words with a blank between them; None where this corpus has not held them."""
        texts = [self._texts.get(word) for word in words]
        return None if None in texts else " ".join(filter(None, texts))
