"""What can be wrong with options, inputs and outputs is told before a model is loaded.

Every command here names a model that cannot be loaded: of two mistakes, the one that costs nothing to find
is the one to tell.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import running

# By tool: words that name the model, and fields of the records that it reads.
SCORING = ("ppl", "ppl --summary", "ppl --compare", "edit", "embed", "embed --map")
ASKING = ("generate --continue 4", "generate --style wrap-easy")
TRAINING = ("train -o trained --tokens 1K", "unlearn -o unlearned --tokens 1K --method refine")


def command(tool: str, *files: str) -> list[str]:
    name, *words = tool.split()
    model = "--from" if name == "train" else "--model"
    if name == "unlearn":
        return [name, *words, model, "broken", *(w for f in files for w in ("--replay", f))]
    return [name, *words, model, "broken", *files]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files with texts, one with another field, outputs that are there, and half a model."""
    for name, field in (("good", "text"), ("more", "text"), ("bad", "body")):
        record = json.dumps({field: "Some words of a text.", "n": 1})
        (tmp_path / f"{name}.jsonl").write_text(f"{record}\n{record}\n")
    (tmp_path / "taken.jsonl").write_text("mine\n")
    for model in ("broken", "taken"):
        (tmp_path / model).mkdir()
    config = {"model_type": "llama", "max_position_embeddings": 256}
    (tmp_path / "broken" / "config.json").write_text(json.dumps(config))
    (tmp_path / "taken" / "model.safetensors").write_text("mine")
    return tmp_path


def told(folder: Path, code: int, *words: str, **more: bytes) -> str:
    line = running.one_line(running.run(*words, cwd=folder, **more), code)
    assert "broken" not in line.replace("broken=", ""), line
    return line


def test_the_model_cannot_be_loaded(folder: Path) -> None:
    done = running.run("ppl", "good.jsonl", "--model", "broken", cwd=folder)
    assert "broken" in running.one_line(done, 1)


@pytest.mark.parametrize("tool", SCORING + ASKING + TRAINING)
def test_a_wrong_field(folder: Path, tool: str) -> None:
    option = "--prompt-field" if tool.startswith("generate") else "--text-field"
    words = command(tool, "good.jsonl", "more.jsonl")
    if tool.startswith("unlearn"):
        pytest.skip("its documents have a text, or a prompt and a response")
    line = told(folder, 1, *words, option, "nonesuch")
    assert 'good.jsonl:1: no field "nonesuch" (fields: text, n; use' in line


@pytest.mark.parametrize("tool", SCORING + ASKING + TRAINING)
def test_a_wrong_second_file(folder: Path, tool: str) -> None:
    line = told(folder, 1, *command(tool, "good.jsonl", "bad.jsonl"))
    assert 'bad.jsonl:1: no field "text" (fields: body, n; use' in line
    assert not (folder / "trained").exists() and not (folder / "unlearned").exists()


@pytest.mark.parametrize("tool", TRAINING)
def test_a_wrong_validation_set(folder: Path, tool: str) -> None:
    line = told(folder, 1, *command(tool, "good.jsonl"), "--valid", "held=bad.jsonl")
    assert 'bad.jsonl:1: no field "text"' in line


def test_a_wrong_domain(folder: Path) -> None:
    sets = ("--valid", "one=good.jsonl", "--valid", "two=bad.jsonl")
    assert 'bad.jsonl:1: no field "text"' in told(folder, 1, "eval", "broken", *sets)


# What else is read along: words, and the option whose field the second file lacks.
ALONG = {
    "edit good.jsonl --scores bad.jsonl --model broken": "ppl and its --candidates",
    "edit good.jsonl --scores good.jsonl --model broken": "ppl and its --candidates",
    "dsir broken.jsonl --target good.jsonl --target bad.jsonl -n 1": "--text-field",
    "dsir broken.jsonl --target good.jsonl --target-text-field body -n 1": "--target-text-field",
    "sample numbered.jsonl bad.jsonl -n 1 --by m": "--by",
    "stats numbered.jsonl good.jsonl --vector-field m": "--vector-field",
    "embed numbered.jsonl good.jsonl --map --vector-field m": "--vector-field",
    "ngram-hash numbered.jsonl good.jsonl --density --vector-field m": "--vector-field",
}


