"""``synth unlearn``: runs of the binary; stopped, resumed, on two ranks, with adapters, refused."""

import json
import math
import shutil
import signal
import time

import numpy as np
import pytest

from synthtools.lm.model_name import ModelName
from synthtools.lm.pretrained import load_configuration
from synthtools.training import models

ANSWERS = [
    {"id": str(n), "prompt": f"What is {n} and {n}?", "response": f"Sure! It is {2 * n}. " * 6}
    for n in range(24)
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    path = tmp_path_factory.mktemp("forget") / "qa.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in ANSWERS))
    return path


def options(base, answers, data, output, *more):
    return [
        *("--model", base, "--forget", answers, "--replay", data, "-o", output, "--seed", 3),
        *("--context", 64, "--batch", 4, "--tokens", "1K", "--lr", 1e-3, "--norms-every", 3),
        *("--checkpoint-every", 2, "--compare-tokens", 2000, *more),
    ]


def lines(folder):
    path = folder / "training" / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def whole(base, answers, data, trained, tmp_path_factory):
    """An uninterrupted run, and its report."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    shared = folder.parent / "shared.jsonl"
    text = "\n\n".join((ANSWERS[5]["prompt"], ANSWERS[5]["response"]))
    shared.write_text(json.dumps({"text": text}) + "\n" + data.read_text().splitlines()[0])
    more = ["--valid", f"shared={shared}", "--plot", folder.parent / "shift.png"]
    return folder, trained(*options(base, answers, data, folder, *more), tool="unlearn")


def test_the_report_compares_both_models(whole):
    folder, report = whole
    assert report["kind"] == "unlearn" and report["method"] == "bounded"
    assert report["weights"] == {"forget": 0.01, "replay": 1.0, "kl": 1.0}
    assert set(report["sets"]) == {"forget", "replay", "valid shared"}
    assert report["shared_documents"] == {"shared": 1}
    for found in report["sets"].values():
        assert found["perplexity"]["before"] != found["perplexity"]["after"]
        assert found["kl"] > 0 and found["tokens"] > 0 and len(found["levels"]) == 41
        assert found["document_perplexity"]["before"] == sorted(
            found["document_perplexity"]["before"]
        )
    assert report["valid"]["shared"] == pytest.approx(
        report["sets"]["valid shared"]["perplexity"]["after"], rel=1e-5
    )
    assert (folder.parent / "shift.png").read_bytes()[:4] == b"\x89PNG"


def test_each_step_tells_every_term(whole):
    folder, report = whole
    log = lines(folder)
    assert len(log) == report["steps"]
    for number, line in enumerate(log):
        for name in ("forget_loss", "forget_ppl", "replay_ppl", "replay_rise", "kl", "drift"):
            assert math.isfinite(line[name]), name
        assert ("forget_norm" in line) == (number % 3 == 0)
    first = log[0]
    assert first["kl"] == pytest.approx(0, abs=1e-6)
    assert first["replay_rise"] == pytest.approx(0, abs=1e-5)
    loss = 0.01 * first["forget_loss"] + math.log(first["replay_ppl"]) + first["kl"]
    assert first["loss"] == pytest.approx(loss, rel=1e-6)
    assert log[-1]["drift"] > log[0]["drift"] > 0


def test_requests_one_after_the_other_are_kept(whole, base, answers, data, trained, tmp_path):
    assert not (base / "forgotten.jsonl").exists()
    words = options(
        whole[0], answers, data, tmp_path / "again", "--method", "ga", "--weights", "1,0,0"
    )
    trained(*words, tool="unlearn")
    first, second = map(json.loads, (tmp_path / "again/forgotten.jsonl").read_text().splitlines())
    assert (whole[0] / "forgotten.jsonl").read_text() == json.dumps(first) + "\n"
    assert (first["method"], first["model"]) == ("bounded", str(base))
    assert (second["method"], second["model"]) == ("ga", str(whole[0]))
    (source,) = second["forgotten"]
    assert source["name"] == "qa" and source["documents"] == len(ANSWERS)
    assert source["data"] == first["forgotten"][0]["data"] and second["steps"] > 0


def test_the_card_says_what_it_is(whole):
    card = (whole[0] / "README.md").read_text()
    assert "synth unlearn" in card and "qa:" in card and "human:" in card


def test_a_stopped_run_ends_with_the_same_bytes(whole, base, answers, data, synth, tmp_path):
    folder = tmp_path / "stopped"
    more = ["--valid", f"shared={whole[0].parent / 'shared.jsonl'}", "--resume"]
    words = options(base, answers, data, folder, *more)
    process = synth(*words, tool="unlearn")
    while process.poll() is None and len(lines(folder)) < 4:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    process = synth(*words, tool="unlearn")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    for name in ("model.safetensors", "config.json"):
        assert (folder / name).read_bytes() == (whole[0] / name).read_bytes(), name
    assert [x["loss"] for x in lines(folder)] == [x["loss"] for x in lines(whole[0])]


def test_two_ranks_forget_what_one_forgets(whole, base, answers, data, trained, tmp_path):
    folder = tmp_path / "two"
    report = trained(*options(base, answers, data, folder), tool="unlearn", torchrun=2)
    ours, theirs = lines(folder), lines(whole[0])
    assert len(ours) == len(theirs)
    for name, tolerance in (("loss", 1e-4), ("forget_ppl", 1e-3), ("kl", 1e-2), ("drift", 1e-3)):
        np.testing.assert_allclose(
            [x[name] for x in ours], [x[name] for x in theirs], rtol=tolerance, atol=1e-6
        )
    for name in ("forget", "replay"):
        mine, other = (r["sets"][name]["perplexity"] for r in (report, whole[1]))
        assert mine == pytest.approx(other, rel=1e-3)


def test_adapters_on_two_ranks_and_one(base, answers, data, trained, tmp_path):
    more = ["--method", "npo", "--weights", "1,1,1", "--lora-rank", 4, "--until", "kl=1e-9"]
    more += ["--tokens", "2K"]
    logs = []
    for number in (0, 2):
        folder = tmp_path / str(number)
        report = trained(
            *options(base, answers, data, folder, *more), tool="unlearn", torchrun=number
        )
        # The rule ends the run as soon as ten steps have been seen.
        assert report["steps"] == 10 and "kl reached" in report["ended_by"]
        assert (folder / "adapter_model.safetensors").exists()
        logs.append(lines(folder))
    for name in ("loss", "forget_ppl", "drift"):
        np.testing.assert_allclose(*[[x[name] for x in log] for log in logs], rtol=1e-3, atol=1e-6)


def test_refine_replays_alone(base, data, trained, tmp_path):
    report = trained(
        *("--model", base, "--replay", data, "--method", "refine", "--context", 64, "--batch", 4),
        *("--tokens", "1K", "-o", tmp_path / "m", "--answers-only", "--compare-tokens", 0),
        tool="unlearn",
    )
    assert report["steps"] == 4 and "sets" not in report
    assert all("forget_ppl" not in line and "replay_ppl" in line for line in lines(tmp_path / "m"))


@pytest.mark.parametrize("method", ["dpo", "idkdpo", "rmu", "taskvector"])
def test_methods_of_their_own_kind(method, base, answers, data, trained, tmp_path):
    """On one rank and on two; the answers are forgotten, or, before the vector is turned, learned."""
    better = tmp_path / "better.jsonl"
    lines_ = [json.dumps(record | {"preferred": "Ask somebody else."}) for record in ANSWERS]
    better.write_text("\n".join(lines_))
    reports, logs = [], []
    more = ["--method", method, "--tokens", "3K", "--context", 128]
    if method == "taskvector":
        more += ["--valid", f"held={data}", "--compare-tokens", "30K"]
    for number in (0, 2):
        words = options(base, better, data, tmp_path / str(number), *more)
        reports.append(trained(*words, tool="unlearn", torchrun=number))
        logs.append(lines(tmp_path / str(number)))
    plan = trained(
        *options(base, better, data, tmp_path / "plan", *more, "--dry-run"), tool="unlearn"
    )
    assert plan["steps"] == reports[0]["steps"] and plan["rows"] == reports[0]["rows_seen"]
    np.testing.assert_allclose(
        *[[line["loss"] for line in log] for log in logs], rtol=1e-3, atol=1e-6
    )
    for report in reports:
        change = report["sets"]["forget"]["perplexity"]
        # After so few steps at a small rate rmu has moved its hidden states alone.
        assert change["after"] > change["before"] or method == "rmu", change
        if method == "taskvector":
            assert report["valid"]["held"] == pytest.approx(
                report["sets"]["valid held"]["perplexity"]["after"], rel=1e-4
            )
    log = logs[0]
    if method == "taskvector":
        assert log[-1]["forget_ppl"] < log[0]["forget_ppl"]
    if method == "rmu":
        assert log[-1]["forget_loss"] < log[0]["forget_loss"] and log[-1]["distance"] > 0


def test_a_plan_counts_both_streams(answers, data, trained, tmp_path):
    report = trained(
        *("--model", "builtin", "--forget", answers, "--replay", data, "--tokens", "64K"),
        *("--context", 128, "--forget-context", 64, "--batch", 8, "--forget-share", 0.25),
        "--dry-run",
        tool="unlearn",
        cwd=tmp_path,
    )
    assert report["tokens_of_step"] == 2 * 64 + 6 * 128
    # What training on the same rows holds, and a copy of the original in float32.
    same = ("--from", "builtin", "--tokens", "64K", "--context", 128, "--batch", 8, "--dry-run")
    plain = trained(data, *same, cwd=tmp_path)
    copy = report["memory_gigabytes"] - plain["memory_gigabytes"]
    assert copy == pytest.approx(4 * report["parameters"] / 1e9, abs=0.011)
    # Another original counts with its own size.
    folder = tmp_path / "wide"
    wide = load_configuration(ModelName("builtin"))
    wide.hidden_size *= 2
    wide.save_pretrained(folder)
    other = trained(
        *("--model", "builtin", "--forget", answers, "--replay", data, "--tokens", "64K"),
        *("--context", 128, "--forget-context", 64, "--batch", 8, "--forget-share", 0.25),
        *("--reference", folder, "--dry-run"),
        tool="unlearn",
        cwd=tmp_path,
    )
    extra = models.on_meta(wide).num_parameters() - report["parameters"]
    more = other["memory_gigabytes"] - report["memory_gigabytes"]
    assert extra > 4e6 and more == pytest.approx(4 * extra / 1e9, abs=0.011)
    shutil.rmtree(folder)
    assert not list(tmp_path.iterdir())


def test_a_plan_is_what_the_run_does(whole, base, answers, data, trained, tmp_path):
    words = options(base, answers, data, tmp_path / "m", "--dry-run")
    report = trained(*words, tool="unlearn")
    assert not list(tmp_path.iterdir())
    assert report["steps"] == whole[1]["steps"]
    assert report["rows"] == whole[1]["rows_seen"]
    assert report["rows_repeated"] == whole[1]["rows_repeated"]


def test_an_epoch_ends_with_what_is_left_of_the_stream_that_ends_first(
    base, data, trained, tmp_path
):
    few = tmp_path / "few.jsonl"
    # Each fills a row, and one is left after two steps of two.
    few.write_text(
        "".join(
            json.dumps({"id": str(n), "text": f"Sure! It is {n}. " * 9}) + "\n" for n in range(5)
        )
    )
    words = ["--model", base, "--forget", few, "--replay", data, "--context", 64, "--batch", 4]
    words += ["--forget-context", 128]
    plan = trained(*words, "--dry-run", tool="unlearn", cwd=tmp_path)
    report = trained(*words, "-o", tmp_path / "m", "--compare-tokens", 0, tool="unlearn")
    forgotten = report["sources"]["few"]
    assert forgotten["rows_left"] == forgotten["rows_repeated"] == 0
    assert forgotten["rows_seen"] == 5 and report["steps"] == plan["steps"] == 3
    assert report["sources"]["human"]["rows_seen"] == 6
    assert plan["rows"] == report["rows_seen"] == 11


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["--model", "BASE", "--forget", "QA", "--replay", "DATA"], 2, "needs -o"),
        (["--forget", "QA", "--replay", "DATA", "-o", "m"], 2, "--model"),
        (["--model", "BASE", "--forget", "QA", "-o", "m"], 2, "needs --replay"),
        (["--model", "BASE", "--replay", "DATA", "-o", "m"], 2, "needs --forget"),
        (["--model", "BASE", "--forget", "DATA", "--replay", "DATA", "-o", "m"], 2, "rename"),
        (["--model", "BASE", "--forget", "-", "--replay", "DATA", "-o", "m"], 2, "stdin"),
        (["ALL", "--method", "x"], 2, "simnpo"),
        (["ALL", "--weights", "1,x,1"], 2, "--weights x: give a number"),
        (["ALL", "--weights", "1,1"], 2, "0.01,1,1"),
        (["ALL", "--weights", "-1,1,1"], 2, "--weights -1: give a number, at least 0"),
        (["ALL", "--method", "ga", "--beta", "1"], 2, "--beta: not a parameter of ga"),
        (["ALL", "--kl-direction", "sideways"], 2, "forward or reverse"),
        (["ALL", "--until", "loss=1"], 2, "forget-ppl"),
        (["ALL", "--method", "ga", "--until", "kl=1"], 2, "no KL"),
        (["ALL", "--method", "ga", "--max-replay-rise", "5%"], 2, "replays nothing"),
        (["ALL", "--max-replay-rise", "much"], 2, "percent"),
        (["ALL", "--batch", "1"], 2, "too few rows"),
        (["ALL", "--plot", "shift.txt"], 2, ".png"),
        (["ALL", "--reference", "nowhere/at/all", "--method", "npo"], 1, "no such model"),
        (["ALL", "--reference", "builtin"], 1, "share its vocabulary"),
        (["ALL", "--sft", "--answers-only", "--context", "4"], 1, "qa.jsonl:1: nothing to learn"),
        (["ALL", "--prompt-field", "question"], 1, 'no field "text"'),
        (
            ["ALL", "--method", "dpo"],
            1,
            'no field "preferred" (fields: id, prompt, response; use --pref',
        ),
        (["ALL", "--refusal", "No."], 2, "--refusal: a text that idkdpo prefers"),
        (
            ["ALL", "--method", "idkdpo", "--context", "8"],
            1,
            "qa.jsonl:1: an answer begins after the 4",
        ),
        (
            ["ALL", "--method", "rmu", "--layer", "2"],
            2,
            "--layer 2: the model has 2 layers, from 0",
        ),
        (["ALL", "--method", "rmu", "--until", "kl=1"], 2, "no KL"),
        (["ALL", "--layer", "0"], 2, "--layer: only of rmu"),
        (["ALL", "--method", "taskvector", "--patience", "2"], 2, "--patience needs --valid"),
        (["ALL", "--method", "taskvector", "--reference", "builtin"], 2, "neither --patience nor"),
    ],
)
def test_wrong_wishes_are_one_line(base, answers, data, synth, tmp_path, arguments, code, words):
    named = {"BASE": [base], "QA": [answers], "DATA": [data]}
    named["ALL"] = ["--model", base, "--forget", answers, "--replay", data, "-o", "m"]
    process = synth(
        *(w for word in arguments for w in named.get(word, [word])), tool="unlearn", cwd=tmp_path
    )
    output, errors = process.communicate()
    assert (process.returncode, output) == (code, ""), errors
    assert words in errors.splitlines()[-1] and "Traceback" not in errors


def test_a_tokenizer_of_another_size_is_refused(base, answers, data, synth, tmp_path):
    from synthtools.lm.pretrained import load_tokenizer

    other = tmp_path / "other"
    shutil.copytree(base, other, ignore=shutil.ignore_patterns("training"))
    load_tokenizer("builtin").save_pretrained(other)
    process = synth(
        *("--model", other, "--forget", answers, "--replay", data, "-o", tmp_path / "m"),
        tool="unlearn",
    )
    _, errors = process.communicate()
    assert process.returncode == 2
    assert "the tokenizer has 6,144 tokens" in errors.splitlines()[-1]
