"""``synth train``: runs of the binary; stopped, resumed, on two ranks, with every kind of data."""

import json
import math
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file


def options(output, steps=12):
    return [
        *("--train-tokenizer", 400, "--context", 64, "--batch", 4, "--tokens", 256 * steps),
        *("--seed", 5, "-o", output, "--checkpoint-every", 3),
    ]


def unigram(folder, parts, held, length=64):
    """Perplexity of a file under the frequencies of others, each with its passes, counted token by token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)

    def documents(path):
        return [
            [*tokenizer(line["text"])["input_ids"], tokenizer.eos_token_id] for line in lines(path)
        ]

    counts = np.ones(len(tokenizer))
    for path, passes in parts:
        for document in documents(path):
            for token in document:
                counts[token] += passes
    logs = np.log(counts / counts.sum())
    predicted = [
        token
        for document in documents(held)
        for first in range(0, len(document), length)
        for token in document[first : first + length][1:]
    ]
    return math.exp(-logs[predicted].mean())


def passes(source):
    """Of a source of the report: rows seen, in rows of its first pass."""
    return source["rows_seen"] / (
        source["rows_seen"] - source["rows_repeated"] + source["rows_left"]
    )


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
    assert process.returncode == 0 and "already finished" in errors
    assert json.loads(out) == kept and kept["steps"] == 12
    other = synth(data, *options(folder), "--lr", 0.5, "--resume")
    assert "holds a model of other arguments (lr); --force" in other.communicate()[1]
    assert other.returncode == 1
    # Killed after the model was saved and before its report was: the end is done once more.
    (folder / "training" / "report.json").unlink()
    process = synth(data, *options(folder), "--resume")
    assert process.communicate()[1] is not None and process.returncode == 0
    same_model(folder, whole)
    assert (folder / "training" / "report.json").exists()
    (folder / "training" / "run.json").write_text("{")
    process = synth(data, *options(folder), "--resume")
    assert "run.json: is damaged; --force starts over" in process.communicate()[1]
    assert process.returncode == 1


def test_streamed_text_within_one_window_trains_the_same_model(data, synth, whole, tmp_path):
    folder, text = tmp_path / "streamed", tmp_path / "human.jsonl"
    text.write_text(data.read_text() + '{"text": 5}\n')
    more = (*options(folder), "--stream", "--on-error", "skip", "--valid", f"held={data}")
    process = synth(text, *more, "--json", "--cache", tmp_path / "cache")
    out, errors = process.communicate()
    assert process.returncode == 0 and "window 1, its last: 12 documents" in errors
    report = json.loads(out)
    theirs = json.loads((whole / "training" / "report.json").read_text())
    for name in ("documents", "corpus_tokens", "sources", "rows_left", "final_loss"):
        assert report[name] == theirs[name], name
    assert "1 skipped: 1 × field" in errors
    floor = unigram(folder, [(data, passes(report["sources"]["human"]))], data)
    assert report["valid_unigram"] == {"held": pytest.approx(floor)}
    same_model(folder, whole)


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
    # Streamed: the nodes below, which tokenise first, come to the same bytes.
    more = ("--stream", "--valid", f"held={data}")
    report = trained(data, *options(folder), *more, torchrun=2, cold=True)
    assert report["steps"] == 12
    floor = unigram(folder, [(data, passes(report["sources"]["human"]))], data)
    assert report["valid_unigram"] == {"held": pytest.approx(floor)}
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
    # As its run was started.
    same = ["--stream", "--valid", f"held={data}"] if ranks == 1 else []
    words = [*options(folder), *same, "--resume"]
    report = trained(data, *words, torchrun=ranks if ranks > 1 else 0)
    assert report["steps"] == 12
    ours = lines(folder / "training" / "log.jsonl")
    theirs = lines(whole / "training" / "log.jsonl")
    np.testing.assert_allclose(
        [line["loss"] for line in ours], [line["loss"] for line in theirs], rtol=1e-4
    )


def test_continued_with_shares_weights_and_validation(data, base, trained, tmp_path):
    other, streamed = tmp_path / "synthetic.jsonl", tmp_path / "streamed"
    other.write_text("".join(json.dumps({"text": f"A word {n}. " * 40}) + "\n" for n in range(30)))
    words = [
        *(f"{data}=0.75", f"{other}=0.25", "--from", base, "--tokens", "2K", "--batch", 8),
        *("--valid", f"wiki={data}", "--valid", f"words={other}", "--valid-every", 2),
        *("--golden", "human"),
    ]
    report = trained(*words, "-o", tmp_path / "m", "--tensorboard", tmp_path / "curves")
    # Streamed, in windows that hold all, and killed before the model was saved: the same, from its last
    # checkpoint, without a step in which the windows would be asked for rows.
    words += ["--stream", "--checkpoint-every", 4, "-o", streamed]
    trained(*words)
    (streamed / "model.safetensors").unlink()
    (streamed / "training" / "report.json").unlink()
    resumed = trained(*words, "--resume")
    assert (streamed / "model.safetensors").read_bytes() == (
        tmp_path / "m" / "model.safetensors"
    ).read_bytes()
    same = ("sources", "rows_seen", "rows_left", "valid", "valid_unigram", "final_weighted_loss")
    assert {name: resumed[name] for name in same} == {name: report[name] for name in same}
    assert set(report["valid"]) == {"wiki", "words"}
    parts = [
        (path, passes(report["sources"][name]))
        for path, name in ((data, "human"), (other, "synthetic"))
    ]
    floors = {name: unigram(base, parts, path) for name, path in (("wiki", data), ("words", other))}
    assert report["valid_unigram"] == pytest.approx(floors)
    # 2,000 tokens are 31 rows of 64: three steps of 8, and one of 7.
    assert report["steps"] == 4 and report["rows_seen"] == 31
    assert math.isfinite(report["final_weighted_loss"])
    assert set(report["sources"]) == {"human", "synthetic"}
    log = lines(tmp_path / "m" / "training" / "log.jsonl")
    assert [("valid" in line) for line in log] == [False, True, False, True]
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
        counts = summary["made_by"]["counts"]
        assert (counts["read"], counts["skipped"]) == (41, 1) and summary["perplexity"] > 1


QUESTIONS = [
    {"prompt": f"What is {n} and {n}?", "response": f"It is {2 * n}, as all can see."}
    for n in range(15)
]


@pytest.fixture
def fifteen(tmp_path):
    """A file of 15 conversations."""
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in QUESTIONS))
    return path


def test_an_epoch_is_every_conversation_once(fifteen, base, trained, synth, tmp_path):
    # At the default batch of 8: one step of 8, and one of 7.
    words = [fifteen, "--sft", "--no-pack", "--from", base, "--lr", 1e-3]
    plan = trained(*words, "--dry-run", cwd=tmp_path)
    report = trained(*words, "-o", tmp_path / "a", "--report", tmp_path / "report.json")
    assert plan["steps"] == report["steps"] == 2
    assert plan["rows"] == report["rows_seen"] == 15
    assert plan["rows_repeated"] == report["rows_repeated"] == report["rows_left"] == 0
    facts = report["sources"]["chat"]
    # Every token to be learned was learned once; none begins a conversation.
    assert report["tokens"] == facts["learned"]
    assert json.loads((tmp_path / "report.json").read_text()) == report
    card = (tmp_path / "a" / "README.md").read_text()
    assert "15 rows seen, 0 of them repeated, 0 of its first pass left" in card
    three = trained(*words, "--epochs", 3, "-o", tmp_path / "b")
    assert three["steps"] == 6 and three["tokens"] == 3 * facts["learned"]
    assert three["rows_seen"] == 45 and three["rows_repeated"] == 30
    half = trained(*words, "--epochs", 0.5, "-o", tmp_path / "c")
    assert half["steps"] == 1 and half["rows_seen"] + half["rows_left"] == 15
    # Fewer rows than a batch: one step, nothing twice.
    packed = [word for word in words if word != "--no-pack"]
    once = trained(*packed, "--batch", 100, "-o", tmp_path / "d")
    assert once["steps"] == 1 and once["tokens"] == facts["learned"]
    assert once["rows_repeated"] == 0


def test_the_last_smaller_batch_on_ranks_in_micro_batches_and_resumed(
    fifteen, base, trained, synth, tmp_path
):
    words = [fifteen, "--sft", "--no-pack", "--from", base, "--lr", 1e-3]
    whole = trained(*words, "-o", tmp_path / "a")
    for name, more, ranks in (("b", ["--micro-batch", 2], 0), ("c", ["--micro-batch", 2], 2)):
        trained(*words, *more, "-o", tmp_path / name, torchrun=ranks)
        ours, theirs = (lines(tmp_path / n / "training" / "log.jsonl") for n in (name, "a"))
        assert [line["tokens"] for line in ours] == [line["tokens"] for line in theirs]
        np.testing.assert_allclose(
            [line["loss"] for line in ours], [line["loss"] for line in theirs], rtol=1e-4
        )
    trained(*words, "--checkpoint-every", 1, "-o", tmp_path / "d")
    # As if it had been killed in its last, smaller step.
    (tmp_path / "d" / "model.safetensors").unlink()
    shutil.rmtree(tmp_path / "d" / "training" / "checkpoints" / "step-00000002")
    resumed = trained(*words, "--checkpoint-every", 1, "-o", tmp_path / "d", "--resume")
    same_model(tmp_path / "d", tmp_path / "a")
    for name in ("rows_seen", "rows_repeated", "rows_left", "final_loss", "tokens", "sources"):
        assert resumed[name] == whole[name], name


def test_a_text_shorter_than_a_row_is_an_epoch(base, trained, tmp_path):
    short = tmp_path / "short.jsonl"
    short.write_text('{"text": "A word, and another."}\n')
    report = trained(short, "--from", base, "--context", 64, "-o", tmp_path / "m")
    assert report["steps"] == report["rows_seen"] == 1 and report["rows_repeated"] == 0
    assert report["tokens"] == report["corpus_tokens"] - 1


def test_a_conversation_that_the_template_refuses_is_a_bad_record(base, trained, synth, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(base, model, ignore=shutil.ignore_patterns("training"))
    (model / "chat_template.jinja").write_text(
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}{% for m in messages %}{{ m['role'] + ': ' + m['content'] + eos_token }}"
        "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    chat = tmp_path / "chat.jsonl"
    good = [("user", "hi you"), ("assistant", "hello you there")]
    bad = [("system", "Be kind"), ("user", "hi"), ("assistant", "hello my friend")]
    long = [("user", "long " * 200), ("assistant", "yes")]
    chat.write_text(
        "".join(
            json.dumps({"messages": [{"role": r, "content": c} for r, c in talk]}) + "\n"
            for talk in (good, bad, good, long)
        )
    )
    words = [chat, "--sft", "--from", model, "--context", 64]
    process = synth(*words, "-o", tmp_path / "m")
    _, errors = process.communicate()
    assert process.returncode == 1
    last = errors.splitlines()[-1]
    assert last.endswith(
        "chat.jsonl:2: the chat template refuses a conversation: System role not supported"
    )
    skipping = ["--on-error", "skip", "--rejects", tmp_path / "bad.jsonl"]
    tokens = ["--cache", tmp_path / "tokens"]
    report = trained(*words, *skipping, *tokens, "-o", tmp_path / "m", "--force")
    assert report["documents"] == 2
    assert report["made_by"]["counts"]["skipped"] == 2

    def kept():
        return [(x["line"], x["reason"].split(":")[0]) for x in lines(tmp_path / "bad.jsonl")]

    reasons = [(2, "the chat template refuses a conversation"), (4, "nothing to learn")]
    assert kept() == reasons
    # A run that finds the tokens made tells the same; one that fails at bad records fails.
    (tmp_path / "bad.jsonl").unlink()
    again = trained(*words, *skipping, *tokens, "-o", tmp_path / "n")
    assert again["made_by"]["counts"]["skipped"] == 2 and kept() == reasons
    process = synth(*words, *tokens, "-o", tmp_path / "o")
    _, errors = process.communicate()
    assert process.returncode == 1 and errors.splitlines()[-1] == last
    # What is forgotten goes the same way.
    words = ["--model", model, "--forget", chat, "--sft", "--method", "ga", "--context", 64]
    process = synth(*words, "-o", tmp_path / "p", tool="unlearn")
    _, errors = process.communicate()
    assert process.returncode == 1 and errors.splitlines()[-1] == last
    report = trained(*words, *skipping, "-o", tmp_path / "p", "--force", tool="unlearn")
    # All of a conversation is forgotten: the long one is cut.
    assert report["sources"]["chat"]["documents"] == 3 and kept() == reasons[:1]


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
    # Whole rows, as many as the tokens fill; the last step holds what is left of them.
    assert report["rows"] == 10**9 // 2048 and report["steps"] == -(-report["rows"] // 512)
    assert report["parameters"] > 20e6
    assert report["memory_gigabytes"] > 0 and report["hours_at_40_percent_of_that"] > 0
    assert not list(tmp_path.iterdir())
    counted = trained(data, "--train-tokenizer", 400, "--dry-run")
    assert counted["tokens"] > 0


def test_emulated_bfloat16_is_reported(data, tmp_path):
    code = (
        "from synthtools.lm import devices; devices.emulates_bfloat16 = lambda: True; "
        "from synthtools.cli import main; main()"
    )
    words = ["--train-tokenizer", "400", "--context", "64", "--batch", "4", "--tokens", "512"]
    words += ["--dtype", "bfloat16", "--device", "cpu", "-o", str(tmp_path / "m")]
    command = [sys.executable, "-c", code, "train", str(data), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no bfloat16 instructions") == 1


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
    assert "started with other data (0 human)" in errors.splitlines()[-1]


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
        (["-o", "m", "--from", "builtin", "--stream"], 2, "--tokens"),
        (["-o", "m", "--from", "builtin", "--patience", "2"], 2, "--valid"),
        (["-o", "m", "--from", "builtin", "--valid", "x"], 2, "NAME=PATH"),
        (["-o", "m", "--from", "builtin", "--golden", "human"], 2, "second source"),
        (["-o", "m", "--from", "builtin", "--loss-weight", "x=1"], 2, "no such source"),
        (["-o", "m", "--from", "builtin", "--sft"], 1, 'no field "messages"'),
        (["-o", "m", "--tokenizer", "nowhere/at/all"], 1, "no such model"),
        (["-o", "m", "--train-tokenizer", "400", "--text-field", "body"], 1, 'no field "body"'),
        (["-o", "m", "--from", "builtin", "--valid", "x=nowhere.jsonl"], 1, "nowhere.jsonl"),
        (["-o", "m", "--tokenizer", "builtin", "--arch", "config.json"], 1, "hidden_size is 0"),
    ],
)
def test_wrong_wishes_are_one_line(data, synth, tmp_path, arguments, code, words):
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": 0}')
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
    assert process.returncode == 1 and "(lr)" in errors
