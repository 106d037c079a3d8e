"""JSON values ↔ Arrow columns, by one rule: Arrow must hold the value unchanged.

Numbers, strings, booleans, lists of one type and objects with the same members become native Arrow
types. What Arrow would change (integers beyond 64 bits, a column of several types, objects whose
members differ, empty objects) is kept as JSON text under the ``arrow.json`` extension type, which
Parquet stores as its JSON logical type and which comes back as the same JSON.

Two things Arrow cannot tell apart are not kept: a missing member and null, and 1 and 1.0 within a
column of floating-point numbers (also one that becomes JSON text only after its first rows have
been written).
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from synthtools.errors import SynthError
from synthtools.records.batch import Column, FieldKind
from synthtools.records.jsonl import parse_exactly, parse_value

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


# ---------------------------------------------------------------- JSON values → Arrow


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
    return _build(values, infer(values))


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
        return JSON if _holds_json(inner) else pa.list_(inner)
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
    return JSON if any(_holds_json(kind) for _, kind in fields) else pa.struct(fields)


def _holds_json(kind: pa.DataType) -> bool:
    # Extension types inside lists and structs are poorly supported by readers: the whole field
    # becomes JSON instead.
    if isinstance(kind, pa.JsonType):
        return True
    if pa.types.is_list(kind):
        return _holds_json(kind.value_type)
    if pa.types.is_struct(kind):
        return any(_holds_json(kind.field(i).type) for i in range(kind.num_fields))
    return False


def _build(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind != JSON:
        return pa.array(values, kind)
    texts = []
    for index, value in enumerate(values):
        try:
            texts.append(None if value is None else json_text(value))
        except RecursionError:
            raise UnfitRecord(index, "a value is nested too deeply") from None
    return _json_array(texts)


def _json_array(texts: list[str | None]) -> pa.Array:
    return pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.string()))


def json_text(value: Any) -> str:
    """A value as JSON text; a lone surrogate stays an escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if _is_unicode(text) else json.dumps(value, separators=(",", ":"))


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
    left, right = _of_any_size(left), _of_any_size(right)
    if pa.types.is_list(left) and pa.types.is_list(right):
        inner = _unify_types(left.value_type, right.value_type)
        return JSON if _holds_json(inner) else pa.list_(inner)
    if pa.types.is_struct(left) and pa.types.is_struct(right):
        names = [left.field(i).name for i in range(left.num_fields)]
        if names != [right.field(i).name for i in range(right.num_fields)]:
            return JSON
        fields = [(n, _unify_types(left.field(n).type, right.field(n).type)) for n in names]
        return JSON if any(_holds_json(kind) for _, kind in fields) else pa.struct(fields)
    if _holds_json(left) or _holds_json(right) or any(test(left) != test(right) for test in _APART):
        return JSON
    try:
        schemas = [pa.schema([("", left)]), pa.schema([("", right)])]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return JSON


def _of_any_size(kind: pa.DataType) -> pa.DataType:
    return pa.list_(kind.value_type) if pa.types.is_fixed_size_list(kind) else kind


# What Arrow would merge with other types, changing values: text into bytes, decimals into doubles.
_APART: tuple[Callable[[pa.DataType], bool], ...] = (
    lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    pa.types.is_decimal,
)


@dataclass(frozen=True)
class Piece:
    """Rows to be written.

    Attributes:
        lines: the JSON lines that they were read from, where they tell more than the rows.
        added: columns that were not read from the lines.
    """

    table: pa.Table
    lines: list[bytes] | None = None
    added: Collection[str] = ()


def fitted(pieces: list[Piece], schema: pa.Schema) -> tuple[pa.Schema, list[pa.Table]]:
    """The rows with exactly the schema's columns.

    Returns:
        (schema, tables): the schema has a JSON column wherever a value would otherwise change (an
        integer that no double holds).
    """
    columns = []
    for index, item in enumerate(schema):
        try:
            column = [_conform(piece, item) for piece in pieces]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            item = pa.field(item.name, JSON)
            schema = schema.set(index, item)
            column = [_conform(piece, item) for piece in pieces]
        columns.append(column)
    if not columns:
        return schema, [piece.table for piece in pieces]
    rows = zip(*columns, strict=True)
    return schema, [pa.table(list(row), schema=schema) for row in rows]


