"""Pieces of shards as they lie there, and why there may be no more of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from synthtools.errors import SynthError
from synthtools.records.inputs import Shard

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


def changed(shard: Shard) -> SynthError:
    return SynthError(
        f"{shard.name}: changed while it was read; run again when nothing writes to it"
    )


def unreadable(shard: Shard, error: OSError) -> SynthError:
    return SynthError(f"{shard.name}: cannot be read: {error.strerror or error}")
