"""Readers of records, whatever their format."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

from faults.cases import sound, texts
from faults.readers.reader import Reader, file


def _records() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"id": i, "text": text, "n": i / 3, "more": {"a": [i, None], "é": "\U0001f600"}}
        for i, text in enumerate(texts(6, 60))
    ]
    found[3]["n"] = 10**29
    found[4]["more"] = "of another type"
    return found


def _lines() -> bytes:
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in _records()).encode()


def _read_records(data: bytes, name: str = "fuzzed") -> None:
    """Every way of reading: batches with their values and lines, and blocks with the scan."""
    from synthtools.records.inputs import find_shards
    from synthtools.records.map_threads import BlockTask, map_records
    from synthtools.records.reader import read
    from synthtools.records.record_faults import require_text
    from synthtools.records.record_keys import RecordKeys
    from synthtools.records.rejects import Rejects

    path = str(file(data, name))
    rejects = Rejects(skip=True)
    keys = RecordKeys()
    for batch in read(find_shards([path]), rejects):
        batch.json_lines()
        batch = require_text(batch, "text", rejects)
        keys.of(batch.column("id"), batch.column("text"))
    for done in map_records(
        find_shards([path]), Rejects(skip=True), BlockTask(_length, "text", ("id",))
    ):
        sound(len(done.batch) == done.result, "texts and records do not agree")
    list(read(find_shards([path]), Rejects()))  # may stop at the first bad one


def _length(batch: object, found: Any) -> int:
    return len(found)


def _zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.compress(data)


def _table() -> Any:
    import pyarrow as pa

    rows = [{**r, "n": float(r["id"]), "more": {"a": [1, None]}} for r in _records()]
    return pa.Table.from_pylist(rows)


def _parquet() -> list[bytes]:
    import pyarrow.parquet as pq

    found = []
    for options in ({}, {"compression": "zstd"}, {"compression": "none", "use_dictionary": False}):
        out = io.BytesIO()
        pq.write_table(_table(), out, **options)
        found.append(out.getvalue())
    return found


def _arrow(stream: bool) -> list[bytes]:
    import pyarrow as pa

    out = io.BytesIO()
    table = _table()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(out, table.schema) as writer:
        writer.write_table(table)
    return [out.getvalue()]


READERS: dict[str, Reader] = {
    "jsonl": Reader(_read_records, lambda: [_lines()], True),
    "gzip": Reader(_read_records, lambda: [gzip.compress(_lines(), mtime=0)]),
    "zstd": Reader(_read_records, lambda: [_zstd(_lines())]),
    "parquet": Reader(_read_records, _parquet),
    "arrow-file": Reader(_read_records, lambda: _arrow(False)),
    "arrow-stream": Reader(_read_records, lambda: _arrow(True)),
}
