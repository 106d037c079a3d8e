"""Writes ``src/synthtools/text/unicode14.json`` from the running Python.

Needs Python 3.11, whose Unicode is 14.0. The classes are those that Python's ``re`` and
``str.lower`` go by, asked of Python itself; Word_Break is asked of the package regex, about the
characters that Unicode 14.0 has.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from itertools import groupby

import regex

from synthtools.text import unicode
from synthtools.text.unicode import CASED, COUNTS, IGNORABLE, SPACE, TABLES, WORD

_CODE_POINTS = sys.maxunicode + 1
_WORD_BREAKS = {
    "ALetter": unicode.LETTER,
    "Hebrew_Letter": unicode.HEBREW,
    "Numeric": unicode.NUMBER,
    "Katakana": unicode.KATAKANA,
    "ExtendNumLet": unicode.JOINER,
    "MidLetter": unicode.MID_LETTER,
    "MidNum": unicode.MID_NUMBER,
    "MidNumLet": unicode.MID_BOTH,
    "Single_Quote": unicode.QUOTE,
    "Double_Quote": unicode.DOUBLE_QUOTE,
    "Extend": unicode.EXTEND,
    "Format": unicode.EXTEND,
    "ZWJ": unicode.EXTEND,
}
_I_WITH_DOT = 0x130  # the only one whose lower case is two code points


def classes() -> list[int]:
    """The class bits of each code point."""
    bits = []
    for code in range(_CODE_POINTS):
        character = chr(code)
        value = WORD * (character.isalnum() or character == "_") + SPACE * character.isspace()
        # What stands before a capital sigma is seen by the form that the sigma takes.
        if (character + "\u03a3").lower()[-1] == "\u03c2":
            value += CASED
        elif ("A" + character + "\u03a3").lower()[-1] == "\u03c2":
            value += IGNORABLE
        bits.append(value)
    return bits


def word_breaks() -> list[int]:
    """The Word_Break of each code point, with ``COUNTS``."""
    patterns = {regex.compile(rf"\p{{WB={name}}}"): kind for name, kind in _WORD_BREAKS.items()}
    found = []
    for code in range(_CODE_POINTS):
        character = chr(code)
        kind = unicode.OTHER
        if unicodedata.category(character) != "Cn":
            kind = next((k for p, k in patterns.items() if p.match(character)), kind)
        counts = character.isalnum() and kind != unicode.EXTEND
        found.append(kind + COUNTS * counts)
    return found


def lower_cases() -> list[tuple[int, int]]:
    """Code points whose lower case is another one, with it."""
    pairs = []
    for code in range(_CODE_POINTS):
        lower = chr(code).lower()
        if code == _I_WITH_DOT:
            assert lower == "i\u0307"
        elif lower != chr(code):
            pairs.append((code, ord(lower)))
    return pairs


def runs(pairs: list[tuple[int, int]]) -> list[list[int]]:
    """[first, how many, step, offset]: code points first, first + step, … map to + offset."""
    found: list[list[int]] = []
    for code, lower in pairs:
        offset = lower - code
        last = found[-1] if found else None
        if last and last[3] == offset and last[1] == 1 and code - last[0] <= 2:
            last[1:3] = 2, code - last[0]
        elif last and last[3] == offset and code == last[0] + last[1] * last[2]:
            last[1] += 1
        else:
            found.append([code, 1, 1, offset])
    return found


def main() -> None:
    assert unicodedata.unidata_version == "14.0.0", unicodedata.unidata_version
    bits, breaks = classes(), word_breaks()
    pairs = lower_cases()
    for code, lower in pairs:
        # The kernels take the class of a character for that of its lower case.
        assert (bits[code] ^ bits[lower]) & (WORD | SPACE) == 0, hex(code)
        assert breaks[code] == breaks[lower], hex(code)
    tables = {
        "unicode": unicodedata.unidata_version,
        "classes": [[len(list(group)), value] for value, group in groupby(bits)],
        "breaks": [[len(list(group)), value] for value, group in groupby(breaks)],
        "lower": runs(pairs),
    }
    TABLES.write_text(json.dumps(tables, separators=(",", ":")).replace("]],", "]],\n") + "\n")


if __name__ == "__main__":
    main()
