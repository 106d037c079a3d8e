"""ROUGE-L, the longest common subsequence of two texts' words (Lin 2004)."""

from __future__ import annotations

import re
from collections import Counter

# As the rouge-score package without stemming.
_WORD = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    """Lower-cased runs of Latin letters and digits; every other character separates them."""
    return _WORD.findall(text.lower())


def common_subsequence(one: list[str], other: list[str]) -> int:
    """Length of the longest common subsequence, by bits (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    everything = (1 << len(one)) - 1
    row = everything
    for word in other:
        hit = row & places.get(word, 0)
        row = (row + hit | row - hit) & everything
    return len(one) - row.bit_count()


def rouge_l(one: list[str], other: list[str]) -> float:
    """F-measure of ROUGE-L between two texts' words, 0 if either has none."""
    if not one or not other:
        return 0.0
    return 2 * common_subsequence(one, other) / (len(one) + len(other))


class RougePool:
    """Texts, and the similarity of another text to the nearest of them."""

    def __init__(self) -> None:
        self._texts: list[tuple[list[str], Counter[str]]] = []

    def add(self, text: str) -> None:
        own = words(text)
        self._texts.append((own, Counter(own)))

    def nearest(self, text: str) -> float:
        """The largest ROUGE-L with a text of the pool."""
        own = words(text)
        counts = Counter(own)
        best = 0.0
        for other, others in self._texts:
            together = len(own) + len(other)
            # A common subsequence is no longer than the shorter text, nor than the words in common.
            if not together or 2 * min(len(own), len(other)) < best * together:
                continue
            if 2 * (counts & others).total() < best * together:
                continue
            best = max(best, rouge_l(own, other))
        return best
