"""``synth eval`` that is killed goes on; in parts with a cache it gives the report of one run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from synthtools.lm import kept_values
from synthtools.records.value_journal import ValueJournal

from .conftest import write

# Dies as by kill -9 once it has kept so many values.
DYING = """
import os, signal, sys
from synthtools.records.value_journal import ValueJournal
left, add = [int(sys.argv.pop(1))], ValueJournal.add
def dying(self, *value):
    add(self, *value)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
ValueJournal.add = dying
from synthtools.cli.app import build
build()(sys.argv[1:])
"""


@pytest.fixture
def suites(questions, llama, tmp_path):
    """The words of a run of a likelihood suite and a generative one."""
    task = {"kind": "exact_match", "prompt": "{prompt}", "max_new_tokens": 3, "data": ["sums"]}
    (tmp_path / "sums.json").write_text(json.dumps(task))
    data = tmp_path / "data"
    data.mkdir()
    for name in ("eval_arc_easy", "mmlu"):
        (data / name).symlink_to(questions / name)
    write(
        data / "sums/test.jsonl",
        [{"id": i, "prompt": f"{i} and 3 are", "answer": str(i + 3)} for i in range(9)],
    )
    valid = write(tmp_path / "novels.jsonl", [{"text": "a b c " * n} for n in range(1, 9)])
    suite = f"arc_easy,mmlu,{tmp_path / 'sums.json'},perplexity"
    return [llama, "--data", data, "--suite", suite, "--valid", f"n={valid}", "--bootstrap", 20]


def test_killed_three_times_and_resumed(suites, synth, tmp_path, monkeypatch):
    kept = []
    add = ValueJournal.add
    monkeypatch.setattr(ValueJournal, "add", lambda *of: kept.append(of[1]) or add(*of))
    whole = synth("eval", *suites, "--samples", tmp_path / "whole.jsonl", "--json")
    values = len(kept)
    assert values > 120
    samples, journal = tmp_path / "s.jsonl", tmp_path / ".s.jsonl.answers.jsonl"
    words = ["eval", *suites, "--samples", samples, "--json"]
    more: list[str] = []
    for dies_after in (1, 60, values - 65):
        command = [sys.executable, "-c", DYING, dies_after, *words, *more, "--devices", "cpu"]
        done = subprocess.run([str(word) for word in command], capture_output=True)
        assert done.returncode == -9, done.stderr
        assert not samples.exists()
        more = ["--resume"]
    assert "--resume continues" in synth(*words, code=1)
    for name, value in (("limit", "5"), ("seed", "3"), ("shots", "1")):
        told = synth(*words, "--resume", f"--{name}", value, code=1)
        assert f"with other arguments ({name}); --force" in told
    kept.clear()
    resumed = synth(*words, "--resume")
    assert 0 < len(kept) <= 4  # of the rest nothing is asked again
    assert samples.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert resumed["suites"] == whole["suites"]
    assert not journal.exists()


def test_what_resume_needs(suites, synth, tmp_path):
    assert "--resume needs --samples FILE" in synth("eval", *suites, "--resume", code=2)
    words = ["--samples", tmp_path / "s.jsonl", "--resume", "--force"]
    assert "give one of them" in synth("eval", *suites, *words, code=2)
    words = ["--samples", f"{tmp_path}/d/", "--resume"]
    assert "--resume needs a file" in synth("eval", *suites, *words, code=2)


def test_parts_with_one_cache_are_the_whole(suites, synth, tmp_path, monkeypatch):
    whole = synth("eval", *suites, "--samples", tmp_path / "whole.jsonl", "--json")
    cache = ["--cache", tmp_path / "cache"]
    counts = []
    for part in (3, 1, 2):
        words = ["--shard", f"{part}/3", "--samples", tmp_path / f"{part}.jsonl", "--json"]
        report = synth("eval", *suites, *cache, *words)
        counts.append({name: one["n"] for name, one in report["suites"].items()})
        assert report["cache"]["hits"] == 0
    for name, section in whole["suites"].items():
        assert sum(count[name] for count in counts) == section["n"]
    # Of one suite the parts in order are the whole, too.
    for name in whole["suites"]:
        rows = [
            line
            for part in (1, 2, 3)
            for line in (tmp_path / f"{part}.jsonl").read_text().splitlines()
            if json.loads(line)["suite"] == name
        ]
        wanted = (tmp_path / "whole.jsonl").read_text().splitlines()
        assert rows == [line for line in wanted if json.loads(line)["suite"] == name]
    monkeypatch.setattr(kept_values.ModelValues, "add", None)
    joined = synth("eval", *suites, *cache, "--samples", tmp_path / "joined.jsonl", "--json")
    assert joined["suites"] == whole["suites"]
    assert joined["cache"]["hits"] > 120 and joined["cache"]["added"] == 0
    assert (tmp_path / "joined.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_cache_knows_a_model_by_its_files(suites, synth, tmp_path, llama):
    import shutil

    cache = ["--cache", tmp_path / "cache", "--json"]
    first = synth("eval", *suites, *cache)
    model = tmp_path / "model"
    shutil.copytree(llama, model)
    suites[0] = llama
    weights = model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2] ^= 1
    weights.write_bytes(content)
    words = [model, *suites[1:]]
    assert synth("eval", *words, *cache)["cache"]["hits"] == 0
    assert synth("eval", *suites, *cache)["cache"]["added"] == 0
    assert first["cache"]["added"] > 120
