"""Values of fields as people mean them: ``25`` out of the name of a file is the number 25, and comes before 100."""

from __future__ import annotations

import math
import re
from typing import Any

# A number as JSON writes it: 007 and 1_000 are names.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_DIGITS = re.compile(r"([0-9]+)")
# Integers of more digits are names: floats would make two of them one.
_LONGEST = 300


def as_number(text: str) -> int | float | None:
    """The number that a text is, None where it is none."""
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        return None
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    found = float(text)
    return found if math.isfinite(found) else None


def key(value: Any) -> Any:
    """What two values of a field have in common if they mean the same: 25, 25.0 and "25" do."""
    if isinstance(value, str):
        found = as_number(value)
        return value if found is None else found
    # True would be 1 among the keys of a dictionary.
    return f"{value}" if isinstance(value, bool) else value


def same(value: Any, written: str) -> bool:
    """Whether a value is what someone wrote as ``written``: numbers by their size, true, false and
    null by their names."""
    if value is None or isinstance(value, bool):
        return written == {None: "null", True: "true", False: "false"}[value]
    return isinstance(value, str | int | float) and key(value) == key(written)


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
