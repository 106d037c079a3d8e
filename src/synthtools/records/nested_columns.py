"""Reading and setting fields of a table by name or path (structs, lists of structs, maps, JSON text)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synthtools.errors import SynthError
from synthtools.records import jsonl
from synthtools.records.added_column import Column, FieldKind
from synthtools.records.field_paths import (
    ListIndex,
    Step,
    inner_path,
    keys_to,
    matches_step,
    value_at,
)
from synthtools.records.to_arrow import is_list, json_array, json_text

_KINDS: dict[FieldKind, pa.DataType] = {
    "float": pa.float64(),
    "int": pa.int64(),
    "string": pa.string(),
}
_CANDIDATES = pa.struct([("ids", pa.list_(pa.int32())), ("logprobs", pa.list_(pa.float32()))])


def column_of(table: pa.Table, name: str) -> pa.ChunkedArray | None:
    """The column of a name, otherwise the values at this path, null where it leads nowhere.

    None if no row can have a value.
    """
    if name in table.column_names:
        return table.column(name)
    steps = inner_path(name)
    if not steps or steps[0] not in table.column_names:
        return None
    chunks = [_leaf(chunk, steps[1:]) for chunk in table.column(steps[0]).chunks]
    parts = [chunk for chunk in chunks if chunk is not None]
    return pa.chunked_array(parts) if parts else None


def selected(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The table with only the named fields. KeyError if no row can have one of them."""
    columns = []
    for name in names:
        column = column_of(table, name)
        if column is None:
            raise KeyError(name)
        columns.append(column)
    return pa.table(columns, names=list(names)) if columns else table.select([])


def with_inner(table: pa.Table, name: str, values: pa.Array) -> pa.Table | None:
    """The table with the values at a path replaced, or a new field added to existing structs; None if the
    name is not a path that starts at a column.

    Raises:
        SynthError: the path leads nowhere in some row.
    """
    steps = inner_path(name)
    if not steps or steps[0] not in table.column_names:
        return None
    place = table.column_names.index(steps[0])
    column = table.column(place)
    whole = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    reached: list[np.ndarray] = []
    changed = _with_leaf(whole, steps[1:], values, np.arange(len(whole)), reached)
    if changed is None or sum(map(len, reached)) < len(whole):
        raise SynthError(
            f'nothing that "{name}" could be set in (field "{steps[0]}" lacks it in some records)'
        )
    return table.set_column(place, steps[0], changed)


def _leaf(array: pa.Array, steps: Sequence[Step]) -> pa.Array | None:
    """The value at a path in each element, null where it leads nowhere; None if it never leads anywhere."""
    if not steps:
        return array
    step, kind = steps[0], array.type
    if isinstance(kind, pa.JsonType):
        values = [None if t is None else jsonl.parse_value(t.encode()) for t in _texts(array)]
        leaves = [value_at(value, steps, None) for value in values]
        return json_array([None if value is None else json_text(value) for value in leaves])
    if pa.types.is_map(kind) and isinstance(step, str):
        return _leaf(_taken(array.items, _places(array, step)), steps[1:])
    if pa.types.is_struct(kind):
        if not isinstance(step, str) or kind.get_field_index(step) < 0:
            return None
        return _leaf(pc.struct_field(array, step), steps[1:])
    if is_list(kind) and not isinstance(step, str):
        array = _of_any_size(array)
        return _leaf(_taken(array.values, _places(array, step)), steps[1:])
    return None


def _with_leaf(
    array: pa.Array,
    steps: Sequence[Step],
    values: pa.Array,
    rows: np.ndarray,
    reached: list[np.ndarray],
) -> pa.Array | None:
    """The array with some values at a path replaced; None if the path never leads anywhere.

    Args:
        rows: int64, for each element of the array the index of its new value; -1 for none.
        reached: receives the indices of the values that were set.
    """
    if not steps:
        reached.append(rows[rows >= 0])
        if values.type != array.type:
            array, values = _alike(array, values, rows)
        return pa.concat_arrays([array, values]).take(
            pa.array(np.where(rows < 0, np.arange(len(array)), len(array) + rows))
        )
    step, kind = steps[0], array.type
    if isinstance(kind, pa.JsonType):
        return _with_json(array, steps, values, rows, reached)
    if pa.types.is_struct(kind) and isinstance(step, str):
        names = [kind.field(index).name for index in range(kind.num_fields)]
        rows = np.where(np.asarray(array.is_null()), -1, rows)
        children = {name: pc.struct_field(array, name) for name in names}
        child = children.get(step)
        if child is None and len(steps) == 1:
            child = pa.nulls(len(array), values.type)
        changed = None if child is None else _with_leaf(child, steps[1:], values, rows, reached)
        if changed is None:
            return None
        children[step] = changed
        return pa.StructArray.from_arrays(
            list(children.values()), list(children), mask=array.is_null()
        )
    is_map = pa.types.is_map(kind) and isinstance(step, str)
    if not is_map and not (is_list(kind) and not isinstance(step, str)):
        return None
    array = _of_any_size(array)
    held = array.items if is_map else array.values
    places = _places(array, step)
    inner = np.full(len(held), -1)
    there = (places >= 0) & (rows >= 0)
    inner[places[there]] = rows[there]
    changed = _with_leaf(held, steps[1:], values, inner, reached)
    if changed is None:
        return None
    # A copy: the offsets of a slice cannot be combined with a mask.
    offsets, mask = pa.array(np.asarray(array.offsets)), array.is_null()
    if is_map:
        return pa.MapArray.from_arrays(offsets, array.keys, changed, mask=mask)
    made = pa.LargeListArray if pa.types.is_large_list(kind) else pa.ListArray
    return made.from_arrays(offsets, changed, mask=mask)


