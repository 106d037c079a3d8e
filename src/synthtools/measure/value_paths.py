"""Values inside a report, by path: ``suites.arc_easy.figures.ece``, ``groups[name=human].mean``, ``steps[-1].loss``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from synthtools.errors import UsageError
from synthtools.measure.natural import same

_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"|([^.\[\]"]+)')
_BRACKET = re.compile(r'\[((?:"(?:[^"\\]|\\.)*"|[^\]"])*)\]')
_INDEX = re.compile(r"\s*(-?[0-9]+)\s*")
_CONDITION = re.compile(
    r'\s*(?:"(?P<quoted_name>(?:[^"\\]|\\.)*)"|(?P<name>[^"=,\s][^"=,]*?))\s*='
    r'\s*(?:"(?P<quoted_value>(?:[^"\\]|\\.)*)"|(?P<value>[^",]*?))\s*(?:,|$)'
)


class Absent(Exception):  # noqa: N818 (not an error: most reports lack something)
    """A report has nothing at this path."""


@dataclass(frozen=True)
class Place:
    """A step into a list by number."""

    index: int


@dataclass(frozen=True)
class Where:
    """A step to the object of a list whose fields have these values."""

    conditions: tuple[tuple[str, str], ...]


Step = str | Place | Where


def unquoted(text: str) -> str:
    """What stands between quotes: a backslash takes the next character as it is."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def conditions(text: str) -> tuple[tuple[str, str], ...] | None:
    """``a=1, "b c"="x, y"`` as names and values; None where it is no such list."""
    found, at = [], 0
    while at < len(text) or not found or text[:at].rstrip().endswith(","):
        match = _CONDITION.match(text, at)
        if match is None:
            return None
        name, value = match["name"], match["value"]
        found.append(
            (
                unquoted(match["quoted_name"]) if name is None else name,
                unquoted(match["quoted_value"]) if value is None else value,
            )
        )
        at = match.end()
    return tuple(found)


def parse(path: str, option: str = "--take") -> tuple[Step, ...]:
    """The steps of a path: names between dots, ``[0]``, ``[-1]``, ``[name=value]``.

    Raises:
        UsageError: it is no path; the message tells the position.
    """
    steps: list[Step] = []
    at = 0
    while at < len(path) or not steps:
        bracket = _BRACKET.match(path, at)
        if bracket is not None and steps:
            steps.append(_bracket(bracket[1], path, at, option))
            at = bracket.end()
            continue
        if steps:
            if not path.startswith(".", at):
                raise _unclear(path, at, option)
            at += 1
        name = _NAME.match(path, at)
        if name is None:
            raise _unclear(path, at, option)
        steps.append(unquoted(name[1]) if name[2] is None else name[2])
        at = name.end()
    return tuple(steps)


def _bracket(inner: str, path: str, at: int, option: str) -> Step:
    index = _INDEX.fullmatch(inner)
    if index is not None:
        return Place(int(index[1]))
    found = conditions(inner)
    if found is None:
        raise _unclear(path, at, option)
    return Where(found)


def _unclear(path: str, at: int, option: str) -> UsageError:
    return UsageError(
        f'{option}: no path at character {at + 1} of {path!r}: write a.b, a."b.c", a[0] or a[name=value]'
    )


def pick(value: Any, steps: tuple[Step, ...]) -> int | float | None:
    """The number at a path: a number, the ``value`` of an object, true and false as 1 and 0, or None.

    Raises:
        Absent: there is nothing at this path.
        ValueError: there is something else, or more than one thing; the message says what.
    """
    for step in steps:
        value = _step(value, step)
    if isinstance(value, dict) and "value" in value:
        value = value["value"]
    if isinstance(value, bool):
        return int(value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, int | float):
        return value
    raise ValueError(f"{_kind(value)}, not a number; name a path further in")


def _step(value: Any, step: Step) -> Any:
    if isinstance(step, str):
        if not isinstance(value, dict) or step not in value:
            raise Absent
        return value[step]
    if not isinstance(value, list):
        raise Absent
    if isinstance(step, Place):
        if not -len(value) <= step.index < len(value):
            raise Absent
        return value[step.index]
    fitting = [one for one in value if isinstance(one, dict) and _fits(one, step)]
    if not fitting:
        raise Absent
    if len(fitting) > 1:
        told = ", ".join(f"{name}={one}" for name, one in step.conditions)
        raise ValueError(f"{len(fitting)} objects with {told}, where one is meant")
    return fitting[0]


def _fits(one: dict[str, Any], step: Where) -> bool:
    return all(name in one and same(one[name], wanted) for name, wanted in step.conditions)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        names = ", ".join(list(map(str, value))[:8])
        return f"an object (of {names})" if names else "an empty object"
    return f"a list of {len(value)}" if isinstance(value, list) else f"the text {value!r:.60}"


def known(value: Any, most: int) -> list[str]:
    """Paths of a report that lead to numbers, at most so many, as ``parse`` reads them."""
    found = []
    for path in _paths(value, ""):
        found.append(path)
        if len(found) == most:
            break
    return found


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
