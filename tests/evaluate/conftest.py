"""Evaluation in this process: the command line, small data, a tiny model."""

import json
from pathlib import Path

import pytest
import torch

from synthtools.cli.app import build
from synthtools.errors import SynthError

# The models of these tests are too small for more than one.
torch.set_num_threads(1)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def synth(capfd):
    """Runs a command line here: ``synth("eval", …)`` → what it printed, parsed where it is JSON;
    ``synth(…, code=1)`` → the error's line."""

    def run(*words, code=0):
        capfd.readouterr()
        words = [str(word) for word in words]
        if words[0] == "eval" and "--help" not in words and "--devices" not in words:
            words += ["--devices", "cpu"]
        try:
            build()(words, standalone_mode=False)
        except SynthError as error:
            assert error.exit_code == code, error
            assert "\n" not in str(error)
            return str(error)
        assert code == 0
        out = capfd.readouterr().out
        return json.loads(out) if out.startswith("{") else out

    return run


def write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="session")
def questions(paragraphs, tmp_path_factory):
    """A data directory: arc_easy (choices of several tokens), letters of mmlu with examples, gaps."""
    folder = tmp_path_factory.mktemp("data")
    words = [p.replace("_", "").split() for p in paragraphs if len(p.split()) > 14][:40]
    write(
        folder / "eval_arc_easy/test.jsonl",
        [
            {
                "id": f"q{i}",
                "prompt": " ".join(w[:6]),
                "choices": [" ".join(w[6 : 8 + k]) for k in range(2 + i % 3)],
                "answer": i % 2,
            }
            for i, w in enumerate(words)
        ],
    )
    lettered = [
        {
            "id": i,
            "prompt": w[0] + f" {i}",
            "choices": [w[1], w[2], w[3], w[4]],
            "answer": i % 4,
            "subject": f"of_{i % 2}",
        }
        for i, w in enumerate(words)
    ]
    write(folder / "mmlu/dev.jsonl", lettered[:20])
    write(folder / "mmlu/test.jsonl", lettered[20:])
    write(
        folder / "winogrande/test.jsonl",
        [
            {"id": i, "prompt": f"{w[0]} _ {w[1]} {w[2]}.", "choices": w[3:5], "answer": i % 2}
            for i, w in enumerate(words)
        ],
    )
    return folder
