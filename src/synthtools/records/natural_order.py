"""Values of fields as people mean them: ``25`` out of the name of a file is the number 25, and comes before 100."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any

# A number as JSON writes it: 007 and 1_000 are names.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_DIGITS = re.compile(r"([0-9]+)")
# Integers of more digits are names: floats would make two of them one.
_LONGEST = 300


def as_number(text: str) -> int | float | None:
    """The number that a text is, None where it is none."""
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        return None
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else None


def all_numbers(texts: Collection[str]) -> bool:
    """Whether names (of files, say) are numbers: all plain decimals, written in one way.

    1e5 may be a commit, and 0.5 beside 0.50, or 1.9 beside 1.10, are versions: all stay texts then.
    """
    if not all(_PLAIN.fullmatch(text) and len(text) <= _LONGEST for text in texts):
        return False
    if len({Decimal(text) for text in texts}) < len(set(texts)):
        return False
    as_python = all(_is_shortest(text.removesuffix(".0")) for text in texts)
    return as_python or len({len(text.partition(".")[2]) for text in texts}) == 1


def _is_shortest(text: str) -> bool:
    """Whether a text is the one plain decimal that its number is written as."""
    number = as_number(text)
    return number is not None and format(Decimal(repr(number)), "f") == text


def key(value: Any) -> Any:
    """What two values of a field have in common if they mean the same: 25, 25.0 and "25" do.

    Two texts that differ never do: "1e5" and "100000" may be names.
    """
    if isinstance(value, str):
        return as_number(value) if _is_shortest(value) else value
    # True would be 1 among the keys of a dictionary.
    return f"{value}" if isinstance(value, bool) else value


def same(value: Any, written: str) -> bool:
    """Whether a value is what someone wrote as ``written``: numbers by their size, true, false and
    null by their names."""
    if value is None or isinstance(value, bool):
        return written == {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return value == written
    return isinstance(value, int | float) and value == as_number(written)


def order(value: Any) -> tuple[Any, ...]:
    """A key to sort by: nothing first, then numbers by size, then texts, numbers in them by size."""
    value = key(value)
    if value is None:
        return (0,)
    if isinstance(value, int | float):
        return (1, value)
    parts = _DIGITS.split(str(value))
    # Odd places hold digits; the text itself parts x1 from x01.
    sizes = tuple((int(part), "") if at % 2 else (0, part) for at, part in enumerate(parts))
    return (2, sizes, str(value))
