"""Values inside a report, by path: ``suites.arc_easy.figures.ece``, ``groups[name=human].mean``, ``steps[-1].loss``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from synthtools.records.field_paths import Step, walked
from synthtools.records.natural_order import same


def pick(value: Any, steps: tuple[Step, ...]) -> int | float | None:
    """The number at a path: a number, the ``value`` of an object, true and false as 1 and 0, or None.

    Raises:
        AbsentError: there is nothing at this path.
        ValueError: there is something else, or more than one thing; the message says what.
    """
    value = walked(value, steps)
    if isinstance(value, dict) and "value" in value:
        value = value["value"]
    if isinstance(value, bool):
        return int(value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, int | float):
        return value
    raise ValueError(f"{_kind(value)}, not a number; name a path further in")


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        names = ", ".join(list(map(str, value))[:8])
        return f"an object (of {names})" if names else "an empty object"
    return f"a list of {len(value)}" if isinstance(value, list) else f"the text {value!r:.60}"


def known(value: Any, most: int) -> list[str]:
    """Paths of a report that lead to numbers, at most so many, as ``parse`` reads them."""
    paths = []
    for path in _paths(value, ""):
        paths.append(path)
        if len(paths) == most:
            break
    return paths


def _paths(value: Any, before: str) -> Iterator[str]:
    if isinstance(value, dict):
        if before and isinstance(value.get("value"), int | float):
            yield before  # as ``pick`` takes it
        for name, one in value.items():
            yield from _paths(one, f"{before}.{_written(name)}" if before else _written(name))
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        for place, one in enumerate(value):
            yield from _paths(one, f"{before}[{_label(value, one, place)}]")
    elif isinstance(value, list):
        for place, one in enumerate(value[:1]):
            yield from _paths(one, f"{before}[{place}]")
    elif isinstance(value, int | float):
        yield before


def _label(entries: list[dict[str, Any]], one: dict[str, Any], place: int) -> str:
    """What tells an object of a list from the others: its first text, else its place."""
    for name, text in one.items():
        if isinstance(text, str):
            if sum(same(other.get(name), text) for other in entries) == 1:
                plain = re.fullmatch(r'[^"=,\[\]\s]+', text)
                return (
                    f"{_written(name)}={text}" if plain else f'{_written(name)}="{_escaped(text)}"'
                )
            break
    return str(place)


def _written(name: str) -> str:
    return name if re.fullmatch(r'[^.\[\]"=,\s]+', name) else f'"{_escaped(name)}"'


def _escaped(text: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", text)
