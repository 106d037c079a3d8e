"""JSON values → Arrow columns, by one rule: Arrow must hold the value unchanged.

Numbers, strings, booleans, lists of one type and objects with the same members become native Arrow
types. What Arrow would change (integers beyond 64 bits, a column of several types, objects whose
members differ, empty objects) is kept as JSON text under the ``arrow.json`` extension type, which
Parquet stores as its JSON logical type and which comes back as the same JSON.

Two things Arrow cannot tell apart are not kept: a missing member and null, and 1 and 1.0 within a
column of floating-point numbers (also one that becomes JSON text only after its first rows have
been written).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from synthtools.records.batch import Column, FieldKind

JSON = pa.json_(pa.string())

_EXACT_IN_DOUBLE = 1 << 53

# Parquet readers refuse schemas of more than some hundred levels; what is nested deeper than this
# is JSON text.
_DEEPEST = 16

_KINDS: dict[FieldKind, pa.DataType] = {
    "float": pa.float64(),
    "int": pa.int64(),
    "string": pa.string(),
    "ids": pa.list_(pa.int32()),
    "hashes": pa.list_(pa.uint32()),
    "logprobs": pa.list_(pa.float32()),
    "vector": pa.list_(pa.float32()),  # of a fixed size, which the values tell
    "candidates": pa.list_(
        pa.struct([("ids", pa.list_(pa.int32())), ("logprobs", pa.list_(pa.float32()))])
    ),
}


# ---------------------------------------------------------------- types


def holds_json(kind: pa.DataType) -> bool:
    """Whether the type is ``JSON``, or would hold it: readers support extension types inside lists
    and structs poorly, so that the whole field becomes JSON instead."""
    if isinstance(kind, pa.JsonType):
        return True
    if pa.types.is_list(kind):
        return holds_json(kind.value_type)
    if pa.types.is_struct(kind):
        return any(holds_json(kind.field(i).type) for i in range(kind.num_fields))
    return False


def holds_float(kind: pa.DataType) -> bool:
    """Whether the type holds floating-point numbers, at any depth."""
    if pa.types.is_floating(kind):
        return True
    return any(holds_float(kind.field(i).type) for i in range(kind.num_fields))


def is_list(kind: pa.DataType) -> bool:
    """Whether the type is a list of any of Arrow's layouts."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


# ---------------------------------------------------------------- values


class UnfitRecord(ValueError):  # noqa: N818 (told as a RecordError)
    """A record that no column can hold."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"{reason}, which Parquet and Arrow cannot hold; write JSONL")
        self.index = index


def table_of(objects: list[dict[str, Any]]) -> pa.Table:
    """Parsed records as a table; a member that a record lacks becomes null.

    Raises:
        UnfitRecord: a name is no Unicode, or a value is nested too deeply.
    """
    names = list(dict.fromkeys(chain.from_iterable(objects)))
    for name in names:
        if not _is_unicode(name):
            index = next(i for i, record in enumerate(objects) if name in record)
            raise UnfitRecord(index, "a field's name holds half of a surrogate pair")
    if not names:
        return without_columns(len(objects))
    arrays = [array_of([record.get(name) for record in objects]) for name in names]
    return pa.table(arrays, names=names)


def without_columns(rows: int) -> pa.Table:
    """A table of rows that hold nothing, which Arrow's own functions lose count of."""
    return pa.table({"": pa.nulls(rows)}).select([])


def array_of(values: list[Any]) -> pa.Array:
    """Values of one field as an array of the type ``infer`` gives them."""
    return build(values, infer(values))


def infer(values: list[Any], depth: int = 0) -> pa.DataType:
    """The native type that holds all values unchanged, else ``JSON``."""
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.null()
    if kinds == {str}:
        return pa.string() if all(map(_is_unicode, values)) else JSON
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


