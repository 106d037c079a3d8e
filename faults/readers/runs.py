"""Readers of what runs leave for later ones."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from faults.cases import sound
from faults.readers.reader import Reader, file, place


def _manifest(data: bytes) -> None:
    from synthtools.records.shard_directory import DirectorySink, is_unfinished
    from synthtools.records.shard_size import ShardSize

    folder = place() / "shards"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number in range(2):
        (folder / f"part-{number:05d}.jsonl").write_bytes(b'{"a": 1}\n')
    beside = place() / "beside.jsonl"
    beside.write_bytes(b"mine")
    (folder / ".synth.json").write_bytes(data)
    is_unfinished(folder)
    sink = DirectorySink(folder, "jsonl", False, True, ShardSize(5, "records"), _JOB, [])
    sink.finish()
    sound(beside.read_bytes() == b"mine", "a file outside was touched")


_JOB = {"tool": "cat", "arguments": {"select": None}, "inputs": []}


def _manifests() -> list[bytes]:
    shards = [
        {"name": f"part-{n:05d}.jsonl", "records": 1, "end": n + 1, "totals": {"a": n}}
        for n in range(2)
    ]
    job = {**_JOB, "format": "jsonl", "shard_size": {"count": 5, "unit": "records"}}
    return [json.dumps({"job": job, "shards": shards, "complete": False}).encode()]


def _journal(data: bytes) -> None:
    from synthtools.records.value_journal import ValueJournal

    journal = ValueJournal(file(data, "journal"), "a job", again=True)
    try:
        for key in list(journal._places):
            journal.get(key)
        journal.add("another", {"x": 1})
    finally:
        journal.close()


def _journals() -> list[bytes]:
    return [b'{"job":"a job"}\n{"key":"a","x":1.5}\n{"key":"b","text":"\xc3\xa9"}\n']


def _estimator(data: bytes) -> None:
    from synthtools.curate.dsir import Estimator

    Estimator.load(file(data, "estimator.json"))


def _estimators() -> list[bytes]:
    found = {"kind": "dsir-estimator", "n": 2, "buckets": 4, "hash": "fast", "smoothing": 1e-8}
    found |= {"targets": ["a"], "shares": [1.0], "target_counts": [[1, 2, 3, 4]]}
    return [json.dumps({**found, "raw_counts": [4, 3, 2, 1]}).encode()]


def _task(data: bytes) -> None:
    from synthtools.evaluate.tasks import load

    load(str(file(data, "task.json")))


def _tasks() -> list[bytes]:
    import synthtools.evaluate

    folder = Path(synthtools.evaluate.__file__).parent / "tasks"
    return [path.read_bytes() for path in sorted(folder.glob("*.json"))[:4]]


def _checkpoint(data: bytes) -> None:
    from synthtools.training import checkpoint

    folder = place() / "checkpoints" / "step-00000002"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state.json").write_bytes(data)
    told: list[str] = []
    checkpoint.load(folder.parent, None, None, {"a": 1}, _one_rank(), told.append)  # type: ignore[arg-type]


@cache
def _one_rank() -> Any:
    class OneRank:
        first, rank, count = True, 0, 1

        def any(self, mine: bool) -> bool:
            return mine

    return OneRank()


def _checkpoints() -> list[bytes]:
    return [json.dumps({"step": 2, "ranks": 1, "progress": {}, "job": {"a": 1}}).encode()]


READERS: dict[str, Reader] = {
    "manifest": Reader(_manifest, _manifests, True),
    "journal": Reader(_journal, _journals, True),
    "estimator": Reader(_estimator, _estimators, True),
    "task": Reader(_task, _tasks, True),
    "checkpoint": Reader(_checkpoint, _checkpoints, True),
}