def _alike(array: pa.Array, values: pa.Array, rows: np.ndarray) -> tuple[pa.Array, pa.Array]:
    """Both cast to one type that preserves all remaining values."""
    stay = array.filter(pa.array(rows < 0))
    if stay.null_count == len(stay):
        return pa.nulls(len(array), values.type), values
    if pa.types.is_large_string(array.type) and pa.types.is_string(values.type):
        return array, values.cast(array.type)
    raise SynthError(
        f"values of type {values.type} cannot stand beside others of type {array.type} in one list: "
        "write JSONL"
    )


def _with_json(
    array: pa.Array,
    steps: Sequence[Step],
    values: pa.Array,
    rows: np.ndarray,
    reached: list[np.ndarray],
) -> pa.Array:
    texts: list[str | None] = []
    for text, row in zip(_texts(array), rows.tolist(), strict=True):
        keys = None
        if text is not None and row >= 0:
            keys = keys_to(jsonl.parse_value(text.encode()), steps)
        if text is not None and keys is not None:
            value = jsonl.json_bytes(values[row].as_py())
            line = b'{"":' + text.encode() + b"}"
            text = jsonl.with_value(line, ["", *keys], value)[4:-1].decode()
            reached.append(rows[len(texts) : len(texts) + 1])
        texts.append(text)
    return json_array(texts)


def _texts(array: pa.Array) -> list[str | None]:
    return list(array.storage.to_pylist())


def _of_any_size(array: pa.Array) -> pa.Array:
    kind = array.type
    return array.cast(pa.list_(kind.value_type)) if pa.types.is_fixed_size_list(kind) else array


def _taken(array: pa.Array, places: np.ndarray) -> pa.Array:
    return array.take(pa.array(places, mask=places < 0))


def _places(array: pa.Array, step: Step) -> np.ndarray:
    """Index, in the elements of lists or maps, of the one that a step leads to, int64; -1 for none (also
    if a condition holds for several)."""
    offsets = np.asarray(array.offsets)
    starts, ends = offsets[:-1].astype(np.int64), offsets[1:]
    lengths = np.where(np.asarray(array.is_null()), 0, ends - starts)
    if isinstance(step, ListIndex):
        index = step.index if step.index >= 0 else lengths + step.index
        return np.where((index >= 0) & (index < lengths), starts + index, -1)
    if isinstance(step, str):
        names = array.keys.to_pylist()
        fitting = [str(name) == step for name in names]
    else:
        fitting = [
            isinstance(one, dict) and matches_step(one, step) for one in array.values.to_pylist()
        ]
    sums = np.concatenate([[0], np.cumsum(fitting, dtype=np.int64)])
    first = np.searchsorted(sums, sums[starts] + 1) - 1
    return np.where(sums[starts + lengths] - sums[starts] == 1, first, -1)


# ---------------------------------------------------------------- added fields


def with_columns(table: pa.Table, columns: Mapping[str, Column]) -> pa.Table:
    """The table with fields set; an existing field (or value at the path) is replaced in place."""
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
    if column.kind == "logprobs":
        return _lists(column.values, pa.array(_flat(column.values, np.float32), from_pandas=True))
    if column.kind in ("ids", "hashes"):
        numbers = np.int32 if column.kind == "ids" else np.uint32
        return _lists(column.values, pa.array(_flat(column.values, numbers)))
    if column.kind == "vector":
        return _vectors(column.values)
    if column.kind == "candidates":
        return _candidate_lists(column.values)
    return pa.array(column.values, _KINDS[column.kind])


def _vectors(values: Sequence[np.ndarray | None]) -> pa.Array:
    """Vectors of equal length as fixed-size lists."""
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
    # Tokens without candidates are null: offsets advance only where there are candidates.
    offsets = pa.array(np.concatenate([[0], np.cumsum(present * width)]), pa.int32())
    ids = _flat([None if v is None else v[1].ravel() for v in values], np.int32)
    logprobs = _flat([None if v is None else v[2].ravel() for v in values], np.float32)
    tokens = pa.StructArray.from_arrays(
        [
            pa.ListArray.from_arrays(offsets, pa.array(ids)),
            pa.ListArray.from_arrays(offsets, pa.array(logprobs)),
        ],
        fields=list(_CANDIDATES),
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
