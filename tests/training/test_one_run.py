"""A directory is one run's: others are told of it and change nothing; what is removed is told of."""

import json
import os
import shutil
import signal
import stat
import time
from types import SimpleNamespace

import numpy as np
import pytest

STEPS = 400  # more than any test waits for


@pytest.fixture(params=["train", "unlearn"])
def words(request, data, base):
    """The command line of a run of either tool, but for its directory."""
    long = ("--context", 64, "--batch", 4, "--tokens", 256 * STEPS, "--checkpoint-every", 3)
    if request.param == "train":
        return request.param, (data, "--train-tokenizer", 400, *long)
    sources = ("--model", base, "--forget", data, "--replay", data.with_name("replay.jsonl"))
    data.with_name("replay.jsonl").write_bytes(data.read_bytes())
    return request.param, (*sources, *long, "--compare-tokens", 0)


def everything(folder):
    return {
        path.relative_to(folder): (path.stat().st_ino, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def begun(synth, words, folder):
    """A run that has done some steps; and the number of the process that does it."""
    tool, arguments = words
    process = synth(*arguments, "-o", folder, tool=tool)
    log = folder / "training" / "log.jsonl"
    while not log.exists() or log.read_bytes().count(b"\n") < 4:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process, json.loads((folder / ".synth.claim").read_bytes())["pid"]


def test_a_second_run_is_told_of_the_first_and_changes_nothing(words, synth, tmp_path):
    folder = tmp_path / "m"
    process, pid = begun(synth, words, folder)
    tool, arguments = words
    os.kill(pid, signal.SIGSTOP)
    before = everything(folder)
    for more in (("--resume",), ("--resume", "--seed", 9), ("--force",), ()):
        other = synth(*arguments, "-o", folder, *more, tool=tool)
        _, errors = other.communicate()
        assert other.returncode == 1 and errors.count("\n") == 1
        assert f"m: another run writes it (process {pid} on " in errors and "since 20" in errors
        assert "--force" not in errors
        assert everything(folder) == before
    os.kill(pid, signal.SIGKILL)
    process.communicate()
    # Killed: the claim is free, and the run is gone on with.
    process = synth(*arguments, "-o", folder, "--resume", tool=tool)
    while (folder / ".synth.claim").stat().st_size == 0 or pid == json.loads(
        (folder / ".synth.claim").read_bytes()
    )["pid"]:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert not (folder / ".synth.claim").exists()


@pytest.mark.parametrize("again", [False, True])
def test_a_directory_that_is_removed_or_replaced_ends_the_run(words, synth, tmp_path, again):
    folder = tmp_path / "m"
    process, pid = begun(synth, words, folder)
    os.kill(pid, signal.SIGSTOP)
    shutil.rmtree(folder)
    if again:
        other, its_pid = begun(synth, words, folder)
        os.kill(its_pid, signal.SIGSTOP)
        before = everything(folder)
    os.kill(pid, signal.SIGCONT)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.splitlines()[-1].endswith(
        "m: was removed or replaced while the run went on; run again"
    )
    if again:
        assert everything(folder) == before
        os.kill(its_pid, signal.SIGKILL)
        other.communicate()
    else:
        assert not (folder / "training" / "run.json").exists()


def test_the_end_tells_of_a_run_json_that_was_removed(data, synth, tmp_path):
    folder = tmp_path / "m"
    options = ("--train-tokenizer", 400, "--context", 64, "--batch", 4, "--tokens", 256 * 30)
    process, pid = begun(synth, ("train", (data, *options)), folder)
    os.kill(pid, signal.SIGSTOP)
    (folder / "training" / "run.json").unlink()
    os.kill(pid, signal.SIGCONT)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "run.json: was removed while the run went on; the model is saved" in errors
    assert (folder / "model.safetensors").exists()
    assert not (folder / "training" / "report.json").exists()


def test_weights_that_came_meanwhile_are_not_replaced(data, synth, tmp_path):
    folder = tmp_path / "m"
    options = ("--train-tokenizer", 400, "--context", 64, "--batch", 4, "--tokens", 256 * 30)
    process, pid = begun(synth, ("train", (data, *options)), folder)
    os.kill(pid, signal.SIGSTOP)
    (folder / "model.safetensors").write_bytes(b"another program's")
    os.kill(pid, signal.SIGCONT)
    _, errors = process.communicate()
    assert process.returncode == 1 and "the model cannot be saved: File exists" in errors
    assert (folder / "model.safetensors").read_bytes() == b"another program's"


def test_all_files_are_as_readable_as_the_umask_wants(data, trained, tmp_path):
    before = os.umask(0o027)
    try:
        small = ("--train-tokenizer", 400, "--context", 64, "--batch", 4, "--tokens", "1K")
        trained(data, *small, "--checkpoint-every", 2, "-o", tmp_path / "m", cold=True)
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "m").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".safetensors", ".json", ".jsonl", ".blake2b"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o640}


def test_runs_that_want_the_same_tokens_wait_for_the_one_that_makes_them(data, synth, tmp_path):
    from synthtools.records.output_lock import OutputLock
    from synthtools.records.rejects import Rejects
    from synthtools.training.corpus import TokenizedDocument, cached

    folder = tmp_path / "cache" / "tokens"
    folder.parent.mkdir()
    (folder.parent / ".tokens.0123abcd.partial").mkdir()  # of a killed run
    claim = OutputLock.of_file(folder)
    told = []

    def tell(line):
        told.append(line)
        claim.release()

    corpus = cached(
        folder,
        SimpleNamespace(
            batches=lambda kept: [SimpleNamespace(documents=["a"], size=1)],
            rejects=Rejects,
            share_read=lambda: None,
        ),
        lambda texts: [TokenizedDocument(np.array([1, 2]))] * len(texts),
        10,
        tell,
    )
    assert corpus.facts["tokens"] == 2 and len(told) == 1 and f"process {os.getpid()}" in told[0]
    assert sorted(p.name for p in folder.parent.iterdir()) == ["tokens"]
