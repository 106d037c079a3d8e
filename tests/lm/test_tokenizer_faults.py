"""Tokenizers that fail or unfold texts: one line that names the record and the tokenizer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import running
from synthtools.errors import SynthError
from synthtools.lm.pretrained import load_tokenizer
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.lm.tokenizer_faults import PanicError, TokenizerError, encoded
from synthtools.training.conversations import PlainDocument, answer_encoder
from synthtools.training.corpus import RefusedDocument

# At this text the expression below reaches the limit of its engine.
HOSTILE = "a" * 40 + "b"


def made(folder: Path, **parts: Any) -> Path:
    backend = Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    for name, part in parts.items():
        setattr(backend, name, part)
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(folder)
    return folder


@pytest.fixture
def panicking(tmp_path: Path) -> Path:
    split = pre_tokenizers.Split(Regex("(a+)+$"), "isolated")
    return made(tmp_path / "panicking", pre_tokenizer=split)


def test_a_panic_is_an_error_of_its_text(panicking: Path) -> None:
    tokenizer = TextTokenizer(load_tokenizer(str(panicking)))
    for method in (tokenizer.encode, tokenizer.counts):
        with pytest.raises(
            TokenizerError, match="panicking fails at the text 'aaaa.*limit"
        ) as error:
            method(["a b", "a", HOSTILE, "a"])
        assert list(error.value.faults) == [2]


@pytest.mark.parametrize("tool", ["ppl", "edit", "embed", "stats"])
def test_the_record_is_named(panicking: Path, tmp_path: Path, tool: str) -> None:
    texts = tmp_path / "t.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("a", "", HOSTILE)))
    done = running.run(tool, texts, "--tokenizer", panicking)
    assert done.returncode == 1 and done.stdout == b""
    (line,) = told(done)
    assert line.startswith(f"synth: {texts}:3: the tokenizer of {panicking} fails at the text")


# Tools that meet texts at which the tokenizer fails.
SKIPPING = [
    "ppl t.jsonl --tokenizer %",
    "ppl p.jsonl --tokenizer % --text-field b --prompt-field text",
    "ppl t.jsonl --tokenizer % --summary",
    "ppl t.jsonl p.jsonl --tokenizer % --compare",
    "ppl t.jsonl --compare --model model --model ./model",
    "edit t.jsonl --tokenizer %",
    "embed t.jsonl --tokenizer %",
    "embed t.jsonl --tokenizer % --map --method pca --permutations 0",
    "ngram-hash t.jsonl --density --vector-model model --width 1",
    "stats t.jsonl --tokenizer %",
    "mix t.jsonl=1 --tokenizer %",
]


@pytest.fixture
def inputs(panicking: Path, llama: Path, tmp_path: Path) -> Path:
    """Seven records, of which the fourth and the sixth are hostile, and a model with that tokenizer."""
    shutil.copytree(llama, tmp_path / "model")
    for file in panicking.iterdir():
        shutil.copy(file, tmp_path / "model")
    lines = [
        json.dumps({"text": t, "b": "a a"}) for t in ["a a a", "a", "a", "H", "a a", "H", "a b"]
    ]
    whole = "\n".join(lines).replace("H", HOSTILE) + "\n"
    (tmp_path / "t.jsonl").write_text(whole)
    (tmp_path / "p.jsonl").write_text(whole)
    return tmp_path


@pytest.mark.parametrize("words", SKIPPING)
def test_the_record_is_set_aside(panicking: Path, inputs: Path, words: str) -> None:
    given = words.replace("%", str(panicking))
    report, rejects = inputs / "report.json", inputs / "r.jsonl"
    more = ("--on-error", "skip", "--rejects", rejects, "--report", report)
    done = running.run(*given.split(), *more, cwd=inputs)
    assert done.returncode == 0, done.stderr
    twice = words.count(".jsonl")
    bad = list(map(json.loads, rejects.read_text().splitlines()))
    assert [one["line"] for one in bad] == [4, 6] * twice
    assert all("fails at the text" in one["reason"] and HOSTILE in one["raw"] for one in bad)
    counts = json.loads(report.read_text())["made_by"]["counts"]
    assert (counts["read"], counts["skipped"]) == (7 * twice, 2 * twice)
    assert counts["written"] in (0, 5)
    assert len(done.stdout.splitlines()) == 5 or not counts["written"]


def test_semantic_diversity_leaves_the_record_out_and_says_so(inputs: Path) -> None:
    words = (
        "stats",
        "--vector-model",
        "model",
        "--measures",
        "lengths,semantic",
        "--tests",
        "none",
    )
    done = running.run(*words, "t.jsonl", cwd=inputs)
    assert done.returncode == 1
    assert re.match(rb"synth: t.jsonl:[46]: .* fails at the text", done.stderr.splitlines()[-1])
    more = ("--on-error", "skip", "--rejects", "r.jsonl", "--report", "report.json")
    done = running.run(*words, "t.jsonl", *more, cwd=inputs)
    assert done.returncode == 0, done.stderr
    assert b"2 skipped: " in done.stderr
    bad = list(map(json.loads, (inputs / "r.jsonl").read_text().splitlines()))
    assert sorted(one["line"] for one in bad) == [4, 6]
    assert all("fails at the text" in one["reason"] and HOSTILE in one["raw"] for one in bad)
    report = json.loads((inputs / "report.json").read_text())
    counts = report["made_by"]["counts"]
    assert (counts["read"], counts["skipped"]) == (7, 2)
    (group,) = report["groups"]
    assert group["documents"] == 7 and group["lengths"]["bytes"]["total"] == 13 + 2 * len(HOSTILE)
    lines = (inputs / "t.jsonl").read_text().splitlines(keepends=True)
    (inputs / "sound.jsonl").write_text("".join(line for line in lines if HOSTILE not in line))
    alone = json.loads(running.run(*words, "sound.jsonl", "--json", cwd=inputs).stdout)
    semantic = alone["groups"][0]["semantic_diversity"]
    assert (semantic["vectors"], semantic["skipped"]) == (5, 0)
    assert group["semantic_diversity"] == {
        **semantic, "skipped": 2, "value": pytest.approx(semantic["value"])
    }  # fmt: skip


def test_edits_from_scores_set_the_record_aside_too(inputs: Path) -> None:
    skip = ("--model", "model", "--on-error", "skip")
    scored = ("ppl", "t.jsonl", *skip, "--candidates", 8, "-o", "scores.jsonl")
    assert running.run(*scored, cwd=inputs).returncode == 0
    live = running.run("edit", "t.jsonl", *skip, "--threshold", 0.01, cwd=inputs)
    words = ("edit", "t.jsonl", *skip, "--scores", "scores.jsonl", "--rejects", "r.jsonl")
    done = running.run(*words, "--threshold", 0.01, cwd=inputs)
    assert done.returncode == 0, done.stderr
    assert done.stdout == live.stdout and len(done.stdout.splitlines()) == 5
    rejects = map(json.loads, (inputs / "r.jsonl").read_text().splitlines())
    assert [one["line"] for one in rejects] == [4, 6]


def test_models_that_fail_at_different_texts_are_not_compared(inputs: Path) -> None:
    words = ["ppl", "t.jsonl", "--compare", "--model", "model", "--model", "builtin"]
    done = running.run(*words, "--on-error", "skip", cwd=inputs)
    assert done.returncode == 1
    assert "builtin: its tokenizer fails at other texts than that of model" in told(done)[-1]


def told(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    """The lines of a run's stderr."""
    return done.stderr.decode().splitlines()


