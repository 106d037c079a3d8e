"""Fields by path: ``meta.source``, ``messages[-1].content``, ``messages[role=user].content``.

A name is first looked up as a field; only if the record has none is it read as a path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any

from synthtools.records.natural_order import same

_NAME = re.compile(r'"((?:[^"\\]|\\.)*+)"|([^.\[\]"]++)')
_BRACKET = re.compile(r'\[((?:"(?:[^"\\]|\\.)*+"|[^\]"])*+)\]')
# Parts of a text in which commas do not separate paths.
QUOTED = r'"(?:[^"\\]|\\.)*+"'
WHOLE = rf'{QUOTED}|\[(?:{QUOTED}|[^\]"])*+\]'
_APART = re.compile(rf"{WHOLE}|,", re.DOTALL)
_INDEX = re.compile(r"\s*(-?[0-9]+)\s*")
_CONDITION = re.compile(
    r'\s*+(?:"(?P<quoted_name>(?:[^"\\]|\\.)*+)"\s*+|(?P<name>[^"=,\s][^"=,]*+))='
    r'\s*+(?:"(?P<quoted_value>(?:[^"\\]|\\.)*+)"\s*+|(?P<value>[^",]*+))(?:,|$)'
)


class AbsentError(Exception):
    """The path leads nowhere."""


@dataclass(frozen=True)
class ListIndex:
    """A step into a list by number."""

    index: int


@dataclass(frozen=True)
class ListMatch:
    """A step to the object of a list whose fields have these values."""

    conditions: tuple[tuple[str, str], ...]


Step = str | ListIndex | ListMatch


def unquoted(text: str) -> str:
    """The content of quotes: a backslash escapes the next character."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def conditions(text: str) -> tuple[tuple[str, str], ...] | None:
    """``a=1, "b c"="x, y"`` as names and values; None for any other text."""
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(text) or not pairs or text[:at].rstrip().endswith(","):
        match = _CONDITION.match(text, at)
        if match is None:
            return None
        name, value = match["name"], match["value"]
        pairs.append(
            (
                unquoted(match["quoted_name"]) if name is None else name.rstrip(),
                unquoted(match["quoted_value"]) if value is None else value.rstrip(),
            )
        )
        at = match.end()
    return tuple(pairs)


def parse(path: str) -> tuple[Step, ...]:
    """The steps of a path: names between dots, ``[0]``, ``[-1]``, ``[name=value]``.

    Raises:
        ValueError: not a path; the message gives the position.
    """
    steps: list[Step] = []
    at = 0
    while at < len(path) or not steps:
        bracket = _BRACKET.match(path, at)
        if bracket is not None and steps:
            steps.append(_bracket(bracket[1], path, at))
            at = bracket.end()
            continue
        if steps:
            if not path.startswith(".", at):
                raise _unclear(path, at)
            at += 1
        name = _NAME.match(path, at)
        if name is None:
            raise _unclear(path, at)
        steps.append(unquoted(name[1]) if name[2] is None else name[2])
        at = name.end()
    return tuple(steps)


@lru_cache(maxsize=1024)
def inner_path(name: str) -> tuple[Step, ...]:
    """The steps of a name read as a path; none if it is a plain name or not a path."""
    try:
        steps = parse(name)
    except ValueError:
        return ()
    return () if steps == (name,) else steps


def _bracket(inner: str, path: str, at: int) -> Step:
    index = _INDEX.fullmatch(inner)
    if index is not None:
        return ListIndex(int(index[1]))
    pairs = conditions(inner)
    if pairs is None:
        raise _unclear(path, at)
    return ListMatch(pairs)


def _unclear(path: str, at: int) -> ValueError:
    return ValueError(
        f'not a path at character {at + 1} of {path!r}: write a.b, a."b.c", a[0] or a[name=value]'
    )


def one_step(value: Any, step: Step) -> Any:
    """The value one step further in.

    Raises:
        AbsentError: there is none.
        ValueError: there are several.
    """
    if isinstance(step, str):
        if not isinstance(value, dict) or step not in value:
            raise AbsentError
        return value[step]
    if not isinstance(value, list):
        raise AbsentError
    if isinstance(step, ListIndex):
        if not -len(value) <= step.index < len(value):
            raise AbsentError
        return value[step.index]
    fitting = [one for one in value if isinstance(one, dict) and matches_step(one, step)]
    if not fitting:
        raise AbsentError
    if len(fitting) > 1:
        wanted = ", ".join(f"{name}={one}" for name, one in step.conditions)
        raise ValueError(f"{len(fitting)} objects with {wanted}, where one is meant")
    return fitting[0]


