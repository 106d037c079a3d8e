"""All readers as functions of bytes, with sound files to begin from.

A reader may take the bytes, or refuse them in one line (``SynthError``). Everything else is a fault.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from faults.cases import model, run, sound, texts

# Beyond what is held before, while some kilobytes are read.
MEMORY = 1 << 30


class Reader(NamedTuple):
    """A reader.

    Attributes:
        read: given bytes; raises SynthError where it refuses them.
        seeds: gives sound files.
        is_json: what it reads is JSON, whose values are worth changing one by one.
    """

    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    is_json: bool = False


@cache
def place() -> Path:
    """A folder for the file that is read."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="synth-readers-", dir=shm if shm.is_dir() else None))
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _file(data: bytes, name: str) -> Path:
    path = place() / name
    path.write_bytes(data)
    return path


# ---------------------------------------------------------------- records


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
    from synthtools.records.identity import Keys
    from synthtools.records.inputs import find_shards
    from synthtools.records.reading import read, require_text
    from synthtools.records.rejects import Rejects
    from synthtools.records.working import Task, worked

    path = str(_file(data, name))
    rejects = Rejects(skip=True)
    keys = Keys()
    for batch in read(find_shards([path]), rejects):
        batch.json_lines()
        batch = require_text(batch, "text", rejects)
        keys.of(batch.column("id"), batch.column("text"))
    for done in worked(find_shards([path]), Rejects(skip=True), Task(_length, "text", ("id",))):
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


# ---------------------------------------------------------------- models


@cache
def _model_copy() -> Path:
    copy = place() / "model"
    shutil.copytree(model(), copy, ignore=shutil.ignore_patterns("training"))
    return copy


def _read_model_file(name: str) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        import torch

        from synthtools.lm import loading

        path = _model_copy() / name
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(data)
        name_ = loading.ModelName(str(path.parent))
        try:
            if name.startswith("tokenizer"):
                loading.load_tokenizer(str(path.parent))("some text")
            elif name == "config.json":
                _small(loading.load_configuration(name_))
            else:
                loading.load_weights(name_, torch.float32, "cpu")
        finally:
            if before is None:
                path.unlink()
            else:
                path.write_bytes(before)

    return read


def _small(configuration: Any) -> None:
    from synthtools.lm.loading import context_length, is_causal

    is_causal(configuration)
    context_length(configuration)


def _of_model(name: str) -> Callable[[], list[bytes]]:
    return lambda: [(_model_copy() / name).read_bytes()]


def _weights() -> list[bytes]:
    """The beginning is what is interesting; the file is cut to some kilobytes of numbers."""
    import torch
    from safetensors.torch import save

    return [save({"model.embed_tokens.weight": torch.zeros(4, 4), "b": torch.ones(3)})]


def _index() -> list[bytes]:
    weights = {"model.norm.weight": "model-00001-of-00001.safetensors"}
    return [json.dumps({"metadata": {"total_size": 4}, "weight_map": weights}).encode()]


# ---------------------------------------------------------------- reports and what runs leave


@cache
def _reports() -> list[bytes]:
    """Reports of many kinds, made by the tools."""
    from faults.cases import human

    folder = place() / "reports"
    folder.mkdir()
    data = human(folder, 12)
    other = human(folder, 20, "other.jsonl", 200)
    lines: list[list[object]] = [
        ["stats", data, other],
        ["ngram-hash", data, other],
        ["simulate", "-T", 60, "-d", 5, "--generations", 3, "--repetitions", 2],
        ["ppl", "--model", model(), "--summary", data],
        ["ppl", "--model", model(), "--compare", data, other],
        ["embed", "--model", model(), "--map", "--method", "pca", data, other],
    ]
    found = []
    for words in lines:
        done = run(*words)
        sound(done.returncode == 0, f"{words[0]}: {done.stderr.decode()[-200:]}")
        found.append(done.stdout)
    for words in (
        ["edit", "--model", model(), data, "-o", folder / "e.jsonl"],
        ["mix", "-o", folder / "m.jsonl", "--", f"{data}=0.5", f"{other}=0.5"],
        ["dsir", "--target", data, "-n", 5, "--min-tokens", 0, other, "-o", folder / "d.jsonl"],
    ):
        at = words.index("--") if "--" in words else len(words)
        done = run(*words[:at], "--report", folder / "r.json", *words[at:])
        sound(done.returncode == 0, f"{words[0]}: {done.stderr.decode()[-200:]}")
        found.append((folder / "r.json").read_bytes())
    found.append((model() / "training" / "log.jsonl").read_bytes())
    return found


