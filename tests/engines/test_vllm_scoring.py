"""torch, vLLM in process and a vLLM server give the same numbers, and the same edits."""

from __future__ import annotations

import json
from pydoc_data.topics import topics

import numpy as np
import pyarrow.parquet as pq
import pytest

from vllm_server import synth

pytest.importorskip("vllm", reason="vLLM is not installed (make test-vllm installs its CPU build)")


@pytest.fixture(scope="module")
def human(tmp_path_factory):
    path = tmp_path_factory.mktemp("vllm") / "human.jsonl"
    with open(path, "w") as file:
        for name in sorted(topics)[:8]:
            file.write(json.dumps({"id": name, "text": topics[name][:1500]}) + "\n")
        file.write('{"id": "empty", "text": ""}\n')
    return path


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


@pytest.mark.parametrize("where", ["vllm", "server"])
def test_what_top_k_suffices_for(human, server, where):
    """Ranks, and what is said of the log-probabilities; null what takes the whole distribution."""
    other = ("--server", server) if where == "server" else ("--backend", "vllm")
    told = [
        [json.loads(line) for line in synth("ppl", human, "--detector", *more).stdout.splitlines()]
        for more in (("--backend", "torch"), other)
    ]
    for ours, theirs in zip(*told, strict=True):
        for name in ("log_rank", "top_1", "min_k", "spread"):
            assert theirs[name] == pytest.approx(ours[name], abs=5e-3)
        for name in ("entropy", "fast_detect", "min_k_plus"):
            assert theirs[name] is None


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
