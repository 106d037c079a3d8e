"""A batch: consecutive records of one shard, in the form in which they were read.

Fields that a tool adds are kept apart and merged only on writing, so that JSON keeps its bytes, Arrow its
types, and numpy arrays are written to either directly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from synthtools.errors import RecordError
from synthtools.records import jsonl
from synthtools.records.added_column import Column
from synthtools.records.block_lines import BlockLines
from synthtools.records.field_paths import inner_path, value_at, value_of

if TYPE_CHECKING:
    import pyarrow as pa

    from synthtools.records.schemas import TablePiece


Indices = Sequence[int] | np.ndarray


@dataclass
class Batch(ABC):
    """Consecutive records of one shard.

    Attributes:
        source: the shard's name, for messages; sources: of each record, if they are from several.
        numbers: line or row of each record in its shard, from 1.
        ordinals: int64, index of each record in the whole input, from 0, bad records counted; set
            by ``reader``.
        added: fields to add when the records are written.
        tally: integers per record that the output sums for the report (name → int64 array).
    """

    source: str
    numbers: np.ndarray
    ordinals: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    added: dict[str, Column] = field(default_factory=dict)
    tally: dict[str, np.ndarray] = field(default_factory=dict)
    sources: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    @abstractmethod
    def column(self, name: str) -> list[Any]:
        """The field's value in each record as read, ``MISSING`` if a record lacks it. The name is that of
        a field, otherwise a path."""

    @abstractmethod
    def field_names(self, index: int) -> list[str]:
        """Field names of one record."""

    @abstractmethod
    def raw(self, index: int) -> bytes:
        """One record as JSON, without added fields, for the rejects file."""

    @abstractmethod
    def _take_records(self, indices: Indices) -> Self: ...

    @abstractmethod
    def select(self, names: list[str]) -> Batch:
        """Only the named fields, in that order, as they were written. KeyError if one is missing."""

    @abstractmethod
    def json_lines(self) -> Sequence[bytes]:
        """Each record as one JSON object without newline; unmodified records byte for byte."""

    @abstractmethod
    def piece(self) -> TablePiece:
        """The records as rows, with the narrowest types that preserve all values."""

    @abstractmethod
    def woven(self) -> Self:
        """The batch with the added fields merged into its records."""

    @abstractmethod
    def sizes(self) -> np.ndarray:
        """Approximate bytes of each record as read, int64; depends only on the record."""

    def written_sizes(self) -> np.ndarray:
        """Like ``sizes``, with the added fields."""
        return sum((column.sizes() for column in self.added.values()), start=self.sizes())

    def take(self, indices: Indices) -> Self:
        """The records at the indices, with their added fields."""
        taken = self._take_records(indices)
        taken.numbers = self.numbers[indices]
        taken.sources = None if self.sources is None else self.sources[indices]
        taken.ordinals = self.ordinals[indices] if len(self.ordinals) else self.ordinals
        taken.added = {name: column.take(indices) for name, column in self.added.items()}
        taken.tally = {name: counts[indices] for name, counts in self.tally.items()}
        return taken

    def fault(self, index: int, reason: str, kind: str | None = None) -> RecordError:
        """An error about one record."""
        source = self.source if self.sources is None else self.sources[index]
        return RecordError(source, int(self.numbers[index]), reason, self.raw(index), kind)

    def adding(
        self, columns: dict[str, Column], tally: dict[str, np.ndarray] | None = None
    ) -> Self:
        """The batch with fields set (an existing field keeps its position)."""
        return replace(self, added={**self.added, **columns}, tally={**self.tally, **(tally or {})})


class _Missing:
    def __repr__(self) -> str:
        return "missing"

    def __reduce__(self) -> str:
        return "MISSING"  # the same object in every process: it is compared by identity


MISSING = _Missing()


@dataclass
class JsonBatch(Batch):
    """Records read from JSONL.

    Attributes:
        lines: valid JSON objects.
        parsed: the objects, if already parsed.
        scanned: some fields as JSON text, None if a record lacks one.
        from_rows: some of the lines were converted from rows.
    """

    lines: Sequence[bytes] = field(default_factory=list)
    parsed: list[dict[str, Any]] | None = None
    scanned: dict[str, list[bytes | None]] = field(default_factory=dict)
    from_rows: bool = False

    @property
    def objects(self) -> list[dict[str, Any]]:
        if self.parsed is None:
            self.parsed = [self._parsed(index) for index in range(len(self.lines))]
        return self.parsed

    def column(self, name: str) -> list[Any]:
        steps = inner_path(name)
        if name in self.scanned:
            values = self._scanned_column(name)
            if steps and any(value is MISSING for value in values):
                roots = self._scanned_column(str(steps[0]))
                values = [
                    value_at(root, steps[1:], MISSING) if value is MISSING else value
                    for value, root in zip(values, roots, strict=True)
                ]
            return values
        values = [record.get(name, MISSING) for record in self.objects]
        if steps:
            values = [value_of(record, name, MISSING) for record in self.objects]
        if float in map(type, values):
            for index, value in enumerate(values):
                # It may be an integer beyond 64 bits, and two ids must not collide.
                if type(value) is float and abs(value) >= 1 << 63:
                    values[index] = value_of(self._exactly(index), name, MISSING)
        return values

    def _scanned_column(self, name: str) -> list[Any]:
        texts = self.scanned[name]
        try:
            values = iter(jsonl.parse_values([text for text in texts if text is not None]))
        except ValueError:
            values = (self._exactly(i)[name] for i, text in enumerate(texts) if text is not None)
        return [MISSING if text is None else next(values) for text in texts]

    def _exactly(self, index: int) -> dict[str, Any]:
        """A record with exact integers."""
        return self._parsed(index, jsonl.parse_exactly)

    def _parsed(
        self, index: int, parse: Callable[[bytes], dict[str, Any]] = jsonl.parse_object
    ) -> dict[str, Any]:
        """A record, parsed on demand.

        Raises:
            RecordError: an integer has more digits than Python allows.
        """
        line = self.lines[index]
        try:
            return parse(line)
        except ValueError as error:
            raise self.fault(index, str(error)) from error

    def field_names(self, index: int) -> list[str]:
        return list(self.objects[index])

    def raw(self, index: int) -> bytes:
        return self.lines[index]

    def sizes(self) -> np.ndarray:
        if isinstance(self.lines, BlockLines):
            return self.lines.sizes()
        return np.array([len(line) + 1 for line in self.lines], np.int64)

    def _take_records(self, indices: Indices) -> Self:
        own = self.lines
        lines = own.take(indices) if isinstance(own, BlockLines) else [own[i] for i in indices]
        return replace(
            self,
            lines=lines,
            parsed=self.parsed and [self.parsed[i] for i in indices],
            scanned={n: [texts[i] for i in indices] for n, texts in self.scanned.items()},
        )

    def select(self, names: list[str]) -> JsonBatch:
        pairs = list(zip(self.lines, self.objects, strict=True))
        lines = [jsonl.only_fields(line, record, names) for line, record in pairs]
        objects = [{name: value_of(r, name, MISSING) for name in names} for _, r in pairs]
        return replace(self, lines=lines, parsed=objects, scanned={})

    def json_lines(self) -> Sequence[bytes]:
        if not self.added:
            return self.lines
        lines = []
        for index, (line, record) in enumerate(zip(self.lines, self.objects, strict=True)):
            new = {}
            for name, column in self.added.items():
                value = column.values[index]
                # A string set to its old value keeps its spelling.
                if column.kind != "string" or value_of(record, name, MISSING) != value:
                    new[name] = column.json(index)
            try:
                lines.append(jsonl.with_fields(line, record, new) if new else line)
            except ValueError as error:
                raise self.fault(index, str(error)) from error
        return lines

    def woven(self) -> Self:
        return replace(self, lines=self.json_lines(), parsed=None, scanned={}, added={})

    def piece(self) -> TablePiece:
        from synthtools.records import nested_columns, schemas, to_arrow

        inner = {name: column for name, column in self.added.items() if inner_path(name)}
        if inner:
            rest = {name: column for name, column in self.added.items() if name not in inner}
            return replace(replace(self, added=inner).woven(), added=rest).piece()
        objects = [
            self._exactly(index) if jsonl.has_long_integer(line) else record
            for index, (line, record) in enumerate(zip(self.lines, self.objects, strict=True))
        ]
        try:
            table = to_arrow.table_of(objects)
        except to_arrow.UnfitRecord as error:
            raise self.fault(error.index, str(error)) from error
        lines = self.lines if any(map(to_arrow.holds_float, table.schema.types)) else None
        table = nested_columns.with_columns(table, self.added)
        return schemas.TablePiece(table, lines, frozenset(self.added))


@dataclass
class ArrowBatch(Batch):
    """Records read from Parquet or Arrow: rows of a table."""

    rows: pa.Table = None

    def column(self, name: str) -> list[Any]:
        from synthtools.records import nested_columns, to_json

        column = nested_columns.column_of(self.rows, name)
        return [MISSING] * len(self) if column is None else to_json.values(column)

    def field_names(self, index: int) -> list[str]:
        return list(self.rows.column_names)

    def raw(self, index: int) -> bytes:
        from synthtools.records import to_json

        return to_json.json_lines(self.rows.slice(index, 1))[0]

    def sizes(self) -> np.ndarray:
        from synthtools.records import schemas

        return schemas.row_sizes(self.rows)

    def _take_records(self, indices: Indices) -> Self:
        from synthtools.records import to_arrow

        if not self.rows.column_names:
            return replace(self, rows=to_arrow.without_columns(len(indices)))
        start, count = (indices[0], len(indices)) if len(indices) else (0, 0)
        if list(indices) == list(range(start, start + count)):
            return replace(self, rows=self.rows.slice(start, count))
        return replace(self, rows=self.rows.take(to_arrow.indices_array(indices)))

    def select(self, names: list[str]) -> ArrowBatch:
        from synthtools.records import nested_columns

        return replace(self, rows=nested_columns.selected(self.rows, names))

    def _table(self) -> pa.Table:
        """The rows with the added fields."""
        from synthtools.records import nested_columns

        return nested_columns.with_columns(self.rows, self.added)

    def json_lines(self) -> list[bytes]:
        from synthtools.records import to_json

        return to_json.json_lines(self._table())

    def woven(self) -> Self:
        return replace(self, rows=self._table(), added={})

    def piece(self) -> TablePiece:
        from synthtools.records import schemas

        return schemas.TablePiece(self._table())
