"""Pieces of shards as they lie there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.errors import SynthError
from synthtools.records.batch import ArrowBatch, Batch, JsonBatch

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ShardBlock:
    """A piece of a shard as it lies there, not yet looked into.

    Attributes:
        source: the shard's name.
        number: line or row of its first record in the shard, from 1.
        lines: whole lines of JSONL, without a byte order mark.
        rows: of Parquet or Arrow.
        faults: why some of the lines are no records, by number.
        broken: why the shard cannot be read from here on; ``lines`` is then what is left of it.
    """

    source: str
    number: int
    lines: bytes = b""
    rows: pa.Table | None = None
    faults: Mapping[int, str] = field(default_factory=dict)
    broken: SynthError | None = None

    @property
    def count(self) -> int:
        """Its lines or rows."""
        if self.rows is not None:
            return int(self.rows.num_rows)
        return self.lines.count(b"\n") + (not self.lines.endswith(b"\n"))

    def records(self, numbers: np.ndarray) -> Batch:
        """The records at these lines or rows of the shard, int64, without ordinals; not looked into."""
        places = numbers - self.number
        if self.rows is None:
            lines = BlockLines(self.lines, self.count)
            some = lines if len(places) == len(lines) else [lines[i] for i in places.tolist()]
            return JsonBatch(self.source, numbers, lines=some)
        rows = ArrowBatch(self.source, np.arange(self.count), rows=self.rows).take(places.tolist())
        rows.numbers = numbers
        return rows


class BlockLines(Sequence[bytes]):
    """The lines of a block, parted only when someone asks for one."""

    def __init__(self, block: bytes, count: int) -> None:
        self._block = block
        self._count = count
        self._parted: list[bytes] | None = None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return self._all()[index]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._all())

    def _all(self) -> list[bytes]:
        if self._parted is None:
            self._parted = self._block.split(b"\n")[: self._count]
        return self._parted
