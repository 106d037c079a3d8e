"""torch, vLLM in process and a vLLM server give the same numbers, and the same edits."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed (make test-vllm installs its CPU build)")

PRIOR = Path(__file__).resolve().parents[2] / "src/synthtools/prior"
CONTEXT = 128


@pytest.fixture(scope="module")
def human(tmp_path_factory):
    path = tmp_path_factory.mktemp("vllm") / "human.jsonl"
    with open(path, "w") as file:
        for name in sorted(topics)[:8]:
            file.write(json.dumps({"id": name, "text": topics[name][:1500]}) + "\n")
        file.write('{"id": "empty", "text": ""}\n')
    return path


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_server(port):
    """A vLLM server of the built-in model on loopback, in a process group of its own."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(PRIOR), "--host", "127.0.0.1", "--port", str(port)),
            *("--dtype", "float32", "--enforce-eager", "--max-model-len", str(CONTEXT + 1)),
            *("--kv-cache-memory-bytes", "64000000"),
            *("--hf-overrides", '{"head_dtype": "float32"}'),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return process


def wait_for(process, url):
    for _ in range(600):
        assert process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(f"{url}/v1/models", timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)


def kill(process):
    """The server with its engine, at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


@pytest.fixture(scope="module")
def server():
    port = free_port()
    process = start_server(port)
    try:
        wait_for(process, f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def synth(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "synthtools", *map(str, arguments), "--context", str(CONTEXT)],
        capture_output=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr.decode()
    return done


def scores(path):
    table = pq.read_table(path).to_pydict()
    logprobs = [np.array(row, np.float32) for row in table["token_logprobs"]]
    return table["token_ids"], logprobs, table["nll"]


@pytest.fixture(scope="module")
def by_torch(human, tmp_path_factory):
    path = tmp_path_factory.mktemp("torch") / "scores.parquet"
    synth("ppl", human, "--tokens", "--backend", "torch", "-o", path)
    return scores(path)


@pytest.fixture(scope="module")
def edited(human):
    return synth("edit", human, "--threshold", "0.5", "--seed", "1", "--backend", "torch").stdout


def agree(path, expected):
    ids, logprobs, _ = scores(path)
    assert ids == expected[0]
    for found, wanted in zip(logprobs, expected[1], strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_vllm_in_process_agrees_per_token(human, by_torch, tmp_path):
    synth("ppl", human, "--tokens", "--backend", "vllm", "-o", tmp_path / "scores.parquet")
    agree(tmp_path / "scores.parquet", by_torch)


def test_a_server_agrees_per_token(human, server, by_torch, tmp_path):
    synth("ppl", human, "--tokens", "--server", server, "-o", tmp_path / "scores.parquet")
    agree(tmp_path / "scores.parquet", by_torch)


def test_bfloat16_agrees_in_the_mean(human, by_torch, tmp_path):
    more = ("--tokens", "--backend", "vllm", "--dtype", "bfloat16", "-o", tmp_path / "b.parquet")
    synth("ppl", human, *more)
    _, logprobs, _ = scores(tmp_path / "b.parquet")
    ours, theirs = np.concatenate(logprobs), np.concatenate(by_torch[1])
    assert abs(ours.mean() / theirs.mean() - 1) < 5e-3
    assert np.abs(np.exp(ours) - np.exp(theirs)).mean() < 5e-3


def test_edits_are_the_same_bytes_and_nothing_else_is_on_stdout(human, edited):
    found = synth("edit", human, "--threshold", "0.5", "--seed", "1", "--backend", "vllm")
    assert found.stdout == edited
    assert sum(json.loads(line)["edit_changed"] for line in edited.splitlines()) > 0


def test_edits_through_a_server_are_the_same_bytes(human, server, edited):
    found = synth("edit", human, "--threshold", "0.5", "--seed", "1", "--server", server)
    assert found.stdout == edited


# ---------------------------------------------------------------- generation

GENERATE = ("generate", "--max-new-tokens", "32")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    with open(path, "w") as file:
        for number, name in enumerate(sorted(topics)[:40]):
            file.write(json.dumps({"id": number, "prompt": f"Explain {name.lower()}."}) + "\n")
    return path


def answers(*arguments):
    done = synth(*GENERATE, *arguments)
    return [json.loads(line) for line in done.stdout.splitlines()]


def told(records):
    return [
        (r["id"], r["response"], r["generate_tokens"], r["generate_prompt_tokens"]) for r in records
    ]


def test_greedy_answers_are_the_same_everywhere(prompts, server):
    greedy = (prompts, "--temperature", "0", "--stop", "e f")
    expected = answers(*greedy, "--backend", "torch")
    assert sum(r["generate_tokens"] for r in expected) > 100
    by_vllm = answers(*greedy, "--backend", "vllm")
    by_server = answers(*greedy, "--server", server)
    for found in (by_vllm, by_server):
        # Where two tokens are equally probable to the last bit of a sum, any may come.
        same = sum(a == b for a, b in zip(told(found), told(expected), strict=True))
        assert same >= len(expected) - 2


def test_vllm_keeps_to_schemas_and_expressions(prompts, server):
    for backend in (("--backend", "vllm"), ("--server", server)):
        found = answers(prompts, *backend, "--regex", "(yes|no)")
        assert {r["response"] for r in found} <= {"yes", "no"}


def test_a_seed_gives_the_same_answers(prompts, server):
    first = answers(prompts, "--server", server, "--seed", "3", "--requests", "1")
    assert told(answers(prompts, "--server", server, "--seed", "3", "--requests", "1")) == told(
        first
    )
    assert told(answers(prompts, "--server", server, "--seed", "4")) != told(first)


def test_more_prompts_than_a_batch_of_vllm_holds(prompts):
    found = answers(prompts, "--backend", "vllm", "-n", "10")
    assert [r["id"] for r in found] == [number for number in range(40) for _ in range(10)]
    assert sum(r["generate_prompt_tokens"] for r in found) > 4096


def test_a_server_that_is_killed_and_restarted_loses_nothing(prompts, tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = start_server(port)
    try:
        wait_for(process, url)
        command = [
            *(sys.executable, "-m", "synthtools", *GENERATE, str(prompts), "-n", "8"),
            *("--server", url, "--requests", "4", "-o", f"{tmp_path}/out/"),
        ]
        running = subprocess.Popen(command, stderr=subprocess.PIPE)
        journal = tmp_path / "out" / ".answers.jsonl"
        while not journal.exists() or journal.read_text().count("\n") < 60:
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.05)
        kill(process)
        time.sleep(3)
        assert running.poll() is None
        kept = journal.read_text().count("\n")
        process = start_server(port)
        error = running.communicate(timeout=280)[1].decode()
        assert running.returncode == 0, error
        assert kept < 320 and "answers again" in error
        lines = (tmp_path / "out" / "part-00000.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        places = [(r["id"], r["generate_sample"]) for r in found]
        assert places == [(number, sample) for number in range(40) for sample in range(8)]
        assert all(r["generate_finish_reason"] in ("stop", "length") for r in found)
    finally:
        kill(process)
