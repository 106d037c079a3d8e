"""Unicode 14.0 as Python 3.11 sees it, frozen: tokens must not change with the version of Python.

``unicode14.json`` holds runs of code points of one class or one Word_Break, and runs of capitals;
``docs/make_unicode_tables.py`` wrote it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

TABLES = Path(__file__).with_name("unicode14.json")

WORD = 1  # str.isalnum() or "_"
SPACE = 2  # str.isspace()
CASED = 4  # has a case, and is not ignorable
IGNORABLE = 8  # Case_Ignorable: skipped when the form of a capital sigma is decided
CAPITAL = 16  # its lower case is a different code point

# Word_Break of UAX 29, as far as words depend on it; "." is MidNumLet, EXTEND is Format and ZWJ too.
(
    OTHER, LETTER, HEBREW, NUMBER, KATAKANA, JOINER, MID_LETTER, MID_NUMBER, MID_BOTH, QUOTE,
    DOUBLE_QUOTE, EXTEND,
) = range(12)  # fmt: skip
KIND = 15
COUNTS = 16  # a run that contains one is a word: a letter or a number, by str.isalnum()


class UnicodeTables(NamedTuple):
    """Lookup tables of the kernels.

    Attributes:
        classes: uint8 [0x110000], the bits above.
        lower: int32 [last capital + 1], the lower case of each code point. U+0130, whose lower case
            is "i" and U+0307, has "i".
    """

    classes: np.ndarray
    lower: np.ndarray


def _runs(name: str) -> np.ndarray:
    lengths, bits = np.array(json.loads(TABLES.read_text())[name], np.int64).T
    return np.repeat(bits.astype(np.uint8), lengths)


@cache
def word_breaks() -> np.ndarray:
    """The Word_Break of each code point, with ``COUNTS``, uint8 [0x110000], read on the first call."""
    breaks = _runs("breaks")
    breaks.setflags(write=False)
    return breaks


@cache
def unicode() -> UnicodeTables:
    """The tables, read on the first call (about two milliseconds, 1.6 MB)."""
    tables = json.loads(TABLES.read_text())
    classes = _runs("classes")
    capitals = [
        (np.arange(count) * step + first, offset) for first, count, step, offset in tables["lower"]
    ]
    lower = np.arange(capitals[-1][0][-1] + 1, dtype=np.int32)
    for codes, offset in capitals:
        lower[codes] += offset
        classes[codes] |= CAPITAL
    lower[0x130] = ord("i")
    classes[0x130] |= CAPITAL
    classes.setflags(write=False)
    lower.setflags(write=False)
    return UnicodeTables(classes, lower)
