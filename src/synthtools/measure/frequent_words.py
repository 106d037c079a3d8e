"""The most frequent words of a corpus: those of its language, whatever it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set

# What is read of a text, in characters, and how many words are frequent [ours].
_READ, _MOST = 2000, 50
# Texts of one language share a third or more of them, texts of two almost none; few words say neither [ours].
_LEAST, _FEW = 0.1, 40


def words_of(text: str) -> frozenset[str]:
    """The words of a text's beginning."""
    return frozenset(text[:_READ].lower().split())


def frequent_words(texts: Iterable[Set[str]]) -> set[str]:
    """The words that most texts have, of each its words."""
    counts: Counter[str] = Counter()
    for words in texts:
        counts.update(words)
    return {word for word, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_MOST]}


def of_one_language(words: Set[str], frequent: Set[str]) -> bool:
    """Whether a text's words, or another corpus's frequent ones, may be of the language of frequent words."""
    least = min(len(words), len(frequent))
    return least < _FEW or len(words & frequent) >= _LEAST * least
