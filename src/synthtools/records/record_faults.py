"""Checks of records, with reasons."""

from __future__ import annotations

from typing import TypeVar

from synthtools.errors import parameter
from synthtools.records.batch import MISSING, Batch
from synthtools.records.field_paths import AbsentError, inner_path, one_step
from synthtools.records.jsonl import is_unicode
from synthtools.records.rejects import Rejects
from synthtools.records.shapes import SHAPES, described, shape_of

_NAMED_FIELDS = 20

_B = TypeVar("_B", bound=Batch)


def text_fault(name: str, value: object) -> str | None:
    """Why a value is not a valid Unicode string; None if it is."""
    if type(value) is not str:
        return f'field "{name}" is {_kind_of(value)}, not a string'
    if is_unicode(value):
        return None
    return f'field "{name}" holds half of a surrogate pair, which no UTF-8 text can'


def no_field(batch: Batch, index: int, name: str, remedy: str = "") -> str:
    """The reason for a missing field, with the fields of the record, or of the last object on its path."""
    there = f"fields: {fields_of(batch, index)}"
    steps = inner_path(name)
    if steps and isinstance(steps[0], str) and steps[0] in batch.field_names(index):
        value = batch.take([index]).column(steps[0])[0]
        for step in steps[1:]:
            try:
                value = one_step(value, step)
            except ValueError as error:
                there = str(error)
                break
            except AbsentError:
                there = f"on its way: {_value_description(value)}"
                break
    return f'no field "{name}" ({there}{"; " if remedy else ""}{remedy})'


def _value_description(value: object) -> str:
    if isinstance(value, dict):
        return f"an object of {', '.join(list(value)[:_NAMED_FIELDS]) or 'nothing'}"
    return f"a list of {len(value)}" if isinstance(value, list) else _kind_of(value)


def fields_of(batch: Batch, index: int) -> str:
    """A record's field names, for a reason."""
    names = batch.field_names(index)
    more = f" … {len(names) - _NAMED_FIELDS} more" if len(names) > _NAMED_FIELDS else ""
    shown = [name or '""' for name in names[:_NAMED_FIELDS]]
    return (", ".join(shown) or "none") + more


def _remedy(batch: Batch, index: int, name: str, option: str) -> str:
    """The option that names a field; for a chat or an instruction, with the path of its text."""
    shape = shape_of(batch.field_names(index))
    if (
        shape is None
        or SHAPES[shape].answer == name
        or not option.endswith(("text-field", "text_field"))
    ):
        return f"use {option}"
    return f"use {option} '{SHAPES[shape].answer}', the answer of {described(shape)}"


def _kind_of(value: object) -> str:
    return _JSON_KINDS.get(type(value), f"a {type(value).__name__}")


_JSON_KINDS = {
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def require_text(batch: _B, name: str, rejects: Rejects, option: str | None = None) -> _B:
    """The records whose field is a valid Unicode string; the others go to ``rejects``.

    Args:
        option: the option that names the field, for the error; by default ``text_field``.
    """
    option = option or parameter("text_field")
    bad: dict[int, str] = {}
    for index, value in enumerate(batch.column(name)):
        if value is MISSING:
            bad[index] = no_field(batch, index, name, _remedy(batch, index, name, option))
        elif fault := text_fault(name, value):
            bad[index] = fault if type(value) is str else f"{fault} (use {option})"
    return without(batch, bad, rejects)


def without(batch: _B, bad: dict[int, str], rejects: Rejects) -> _B:
    """The batch without the records at ``bad`` (index → reason), which go to ``rejects``."""
    if not bad:
        return batch
    for index, reason in bad.items():
        rejects.add(batch.fault(index, reason))
    return batch.take([i for i in range(len(batch)) if i not in bad])