def test_what_others_write_meanwhile_is_kept(
    panicking: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    backend = load_tokenizer(str(panicking)).backend_tokenizer

    def encode(texts: list[str]) -> list[Any]:
        os.write(2, b"before\n")
        try:
            return backend.encode_batch(texts)
        finally:
            os.write(2, b"after\n")

    found = encoded(encode, ["a", HOSTILE])
    assert [isinstance(one, PanicError) for one in found] == [False, True]
    # The two together, the first, the second.
    assert capfd.readouterr().err == "before\nafter\n" * 3


@pytest.mark.parametrize("words", ["thread 'a'", "one\n\ntwo \nthree"])
@pytest.mark.parametrize("empty", ["", "\n"])
def test_of_a_panic_no_line_is_left(
    empty: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    class PanicException(BaseException):
        pass

    said = f"{empty}thread '<unnamed>' (7) panicked at src/lib.rs:1:2:\n{words}\n"
    trace = "stack backtrace:\n   0: a\n   1: b\nnote: run with `RUST_BACKTRACE=full`\n"

    def encode(texts: list[str]) -> list[Any]:
        os.write(2, f"before\n{said}{trace}between\n{said}after\n".encode())
        raise PanicException(words)

    (found,) = encoded(encode, ["a"])
    assert str(found) == " ".join(words.split())
    assert capfd.readouterr().err == "before\nbetween\nafter\n"


@pytest.mark.parametrize("sft", [False, True])
def test_training_sets_the_record_aside(panicking: Path, tmp_path: Path, sft: bool) -> None:
    texts, rejects = tmp_path / "t.jsonl", tmp_path / "r.jsonl"
    with open(texts, "w") as file:
        for text in ("a " * 30, HOSTILE, "a " * 40):
            record = {"prompt": "a", "response": text} if sft else {"text": text}
            file.write(json.dumps(record) + "\n")
    tokenizer = load_tokenizer(str(panicking))
    tokenizer.eos_token = "<unk>"
    tokenizer.save_pretrained(panicking)
    words = ["train", texts, "--arch", "llama-tiny", "--epochs", 1, "--tokenizer", panicking]
    words += ["--sft"] if sft else []
    done = running.run(*words, "-o", tmp_path / "stops")
    assert done.returncode == 1
    assert told(done)[-1].startswith(f"synth: {texts}:2: the tokenizer ")
    goes = ["--on-error", "skip", "--rejects", rejects, "-o", tmp_path / "goes"]
    done = running.run(*words, *goes)
    assert done.returncode == 0, done.stderr
    assert b"panicked" not in done.stderr
    (bad,) = map(json.loads, rejects.read_text().splitlines())
    assert bad["line"] == 2 and "fails at" in bad["reason"]


def test_unlearning_sets_the_record_aside(panicking: Path) -> None:
    encode = answer_encoder(load_tokenizer(str(panicking)), True)
    found = encode(
        [PlainDocument("a", "a a"), PlainDocument("a", HOSTILE), PlainDocument(None, "a a")]
    )
    assert [isinstance(one, RefusedDocument) for one in found] == [False, True, False]


@pytest.mark.parametrize(
    "parts",
    [
        {"normalizer": normalizers.Sequence([normalizers.Replace("a", "aa")] * 36)},
        {"normalizer": normalizers.Sequence([normalizers.Replace(Regex("x*"), "aaa")] * 9)},
        {"decoder": decoders.Sequence([decoders.Replace("a", "aa")] * 36)},
    ],
)
def test_what_unfolds_texts_is_refused(parts: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SynthError, match="of its tokenizer may make a text .* times as long"):
        load_tokenizer(str(made(tmp_path / "unfolding", **parts)))


def test_what_replaces_as_people_do_is_taken(tmp_path: Path) -> None:
    usual = normalizers.Sequence(
        [
            normalizers.Prepend("▁"),
            normalizers.Replace(" ", "▁"),
            normalizers.Replace(Regex(" {2,}"), "▁"),
            normalizers.Replace("``", '"'),
        ]
    )
    assert load_tokenizer(str(made(tmp_path / "usual", normalizer=usual)))


QUESTIONS = [
    {"id": i, "prompt": text, "choices": ["a", "a a"], "answer": 0}
    for i, text in enumerate(("a", HOSTILE, "a a"))
]


@pytest.mark.parametrize(
    "fields",
    [[], ["--plain"], ["--continue", 1, "--prompt-field", "prompt"]],
    ids=["conversation", "text", "beginning"],
)
def test_generate_sets_the_record_aside(panicking: Path, tmp_path: Path, fields: list[Any]) -> None:
    prompts, rejects = tmp_path / "p.jsonl", tmp_path / "r.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": q["prompt"]}) + "\n" for q in QUESTIONS))
    words = ["generate", prompts, "--tokenizer", panicking, "--max-new-tokens", 1, *fields]
    done = running.run(*words, "--on-error", "skip", "--rejects", rejects)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    (bad,) = map(json.loads, rejects.read_text().splitlines())
    assert bad["line"] == 2 and "fails at" in bad["reason"]


@pytest.mark.parametrize("suite", ["arc_easy", "perplexity"])
def test_eval_sets_the_record_aside(panicking: Path, tmp_path: Path, suite: str) -> None:
    data, rejects = tmp_path / "arc_easy" / "test.jsonl", tmp_path / "r.jsonl"
    data.parent.mkdir()
    data.write_text("".join(json.dumps(q | {"text": q["prompt"]}) + "\n" for q in QUESTIONS))
    what = ["--valid", f"a={data}"] if suite == "perplexity" else ["--suite", suite, "--shots", 0]
    words = ["eval", "builtin", *what, "--data", tmp_path, "--tokenizer", panicking]
    done = running.run(*words, "--on-error", "skip", "--rejects", rejects)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["suites"][suite]["n"] == 2
    (bad,) = map(json.loads, rejects.read_text().splitlines())
    assert bad["line"] == 2 and "fails at the text" in bad["reason"]
    if suite != "perplexity":
        done = running.run(*words)
        assert done.returncode == 1
        assert (
            done.stderr.decode().splitlines()[-1].startswith(f"synth: {data}:2: the tokenizer of")
        )
