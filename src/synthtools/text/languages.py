"""The language of a text, by langdetect; whether texts can be in one language, by their most frequent words."""

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
    factory.seed = 0  # langdetect draws at random; by default its answers differ from run to run
    factory.load_profile(PROFILES_DIRECTORY)
    return factory


def languages() -> list[str]:
    """The codes of the languages that ``language_of`` knows; raises SynthError as that does."""
    return [str(code) for code in _factory().langlist]


def language_of(text: str) -> str | None:
    """The ISO 639-1 code of a text's language by langdetect; None if it detects none.

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


# Characters read of a text, and number of frequent words [ours].
_READ, _MOST = 2000, 50
# Texts in one language share a third or more of them, texts in two almost none; few words decide neither [ours].
_LEAST, _FEW = 0.1, 40


def words_of(text: str) -> frozenset[str]:
    """The words at the beginning of a text."""
    return frozenset(text[:_READ].lower().split())


def frequent_words(texts: Iterable[Set[str]]) -> set[str]:
    """The words that occur in the largest number of texts; takes the words of each text."""
    counts: Counter[str] = Counter()
    for words in texts:
        counts.update(words)
    return {word for word, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_MOST]}


def of_one_language(words: Set[str], frequent: Set[str]) -> bool:
    """Whether a text's words, or another corpus's frequent words, can be in the language of frequent words."""
    least = min(len(words), len(frequent))
    return least < _FEW or len(words & frequent) >= _LEAST * least
