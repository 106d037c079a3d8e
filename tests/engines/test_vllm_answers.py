"""torch, vLLM in process and a vLLM server answer alike; a server that dies loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pydoc_data.topics import topics

import pytest

from vllm_server import free_port, kill, start_server, synth, wait_for

pytest.importorskip("vllm", reason="vLLM is not installed (make test-vllm installs its CPU build)")

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


def test_a_server_keeps_to_expressions(prompts, server):
    found = answers(prompts, "--server", server, "--regex", "(yes|no)")
    assert {r["response"] for r in found} <= {"yes", "no"}


def test_a_seed_gives_the_same_answers(prompts, server):
    first = answers(prompts, "--server", server, "--seed", "3", "--requests", "1")
    assert told(answers(prompts, "--server", server, "--seed", "3", "--requests", "1")) == told(
        first
    )
    assert told(answers(prompts, "--server", server, "--seed", "4")) != told(first)


def test_more_prompts_than_a_batch_of_vllm_holds_kept_to_an_expression(prompts):
    found = answers(prompts, "--backend", "vllm", "-n", "10", "--regex", "(yes|no)")
    assert [r["id"] for r in found] == [number for number in range(40) for _ in range(10)]
    assert sum(r["generate_prompt_tokens"] for r in found) > 4096
    assert {r["response"] for r in found} <= {"yes", "no"}


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