@pytest.mark.parametrize("words, remedy", ALONG.items())
def test_a_wrong_field_of_what_is_read_along(folder: Path, words: str, remedy: str) -> None:
    # The first files end with what is no record: whoever reads them says so.
    record = json.dumps({"text": "a b", "m": [1.0, 2.0] if "vector" in words else 1.0})
    for name in ("numbered", "broken"):
        (folder / f"{name}.jsonl").write_text(f"{record}\nbroken\n")
    line = told(folder, 1, *words.split())
    assert ':1: no field "' in line and remedy in line


GROUPED = {
    "stats good.jsonl more.jsonl --by kind --measures lengths": "--by",
    "sample good.jsonl -n 1 --stratify-by kind": "--stratify-by",
    "embed good.jsonl --map --method pca --by kind --model broken": "--by",
    "generate ask.jsonl --assign stratified --stratify-by kind --model broken --model taken": "--stratify-by",
}


@pytest.mark.parametrize("words, option", GROUPED.items())
def test_a_field_of_groups_that_no_first_record_has(folder: Path, words: str, option: str) -> None:
    (folder / "ask.jsonl").write_text('{"prompt": "a", "n": 1}\n' * 2)
    fields = "prompt, n" if words.startswith("generate") else "text, n"
    done = running.run(*words.split(), cwd=folder)
    lines = [line for line in done.stderr.decode().splitlines() if "compiling" not in line]
    told = (
        f'synth: {option}: the first record of each input has no field "kind" (fields: {fields}); '
    )
    assert lines[0].startswith(told)
    assert len(lines) == (1 if words.startswith(("stats", "sample")) else 2)  # the broken model
    assert b"kind" not in running.run(*words.split(), "-q", cwd=folder).stderr
    # One record that has it is enough.
    with open(folder / "some.jsonl", "w") as file:
        file.write('{"prompt": "a", "text": "a", "kind": null}\n')
    done = running.run(*words.split(), "some.jsonl", cwd=folder)
    assert b"first record" not in done.stderr


# A suite, its data, and what is wrong with the first item.
ITEMS = {
    "arc_easy": ("test.jsonl", 'no field "prompt"'),
    "gsm8k": ("test.jsonl", 'no field "answer"'),
    "ifeval": ("test.jsonl", 'no text in the field "prompt"'),
    "mt_bench": ("questions.jsonl", "turns"),
}


@pytest.mark.parametrize("suite", ITEMS)
def test_items_that_are_none(folder: Path, suite: str) -> None:
    name, reason = ITEMS[suite]
    (folder / "data" / suite).mkdir(parents=True)
    (folder / "data" / suite / name).write_text('{"body": "a"}\n')
    sound = folder / "data" / "arc_challenge" / "test.jsonl"
    sound.parent.mkdir()
    sound.write_text('{"prompt": "a", "choices": ["b", "c"], "answer": 0}\n')
    words = ["--suite", "arc_challenge", "--suite", suite, "--shots", "0", "--data", "data"]
    judge = ["--judge", "broken"] if suite == "mt_bench" else []
    line = told(folder, 1, "eval", "broken", *words, *judge)
    assert f"{suite}/{name}:1: " in line and reason in line


@pytest.mark.parametrize("tool", ["ppl", "edit", "embed", "generate --style wrap-easy"])
def test_a_wrong_field_on_stdin(folder: Path, tool: str) -> None:
    # As a file and as a pipe that holds it already.
    with open(folder / "bad.jsonl", "rb") as file:
        assert '<stdin>:1: no field "text"' in told(folder, 1, *command(tool), stdin=file)
    content = (folder / "bad.jsonl").read_bytes()
    assert '<stdin>:1: no field "text"' in told(folder, 1, *command(tool), input=content)


