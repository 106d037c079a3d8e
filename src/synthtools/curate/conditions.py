"""Records kept by the values of their fields."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.curate.reshaped_records import as_text
from synthtools.records.batch import MISSING, Batch
from synthtools.records.field_paths import QUOTED, WHOLE
from synthtools.records.jsonl import number_in
from synthtools.records.record_faults import no_field, without
from synthtools.records.rejects import Rejects
from synthtools.records.transform import first

# A field may be a path: quotes and brackets may contain operators. The first match with a group is the operator
# (a possessive group of alternatives would do, but Python before 3.11.5 matches it wrongly, gh-106052).
_OPERATOR = re.compile(rf"{WHOLE}|(!=|!~|>=|<=|=|~|>|<)", re.DOTALL)
_ITEM = re.compile(rf'\s*(?:({QUOTED})|([^",\s][^,]*)?)\s*(?:,|$)', re.DOTALL)
# Signs that look like unknown operators; names with them must be quoted.
_STRANGE = re.compile(r"[\s!%^&*|?]")
_STRANGE_BEFORE = re.compile(r"[!%^&*|?+:$/]$")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}

# For each value, whether the condition holds; None if it does not apply.
_Holds = Callable[[Sequence[Any]], list[bool | None]]


@dataclass(frozen=True)
class Condition:
    """A condition on one field.

    Attributes:
        text: as given.
        field: its name or path.
        holds: takes values, ``MISSING`` for a missing field; None for values that are not numbers to compare.
        whole: it compares values with texts, and lists and objects by their JSON.
    """

    text: str
    field: str
    holds: _Holds
    whole: bool = False


def condition_of(text: str) -> Condition:
    """A condition from the command line.

    ``FIELD=VALUE,…`` and ``FIELD!=VALUE,…`` compare with any of the values: strings as strings, numbers as numbers,
    everything else by its JSON; a value in quotes (as in JSON) is only a string. ``FIELD~REGEX`` and
    ``FIELD!~REGEX`` search for an expression of RE2 (linear time) in strings and in the JSON of everything else.
    Missing values and null match nothing. ``FIELD>NUMBER`` (``>=``, ``<``, ``<=``) compares numbers. ``FIELD``
    requires a value that is not missing, null or an empty text; ``!FIELD`` the opposite.

    Raises:
        ValueError: the form is invalid.
    """
    match = next((one for one in _OPERATOR.finditer(text) if one[1]), None)
    if match is None:
        field = text.strip()
        absent = field.startswith("!")
        field = field.removeprefix("!").strip()
        if not field or _STRANGE.search(re.sub(WHOLE, "", field)):
            raise _refused()
        return Condition(text, field, _each(lambda value: _is_there(value) != absent))
    field, sign, value = text[: match.start()].strip(), match[1], text[match.end() :].strip()
    if not field or _STRANGE_BEFORE.search(field):
        raise _refused()
    if field.startswith("!"):
        raise ValueError(f"write {field[1:]}!{sign.removeprefix('!')}{value}")
    if sign in _ORDERS:
        return Condition(text, field, _comparison(_ORDERS[sign], value))
    if value.startswith(("=", "~", "<", ">")):
        raise _refused()
    whole = sign.endswith("=")
    like = _each(_likeness(_values(value))) if whole else _match(value)
    if sign.startswith("!"):
        return Condition(text, field, lambda values: [not one for one in like(values)], whole)
    return Condition(text, field, like, whole)


def _refused() -> ValueError:
    return ValueError(
        "use FIELD=VALUE, FIELD!=VALUE, FIELD~REGEX, FIELD!~REGEX, FIELD>NUMBER "
        '(>=, <, <=), FIELD or !FIELD (names and values with special characters in quotes: "a=b")'
    )


def _each(holds: Callable[[Any], bool]) -> _Holds:
    return lambda values: [holds(value) for value in values]


def _is_there(value: Any) -> bool:
    return value is not MISSING and value is not None and value != ""


def _values(given: str) -> list[tuple[str, bool]]:
    """The values of a list, each with whether it is quoted."""
    values: list[tuple[str, bool]] = []
    at = 0
    while not values or given[at - 1 : at] == ",":
        item = _ITEM.match(given, at)
        try:
            if item is None:
                raise ValueError("a quote that does not end the value")
            quoted = item[1] is not None
            values.append((str(json.loads(item[1])) if quoted else (item[2] or "").strip(), quoted))
        except ValueError as error:
            raise ValueError('quote values as in JSON, "a,b" or "5\\" disk"') from error
        at = item.end()
    return values


def _likeness(values: Sequence[tuple[str, bool]]) -> Callable[[Any], bool]:
    texts = frozenset(value for value, _ in values)
    bare = frozenset(value for value, quoted in values if not quoted)
    numbers = [number for number in map(number_in, bare) if number is not None]

    def like(value: Any) -> bool:
        if value is MISSING or value is None:
            return False
        if type(value) is str:
            return value in texts
        if type(value) in (int, float):
            return value in numbers  # as in Python: exact, and 1 == 1.0
        return as_text(value) in bare

    return like


def _match(expression: str) -> _Holds:
    import pyarrow as pa
    import pyarrow.compute as pc

    def matched(values: Sequence[Any]) -> list[bool | None]:
        # An unpaired surrogate, which has no UTF-8 form, becomes a question mark.
        known = (None if v is MISSING or v is None else as_text(v) for v in values)
        texts = [text and text.encode("utf-8", "replace").decode() for text in known]
        hits = pc.match_substring_regex(pa.array(texts, pa.large_string()), expression)
        matches: list[bool | None] = pc.fill_null(hits, False).to_pylist()
        return matches

    try:
        matched([""])
    except (pa.ArrowException, UnicodeEncodeError) as error:
        why = str(error).removeprefix("Invalid regular expression: ")
        raise ValueError(
            f"use an expression of RE2 (it has no look-around and no back-references): {why}"
        ) from error
    return matched


def _comparison(order: Callable[[Any, Any], bool], value: str) -> _Holds:
    number = number_in(value)
    if number is None:
        raise ValueError(f"compare with a number, not with {value or 'nothing'}")

    def compared(value: Any) -> bool | None:
        if type(value) is str:  # a value of CSV
            value = number_in(value)
        if type(value) not in (int, float) or value != value:
            return None
        return order(value, number)

    return lambda values: [compared(value) for value in values]


class Conditions:
    """A conjunction of conditions, and statistics of their use. Records excluded by a condition are not tested by
    later ones.

    Attributes:
        left_out: number of records excluded so far.
        unknown: fields of tested conditions that no record had so far.
        nested: fields with lists or objects that were compared with texts.
    """

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._conditions = conditions
        self._seen: set[str] = set()
        self._asked: set[str] = set()
        self._last = np.zeros(0, np.int64)
        self.left_out = 0
        self.nested: dict[str, None] = {}

    @property
    def unknown(self) -> list[str]:
        names = dict.fromkeys(one.field for one in self._conditions)
        return [name for name in names if name in self._asked - self._seen]

    def kept(self, batches: Iterable[Batch], rejects: Rejects) -> Iterator[Batch]:
        """The records for which all conditions hold, unchanged; those that cannot be compared go to ``rejects``."""
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
                batch = batch.take(chosen.tolist())
                places = {index: place for place, index in enumerate(chosen.tolist())}
                batch = without(batch, {places[i]: bad[i] for i in sorted(bad)}, rejects)
            elif len(gone):
                batch = batch.take(left.tolist())
            if len(batch):
                yield batch

    def _where(
        self, condition: Condition, batch: Batch, asked: np.ndarray, bad: dict[int, str]
    ) -> np.ndarray:
        column = batch.column(condition.field)
        values = [column[index] for index in asked.tolist()]
        if any(value is not MISSING for value in values):
            self._seen.add(condition.field)
        if values:
            self._asked.add(condition.field)
        if condition.whole and any(isinstance(value, list | dict) for value in values):
            self.nested[condition.field] = None
        fitting = []
        verdicts = zip(asked.tolist(), values, condition.holds(values), strict=True)
        for index, value, holds in verdicts:
            if holds is None:
                bad[index] = _fault(condition, value, batch, index)
            elif holds:
                fitting.append(index)
        return np.array(fitting, np.int64)

    def until(self, batches: Iterable[Batch], count: int) -> Iterator[Batch]:
        """The first ``count`` of the kept records; records after them do not count as left out."""
        for batch in first(batches, count):
            count -= len(batch)
            if not count:
                self.left_out -= int((self._last > batch.ordinals[-1]).sum())
            yield batch


def _fault(condition: Condition, value: Any, batch: Batch, index: int) -> str:
    name = condition.field
    why = no_field(batch, index, name) if value is MISSING else f'field "{name}" is not a number'
    return f"{why}, which '{condition.text}' compares (put the condition {name} before it)"
