"""JSON values ↔ Arrow columns, by one rule: Arrow must hold the value unchanged.

Numbers, strings, booleans, lists of one type and objects with the same members become native Arrow
types. What Arrow would change (integers beyond 64 bits, a column of several types, objects whose
members differ, empty objects) is kept as JSON text under the ``arrow.json`` extension type, which
Parquet stores as its JSON logical type and which comes back as the same JSON.

Two things Arrow cannot tell apart are not kept: a missing member and null, and 1 and 1.0 within a
column of floating-point numbers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from synthtools.records.batch import Column, FieldKind
from synthtools.records.jsonl import json_bytes

JSON = pa.json_(pa.string())

_EXACT_IN_DOUBLE = 1 << 53

_KINDS: dict[FieldKind, pa.DataType] = {
    "float": pa.float64(),
    "int": pa.int64(),
    "string": pa.string(),
    "ids": pa.list_(pa.int32()),
    "logprobs": pa.list_(pa.float32()),
    "candidates": pa.list_(
        pa.struct([("ids", pa.list_(pa.int32())), ("logprobs", pa.list_(pa.float32()))])
    ),
}


# ---------------------------------------------------------------- JSON values → Arrow


def table_of(objects: list[dict[str, Any]]) -> pa.Table:
    """Parsed records as a table; a member that a record lacks becomes null."""
    names = list(dict.fromkeys(chain.from_iterable(objects)))
    arrays = [array_of([record.get(name) for record in objects]) for name in names]
    if not names:
        return pa.table({}).select([]) if not objects else _rows_without_columns(len(objects))
    return pa.table(arrays, names=names)


def _rows_without_columns(count: int) -> pa.Table:
    return pa.table({"": pa.nulls(count)}).select([])


def array_of(values: list[Any]) -> pa.Array:
    """Values of one field as an array of the type ``infer`` gives them."""
    return _build(values, infer(values))


def infer(values: Iterable[Any]) -> pa.DataType:
    """The native type that holds all values unchanged, else ``JSON``."""
    values = values if isinstance(values, list) else list(values)
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.null()
    if kinds == {str}:
        return pa.string() if all(map(_is_unicode, values)) else JSON
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        present = [v for v in values if v is not None]
        return pa.int64() if -(1 << 63) <= min(present) and max(present) < 1 << 63 else JSON
    if kinds == {float}:
        return pa.float64()
    if kinds == {int, float}:
        exact = all(abs(v) <= _EXACT_IN_DOUBLE for v in values if type(v) is int)
        return pa.float64() if exact else JSON
    if kinds == {list}:
        inner = infer(list(chain.from_iterable(v for v in values if v is not None)))
        return JSON if _holds_json(inner) else pa.list_(inner)
    if kinds == {dict}:
        return _infer_struct([v for v in values if v is not None])
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


def _infer_struct(values: list[dict[str, Any]]) -> pa.DataType:
    names = list(values[0])
    if not names or any(list(value) != names for value in values):
        return JSON
    fields = [(name, infer([value[name] for value in values])) for name in names]
    return JSON if any(_holds_json(kind) for _, kind in fields) else pa.struct(fields)


def _holds_json(kind: pa.DataType) -> bool:
    # Extension types inside lists and structs are poorly supported by readers: the whole field
    # becomes JSON instead.
    if kind == JSON:
        return True
    if pa.types.is_list(kind):
        return _holds_json(kind.value_type)
    if pa.types.is_struct(kind):
        return any(_holds_json(kind.field(i).type) for i in range(kind.num_fields))
    return False


def _build(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == JSON:
        texts = [None if v is None else json_text(v) for v in values]
        return pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.string()))
    return pa.array(values, kind)


def json_text(value: Any) -> str:
    """A value as JSON text; a lone surrogate stays an escape."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))


# ---------------------------------------------------------------- added fields


def with_columns(table: pa.Table, columns: Mapping[str, Column]) -> pa.Table:
    """The table with fields set; one that is there already is replaced in its place."""
    for name, column in columns.items():
        array = _column_array(column)
        if name in table.column_names:
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
    if column.kind == "ids":
        return _lists(column.values, pa.array(_flat(column.values, np.int32)))
    if column.kind == "candidates":
        return _candidate_lists(column.values)
    return pa.array(column.values, kind)


def _candidate_lists(values: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray] | None]) -> pa.Array:
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


# ---------------------------------------------------------------- tables of different schemas


def unify(left: pa.Schema, right: pa.Schema) -> pa.Schema:
    """The schema that holds tables of both: columns of ``left``, then those only ``right`` has."""
    if left.equals(right):
        return left
    kinds = {item.name: item.type for item in left}
    for item in right:
        kinds[item.name] = _unify_types(kinds.get(item.name, pa.null()), item.type)
    return pa.schema(list(kinds.items()))