@pytest.mark.parametrize("tool", ["ppl", "edit", "embed", "generate --style wrap-easy"])
def test_a_taken_output(folder: Path, tool: str) -> None:
    assert "taken.jsonl" in told(folder, 1, *command(tool, "good.jsonl"), "-o", "taken.jsonl")
    assert (folder / "taken.jsonl").read_text() == "mine\n"
    assert "no/r.json" in told(folder, 1, *command(tool, "good.jsonl"), "--report", "no/r.json")


@pytest.mark.parametrize(
    "tool", [t.replace("-o trained", "").replace("-o unlearned", "") for t in TRAINING]
)
def test_a_taken_model_directory(folder: Path, tool: str) -> None:
    line = told(folder, 1, *command(tool, "good.jsonl"), "-o", "taken")
    assert "taken: holds a model already" in line


def test_taken_samples(folder: Path) -> None:
    words = ("--valid", "one=good.jsonl", "--samples", "taken.jsonl")
    assert "taken.jsonl" in told(folder, 1, "eval", "broken", *words)


OF_MODELS = [
    "--bos sometimes",
    "--dtype float8",
    "--devices gpu",
    "--context 1",
    "--batch-tokens 0",
]
RANGES = {
    "ppl": [
        *OF_MODELS,
        "--stride 1024",
        "--context 16 --stride 16",
        "--candidates -1",
        "--backend cuda",
    ],
    "edit": [
        *OF_MODELS,
        *["--stride 1024", "--threshold 1.5", "--rejection maybe", "--temperature 0", "--top-p 0"],
        *["--backend torch --server http://127.0.0.1:9", "--backend server", "--generations 0"],
    ],
    "embed": [*OF_MODELS, "--stride 1024", "--pooling max", "--max-tokens 0"],
    "embed --map": [*OF_MODELS, "--limit 0", "--method svd"],
    "generate --continue 4": [
        *OF_MODELS,
        *["--temperature -1", "--temperature nan", "--top-p 0", "--top-k 0", "--samples 0"],
        *["--assign some", "--max-new-tokens 0", "--requests 0", "--timeout 0", "--kv-cache 1K"],
    ],
}


@pytest.mark.parametrize(
    "tool, wrong", [(tool, wrong) for tool, all_ in RANGES.items() for wrong in all_]
)
def test_a_bad_range(folder: Path, tool: str, wrong: str) -> None:
    line = told(folder, 2, *command(tool, "good.jsonl"), *wrong.split())
    assert wrong.split()[-2].removeprefix("--") in line or wrong.split()[-1] in line


@pytest.mark.parametrize("wrong", [*OF_MODELS, "--stride 1024", "--shots -1", "--limit 0"])
def test_a_bad_range_of_eval(folder: Path, wrong: str) -> None:
    told(folder, 2, "eval", "broken", "--valid", "one=good.jsonl", *wrong.split())


@pytest.mark.parametrize(
    "words, reason",
    [
        ("train a.jsonl --sft --from builtin -o m", 'a.jsonl:1: no field "messages"'),
        (
            "train a.jsonl --from someone/model -o m",
            "someone/model: neither a directory nor a model",
        ),
        (
            "unlearn --model someone/model --forget a.jsonl --method ga -o m",
            "someone/model: neither a directory nor a model",
        ),
        (
            "unlearn --model builtin --forget a.jsonl --method dpo --weights 1,0,0 -o m",
            'a.jsonl:1: no field "prompt"',
        ),
    ],
)
def test_training_that_is_refused_imports_no_torch(words, reason, tmp_path):
    """torch alone takes a second of processor time."""
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    code = "import sys; sys.modules['torch'] = None; from synthtools.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split()],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
    )
    assert f"synth: {reason}" in running.one_line(done, 1) and not (tmp_path / "m").exists()
