"""Records kept by the values of their fields."""

from __future__ import annotations

import csv
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.curate.asking import spelled
from synthtools.errors import UsageError
from synthtools.records.batch import MISSING, Batch
from synthtools.records.jsonl import parse_value
from synthtools.records.reading import fields_of, without
from synthtools.records.rejects import Rejects
from synthtools.records.transform import first

_COMPARISON = re.compile(r"\s*(.*?)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*", re.DOTALL)
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class _NoNumber(Exception):  # noqa: N818 (a reason, told by the batch's own error)
    """A value that is to be compared is no number."""


@dataclass(frozen=True)
class Condition:
    """What is asked of one field.

    Attributes:
        text: as it was given.
        holds: of a value, ``MISSING`` where a record lacks the field; raises ``_NoNumber``.
    """

    text: str
    field: str
    holds: Callable[[Any], bool]


def condition_of(text: str, option: str) -> Condition:
    """A condition as it is given on a command line.

    ``FIELD=VALUE,…`` and ``FIELD!=VALUE,…`` compare with any of the values: strings as they are,
    numbers as numbers, everything else by its JSON; what is missing or null is like none of them.
    ``FIELD>NUMBER`` (``>=``, ``<``, ``<=``) compares numbers. ``FIELD`` asks for a value that is
    there, not null and not empty text; ``!FIELD`` for the opposite.

    Raises:
        UsageError: it is none of these.
    """
    found = _COMPARISON.fullmatch(text)
    if found is None:
        field = text.strip()
        absent = field.startswith("!")
        field = field.removeprefix("!").strip()
        if not field:
            raise _no_condition(text, option)
        return Condition(text, field, _is_absent if absent else _is_there)
    field, sign, value = found.groups()
    if not field or value.startswith("="):
        raise _no_condition(text, option)
    if field.startswith("!"):
        raise UsageError(f"{option} {text}: write {field[1:]}!={value}")
    if sign in _ORDERS:
        return Condition(text, field, _comparison(_ORDERS[sign], value, text, option))
    try:
        values = next(csv.reader([value], skipinitialspace=True, strict=True)) or [""]
    except csv.Error as error:
        raise UsageError(f"{option} {text}: no list of values ({error})") from error
    like = _likeness([one.strip() for one in values])
    return Condition(text, field, like if sign == "=" else lambda value: not like(value))


def _no_condition(text: str, option: str) -> UsageError:
    return UsageError(
        f"{option} {text}: use FIELD=VALUE, FIELD!=VALUE, FIELD>NUMBER (>=, <, <=), FIELD or !FIELD"
    )


def _is_there(value: Any) -> bool:
    return value is not MISSING and value is not None and value != ""


def _is_absent(value: Any) -> bool:
    return not _is_there(value)


def _number(text: str) -> int | float | None:
    """The number that a text spells as JSON does, None where it is none."""
    try:
        value = parse_value(text.encode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    return value if type(value) in (int, float) and value == value else None


def _likeness(wanted: Sequence[str]) -> Callable[[Any], bool]:
    texts = frozenset(wanted)
    numbers = [number for number in map(_number, wanted) if number is not None]

    def like(value: Any) -> bool:
        if value is MISSING or value is None:
            return False
        if type(value) is str:
            return value in texts
        if type(value) in (int, float):
            return value in numbers  # as Python has it: exact, 1 is 1.0
        return spelled(value) in texts

    return like


def _comparison(
    order: Callable[[Any, Any], bool], value: str, text: str, option: str
) -> Callable[[Any], bool]:
    number = _number(value)
    if number is None:
        raise UsageError(f"{option} {text}: {value or 'nothing'} is no number to compare with")

    def compared(found: Any) -> bool:
        if type(found) not in (int, float) or found != found:
            raise _NoNumber
        return order(found, number)

    return compared


class Keeping:
    """Keeps the records for which all conditions hold.

    A record that one condition leaves out is not asked about by those after it.

    Attributes:
        left_out: records that were left out so far.
        unknown: fields that no record had so far, of conditions that were asked.
    """

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._conditions = conditions
        self._seen: set[str] = set()
        self._asked: set[str] = set()
        self._last = np.zeros(0, np.int64)
        self.left_out = 0

    @property
    def unknown(self) -> list[str]:
        names = dict.fromkeys(one.field for one in self._conditions)
        return [name for name in names if name in self._asked - self._seen]

    def kept(self, batches: Iterable[Batch], rejects: Rejects) -> Iterator[Batch]:
        """The records for which all conditions hold, as they were; those that cannot be compared go
        to ``rejects``."""
        for batch in batches:
            left = np.arange(len(batch))
            bad: dict[int, str] = {}
            for condition in self._conditions:
                left = self._where(condition, batch, left, bad)
            gone = np.setdiff1d(np.arange(len(batch)), [*left.tolist(), *bad])
            self._last = batch.ordinals[gone]
            self.left_out += len(gone)
            if bad:
                chosen = np.union1d(left, list(bad)).astype(np.int64)
                batch = batch.take(chosen)
                places = {index: place for place, index in enumerate(chosen.tolist())}
                batch = without(batch, {places[i]: bad[i] for i in sorted(bad)}, rejects)
            elif len(gone):
                batch = batch.take(left)
            if len(batch):
                yield batch

    def _where(
        self, condition: Condition, batch: Batch, asked: np.ndarray, bad: dict[int, str]
    ) -> np.ndarray:
        values = batch.column(condition.field)
        found = []
        for index in asked.tolist():
            value = values[index]
            if value is not MISSING:
                self._seen.add(condition.field)
            try:
                if condition.holds(value):
                    found.append(index)
            except _NoNumber:
                bad[index] = _fault(condition, value, batch, index)
        if len(asked):
            self._asked.add(condition.field)
        return np.array(found, np.int64)

    def until(self, batches: Iterable[Batch], count: int) -> Iterator[Batch]:
        """The first ``count`` of the records that were kept; what comes after them was not left out
        but is not wanted."""
        for batch in first(batches, count):
            count -= len(batch)
            if not count:
                self.left_out -= int((self._last > batch.ordinals[-1]).sum())
            yield batch


def _fault(condition: Condition, value: Any, batch: Batch, index: int) -> str:
    name = condition.field
    if value is MISSING:
        why = f'no field "{name}" (fields: {fields_of(batch, index)})'
    else:
        why = f'field "{name}" is no number'
    return f"{why}, which --where '{condition.text}' compares (--where {name} before it asks whether it is there)"