def joined(tables: list[pa.Table]) -> pa.Table:
    """Tables of one schema as one table in one piece, whose buffers depend on its values alone."""
    if not tables[0].column_names:
        return without_columns(sum(table.num_rows for table in tables))
    table = pa.concat_tables(tables).combine_chunks()
    columns = [_canonical(column.combine_chunks()) for column in table.columns]
    return pa.table(columns, schema=table.schema)


def _canonical(array: pa.Array) -> pa.Array:
    """The array with nothing but nulls under the nulls of its structs.

    What lies there is no value, and how Arrow fills it depends on how the rows came together.
    """
    kind = array.type
    if pa.types.is_struct(kind) and kind.num_fields:
        # flatten hands a struct's nulls down to its fields.
        fields = [_canonical(item) for item in array.flatten()]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(fields, fields=list(kind), mask=mask)
    if pa.types.is_fixed_size_list(kind) and array.null_count:
        return pa.array(array.to_pylist(), kind)
    if pa.types.is_list(kind) and _holds_struct(kind) and not array.offset:
        mask = array.is_null() if array.null_count else None
        items = _canonical(array.values)
        return pa.ListArray.from_arrays(array.offsets, items, type=kind, mask=mask)
    return array


def _holds_struct(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _holds_struct(kind.value_type)
    return pa.types.is_struct(kind)


def _conform(piece: Piece, item: pa.Field) -> pa.ChunkedArray | pa.Array:
    rows = piece.table.num_rows
    column = (
        piece.table.column(item.name) if item.name in piece.table.column_names else pa.nulls(rows)
    )
    if pa.types.is_null(column.type):
        # As if they had been built with the others: pa.nulls lays out structs in another way.
        return _build([None] * rows, item.type)
    if column.type.equals(item.type):
        return column
    if item.type != JSON:
        try:
            return column.cast(item.type)
        except pa.ArrowIndexError:  # pyarrow (26) stumbles over lists of nulls in what it casts
            return _build(column.to_pylist(), item.type)
    if piece.lines is not None and item.name not in piece.added and holds_float(column.type):
        # The column has taken 1 for 1.0; the lines still tell.
        return _build([parse_exactly(line).get(item.name) for line in piece.lines], JSON)
    return _json_array([None if v is None else _dump(v).decode() for v in _jsonable(column)])


def holds_float(kind: pa.DataType) -> bool:
    """Whether the type holds floating-point numbers, at any depth."""
    if pa.types.is_floating(kind):
        return True
    return any(holds_float(kind.field(i).type) for i in range(kind.num_fields))


def row_sizes(table: pa.Table) -> np.ndarray:
    """About how many bytes each row holds, int64: a function of the row, not of the table."""
    columns = (_value_sizes(column.combine_chunks()) for column in table.columns)
    return sum(columns, start=np.ones(table.num_rows, np.int64))


def _value_sizes(array: pa.Array) -> np.ndarray:
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _value_sizes(array.storage)
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        return _lengths(pc.binary_length(array))
    if _is_list(kind):
        ends = np.cumsum(_lengths(pc.list_value_length(array)))
        sums = np.concatenate([[0], np.cumsum(_value_sizes(pc.list_flatten(array)))])
        return np.diff(sums[ends], prepend=0)
    if pa.types.is_struct(kind):
        fields = (_value_sizes(pc.struct_field(array, [i])) for i in range(kind.num_fields))
        return sum(fields, start=np.zeros(len(array), np.int64))
    return np.full(len(array), 8, np.int64)


def _is_list(kind: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def _lengths(lengths: pa.Array) -> np.ndarray:
    return pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False).astype(np.int64)


# ---------------------------------------------------------------- Arrow → JSON


def json_lines(table: pa.Table) -> list[bytes]:
    """Each row as one JSON object, every column named, nulls included.

    JSON columns are written as they are; float32 at its shortest; binary values as base64; dates
    and times in ISO 8601; decimals as numbers with all their digits; NaN and infinities as Python's
    json writes them.
    """
    if table.num_columns == 0:
        return [b"{}"] * table.num_rows
    names = table.column_names
    columns = []
    for name, column in zip(names, table.columns, strict=True):
        try:
            columns.append(_jsonable(column))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise SynthError(
                f'field "{name}" of type {column.type} cannot be written as JSON ({error}); '
                "leave it out with synth cat --select"
            ) from error
    try:
        return [_dump(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
    except TypeError as error:
        raise SynthError(f"a value cannot be written as JSON: {error}") from error


def values(column: pa.ChunkedArray) -> list[Any]:
    """The column's values as those of JSON would be read."""
    if isinstance(column.type, pa.JsonType):
        texts = _storage(column).to_pylist()
        return [None if text is None else parse_value(text.encode("utf-8")) for text in texts]
    return column.to_pylist()


def faults(table: pa.Table) -> dict[int, str]:
    """Rows whose JSON columns hold what is no JSON: row → reason."""
    found: dict[int, str] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not isinstance(column.type, pa.JsonType):
            continue
        for row, text in enumerate(_storage(column).to_pylist()):
            try:
                if text is not None:
                    parse_value(text.encode("utf-8"))
            except ValueError as error:
                found.setdefault(row, f'field "{name}": {error}')
    return found


def _storage(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)


def _jsonable(column: pa.ChunkedArray) -> list[Any]:
    """Values that ``_dump`` writes unchanged."""
    kind = column.type
    if isinstance(kind, pa.JsonType):
        # A newline outside a string is only space there, but would end the line here.
        texts = [
            t and t.replace("\n", " ").replace("\r", " ") for t in _storage(column).to_pylist()
        ]
        return [None if text is None else orjson.Fragment(text) for text in texts]
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    elif isinstance(kind, pa.BaseExtensionType) and kind != pa.uuid():
        column = _storage(column)
    kind = column.type
    column = column.cast(_with_leaves(kind, _as_text)).cast(_with_leaves(kind, _as_written))
    if pa.types.is_timestamp(kind) and pa.types.is_string(column.type):
        column = pc.replace_substring(column, " ", "T")
    found = column.to_pylist()
    if pa.types.is_map(kind):
        found = [None if value is None else _object(value) for value in found]
    if any(map(_may_be_nonfinite, column.chunks)):
        return [None if value is None else orjson.Fragment(_text(value)) for value in found]
    return found


def _with_leaves(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with what its lists and structs hold changed."""
    if pa.types.is_list(kind):
        return pa.list_(_with_leaves(kind.value_type, change))
    if pa.types.is_large_list(kind):
        return pa.large_list(_with_leaves(kind.value_type, change))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_with_leaves(kind.value_type, change), kind.list_size)
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return pa.struct([(f.name, _with_leaves(f.type, change)) for f in fields])
    return change(kind)


def _as_text(kind: pa.DataType) -> pa.DataType:
    # A float32 has fewer digits than the double that Python would make of it, and Python's datetime
    # has no nanoseconds: Arrow writes both as they are.
    nanoseconds = pa.types.is_temporal(kind) and getattr(kind, "unit", "") == "ns"
    if pa.types.is_null(kind):
        return pa.bool_()  # pyarrow (26) stumbles over lists of nulls that are to stay such
    if pa.types.is_float32(kind) or (nanoseconds and not pa.types.is_duration(kind)):
        return pa.string()
    return kind


def _as_written(kind: pa.DataType) -> pa.DataType:
    return pa.float64() if pa.types.is_floating(kind) else _as_text(kind)


def _may_be_nonfinite(array: pa.Array) -> bool:
    kind = array.type
    if pa.types.is_floating(kind):
        return pc.all(pc.is_finite(array)).as_py() is False
    if _is_list(kind):
        return _may_be_nonfinite(pc.list_flatten(array))
    if pa.types.is_struct(kind):
        fields = (pc.struct_field(array, [i]) for i in range(kind.num_fields))
        return any(map(_may_be_nonfinite, fields))
    return holds_float(kind)


def _object(pairs: list[tuple[Any, Any]]) -> Any:
    members = {str(key): value for key, value in pairs}
    return members if len(members) == len(pairs) else pairs


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _text(value: Any) -> str:
    # orjson writes what is not finite as null.
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_text(key)}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_text, value)) + "]"
    return _dump(value).decode("utf-8")
