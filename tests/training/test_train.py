"""``synth train``: runs of the binary; stopped, resumed, on two ranks, with every kind of data."""

import json
import shutil
import signal
import socket
import time

import numpy as np
import pytest
from safetensors.numpy import load_file


def options(output, steps=12):
    return [
        *("--train-tokenizer", 400, "--context", 64, "--batch", 4, "--tokens", 256 * steps),
        *("--seed", 5, "-o", output, "--checkpoint-every", 3),
    ]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(data, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "model"
    trained(data, *options(folder))
    return folder


def same_model(one, other):
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_stopped_and_killed_run_ends_with_the_same_bytes(data, synth, whole, tmp_path):
    folder = tmp_path / "stopped"
    log = folder / "training" / "log.jsonl"
    # A run that was killed while it wrote its first checkpoint has left lines, and no checkpoint.
    (folder / "training" / "checkpoints").mkdir(parents=True)
    log.write_text('{"step": 1, "loss": 9.0}\n{"step": 2, "lo')
    for stop in (signal.SIGTERM, signal.SIGKILL):
        process = synth(data, *options(folder), "--resume", cold=stop == signal.SIGTERM)
        before = len(log.read_bytes().splitlines()) if log.exists() else 0
        while process.poll() is None:
            done = len(log.read_bytes().splitlines()) if log.exists() else 0
            if done >= before + 4:
                process.send_signal(stop)
                break
            time.sleep(0.01)
        process.communicate()
        assert process.returncode in (130, -signal.SIGKILL, 0)
    last = synth(data, *options(folder), "--resume")
    _, errors = last.communicate()
    assert last.returncode == 0, errors
    same_model(folder, whole)
    assert not list(folder.glob("**/*.partial"))
    # The log tells every step once, and the same of each.
    ours, theirs = lines(log), lines(whole / "training" / "log.jsonl")
    assert [line["step"] for line in ours] == list(range(1, 13))
    assert [line["loss"] for line in ours] == [line["loss"] for line in theirs]


def test_a_run_that_had_ended_tells_its_report_again(data, synth, whole, tmp_path):
    folder = tmp_path / "ended"
    shutil.copytree(whole, folder)
    kept = json.loads((folder / "training" / "report.json").read_text())
    # Its own name is no part of what defines it.
    process = synth(data, *options(folder), "--resume", "--json")
    out, errors = process.communicate()
    assert process.returncode == 0 and "all had been done" in errors
    assert json.loads(out) == kept and kept["steps"] == 12
    other = synth(data, *options(folder), "--lr", 0.5, "--resume")
    assert "holds a model of other arguments (learning_rate); --force" in other.communicate()[1]
    assert other.returncode == 1
    # Killed after the model was saved and before its report was: the end is done once more.
    (folder / "training" / "report.json").unlink()
    process = synth(data, *options(folder), "--resume")
    assert process.communicate()[1] is not None and process.returncode == 0
    same_model(folder, whole)
    assert (folder / "training" / "report.json").exists()
    (folder / "training" / "run.json").write_text("{")
    process = synth(data, *options(folder), "--resume")
    assert "run.json: is damaged; --force begins anew" in process.communicate()[1]
    assert process.returncode == 1


def test_the_result_is_a_model_for_every_reader(whole, trained, data):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(whole)
    ids = AutoTokenizer.from_pretrained(whole)("A text.", return_tensors="pt")["input_ids"]
    assert model(ids).logits.shape[-1] == 400
    card = (whole / "README.md").read_text()
    for word in ("synthtools", "seed", "| step |", "12 documents"):
        assert word in card
    report = trained(data, "--model", whole, "--summary", tool="ppl")
    assert report["perplexity"] < 400


@pytest.fixture(scope="module")
def of_two_ranks(data, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "model"
    assert trained(data, *options(folder), torchrun=2, cold=True)["steps"] == 12
    return folder


def test_two_ranks_learn_what_one_learns(of_two_ranks, whole):
    ours = lines(of_two_ranks / "training" / "log.jsonl")
    theirs = lines(whole / "training" / "log.jsonl")
    assert len(ours) == 12
    np.testing.assert_allclose(
        [line["loss"] for line in ours], [line["loss"] for line in theirs], rtol=1e-4
    )
    mine, other = (load_file(f / "model.safetensors") for f in (of_two_ranks, whole))
    assert mine.keys() == other.keys()
    assert (of_two_ranks / "config.json").read_text() == (whole / "config.json").read_text()


def test_two_nodes_that_meet_learn_what_one_with_two_ranks_learns(
    data, synth, of_two_ranks, tmp_path
):
    # Each node starts a torchrun of its own; they find each other at an address. The one that opens
    # it is not known beforehand, as when srun starts both.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = ("--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-id", "1")
    meeting += ("--rdzv-endpoint", f"127.0.0.1:{port}")
    folder = tmp_path / "model"
    nodes = [
        synth(data, *options(folder), torchrun=1, launcher=meeting, cold=True) for _ in range(2)
    ]
    for node in nodes:
        _, errors = node.communicate(timeout=600)
        assert node.returncode == 0, errors
    same_model(folder, of_two_ranks)


@pytest.mark.parametrize("ranks", [2, 1])
def test_a_checkpoint_moves_between_numbers_of_ranks(
    data, trained, whole, of_two_ranks, tmp_path, ranks
):
    folder = tmp_path / "m"
    shutil.copytree(of_two_ranks if ranks == 1 else whole, folder)
    checkpoints = folder / "training" / "checkpoints"
    shutil.rmtree(checkpoints / "step-00000012")
    (folder / "model.safetensors").unlink()
    report = trained(data, *options(folder), "--resume", torchrun=ranks if ranks > 1 else 0)
    assert report["steps"] == 12
    ours = lines(folder / "training" / "log.jsonl")
    theirs = lines(whole / "training" / "log.jsonl")
    np.testing.assert_allclose(
        [line["loss"] for line in ours], [line["loss"] for line in theirs], rtol=1e-4
    )


def test_continued_with_shares_weights_and_validation(data, base, trained, tmp_path):
    other = tmp_path / "synthetic.jsonl"
    other.write_text("".join(json.dumps({"text": f"A word {n}. " * 40}) + "\n" for n in range(30)))
    report = trained(
        *(f"{data}=0.75", f"{other}=0.25", "--from", base, "--tokens", "2K", "--batch", 8),
        *("--valid", f"wiki={data}", "--valid", f"words={other}", "--valid-every", 2),
        *("--golden", "human", "-o", tmp_path / "m", "--tensorboard", tmp_path / "curves"),
    )
    assert set(report["valid"]) == {"wiki", "words"} and report["steps"] == 3
    assert set(report["sources"]) == {"human", "synthetic"}
    log = lines(tmp_path / "m" / "training" / "log.jsonl")
    assert [("valid" in line) for line in log] == [False, True, True]
    assert "loss human" in log[0] and "loss synthetic" in log[0]
    assert list((tmp_path / "curves").iterdir())
    # What validation says is what ppl says, but for windows.
    summary = trained(other, "--model", tmp_path / "m", "--summary", tool="ppl")
    assert report["valid"]["words"] == pytest.approx(summary["perplexity"], rel=0.25)


def test_tokens_are_kept_for_the_next_run(data, base, synth, tmp_path):
    for number in range(2):
        process = synth(
            *(data, "--from", base, "--tokens", 600, "--cache", tmp_path / "cache"),
            *("-o", tmp_path / f"m{number}"),
        )
        _, errors = process.communicate()
        assert process.returncode == 0 and ("from an earlier run" in errors) == bool(number)
    assert (tmp_path / "m0" / "model.safetensors").read_bytes() == (
        tmp_path / "m1" / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("form", ["messages", "prompt"])
def test_conversations_with_adapters(base, trained, tmp_path, form):
    chat = tmp_path / "chat.jsonl"
    with open(chat, "w") as file:
        for n in range(40):
            asked, said = f"What comes after {n}?", f"After {n} comes {n + 1}."
            record = {"prompt": asked, "response": said}
            if form == "messages":
                pair = [("user", asked), ("assistant", said)]
                record = {"messages": [{"role": r, "content": c} for r, c in pair]}
            file.write(json.dumps(record) + "\n")
        file.write(json.dumps({"messages": [{"role": "user", "content": "?"}]}) + "\n")
    report = trained(
        *(chat, "--sft", "--from", base, "--epochs", 2, "--lora-rank", 4, "--lr", 1e-2),
        *("--on-error", "skip", "--rejects", tmp_path / "bad.jsonl", "-o", tmp_path / "m"),
    )
    facts = report["sources"]["chat"]
    assert facts["documents"] == 40 and 0 < facts["learned"] < facts["tokens"]
    assert report["trained"] < report["parameters"] / 5
    assert "nothing to learn" in (tmp_path / "bad.jsonl").read_text()
    assert (tmp_path / "m" / "chat_template.jinja").exists()
    if form == "prompt":
        scored = (chat, "--text-field", "response", "--on-error", "skip", "--model", tmp_path / "m")
        summary = trained(*scored, "--summary", tool="ppl")
        assert summary["made_by"]["counts"]["read"] == 40 and summary["perplexity"] > 1


def test_without_packing_rows_are_documents(data, base, trained, tmp_path):
    report = trained(data, "--from", base, "--no-pack", "--batch", 4, "-o", tmp_path / "m")
    tokens = report["corpus_tokens"]
    assert report["tokens"] <= tokens  # the first token of a row is not predicted
    assert report["tokens"] > 0.9 * tokens


def test_a_plan_is_told_and_nothing_is_made(data, trained, tmp_path):
    report = trained(
        *(data, "--arch", "pythia-70m", "--tokenizer", "builtin", "--tokens", "1B"),
        *("--batch", 512, "--context", 2048, "--dry-run"),
        cwd=tmp_path,
    )
    assert report["steps"] == 10**9 // (512 * 2048) and report["parameters"] > 20e6
    assert report["memory_gigabytes"] > 0 and report["hours_at_40_percent_of_that"] > 0
    assert not list(tmp_path.iterdir())
    counted = trained(data, "--train-tokenizer", 400, "--dry-run")
    assert counted["tokens"] > 0


def test_a_file_that_changed_is_refused(data, synth, tmp_path):
    copy = tmp_path / "human.jsonl"
    shutil.copy(data, copy)
    folder = tmp_path / "m"
    process = synth(copy, *options(folder, 4))
    process.communicate()
    assert process.returncode == 0
    (folder / "model.safetensors").unlink()
    text = copy.read_text()
    copy.write_text(text.replace("e", "a", 1))
    process = synth(copy, *options(folder, 4), "--resume")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "begun with other data (0 human)" in errors.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["--train-tokenizer", "400"], 2, "needs -o"),
        (["-o", "m"], 2, "--train-tokenizer"),
        (["-o", "m", "--train-tokenizer", "100"], 2, "256 bytes"),
        (["-o", "m", "--train-tokenizer", "400", "--arch", "gpt9"], 2, "gpt9"),
        (["-o", "m", "--train-tokenizer", "400", "--from", "builtin"], 2, "--from"),
        (["-o", "m", "--arch", "gpt2", "--from", "builtin"], 2, "give one"),
        (["-o", "m", "--train-tokenizer", "400", "--schedule", "x"], 2, "--schedule"),
        (["-o", "m", "--train-tokenizer", "400", "--warmup", "x"], 2, "--warmup"),
        (["-o", "m", "--train-tokenizer", "400", "--tokens", "many"], 2, "--tokens"),
        (
            ["-o", "m", "--train-tokenizer", "400", "--batch", "3", "--micro-batch", "2"],
            2,
            "--batch",
        ),
        (["-o", "m", "--train-tokenizer", "400", "--lora-rank", "2"], 2, "--from"),
        (["-o", "m", "--from", "builtin", "--merge"], 2, "--lora-rank"),
        (["-o", "m", "--from", "builtin", "--patience", "2"], 2, "--valid"),
        (["-o", "m", "--from", "builtin", "--valid", "x"], 2, "NAME=PATH"),
        (["-o", "m", "--from", "builtin", "--golden", "human"], 2, "second source"),
        (["-o", "m", "--from", "builtin", "--loss-weight", "x=1"], 2, "no such source"),
        (["-o", "m", "--from", "builtin", "--sft"], 1, 'no field "messages"'),
        (["-o", "m", "--train-tokenizer", "400", "--context", "900000"], 1, "row of 900000"),
        (["-o", "m", "--tokenizer", "nowhere/at/all"], 1, "no such model"),
        (["-o", "m", "--train-tokenizer", "400", "--text-field", "body"], 1, 'no field "body"'),
        (["-o", "m", "--from", "builtin", "--valid", "x=nowhere.jsonl"], 1, "nowhere.jsonl"),
    ],
)
def test_wrong_wishes_are_one_line(data, synth, tmp_path, arguments, code, words):
    process = synth(data, *arguments, cwd=tmp_path)
    output, errors = process.communicate()
    assert (process.returncode, output) == (code, ""), errors
    assert words in errors.splitlines()[-1] and "Traceback" not in errors


@pytest.mark.parametrize(
    "shares, words", [(("0.5", "0.4"), "sum to"), (("0.5", "x"), "PATH=SHARE")]
)
def test_shares_must_make_a_whole(data, synth, tmp_path, shares, words):
    other = tmp_path / "b.jsonl"
    shutil.copy(data, other)
    process = synth(f"{data}={shares[0]}", f"{other}={shares[1]}", "--from", "builtin", "-o", "m")
    _, errors = process.communicate()
    assert process.returncode == 2 and words in errors


def test_a_model_that_is_there_is_refused(data, synth, whole, tmp_path):
    process = synth(data, *options(whole))
    _, errors = process.communicate()
    assert process.returncode == 1 and "--force" in errors
    other = tmp_path / "other"
    shutil.copytree(whole, other)
    (other / "model.safetensors").unlink()
    process = synth(data, *options(other), "--lr", 0.5, "--resume")
    _, errors = process.communicate()
    assert process.returncode == 1 and "learning_rate" in errors
