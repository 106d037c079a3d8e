"""Outputs of batches: the interface, and an output to the calling program; NaN and infinities, which JSON
cannot represent (RFC 8259)."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import methodcaller
from queue import Queue
from threading import Event
from typing import Any

from synthtools.errors import OutputClosed, RecordError, SynthError, parameter
from synthtools.records.added_column import Column
from synthtools.records.batch import Batch, JsonBatch
from synthtools.records.field_paths import inner_path
from synthtools.records.jsonl import parse_values
from synthtools.records.rejects import Rejects

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(-?Infinity|NaN)', re.DOTALL)


@dataclass
class Nonfinite:
    """Handling of NaN and infinities in columns; lines that were read as JSON stay unchanged.

    Attributes:
        policy: ``keep`` writes them as Python's json does, ``null`` as null, ``fail`` rejects the record.
        count: numbers written as null so far.
        everywhere: also in lines (in-memory records, which were not read as JSON).
    """

    policy: str
    count: int = 0
    everywhere: bool = False

    def lines(self, batch: Batch) -> Sequence[bytes]:
        """The records as lines of JSON.

        Raises:
            RecordError: a record holds NaN or an infinity, and the policy is ``fail``.
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
        def written(match: re.Match[bytes]) -> bytes:
            if match[1] is None:
                return match[0]
            self._null(batch, index, match[1].decode())
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


class Sink(ABC):
    """Writes batches in order; ``finish`` completes the output, ``abort`` removes it.

    ``records`` and ``totals`` (the sums of the batches' tallies) count the records in the output;
    ``rejects`` receives those that cannot be written. ``pipe`` is the descriptor of a pipe to which
    nothing has been written yet.
    """

    pipe: int | None = None

    def __init__(self, nan: str = "null") -> None:
        self.nonfinite = Nonfinite(nan)
        self.rejects = Rejects()
        self.records = 0
        self.totals: dict[str, int] = {}
        self.resume_from = 0  # input records already done

    @abstractmethod
    def write(self, batch: Batch) -> None: ...

    def settle(self) -> None:  # noqa: B027 (pipes have nothing left)
        """Writes all buffered data, so that ``finish`` cannot fail on a full disk."""

    @abstractmethod
    def finish(self) -> None: ...

    @abstractmethod
    def abort(self) -> None: ...

    def _sound(self, batch: Batch, form: str) -> Batch:
        """The records that can be written; the others are rejected: they hold NaN or an infinity (with
        ``--nan fail``), or lack the object that a path leads to."""
        written: Callable[[Batch], object]
        if not form.startswith(("parquet", "arrow")) and self.nonfinite.policy == "fail":
            written = self.nonfinite.lines
        elif any(map(inner_path, batch.added)):
            written = methodcaller("json_lines")
        else:
            return batch
        try:
            written(batch)
        except SynthError:
            some = range(len(batch))
            return batch.take([one for one in some if self._is_sound(batch.take([one]), written)])
        return batch

    def _is_sound(self, one: Batch, written: Callable[[Batch], object]) -> bool:
        try:
            written(one)
        except RecordError as error:
            self.rejects.add(error)
        except SynthError as error:
            self.rejects.add(one.fault(0, str(error)))
        else:
            return True
        return False

    def _count(self, batch: Batch) -> None:
        self.records += len(batch)
        for name, values in batch.tally.items():
            self.totals[name] = self.totals.get(name, 0) + int(values.sum())


class RecordSink(Sink):
    """Passes records to a consuming thread, as parsed from JSONL.

    Args:
        queue: receives one list of records per batch.
        stopped: set when the consumer has stopped.
    """

    def __init__(self, queue: Queue[Any], stopped: Event) -> None:
        super().__init__()
        self._put: Callable[[Any], None] = queue.put
        self._stopped = stopped

    def __str__(self) -> str:
        return "<records>"

    def write(self, batch: Batch) -> None:
        """Raises OutputClosed if the consumer has stopped."""
        if self._stopped.is_set():
            raise OutputClosed
        batch = self._sound(batch, "jsonl")
        self._put(parse_values(self.nonfinite.lines(batch)))
        self._count(batch)

    def finish(self) -> None:
        """Does nothing: all records have been passed on."""

    def abort(self) -> None:
        """Does nothing."""
