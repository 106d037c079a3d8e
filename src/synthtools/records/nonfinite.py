"""NaN and infinities on their way into JSON, which has no word for them (RFC 8259)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from synthtools.errors import parameter
from synthtools.records.added_column import Column
from synthtools.records.batch import Batch, JsonBatch

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(-?Infinity|NaN)', re.DOTALL)


@dataclass
class Nonfinite:
    """What becomes of such numbers of columns; lines that were read as JSON stay as they are.

    Attributes:
        policy: ``keep`` writes them as Python's json does, ``null`` as null, ``fail`` refuses the record.
        count: of numbers that became null so far.
        everywhere: in lines that were read too (records of the calling program, which were no JSON).
    """

    policy: str
    count: int = 0
    everywhere: bool = False

    def lines(self, batch: Batch) -> Sequence[bytes]:
        """The records as lines of JSON.

        Raises:
            RecordError: a record holds such a number, and the policy is ``fail``.
        """
        if self.policy == "keep":
            return batch.json_lines()
        if isinstance(batch, JsonBatch):
            batch = batch.adding({name: self._finite(batch, c) for name, c in batch.added.items()})
            if not (batch.from_rows or self.everywhere):
                return batch.json_lines()
        return [
            self._without(batch, index, line) if b"NaN" in line or b"Infinity" in line else line
            for index, line in enumerate(batch.json_lines())
        ]

    def _finite(self, batch: Batch, column: Column) -> Column:
        if column.kind != "float":
            return column
        values = list(column.values)
        for index, value in enumerate(values):
            if value is not None and not math.isfinite(value):
                self._null(batch, index, str(value))
                values[index] = None
        return Column(column.kind, values)

    def _without(self, batch: Batch, index: int, line: bytes) -> bytes:
        def written(found: re.Match[bytes]) -> bytes:
            if found[1] is None:
                return found[0]
            self._null(batch, index, found[1].decode())
            return b"null"

        return _TOKEN.sub(written, line)

    def _null(self, batch: Batch, index: int, value: str) -> None:
        if self.policy == "fail":
            raise batch.fault(
                index,
                f"holds {value}, which JSON cannot say ({parameter('nan', 'null')} or keep; Parquet and Arrow "
                "keep it)",
            )
        self.count += 1
