"""Counts of the words, phrases and openings of a corpus (``text.phrases``), in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from synthtools.records.text_buffer import TextBuffer
from synthtools.text.phrases import KINDS, PhraseTable, PhraseTables, tabulate_phrases

# Phrases kept per kind at most.
_HELD = 400_000


class PhraseCounts:
    """Counts of one kind of phrase, batch by batch.

    A phrase that is not in a batch's table may have occurred ``missed`` times in it. Beyond 400,000 phrases, the
    rarer half is dropped (Manku and Motwani's lossy counting, 2002), and the largest possible count of these is
    added to ``missed``.

    Memory: 32 bytes and 8 for each word per phrase, three times that while tables are merged.

    Attributes:
        total: number of occurrences of all phrases; missed: the largest possible count of a phrase that is not
            kept.
    """

    def __init__(self, n: int) -> None:
        self.total = self.missed = 0
        self._hashes, self._words = np.zeros(0, np.uint64), np.zeros((0, n), np.uint64)
        # Columns: tokens, documents, and the part of ``missed`` that does not apply to the phrase.
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
        if self._more > max(len(self._hashes), _HELD // 4):
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
        if len(self._hashes) <= _HELD:
            return
        most = self._numbers[:, 0] + self.missed - self._numbers[:, 2]
        least = np.partition(most, -(_HELD // 2))[-(_HELD // 2)]
        kept = most > least
        self._hashes, self._words = self._hashes[kept], self._words[kept]
        self._numbers = self._numbers[kept]
        self._numbers[:, 2] += max(0, int(least) - self.missed)
        self.missed = max(self.missed, int(least))

    def held(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes, ascending, and the hashes of their words, uint64 [phrases] and [phrases, n]."""
        self._join()
        return self._hashes, self._words

    def of(self, hashes: np.ndarray) -> np.ndarray:
        """For each: tokens, documents, and by how much they can be too low at most, int64 [hashes, 3]."""
        self._join()
        numbers = np.zeros((len(hashes), 3), np.int64)
        place = np.searchsorted(self._hashes, hashes)
        known = place < len(self._hashes)
        known[known] = self._hashes[place[known]] == hashes[known]
        numbers[known] = self._numbers[place[known]]
        numbers[:, 2] = self.missed - numbers[:, 2]
        return numbers


class KeywordCounts:
    """Counts of a corpus's words, phrases and openings.

    Memory: at most 100 MB for phrases, and the text of each word in them.

    Attributes:
        documents, words: of the corpus; kinds: by kind of phrase.
    """

    def __init__(self) -> None:
        self.documents = self.words = 0
        self.kinds = {kind: PhraseCounts(n) for kind, n in KINDS.items()}
        self._texts: dict[int, str] = {}

    def add(self, texts: TextBuffer | Sequence[str] | PhraseTables) -> None:
        """Takes texts, or the result of ``tabulate_phrases``."""
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
            # Drops words that are in no phrase any more.
            words = (np.unique(counts.held()[1]).tolist() for counts in self.kinds.values())
            kept = set(chain.from_iterable(words))
            self._texts = {word: text for word, text in self._texts.items() if word in kept}

    def text(self, words: Iterable[int]) -> str | None:
        """The words separated by spaces; None if this corpus does not have them all."""
        texts = [self._texts.get(word) for word in words]
        return None if None in texts else " ".join(filter(None, texts))
