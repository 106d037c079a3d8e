"""Natural sorting of field values: ``25`` in a file name is the number 25, and sorts before 100."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any

# Numbers in JSON's syntax: 007 and 1_000 are names.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_DIGITS = re.compile(r"([0-9]+)")
# Integers with more digits are names: as floats, different ones would be equal.
_LONGEST = 300


def as_number(text: str) -> int | float | None:
    """The number of a text, None for other texts."""
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        return None
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else None


def all_numbers(texts: Collection[str]) -> bool:
    """Whether all names (of files, for instance) are plain decimals in canonical form.

    1e5 may be a commit, and 0.5 beside 0.50, or 1.9 beside 1.10, are versions: then all stay texts.
    """
    if not all(_PLAIN.fullmatch(text) and len(text) <= _LONGEST for text in texts):
        return False
    if len({Decimal(text) for text in texts}) < len(set(texts)):
        return False
    as_python = all(_is_shortest(text.removesuffix(".0")) for text in texts)
    return as_python or len({len(text.partition(".")[2]) for text in texts}) == 1


def _is_shortest(text: str) -> bool:
    """Whether a text is the canonical decimal of its number."""
    number = as_number(text)
    return number is not None and format(Decimal(repr(number)), "f") == text


def key(value: Any) -> Any:
    """A key that is equal for values with the same meaning: 25, 25.0 and "25".

    Different texts have different keys: "1e5" and "100000" may be names.
    """
    if isinstance(value, str):
        return as_number(value) if _is_shortest(value) else value
    # True would equal 1 as a dictionary key.
    return f"{value}" if isinstance(value, bool) else value


def same(value: Any, written: str) -> bool:
    """Whether a value equals the text ``written``: numbers by value; true, false and null by name."""
    if value is None or isinstance(value, bool):
        return written == {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return value == written
    return isinstance(value, int | float) and value == as_number(written)


def order(value: Any) -> tuple[Any, ...]:
    """A sort key: null first, then numbers, then texts, with numbers in them by value."""
    value = key(value)
    if value is None:
        return (0,)
    if isinstance(value, int | float):
        return (1, value)
    parts = _DIGITS.split(str(value))
    # Odd indices hold digits; the text itself distinguishes x1 from x01.
    sizes = tuple((int(part), "") if at % 2 else (0, part) for at, part in enumerate(parts))
    return (2, sizes, str(value))
