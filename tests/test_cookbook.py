"""Every command of the cookbook and of the README's first screen runs."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import zstandard

import running

ROOT = Path(__file__).resolve().parent.parent
PRIOR = ROOT / "src/synthtools/prior/model.safetensors"


def blocks(page):
    return re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), flags=re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for the whole page: later recipes read what earlier ones wrote."""
    path = tmp_path_factory.mktemp("cookbook")
    records = []
    for name in sorted(topics):
        text = topics[name]
        records += [
            {"id": f"{name}-{i}", "text": text[i : i + 500]} for i in range(0, len(text), 500)
        ]
    lines = [json.dumps(record) + "\n" for record in records[:60]]
    (path / "human.jsonl.zst").write_bytes(zstandard.compress("".join(lines).encode()))
    (path / "human").mkdir()
    (path / "human/a.jsonl").write_text("".join(lines[:30]))
    (path / "human/b.jsonl").write_text("".join(lines[30:]))
    (path / "mixed-quality.jsonl").write_text(lines[0] + '{"text": \n' + lines[1] + '{"body": 1}\n')
    synthetic = [
        {
            "id": i,
            "text": f"As model {i % 3}, I delve into it: {t['text'][:150]}",
            "model": f"m{i % 3}",
        }
        for i, t in enumerate(records[60:120])
    ]
    (path / "synthetic.jsonl").write_text("".join(json.dumps(r) + "\n" for r in synthetic))
    embedded = [{"id": i, "embedding": [i % 7, i % 5, (i * i) % 11]} for i in range(60)]
    (path / "embedded.jsonl").write_text("".join(json.dumps(r) + "\n" for r in embedded))
    pairs = [("What is a string?", "An immutable sequence."), ("And a list?", "A mutable one.")]
    (path / "qa.jsonl").write_text(
        "".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in pairs)
    )
    questions = [
        {
            "id": i,
            "prompt": t["text"][:80],
            "choices": t["text"][80:120].split()[:3],
            "answer": i % 2,
        }
        for i, t in enumerate(records[:30])
    ]
    (path / "questions/arc_easy").mkdir(parents=True)
    (path / "questions/arc_easy/test.jsonl").write_text(
        "".join(json.dumps(q) + "\n" for q in questions)
    )
    for run in "ab":
        samples = [
            {"doc_id": i, "doc_hash": str(i), "filter": "none", "resps": [], "filtered_resps": []}
            | {"metrics": ["acc"], "acc": float((i + ord(run)) % 3 == 0)}
            for i in range(20)
        ]
        lines = [json.dumps(sample) + "\n" for sample in samples]
        (path / f"lm-eval-samples-{run}.jsonl").write_text("".join(lines))
    preferences = [
        {"id": i, "judge": "m0", "a": a, "b": b, "p_a": 0.5 + i / 20, "p_b": 0.3}
        for i, (a, b) in enumerate([("m0", "m1"), ("m1", "m0"), ("m0", "human"), ("human", "m1")])
    ]
    ifeval = {
        "prompt": "No commas!",
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{}],
    }
    (path / "ifeval.jsonl").write_text(json.dumps(ifeval) + "\n")
    answers = [
        {"prompt": "No commas!", "response": text, "model": model}
        for model, text in (("a", "As you wish."), ("b", "Well, no."))
    ]
    (path / "answers.jsonl").write_text("".join(json.dumps(a) + "\n" for a in answers))
    judgments = [
        {"question_id": 81, "model": "a", "score": score, "turn": turn}
        for turn, score in ((1, 8), (2, 6))
    ]
    (path / "judgments.jsonl").write_text("".join(json.dumps(j) + "\n" for j in judgments))
    (path / "probabilities.jsonl").write_text("".join(json.dumps(p) + "\n" for p in preferences))
    # `synth` as the commands of the page say it.
    (path / "bin").mkdir()
    command = path / "bin/synth"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(running.command())} "$@"\n')
    command.chmod(0o755)
    return path


@pytest.mark.skipif(not PRIOR.exists(), reason="the built-in model is not there")
@pytest.mark.parametrize("number", range(len(blocks("docs/cookbook.md"))))
def test_recipe(number, folder):
    block = blocks("docs/cookbook.md")[number]
    if re.search(r"\bjq\b", block) and not shutil.which("jq"):
        pytest.skip("needs jq")
    done = subprocess.run(
        ["bash", "-c", f"set -eo pipefail\n{block}"],
        cwd=folder,
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    assert done.stdout or "-o " in block
    assert "Traceback" not in done.stderr and "error" not in done.stderr.lower()
    if "from-scores" in block:
        check_scores(folder)


def check_scores(folder):
    # The recipe says: the same bytes as with the model.
    with_model = subprocess.run(
        [folder / "bin/synth", "edit", "human.jsonl.zst", "--threshold", "0.99", "--seed", "1"],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    assert (folder / "from-scores.jsonl").read_bytes() == with_model.stdout


def test_the_pipes_of_the_readme_run(tmp_path):
    """Under the built-in model, which every machine has."""
    lines = re.findall(r"^    \$ (synth .*)$", (ROOT / "README.md").read_text(), flags=re.M)
    assert len(lines) == 3
    words = " ".join(map(shlex.quote, running.command()))
    for line in lines:
        line = line.replace("smollm2", "builtin").replace("synth ", f"{words} ")
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert not done.stdout or json.loads(done.stdout)["documents"] == 24
    assert len((tmp_path / "synthetic.jsonl").read_bytes().splitlines()) == 24