def matches_step(one: dict[str, Any], step: ListMatch) -> bool:
    return all(name in one and same(one[name], wanted) for name, wanted in step.conditions)


def value_along(value: Any, steps: Sequence[Step]) -> Any:
    """The value at the end of a path; raises like ``one_step``."""
    for step in steps:
        value = one_step(value, step)
    return value


def value_of(record: dict[str, Any], name: str, absent: Any) -> Any:
    """A record's field of this name, otherwise the value at this path, otherwise ``absent``."""
    value = record.get(name, absent)
    if value is absent and (steps := inner_path(name)):
        value = value_at(record, steps, absent)
    return value


def value_at(value: Any, steps: Sequence[Step], absent: Any) -> Any:
    """Like ``value_along``; ``absent`` if there is no value, or more than one."""
    try:
        return value_along(value, steps)
    except (AbsentError, ValueError):
        return absent


def keys_to(value: Any, steps: Sequence[Step]) -> list[str | int] | None:
    """The keys and indices (from 0) along a path; None if it leads nowhere.

    The last may be a key that its object does not have yet.
    """
    keys: list[str | int] = []
    try:
        for step in steps:
            holder, value = value, None
            last = len(keys) == len(steps) - 1
            if not (last and isinstance(step, str) and isinstance(holder, dict)):
                value = one_step(holder, step)
            keys.append(step if isinstance(step, str) else _place(holder, step, value))
    except (AbsentError, ValueError):
        return None
    return keys


def _place(values: list[Any], step: ListIndex | ListMatch, value: Any) -> int:
    if isinstance(step, ListIndex):
        return step.index % len(values)
    return next(place for place, one in enumerate(values) if one is value)


def with_root_fields(names: Sequence[str]) -> tuple[str, ...]:
    """The names, and for those that are paths, the fields that they start from."""
    roots = [steps[0] for name in names if (steps := inner_path(name))]
    return tuple(dict.fromkeys([*names, *(root for root in roots if isinstance(root, str))]))


def split_names(text: str) -> list[str]:
    """Names separated by commas (outside of quotes and brackets), stripped of spaces."""
    cuts = [match.start() for match in _APART.finditer(text) if match[0] == ","]
    return [plain_name(text[a + 1 : b].strip()) for a, b in pairwise([-1, *cuts, len(text)])]


def plain_name(name: str) -> str:
    """The name without enclosing quotes."""
    steps = inner_path(name)
    return steps[0] if len(steps) == 1 and isinstance(steps[0], str) else name


def number_at(value: Any, steps: tuple[Step, ...]) -> int | float | None:
    """The number at a path: a number, the ``value`` of an object, true and false as 1 and 0, or None.

    Raises:
        AbsentError: there is nothing at this path.
        ValueError: there is something else, or more than one thing; the message says what.
    """
    value = value_along(value, steps)
    if isinstance(value, dict) and "value" in value:
        value = value["value"]
    if isinstance(value, bool):
        return int(value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, int | float):
        return value
    raise ValueError(f"{_description(value)}, not a number; name a path further in")


def _description(value: Any) -> str:
    if isinstance(value, dict):
        names = ", ".join(list(map(str, value))[:8])
        return f"an object (of {names})" if names else "an empty object"
    return f"a list of {len(value)}" if isinstance(value, list) else f"the text {value!r:.60}"


def numbers_in(value: Any, most: int) -> list[str]:
    """Paths of a report that lead to numbers, at most so many, as ``parse`` reads them."""
    return list(islice(_paths(value, ""), most))


def _paths(value: Any, before: str) -> Iterator[str]:
    if isinstance(value, dict):
        if before and isinstance(value.get("value"), int | float):
            yield before  # as ``number_at`` takes it
        for name, one in value.items():
            yield from _paths(one, f"{before}.{_written(name)}" if before else _written(name))
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        for place, one in enumerate(value):
            yield from _paths(one, f"{before}[{_place_in(value, one, place)}]")
    elif isinstance(value, list):
        for place, one in enumerate(value[:1]):
            yield from _paths(one, f"{before}[{place}]")
    elif isinstance(value, int | float):
        yield before


def _place_in(entries: list[dict[str, Any]], one: dict[str, Any], place: int) -> str:
    """What tells an object of a list from the others: its first text, else its place."""
    for name, text in one.items():
        if isinstance(text, str):
            if sum(same(other.get(name), text) for other in entries) == 1:
                plain = re.fullmatch(r'[^"=,\[\]\s]+', text)
                return f"{_written(name)}={text if plain else _quoted(text)}"
            break
    return str(place)


def _written(name: str) -> str:
    return name if re.fullmatch(r'[^.\[\]"=,\s]+', name) else _quoted(name)


def _quoted(text: str) -> str:
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{escaped}"'
