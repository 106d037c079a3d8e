"""vLLM's engines as actors of a Ray cluster: the numbers of torch here, also where a node is lost.

The tools run in this process, which stays connected to the cluster. Engines start slowly, one after the other.
"""

from __future__ import annotations

import json
from pydoc_data.topics import topics

import numpy as np
import pyarrow.parquet as pq
import pytest

from ray_nodes import Nodes
from vllm_server import CONTEXT

pytest.importorskip("vllm", reason="vLLM is not installed (make test-vllm installs its CPU build)")
pytest.importorskip("ray")

pytestmark = pytest.mark.nightly  # an engine starts in half a minute, and these start a dozen


@pytest.fixture(scope="module")
def nodes():
    from synthtools.scale.ray_cluster import disconnect

    found = Nodes()
    yield found
    disconnect()
    found.close()


@pytest.fixture(scope="module")
def human(tmp_path_factory):
    path = tmp_path_factory.mktemp("ray") / "human.jsonl"
    rows = ({"id": n, "text": topics[n][:1500], "prompt": n} for n in sorted(topics)[:12])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def synth(*words):
    from synthtools.cli.app import build

    build()([str(word) for word in (*words, "--context", CONTEXT, "-q")], standalone_mode=False)


def test_a_node_is_lost_with_its_engine(nodes, human, tmp_path, monkeypatch):
    import psutil

    from synthtools.lm import ray_backend
    from synthtools.scale.actor_pool import ActorPool

    monkeypatch.setattr(ray_backend, "_BYTES_A_TOKEN", 1 << 9)
    nodes.second()
    lost, came = [], []
    lose, opened, settle = ActorPool._lose, ActorPool._opened, ActorPool._settled

    def losing(self, actor, error):
        lost.append(len(actor.calls))
        lose(self, actor, error)

    def settling(self, *of):
        settle(self, *of)
        came.append(all(actor.holds for actor in self._actors))
        if came.count(True) == 1 and came[-1]:
            nodes.kill()

    ready = []

    def opening(self, actor, *of):
        """Calls wait for both engines."""
        ready.append((actor, *of))
        if len(ready) == 2:
            for one in ready:
                opened(self, *one)
        elif len(ready) > 2:
            opened(self, actor, *of)

    monkeypatch.setattr(ActorPool, "_lose", losing)
    monkeypatch.setattr(ActorPool, "_opened", opening)
    monkeypatch.setattr(ActorPool, "_settled", settling)
    synth("ppl", human, "--tokens", "--backend", "torch", "-o", tmp_path / "torch.parquet")
    there = tmp_path / "there.parquet"
    synth("ppl", human, "--tokens", "--backend", "vllm", "--ray", nodes.address, "-o", there)
    ours, theirs = (
        pq.read_table(tmp_path / f"{n}.parquet").to_pydict() for n in ("torch", "there")
    )
    assert ours["token_ids"] == theirs["token_ids"]
    for wanted, found in zip(ours["token_logprobs"], theirs["token_logprobs"], strict=True):
        np.testing.assert_allclose(np.array(found, float), np.array(wanted, float), atol=1e-3)
    assert max(lost) > 0 and len(ready) >= 2
    titles = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    assert not [title for title in titles if title.startswith("ray::ActorHolder")]


def test_a_scorer_and_a_generator_share_the_engines_place(nodes, human, tmp_path):
    """On the node that is left, of one CPU; greedy answers and likelihoods as torch gives them."""
    task = {"kind": "exact_match", "prompt": "{prompt}", "max_new_tokens": 8, "data": ["named"]}
    (tmp_path / "named.json").write_text(json.dumps(task))
    (tmp_path / "named").mkdir()
    rows = [{**json.loads(line), "answer": "1"} for line in human.read_text().splitlines()]
    (tmp_path / "named/test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suites = ("--suite", f"perplexity,{tmp_path / 'named.json'}", "--valid", f"h={human}")
    samples = []
    for name, more in (("torch", ()), ("vllm", ("--ray", nodes.address))):
        path = tmp_path / f"{name}.jsonl"
        files = ("--samples", path, "--report", tmp_path / f"{name}.json", "--data", tmp_path)
        synth("eval", "builtin", *suites, *files, "--bootstrap", "5", "--backend", name, *more)
        samples.append([json.loads(line) for line in path.read_text().splitlines()])
    ours, theirs = samples
    assert [(row["suite"], row["id"]) for row in ours] == [(r["suite"], r["id"]) for r in theirs]
    assert len(ours) == 24
    for a, b in zip(ours, theirs, strict=True):
        if a["suite"] == "perplexity":
            assert b["nll"] == pytest.approx(a["nll"], rel=1e-4)
    # Where two tokens are equally probable to the last bit of a sum, any may come.
    differing = [
        a for a, b in zip(ours, theirs, strict=True) if a.get("response") != b.get("response")
    ]
    assert len(differing) <= 1
    assert sum(row["tokens"] for row in ours if "response" in row) > 40


def test_generate_and_edit(nodes, human, tmp_path):
    found = []
    for name, more in (("torch", ()), ("vllm", ("--ray", nodes.address))):
        engine = ("--backend", name, *more)
        edited, answers = tmp_path / f"{name}-e.jsonl", tmp_path / f"{name}-a.jsonl"
        synth("edit", human, "--threshold", "0.5", "-o", edited, *engine)
        greedy = ("--temperature", "0", "--max-new-tokens", "8")
        synth("generate", human, *greedy, "-o", answers, *engine)
        rows = [json.loads(line) for line in answers.read_text().splitlines()]
        found.append((edited.read_bytes(), [row["response"] for row in rows]))
    assert found[0][0] == found[1][0]
    assert sum(a != b for a, b in zip(found[0][1], found[1][1], strict=True)) <= 1
