"""The language of a text, as langdetect sees it."""

from __future__ import annotations

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