def _unify_types(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    if left.equals(right) or pa.types.is_null(right):
        return left
    if pa.types.is_null(left):
        return right
    if pa.types.is_list(left) and pa.types.is_list(right):
        inner = _unify_types(left.value_type, right.value_type)
        return JSON if _holds_json(inner) else pa.list_(inner)
    if pa.types.is_struct(left) and pa.types.is_struct(right):
        names = [left.field(i).name for i in range(left.num_fields)]
        if names != [right.field(i).name for i in range(right.num_fields)]:
            return JSON
        fields = [(n, _unify_types(left.field(n).type, right.field(n).type)) for n in names]
        return JSON if any(_holds_json(kind) for _, kind in fields) else pa.struct(fields)
    if JSON not in (left, right):
        try:
            schemas = [pa.schema([("", left)]), pa.schema([("", right)])]
            return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            pass
    return JSON


def fitted(tables: list[pa.Table], schema: pa.Schema) -> tuple[pa.Schema, list[pa.Table]]:
    """The tables with exactly the schema's columns.

    Returns:
        (schema, tables): the schema has a JSON column wherever a value would otherwise change (an
        integer that no double holds).
    """
    columns = []
    for index, item in enumerate(schema):
        try:
            column = [_conform(table, item) for table in tables]
        except pa.ArrowInvalid:
            item = pa.field(item.name, JSON)
            schema = schema.set(index, item)
            column = [_conform(table, item) for table in tables]
        columns.append(column)
    if not columns:
        return schema, tables
    rows = zip(*columns, strict=True)
    return schema, [pa.table(list(row), schema=schema) for row in rows]


def _conform(table: pa.Table, item: pa.Field) -> pa.ChunkedArray | pa.Array:
    if item.name not in table.column_names:
        return pa.nulls(table.num_rows, item.type)
    column = table.column(item.name)
    if column.type.equals(item.type):
        return column
    if item.type == JSON:
        return _build(column.to_pylist(), JSON)
    return column.cast(item.type)


def row_sizes(table: pa.Table) -> np.ndarray:
    """About how many bytes each row holds, int64: a function of the row, not of the table."""
    sizes = np.full(table.num_rows, 1, np.int64)
    for column in table.columns:
        kind = column.type.storage_type if column.type == JSON else column.type
        if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
            lengths = pc.binary_length(column.cast(kind) if column.type == JSON else column)
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            lengths = pc.multiply(pc.list_value_length(column), 8)
        else:
            sizes += 8
            continue
        sizes += pc.fill_null(lengths, 0).to_numpy().astype(np.int64)
    return sizes


# ---------------------------------------------------------------- Arrow → JSON lines


def json_lines(table: pa.Table) -> list[bytes]:
    """Each row as one JSON object, every column named, nulls included.

    JSON columns are written as they are; binary values as base64; dates and times in ISO 8601;
    decimals as numbers with all their digits; NaN and infinities as Python's json writes them.
    """
    if table.num_columns == 0:
        return [b"{}"] * table.num_rows
    nonfinite = any(_has_nonfinite(column) for column in table.columns)
    columns = [_json_values(column) for column in table.columns]
    names = table.column_names
    dump = _dump_plain if nonfinite else _dump
    return [dump(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _json_values(column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if kind == JSON:
        storage = pa.chunked_array([c.storage for c in column.chunks], pa.string())
        return [None if v is None else orjson.Fragment(v) for v in storage.to_pylist()]
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return column.cast(pa.string()).to_pylist()  # Python's datetime has no nanoseconds
    values = column.to_pylist()
    if pa.types.is_map(kind):
        return [None if v is None else dict(v) for v in values]
    return values


def _dump(row: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(row, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return _dump_plain(row)


def _dump_plain(row: dict[str, Any]) -> bytes:
    parts = []
    for name, value in row.items():
        if isinstance(value, orjson.Fragment):
            text = orjson.dumps(value).decode("utf-8")
        else:
            text = json.dumps(
                value, ensure_ascii=False, separators=(",", ":"), default=_plain_python
            )
        parts.append(f"{json.dumps(name, ensure_ascii=False)}:{text}")
    return ("{" + ",".join(parts) + "}").encode("utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    return _plain_python(value)


def _plain_python(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _has_nonfinite(column: pa.ChunkedArray | pa.Array) -> bool:
    kind = column.type
    if pa.types.is_floating(kind):
        return not (pc.all(pc.is_finite(column)).as_py() is not False)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _has_nonfinite(pc.list_flatten(column))
    if pa.types.is_struct(kind):
        return any(
            _has_nonfinite(pc.struct_field(column, [i])) for i in range(kind.num_fields)
        )
    return False