def _plot(data: bytes) -> None:
    from synthtools.console import pictures, reports
    from synthtools.console.pictures.page import page
    from synthtools.console.pictures.points import to_csv
    from synthtools.console.pictures.text import lines_of

    report = reports.load(str(_file(data, "report.json")))
    page([("report.json", report)])  # has tables for what has no picture
    drawn = pictures.picture(report, "report.json")
    lines_of(drawn)
    to_csv([("report.json", drawn)])


def _diff(data: bytes) -> None:
    from synthtools.console import reports

    path = _file(data, "report.json")
    report = reports.load(str(path))
    for seed in _reports():
        whole = _file(seed, "whole.json")
        if reports.load(str(whole))["kind"] == report["kind"]:
            _compared([str(whole), str(path)])
            return


def _compared(names: list[str]) -> None:
    from unittest.mock import patch

    from synthtools.console.differing import Differing, run_diff

    options = Differing((), (), None, None, False, 10, 0, True)
    with patch("synthtools.console.reports.write_stdout"):
        run_diff(names, options, None, None, False)
        run_diff(names, options, None, None, True)


def _manifest(data: bytes) -> None:
    from synthtools.records.outputs import DirectorySink, is_unfinished
    from synthtools.records.size import Size

    folder = place() / "shards"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number in range(2):
        (folder / f"part-{number:05d}.jsonl").write_bytes(b'{"a": 1}\n')
    beside = place() / "beside.jsonl"
    beside.write_bytes(b"mine")
    (folder / ".synth.json").write_bytes(data)
    is_unfinished(folder)
    sink = DirectorySink(folder, "jsonl", False, True, Size(5, "records"), _JOB, [])
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
    from synthtools.records.journal import Journal

    journal = Journal(_file(data, "journal"), "a job", again=True)
    try:
        for key in list(journal._places):
            journal.get(key)
        journal.add("another", {"x": 1})
    finally:
        journal.close()


def _journals() -> list[bytes]:
    return [b'{"job":"a job"}\n{"key":"a","x":1.5}\n{"key":"b","text":"\xc3\xa9"}\n']


def _estimator(data: bytes) -> None:
    from synthtools.curation.dsir import Estimator

    Estimator.load(_file(data, "estimator.json"))


def _estimators() -> list[bytes]:
    found = {"kind": "dsir-estimator", "n": 2, "buckets": 4, "hash": "fast", "smoothing": 1e-8}
    found |= {"targets": ["a"], "shares": [1.0], "target_counts": [[1, 2, 3, 4]]}
    return [json.dumps({**found, "raw_counts": [4, 3, 2, 1]}).encode()]


def _task(data: bytes) -> None:
    from synthtools.evaluation.tasks import load

    load(str(_file(data, "task.json")))


def _tasks() -> list[bytes]:
    import synthtools.evaluation

    folder = Path(synthtools.evaluation.__file__).parent / "tasks"
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
    "jsonl": Reader(_read_records, lambda: [_lines()], True),
    "gzip": Reader(_read_records, lambda: [gzip.compress(_lines(), mtime=0)]),
    "zstd": Reader(_read_records, lambda: [_zstd(_lines())]),
    "parquet": Reader(_read_records, _parquet),
    "arrow-file": Reader(_read_records, lambda: _arrow(False)),
    "arrow-stream": Reader(_read_records, lambda: _arrow(True)),
    "safetensors": Reader(_read_model_file("model.safetensors"), _weights),
    "safetensors-index": Reader(_read_model_file("model.safetensors.index.json"), _index, True),
    "tokenizer": Reader(_read_model_file("tokenizer.json"), _of_model("tokenizer.json"), True),
    "tokenizer-config": Reader(
        _read_model_file("tokenizer_config.json"), _of_model("tokenizer_config.json"), True
    ),
    "config": Reader(_read_model_file("config.json"), _of_model("config.json"), True),
    "plot": Reader(_plot, _reports, True),
    "diff": Reader(_diff, _reports, True),
    "manifest": Reader(_manifest, _manifests, True),
    "journal": Reader(_journal, _journals, True),
    "estimator": Reader(_estimator, _estimators, True),
    "task": Reader(_task, _tasks, True),
    "checkpoint": Reader(_checkpoint, _checkpoints, True),
}
