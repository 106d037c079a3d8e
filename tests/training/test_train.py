"""``synth train``: documents kept apart, losses of a plain loop, kill and resume, the model it leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch

from synthtools.training.architectures import ARCHITECTURES, configuration
from synthtools.training.loop import Settings, optimizer_for, train
from synthtools.training.objectives import CROSS_ENTROPY
from synthtools.training.packing import IGNORED, Packing
from synthtools.training.schedule import factor

TINY = ["llama-tiny", "gpt2-tiny", "gpt-neox-tiny"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "human.jsonl"
    with open(path, "w") as file:
        for name in sorted(topics)[:12]:
            file.write(json.dumps({"id": name, "text": topics[name]}) + "\n")
    return path


def synth(*arguments, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "synthtools", "train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        **more,
    )


def options(output, steps=12):
    return [
        *("--train-tokenizer", 400, "--context", 64, "--batch", 4, "--tokens", 256 * steps),
        *("--seed", 5, "-o", output, "--checkpoint-every", 3),
    ]


def model_of(name, context=32, vocabulary=50):
    torch.manual_seed(0)
    from transformers import AutoModelForCausalLM

    config = configuration(name, vocabulary, context, 0, 0)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")


@pytest.mark.parametrize("name", TINY)
def test_packed_documents_do_not_see_each_other(name):
    model = model_of(name).train()
    first, second = torch.randint(1, 50, (1, 13)), torch.randint(1, 50, (1, 19))
    packed = torch.cat([first, second], 1)
    positions = torch.cat([torch.arange(13), torch.arange(19)])[None]
    with torch.no_grad():
        together = model.base_model(
            input_ids=packed, position_ids=positions, attention_mask=None, use_cache=False
        ).last_hidden_state
        apart = [
            model.base_model(input_ids=x, use_cache=False).last_hidden_state
            for x in (first, second)
        ]
    torch.testing.assert_close(together, torch.cat(apart, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_losses_equal_a_plain_loop_with_transformers_loss(name, tmp_path):
    random = np.random.default_rng(0)
    lengths = [20, 32, 5, 44, 60, 31]
    tokens = random.integers(1, 50, sum(lengths))
    packing = Packing(tokens, np.concatenate([[0], np.cumsum(lengths)]), 32, 0)
    settings = Settings(steps=6, rows=4, micro_rows=2, learning_rate=1e-2, clip=0.5)
    ours: list[float] = []
    model = model_of(name)
    train(
        model,
        lambda step: packing.batch(step, 4),
        CROSS_ENTROPY,
        settings,
        checkpoints=tmp_path,
        job={},
        on_step=lambda step: ours.append(step.loss),
    )
    theirs = []
    plain = model_of(name)
    optimizer = optimizer_for(plain, settings)
    for step in range(6):
        rows = packing.batch(step, 4)
        # transformers shifts labels itself: token t is predicted by the position before it.
        labels = np.full_like(rows.labels, IGNORED)
        labels[:, 1:] = rows.labels[:, :-1]
        loss = plain(
            input_ids=torch.from_numpy(rows.tokens),
            position_ids=torch.from_numpy(rows.positions),
            labels=torch.from_numpy(labels),
            use_cache=False,
        ).loss
        loss.backward()
        rate = 1e-2 * factor("wsd", step, 6, 0, 0)
        for group in optimizer.param_groups:
            group["lr"] = rate
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
        theirs.append(loss.item())
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize("schedule", ["cosine", "wsd", "linear", "constant"])
def test_schedules_rise_to_one_and_end_where_they_should(schedule):
    values = [factor(schedule, step, 100, 10, 20) for step in range(100)]
    assert values[0] < 0.2 and max(values) == pytest.approx(1.0, abs=0.02)
    assert all(a <= b for a, b in zip(values[:10], values[1:11], strict=True))
    assert all(a >= b for a, b in zip(values[10:], values[11:], strict=False))
    ends = {"cosine": 0.1, "wsd": 0.05, "linear": 0.02, "constant": 1.0}
    assert values[-1] == pytest.approx(ends[schedule], abs=0.02)


def test_a_stopped_and_resumed_run_ends_with_the_same_bytes(data, tmp_path):
    whole = synth(data, *options(tmp_path / "whole"))
    _, errors = whole.communicate()
    assert whole.returncode == 0, errors

    folder = tmp_path / "stopped"
    log = folder / "training" / "log.jsonl"
    for stop in (signal.SIGTERM, signal.SIGKILL):
        process = synth(data, *options(folder), "--resume")
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
    names = ["model.safetensors", "tokenizer.json", "config.json"]
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name

    # What it leaves is a model for every reader of Hugging Face directories.
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = AutoTokenizer.from_pretrained(folder)("A text.", return_tensors="pt")["input_ids"]
    assert model(ids).logits.shape[-1] == 400
    assert not list(folder.glob("**/*.partial"))


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["--train-tokenizer", "400"], 2, "needs -o"),
        (["-o", "m"], 2, "--train-tokenizer"),
        (["-o", "m", "--train-tokenizer", "100"], 2, "256 bytes"),
        (["-o", "m", "--train-tokenizer", "400", "--arch", "gpt9"], 2, "gpt9"),
        (["-o", "m", "--train-tokenizer", "400", "--schedule", "x"], 2, "--schedule"),
        (["-o", "m", "--train-tokenizer", "400", "--tokens", "many"], 2, "--tokens"),
        (["-o", "m", "--train-tokenizer", "400", "--context", "900000"], 1, "row of 900000"),
        (["-o", "m", "--tokenizer", "nowhere/at/all"], 1, "no such model"),
        (["-o", "m", "--train-tokenizer", "400", "--text-field", "body"], 1, 'no field "body"'),
    ],
)
def test_wrong_wishes_are_one_line(data, tmp_path, arguments, code, words):
    process = synth(data, *arguments, cwd=tmp_path)
    output, errors = process.communicate()
    assert (process.returncode, output) == (code, "")
    assert words in errors.splitlines()[-1] and "Traceback" not in errors


def test_a_model_that_is_there_is_refused(data, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.safetensors").write_bytes(b"")
    process = synth(data, *options(tmp_path / "m"))
    _, errors = process.communicate()
    assert process.returncode == 1 and "--force" in errors
    other = tmp_path / "other"
    assert synth(data, *options(other)).wait() == 0
    (other / "model.safetensors").unlink()
    process = synth(data, *options(other), "--lr", 0.5, "--resume")
    _, errors = process.communicate()
    assert process.returncode == 1 and "learning_rate" in errors


def test_every_preset_is_tested_or_the_built_in():
    assert set(ARCHITECTURES) == {*TINY, "llama-prior"}
