"""The file of samples: what a model did with each item, as records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from synthtools.records.batch import JsonBatch
from synthtools.records.inputs import Shard
from synthtools.records.jsonl import json_bytes
from synthtools.records.outputs import open_sink
from synthtools.records.shard_size import ShardSize
from synthtools.records.sink import Sink


class SampleFile:
    """A file of samples, as a context: it is kept when the context ends without an error.

    Args:
        path: None where samples are only counted.
        shards: what the run reads, which the file must not be.
        kept: hold the samples in ``rows`` as well.

    Attributes:
        sink: the file, None where there is none.
    """

    def __init__(
        self, path: str | None, force: bool, shards: Sequence[Shard], kept: bool = False
    ) -> None:
        self.count = 0
        self.rows: list[dict[str, Any]] = []
        self._kept = kept
        self.sink: Sink | None = None
        if path is not None:
            self.sink = open_sink(
                path,
                None,
                shards=shards,
                force=force,
                resume=False,
                shard_size=ShardSize(32_000_000, "bytes"),
                job={},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self.sink is not None and kind is None:
            self.sink.finish()
        elif self.sink is not None:  # Ctrl-C too must leave no half of a file
            self.sink.abort()

    def keep(self, rows: list[dict[str, Any]]) -> None:
        """Writes samples."""
        if self.sink is not None and rows:
            places = np.arange(self.count, self.count + len(rows), dtype=np.int64)
            lines = [json_bytes(row) for row in rows]
            self.sink.write(JsonBatch("<samples>", places + 1, places, lines=lines))
        if self._kept:
            self.rows += rows
        self.count += len(rows)


def samples_beside(name: str, report: dict[str, Any], remark: Callable[[str], None]) -> str | None:
    """The samples of a report: at the stated path, or beside it; None with a remark if they are missing.

    Args:
        name: the report's file.
    """
    stated = (report.get("samples") or {}).get("file")
    if not stated:
        return None
    for path in (Path(stated), Path(name).parent / Path(stated).name):
        if path.exists():
            return str(path)
    remark(f"{name}: its samples {stated} are missing; compared without them")
    return None
