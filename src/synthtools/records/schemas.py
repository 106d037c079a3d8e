"""A common schema for tables of different schemas, and their rows in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synthtools.records.jsonl import parse_exactly
from synthtools.records.to_arrow import (
    JSON,
    build,
    holds_float,
    holds_json,
    is_list,
    json_array,
    without_columns,
)
from synthtools.records.to_json import texts


def unify(left: pa.Schema, right: pa.Schema) -> pa.Schema:
    """A schema for the rows of both: the columns of ``left``, then the others of ``right``."""
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
        return JSON if holds_json(inner) else pa.list_(inner)
    if pa.types.is_struct(left) and pa.types.is_struct(right):
        names = [left.field(i).name for i in range(left.num_fields)]
        if names != [right.field(i).name for i in range(right.num_fields)]:
            return JSON
        fields = [(n, _unify_types(left.field(n).type, right.field(n).type)) for n in names]
        return JSON if any(holds_json(kind) for _, kind in fields) else pa.struct(fields)
    if holds_json(left) or holds_json(right) or any(test(left) != test(right) for test in _APART):
        return JSON
    try:
        schemas = [pa.schema([("", left)]), pa.schema([("", right)])]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return JSON


def _of_any_size(kind: pa.DataType) -> pa.DataType:
    return pa.list_(kind.value_type) if pa.types.is_fixed_size_list(kind) else kind


# Types that Arrow would merge with others by changing values: text to bytes, decimals to doubles.
_APART: tuple[Callable[[pa.DataType], bool], ...] = (
    lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    pa.types.is_decimal,
)


@dataclass(frozen=True)
class TablePiece:
    """Rows to be written.

    Attributes:
        lines: the JSON lines that the rows were read from, if they hold more information.
        added: columns that did not come from the lines.
    """

    table: pa.Table
    lines: Sequence[bytes] | None = None
    added: Collection[str] = ()


def fitted(pieces: list[TablePiece], schema: pa.Schema) -> tuple[pa.Schema, list[pa.Table]]:
    """The rows with exactly the schema's columns.

    Returns:
        (schema, tables): with a JSON column wherever a value would otherwise change (an integer that a
        double cannot hold).
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
    """Tables of one schema as one contiguous table, whose buffers depend only on its values."""
    if not tables[0].column_names:
        return without_columns(sum(table.num_rows for table in tables))
    table = pa.concat_tables(tables)
    columns = [_canonical(column.combine_chunks()) for column in table.columns]
    return pa.table(columns, schema=table.schema)


def _canonical(array: pa.Array) -> pa.Array:
    """The array with nulls inside its null structs.

    What Arrow stores under a null depends on how the rows were concatenated.
    """
    kind = array.type
    if pa.types.is_struct(kind) and kind.num_fields:
        # flatten applies a struct's nulls to its fields.
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
    return bool(pa.types.is_struct(kind))


def _conform(piece: TablePiece, item: pa.Field) -> pa.ChunkedArray | pa.Array:
    rows = piece.table.num_rows
    column = (
        piece.table.column(item.name) if item.name in piece.table.column_names else pa.nulls(rows)
    )
    if pa.types.is_null(column.type):
        # Built like the others: pa.nulls lays out structs differently.
        return build([None] * rows, item.type)
    if column.type.equals(item.type):
        return column
    if item.type != JSON:
        try:
            return column.cast(item.type)
        except pa.ArrowIndexError:  # pyarrow (26) fails to cast lists of nulls
            return build(column.to_pylist(), item.type)
    if piece.lines is not None and item.name not in piece.added and holds_float(column.type):
        # The column turned 1 into 1.0; the lines still have the difference.
        return build([parse_exactly(line).get(item.name) for line in piece.lines], JSON)
    return json_array(texts(column))


def row_sizes(table: pa.Table) -> np.ndarray:
    """Approximate bytes of each row, int64; depends on the row, not on the table."""
    columns = (_value_sizes(column.combine_chunks()) for column in table.columns)
    return sum(columns, start=np.ones(table.num_rows, np.int64))


def _value_sizes(array: pa.Array) -> np.ndarray:
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _value_sizes(array.storage)
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        return _lengths(pc.binary_length(array))
    if is_list(kind):
        ends = np.cumsum(_lengths(pc.list_value_length(array)))
        sums = np.concatenate([[0], np.cumsum(_value_sizes(pc.list_flatten(array)))])
        return np.diff(sums[ends], prepend=0)
    if pa.types.is_struct(kind):
        fields = (_value_sizes(pc.struct_field(array, [i])) for i in range(kind.num_fields))
        return sum(fields, start=np.zeros(len(array), np.int64))
    return np.full(len(array), 8, np.int64)


def _lengths(lengths: pa.Array) -> np.ndarray:
    """The lengths as int64, 0 for null. Arrow's own conversions to numpy import pandas."""
    if not len(lengths):
        return np.zeros(0, np.int64)
    valid, data = lengths.buffers()
    width = np.dtype(np.int64 if pa.types.is_int64(lengths.type) else np.int32)
    start = lengths.offset
    values = np.frombuffer(data, width, len(lengths), start * width.itemsize).astype(np.int64)
    if lengths.null_count:
        bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
        values *= bits[start : start + len(lengths)]
    return values
