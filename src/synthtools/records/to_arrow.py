"""JSON values → Arrow columns, by one rule: values must not change.

Numbers, strings, booleans, lists of one type and objects with the same members become native Arrow
types. Values that Arrow would change (integers beyond 64 bits, a column of several types, objects with
different members, empty objects) are kept as JSON text with the extension type ``arrow.json``, which Parquet
stores as its logical type JSON and which reads back as the same JSON.

Two distinctions are lost: between a missing member and null, and between 1 and 1.0 in a column of
floating-point numbers (also in one that becomes JSON text only after its first rows have been written).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from synthtools.records.jsonl import is_unicode

JSON = pa.json_(pa.string())

_EXACT_IN_DOUBLE = 1 << 53

# Parquet readers refuse schemas with more than some hundred levels; values nested deeper than this become
# JSON text.
_DEEPEST = 16

# ---------------------------------------------------------------- types


def holds_json(kind: pa.DataType) -> bool:
    """Whether the type is or contains ``JSON``: readers support extension types inside lists and
    structs poorly, so that the whole field becomes JSON."""
    if isinstance(kind, pa.JsonType):
        return True
    if pa.types.is_list(kind):
        return holds_json(kind.value_type)
    if pa.types.is_struct(kind):
        return any(holds_json(kind.field(i).type) for i in range(kind.num_fields))
    return False


def holds_float(kind: pa.DataType) -> bool:
    """Whether the type contains floating-point numbers, at any depth."""
    if pa.types.is_floating(kind):
        return True
    return any(holds_float(kind.field(i).type) for i in range(kind.num_fields))


def is_list(kind: pa.DataType) -> bool:
    """Whether the type is a list, in any of Arrow's layouts."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


# ---------------------------------------------------------------- values


class UnfitRecord(ValueError):  # noqa: N818 (reported as a RecordError)
    """A record that Arrow cannot hold."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"{reason}, which Parquet and Arrow cannot hold; write JSONL")
        self.index = index


def table_of(objects: list[dict[str, Any]]) -> pa.Table:
    """Parsed records as a table; a member that a record lacks becomes null.

    Raises:
        UnfitRecord: a field name has a lone surrogate, or a value is nested too deeply.
    """
    names = list(dict.fromkeys(chain.from_iterable(objects)))
    for name in names:
        if not is_unicode(name):
            index = next(i for i, record in enumerate(objects) if name in record)
            raise UnfitRecord(index, "a field's name holds half of a surrogate pair")
    if not names:
        return without_columns(len(objects))
    arrays = [array_of([record.get(name) for record in objects]) for name in names]
    return pa.table(arrays, names=names)


def without_columns(rows: int) -> pa.Table:
    """A table of rows without columns, of which Arrow's functions lose count."""
    return pa.table({"": pa.nulls(rows)}).select([])


def array_of(values: list[Any]) -> pa.Array:
    """Values of one field as an array of the type given by ``infer``."""
    return build(values, infer(values))


def infer(values: list[Any], depth: int = 0) -> pa.DataType:
    """The native type that holds all values unchanged, otherwise ``JSON``."""
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.null()
    if kinds == {str}:
        return pa.string() if all(v is None or is_unicode(v) for v in values) else JSON
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        present = [v for v in values if v is not None]
        return pa.int64() if min(present) >= -(1 << 63) and max(present) < 1 << 63 else JSON
    if kinds == {float}:
        return pa.float64()
    if kinds == {int, float}:
        exact = all(abs(v) <= _EXACT_IN_DOUBLE for v in values if type(v) is int)
        return pa.float64() if exact else JSON
    if depth >= _DEEPEST:
        return JSON
    if kinds == {list}:
        inner = infer(list(chain.from_iterable(v for v in values if v is not None)), depth + 1)
        return JSON if holds_json(inner) else pa.list_(inner)
    if kinds == {dict}:
        return _infer_struct([v for v in values if v is not None], depth)
    return JSON


def _infer_struct(values: list[dict[str, Any]], depth: int) -> pa.DataType:
    names = list(values[0])
    if not names or any(list(value) != names for value in values):
        return JSON
    if not all(map(is_unicode, names)):
        return JSON
    fields = [(name, infer([value[name] for value in values], depth + 1)) for name in names]
    return JSON if any(holds_json(kind) for _, kind in fields) else pa.struct(fields)


def build(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Values as an array of a suitable type.

    Raises:
        UnfitRecord: a value is nested too deeply to be JSON text.
    """
    if kind != JSON:
        return pa.array(values, kind)
    texts = []
    for index, value in enumerate(values):
        try:
            texts.append(None if value is None else json_text(value))
        except RecursionError:
            raise UnfitRecord(index, "a value is nested too deeply") from None
    return json_array(texts)


def indices_array(indices: Sequence[int] | np.ndarray) -> pa.Array:
    """Indices as an array of int64; ``pa.array`` would import pandas."""
    numbers = np.ascontiguousarray(indices, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


def json_array(texts: list[str | None]) -> pa.Array:
    """JSON texts as an array of type ``JSON``."""
    return pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.string()))


def json_text(value: Any) -> str:
    """A value as JSON text; a lone surrogate stays an escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if is_unicode(text) else json.dumps(value, separators=(",", ":"))