def _is_unicode(value: str | None) -> bool:
    # A lone surrogate is legal in a JSON escape, but no UTF-8 holds it.
    if value is None or value.isascii():
        return True
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _infer_struct(values: list[dict[str, Any]], depth: int) -> pa.DataType:
    names = list(values[0])
    if not names or any(list(value) != names for value in values):
        return JSON
    if not all(map(_is_unicode, names)):
        return JSON
    fields = [(name, infer([value[name] for value in values], depth + 1)) for name in names]
    return JSON if any(holds_json(kind) for _, kind in fields) else pa.struct(fields)


def build(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Values as an array of a type that holds them.

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


def json_array(texts: list[str | None]) -> pa.Array:
    """JSON texts as an array of type ``JSON``."""
    return pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.string()))


def json_text(value: Any) -> str:
    """A value as JSON text; a lone surrogate stays an escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if _is_unicode(text) else json.dumps(value, separators=(",", ":"))


# ---------------------------------------------------------------- added fields


def with_columns(table: pa.Table, columns: Mapping[str, Column]) -> pa.Table:
    """The table with fields set; one that is there already (or at the path that the name is) is
    replaced in its place."""
    from synthtools.records.nested_columns import with_inner

    for name, column in columns.items():
        array = _column_array(column)
        inner = None if name in table.column_names else with_inner(table, name, array)
        if inner is not None:
            table = inner
        elif name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, array)
        elif table.num_columns == 0:
            table = pa.table([array], names=[name])
        else:
            table = table.append_column(name, array)
    return table


def _column_array(column: Column) -> pa.Array:
    kind = _KINDS[column.kind]
    if column.kind == "logprobs":
        return _lists(column.values, pa.array(_flat(column.values, np.float32), from_pandas=True))
    if column.kind in ("ids", "hashes"):
        numbers = np.int32 if column.kind == "ids" else np.uint32
        return _lists(column.values, pa.array(_flat(column.values, numbers)))
    if column.kind == "vector":
        return _vectors(column.values)
    if column.kind == "candidates":
        return _candidate_lists(column.values)
    return pa.array(column.values, kind)


def _vectors(values: Sequence[np.ndarray | None]) -> pa.Array:
    """Vectors of one length as lists of a fixed size."""
    width = next((len(value) for value in values if value is not None), None)
    if width is None:
        return pa.nulls(len(values))
    missing = np.array([value is None for value in values], bool)
    rows = np.zeros((len(values), width), np.float32)
    rows[~missing] = np.stack([value for value in values if value is not None])
    mask = pa.array(missing) if missing.any() else None
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), width, mask=mask)


def _candidate_lists(
    values: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray] | None],
) -> pa.Array:
    present = _flat([None if v is None else v[0] for v in values], np.bool_)
    width = max((v[1].shape[1] for v in values if v is not None), default=0)
    # Absent tokens get empty lists under a null: offsets advance only where candidates are.
    offsets = pa.array(np.concatenate([[0], np.cumsum(present * width)]), pa.int32())
    ids = _flat([None if v is None else v[1].ravel() for v in values], np.int32)
    logprobs = _flat([None if v is None else v[2].ravel() for v in values], np.float32)
    tokens = pa.StructArray.from_arrays(
        [
            pa.ListArray.from_arrays(offsets, pa.array(ids)),
            pa.ListArray.from_arrays(offsets, pa.array(logprobs)),
        ],
        fields=list(_KINDS["candidates"].value_type),
        mask=pa.array(~present),
    )
    return _lists([None if v is None else v[0] for v in values], tokens)


def _flat(values: Iterable[np.ndarray | None], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype)] + [v for v in values if v is not None]).astype(dtype)


def _lists(values: Iterable[np.ndarray | None], flat: pa.Array) -> pa.Array:
    offsets: list[int | None] = []
    end = 0
    for value in values:
        offsets.append(None if value is None else end)
        end += 0 if value is None else len(value)
    return pa.ListArray.from_arrays(pa.array([*offsets, end], pa.int32()), flat)
