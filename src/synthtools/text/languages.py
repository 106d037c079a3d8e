"""The language of a text, as langdetect sees it; whether texts may be of one, by their most frequent words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from functools import cache
from typing import Any

from synthtools.errors import SynthError


@cache
def _factory() -> Any:
    try:
        from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory
    except ImportError as error:
        raise SynthError(
            "languages are detected by langdetect: pip install 'synthtools[validate]'"
        ) from error
    factory = DetectorFactory()
    factory.seed = 0  # langdetect draws at random; its own default gives another answer each time
    factory.load_profile(PROFILES_DIRECTORY)
    return factory


def languages() -> list[str]:
    """The codes of the languages that ``language_of`` knows; raises SynthError as that does."""
    return [str(code) for code in _factory().langlist]


def language_of(text: str) -> str | None:
    """The ISO 639-1 code of a text's language as langdetect sees it; None where it sees none.

    Raises:
        SynthError: langdetect is not installed.
    """
    factory = _factory()
    from langdetect.lang_detect_exception import LangDetectException

    detector = factory.create()
    detector.append(text)
    try:
        return str(detector.detect())
    except LangDetectException:
        return None


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
