"""Arrow columns → JSON values: rows as lines, with all values unchanged."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from synthtools.errors import SynthError, parameter
from synthtools.records.jsonl import parse_value
from synthtools.records.to_arrow import holds_float, is_list


def json_lines(table: pa.Table) -> list[bytes]:
    """Each row as one JSON object with all columns, nulls included.

    JSON columns are written unchanged; float32 in its shortest form; binary values as base64; dates and
    times in ISO 8601; decimals as numbers with all digits; NaN and infinities as in Python's json.
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
                f"leave it out with synth cat {parameter('select')}"
            ) from error
    try:
        return [_dump(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
    except TypeError as error:
        raise SynthError(f"a value cannot be written as JSON: {error}") from error


def values(column: pa.ChunkedArray) -> list[Any]:
    """The column's values as if read from JSON."""
    if isinstance(column.type, pa.JsonType):
        texts = _storage(column).to_pylist()
        return [None if text is None else parse_value(text.encode("utf-8")) for text in texts]
    return list(column.to_pylist())


def texts(column: pa.ChunkedArray) -> list[str | None]:
    """The column's values as JSON texts."""
    return [None if value is None else _dump(value).decode() for value in _jsonable(column)]


def faults(table: pa.Table) -> dict[int, str]:
    """Rows with invalid JSON in a JSON column: row → reason."""
    reasons: dict[int, str] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not isinstance(column.type, pa.JsonType):
            continue
        for row, text in enumerate(_storage(column).to_pylist()):
            try:
                if text is not None:
                    parse_value(text.encode("utf-8"))
            except ValueError as error:
                reasons.setdefault(row, f'field "{name}": {error}')
    return reasons


def _storage(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)


def _jsonable(column: pa.ChunkedArray) -> list[Any]:
    """Values that ``_dump`` writes unchanged."""
    kind = column.type
    if isinstance(kind, pa.JsonType):
        # A newline outside strings is valid space, but would end the line.
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
    values = column.to_pylist()
    if pa.types.is_map(kind):
        values = [None if value is None else _object(value) for value in values]
    if any(map(_may_be_nonfinite, column.chunks)):
        return [None if value is None else orjson.Fragment(_text(value)) for value in values]
    return list(values)


def _with_leaves(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with its leaf types changed."""
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
    # Python would turn float32 into a double with more digits, and its datetime has no nanoseconds:
    # Arrow writes both.
    nanoseconds = pa.types.is_temporal(kind) and getattr(kind, "unit", "") == "ns"
    if pa.types.is_null(kind):
        return pa.bool_()  # pyarrow (26) fails on lists of nulls that stay nulls
    if pa.types.is_float32(kind) or (nanoseconds and not pa.types.is_duration(kind)):
        return pa.string()
    return kind


def _as_written(kind: pa.DataType) -> pa.DataType:
    return pa.float64() if pa.types.is_floating(kind) else _as_text(kind)


def _may_be_nonfinite(array: pa.Array) -> bool:
    kind = array.type
    if pa.types.is_floating(kind):
        return pc.all(pc.is_finite(array)).as_py() is False
    if is_list(kind):
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
    # orjson writes NaN and infinities as null.
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_text(key)}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_text, value)) + "]"
    return _dump(value).decode("utf-8")
