"""The loop against a plain one; what it skips, keeps and finds again."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from synthtools.errors import SynthError
from synthtools.training import attention, checkpoint, models, parallel
from synthtools.training.architectures import ARCHITECTURES, configuration
from synthtools.training.language_model_task import LanguageModelTask, ModelWithHead, RowStream
from synthtools.training.loop import _gradients, optimizer_for, schedule_factor, train
from synthtools.training.packers import IGNORED, Blend, CutPacker, WholePacker
from synthtools.training.parallel import Ranks
from synthtools.training.plan import Progress, Settings

ALONE = Ranks(0, 1, "cpu")
TINY = [name for name in ARCHITECTURES if name.endswith("-tiny")]


def model_of(name="llama-tiny", **more):
    torch.manual_seed(0)
    from transformers import AutoModelForCausalLM

    config = configuration(name, 50, 32, 0, 0)
    for key, value in more.items():
        setattr(config, key, value)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention.register())


def packer(seed=0, low=1, high=50, kind=CutPacker):
    random = np.random.default_rng(seed)
    lengths = [20, 32, 5, 44, 60, 31]
    tokens = random.integers(low, high, sum(lengths))
    return kind(tokens, np.concatenate([[0], np.cumsum(lengths)]), 32, 0)


def task_of(model, blend=None, weights=(None,), rows=4, micro=2, ranks=ALONE, end=10**9):
    names = [f"s{n}" for n in range(len(weights))]
    blend = blend or Blend([packer()])
    stream = RowStream("train", blend, rows, end, sources=names)
    return LanguageModelTask(ModelWithHead(model, False), stream, micro, ranks, weights)


def run(folder, model=None, steps=10, stop=lambda: False, told=None, task=None, job=None, **more):
    steps_seen = []
    more = {"steps": steps, "rows": 4, "micro_rows": 2, "learning_rate": 1e-2, **more}
    settings = Settings(**more)
    task = task or task_of(model if model is not None else model_of())
    progress = train(
        task,
        settings,
        ranks=ALONE,
        checkpoints=folder / "checkpoints",
        job=job or {},
        on_step=steps_seen.append,
        stop=stop,
        remark=(told if told is not None else []).append,
    )
    return steps_seen, progress, task


def test_sharded_gradients_are_exchanged_after_each_micro_batch():
    # Otherwise each process would hold a whole model's between its micro-batches.
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model = model_of()
        # One of two, as far as the loop knows.
        ranks = Ranks(0, 2, "cpu")
        task = task_of(model, ranks=ranks, rows=8)
        parallel.shard(task.root, models.blocks(model), False, torch.float32, ALONE)
        plain, exchanged = task.loss, []

        def loss(*given):
            exchanged.append({p.grad is not None for p in task.root.parameters()})
            return plain(*given)

        task.loss = loss
        _gradients(task, task.micro_batches(0), 0.0, ranks)
        assert exchanged == [{False}, {True}]
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("kind", [CutPacker, WholePacker])
@pytest.mark.parametrize("name", TINY)
def test_ten_losses_equal_a_plain_loop_with_transformers_loss(name, kind, tmp_path):
    blend = Blend([packer(kind=kind)])
    model = model_of(name)
    # At a higher rate the chaos of training makes rounding visible.
    ours, _, _ = run(tmp_path, task=task_of(model, blend), clip=0.5, learning_rate=1e-3)
    theirs = []
    plain = model_of(name)
    plain.set_attn_implementation("sdpa")
    settings = Settings(steps=10, rows=4, micro_rows=4, learning_rate=1e-3)
    optimizer = optimizer_for(plain, settings)
    for step in range(10):
        rows = blend.batch(step, 4)
        # transformers shifts labels itself: token t is predicted by the position before it.
        labels = np.full_like(rows.labels, IGNORED)
        labels[:, 1:] = rows.labels[:, :-1]
        loss = plain(
            input_ids=torch.from_numpy(rows.tokens),
            position_ids=torch.from_numpy(rows.positions),
            attention_mask=None,
            labels=torch.from_numpy(labels),
            use_cache=False,
        ).loss
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * schedule_factor("wsd", step, 10, 0, 0)
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
        theirs.append(loss.item())
    np.testing.assert_allclose([step.loss for step in ours], theirs, rtol=1e-5)


def test_muon_takes_the_matrices_of_the_layers_and_its_state_is_resumed(tmp_path):
    blend = Blend([packer()])
    muon = {"optimizer": "muon", "weight_decay": 0.1, "learning_rate": 1e-2}
    start = {
        n: w.clone() for n, w in task_of(model_of("llama-tiny"), blend).root.named_parameters()
    }
    whole, _, task = run(
        tmp_path / "a", task=task_of(model_of("llama-tiny"), blend), steps=1, **muon
    )
    rate = whole[0].learning_rate
    for name, weight in task.root.named_parameters():
        change = weight.detach() - start[name].detach() * (1 if weight.ndim < 2 else 1 - 0.1 * rate)
        if "layers" in name and weight.ndim == 2:
            # Of Newton–Schulz: no singular value far from 0.2 · √(longer side) · rate or above it.
            sizes = torch.linalg.svdvals(change) / (0.2 * max(weight.shape) ** 0.5 * rate)
            assert sizes.max().item() == pytest.approx(1, abs=0.4), name
        else:  # AdamW's first step is the rate along the gradient's sign
            assert change.abs().max().item() == pytest.approx(rate, rel=0.05), name
    one, _, _ = run(tmp_path / "b", task=task_of(model_of("llama-tiny"), blend), steps=6, **muon)
    again = task_of(model_of("llama-tiny"), blend)
    run(tmp_path / "c", task=again, steps=6, stop=lambda: True, **muon)
    other, _, _ = run(tmp_path / "c", task=task_of(model_of("llama-tiny"), blend), steps=6, **muon)
    assert [step.loss for step in other] == [step.loss for step in one[1:]]


@pytest.mark.parametrize("schedule", ["cosine", "wsd", "linear", "constant"])
def test_schedules_rise_to_one_and_end_where_they_should(schedule):
    values = [schedule_factor(schedule, step, 100, 10, 20) for step in range(100)]
    assert values[0] < 0.2 and max(values) == pytest.approx(1.0, abs=0.02)
    assert all(a <= b for a, b in zip(values[:10], values[1:11], strict=True))
    assert all(a >= b for a, b in zip(values[10:], values[11:], strict=False))
    ends = {"cosine": 0.1, "wsd": 0.05, "linear": 0.02, "constant": 1.0}
    assert values[-1] == pytest.approx(ends[schedule], abs=0.02)


def test_micro_batches_recomputing_and_compiling_change_no_loss(tmp_path):
    def losses(folder, micro=2, recompute=False):
        model = model_of()
        if recompute:
            model.gradient_checkpointing_enable(
                gradient_checkpointing_kwargs={"use_reentrant": False}
            )
        return [step.loss for step in run(folder, task=task_of(model, micro=micro))[0]]

    whole = losses(tmp_path / "a", micro=4)
    np.testing.assert_allclose(losses(tmp_path / "b", micro=1), whole, rtol=1e-5)
    np.testing.assert_allclose(losses(tmp_path / "c", recompute=True), whole, rtol=1e-5)


def test_a_source_weighs_what_it_was_given():
    blend = Blend([packer(0), packer(1)], [0.75, 0.25])
    for weights in ([None, None], [0.618, None], [0.2, 0.8], [1.0, None]):
        task = task_of(model_of(), blend, weights)
        rows = blend.batch(0, 16)
        each = task._token_weights(rows)
        counts = (rows.labels != IGNORED).sum(1)
        share = np.bincount(rows.sources, counts * each, 2)
        if weights == [None, None]:
            np.testing.assert_allclose(each, 1 / counts.sum())
        else:
            first = weights[0]
            np.testing.assert_allclose(share, [first, 1 - first], atol=1e-12)
        _, seen = task.loss(task.micro_batches(3)[0])
        assert task.names[0] == "loss" and task.names[-2:] == ["loss s0", "loss s1"]
        assert ("weighted_loss" in task.names) == (weights != [None, None])
        np.testing.assert_allclose(seen[-2:].sum(0), seen[0])


def of_documents(count, kind=WholePacker):
    """Documents of 3 to 30 tokens, a row each."""
    random = np.random.default_rng(1)
    lengths = random.integers(3, 30, count)
    tokens = random.integers(1, 50, int(lengths.sum()))
    return kind(tokens, np.concatenate([[0], np.cumsum(lengths)]), 32, 0, pack=False)


@pytest.mark.parametrize("micro", [8, 3, 2, 1])
@pytest.mark.parametrize("count", [15, 9, 3])
def test_the_last_smaller_batch_is_the_mean_over_its_own_tokens(tmp_path, micro, count):
    packer = of_documents(count)
    model, plain = model_of(), model_of()
    plain.set_attn_implementation("sdpa")
    steps = -(-count // 8)
    ours, _, _ = run(
        tmp_path,
        task=task_of(model, Blend([packer]), rows=8, micro=micro, end=count),
        steps=steps,
        rows=8,
        learning_rate=1e-3,
        warmup=1,
        clip=0,
    )
    optimizer = optimizer_for(plain, Settings(steps=steps, rows=8, micro_rows=8, learning_rate=0))
    losses, seen = [], 0
    for step in range(steps):
        # Each document by itself, without padding: the sum of its tokens' losses.
        numbers = range(8 * step, min(8 * step + 8, count))
        total = tokens = 0
        for number in numbers:
            row, _, labels = packer.row(number)
            size = int((labels != IGNORED).sum()) + 1
            ids = torch.from_numpy(row[None, :size])
            logits = plain(input_ids=ids, use_cache=False).logits[0, :-1]
            total = total + torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum")
            tokens += size - 1
        (total / tokens).backward()
        seen += tokens
        losses.append(float(total.detach()) / tokens)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * schedule_factor("wsd", step, steps, 1, 0)
        optimizer.step()
        optimizer.zero_grad()
    np.testing.assert_allclose([step.loss for step in ours], losses, rtol=1e-5)
    assert ours[-1].tokens == seen
    for mine, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("end", [8, 13, 9])
def test_ranks_share_a_smaller_batch_in_as_many_pieces(ranks, end):
    blend = Blend([of_documents(13)])
    alone = task_of(model_of(), blend, rows=8, micro=8, end=end)
    last = (end - 1) // 8
    (whole,) = alone.micro_batches(last)
    loss, seen = alone.loss(whole)
    parts = [
        task_of(model_of(), blend, rows=8, micro=2, ranks=Ranks(r, ranks, "cpu"), end=end)
        for r in range(ranks)
    ]
    pieces = [task.micro_batches(last) for task in parts]
    assert len({len(of_rank) for of_rank in pieces}) == 1
    sums = [task.loss(m) for task, of in zip(parts, pieces, strict=True) for m in of]
    np.testing.assert_allclose(
        sum(float(total.detach()) for total, _ in sums), float(loss.detach()), rtol=1e-5
    )
    np.testing.assert_allclose(sum(part for _, part in sums), seen, rtol=1e-6)
    for total, _ in sums:
        total.backward()  # also of a piece of padding alone


def test_the_weighted_loss_is_what_is_minimised(tmp_path):
    random = np.random.default_rng(2)
    packers = [
        WholePacker(random.integers(1, 50, 40), np.array([0, 25, 40]), 32, 0, pack=False),
        WholePacker(random.integers(1, 50, 60), np.array([0, 30, 50, 60]), 32, 0, pack=False),
    ]
    model = model_of()
    means = []
    for packer in packers:
        total = tokens = 0
        for number in range(packer.rows):
            row, _, labels = packer.row(number)
            size = int((labels != IGNORED).sum()) + 1
            ids = torch.from_numpy(row[None, :size])
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
            total += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
            tokens += size - 1
        means.append((total / tokens, tokens))
    task = task_of(model, Blend(packers), [0.9, None], rows=5, micro=2, end=5)
    ((step,), _, _) = run(tmp_path, task=task, steps=1)
    (a, of_a), (b, of_b) = means
    assert step.loss == pytest.approx((a * of_a + b * of_b) / (of_a + of_b), rel=1e-5)
    assert step.parts["weighted_loss"] == pytest.approx(0.9 * a + 0.1 * b, rel=1e-5)
    assert step.parts["loss s0"] == pytest.approx(a, rel=1e-5)
    assert step.parts["loss s1"] == pytest.approx(b, rel=1e-5)


def test_dropout_is_a_function_of_the_step(tmp_path):
    dropping = {"resid_pdrop": 0.3, "attn_pdrop": 0.3}
    whole, _, one = run(tmp_path / "a", model_of("gpt2-tiny", **dropping))
    stops = iter([False] * 4 + [True])
    run(tmp_path / "b", model_of("gpt2-tiny", **dropping), stop=lambda: next(stops))
    rest, _, other = run(tmp_path / "b", model_of("gpt2-tiny", **dropping))
    assert [s.loss for s in whole[5:]] == [s.loss for s in rest]
    for a, b in zip(one.root.parameters(), other.root.parameters(), strict=True):
        assert torch.equal(a, b)


class Poisoned:
    """A task whose loss is no number at some steps."""

    def __init__(self, task, bad):
        self.root, self.names, self._task, self._bad = task.root, task.names, task, bad

    def micro_batches(self, step):
        return [m._replace(data=(step, m.data)) for m in self._task.micro_batches(step)]

    terms = ()

    def parts(self, means):
        return means

    def loss(self, micro, only=None):
        step, data = micro.data
        loss, seen = self._task.loss(micro._replace(data=data))
        if step in self._bad:
            return loss * math.nan, seen * torch.tensor([math.nan, 1.0])
        return loss, seen


def test_a_step_that_is_no_number_is_skipped_and_counted(tmp_path):
    steps, progress, task = run(tmp_path, task=Poisoned(task_of(model_of()), {3, 7}))
    assert progress.skipped == 2 and [s.step for s in steps if s.skip] == [4, 8]
    assert all(torch.isfinite(p).all() for p in task.root.parameters())
    assert steps[-1].loss < steps[0].loss


def test_nothing_but_bad_steps_ends_the_run(tmp_path):
    with pytest.raises(SynthError, match="not finite in 10 steps in a row"):
        run(tmp_path, task=Poisoned(task_of(model_of()), range(99)), steps=30)


def test_outliers_are_told_from_the_recent_steps():
    progress = Progress()
    random = np.random.default_rng(0)
    for _ in range(200):
        assert not progress.is_outlier(3 + 0.1 * random.random(), 1.0 + 0.1 * random.random(), 6)
    assert progress.is_outlier(4.0, 1.0, 6) and progress.is_outlier(3.0, 9.0, 6)
    assert not Progress(**dataclasses.asdict(progress)).is_outlier(99.0, 99.0, 0)
    # What stays is soon no outlier any more.
    assert not all(progress.is_outlier(4.0, 9.0, 6) for _ in range(64))
    assert len(progress.losses) == 128


def test_early_stopping_keeps_the_best_weights(tmp_path):
    losses = iter([3.0, 2.0, 2.5, 2.6, 9.0])
    seen = []
    task = task_of(model_of())

    def validate():
        seen.append([p.detach().clone() for p in task.root.parameters()])
        return next(losses), {"a": 1.0}

    settings = Settings(
        steps=20, rows=4, micro_rows=2, learning_rate=1e-2, valid_every=2, patience=2
    )
    progress = train(
        task,
        settings,
        ranks=ALONE,
        checkpoints=tmp_path / "checkpoints",
        job={},
        on_step=lambda step: None,
        validate=validate,
    )
    assert progress.stopped_early and progress.step == 8 and progress.best_step == 4
    for mine, best in zip(task.root.parameters(), seen[1], strict=True):
        assert torch.equal(mine, best)


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    _, _, one = run(tmp_path / "whole", steps=10)
    run(tmp_path / "b", steps=10, checkpoint_every=3, stop=iter([False] * 7 + [True]).__next__)
    folder = tmp_path / "b" / "checkpoints"
    newest = sorted(folder.iterdir())[-1]
    assert newest.name == "step-00000008"
    file = newest / "rank-00000-of-00001.safetensors"
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    told = []
    rest, _, other = run(tmp_path / "b", steps=10, told=told)
    assert "damaged checkpoint" in told[0] and rest[0].step == 7
    for a, b in zip(one.root.parameters(), other.root.parameters(), strict=True):
        assert torch.equal(a, b)
    for path in folder.glob("*/state.json"):
        path.write_text("{")
    with pytest.raises(SynthError, match="every checkpoint is damaged"):
        run(tmp_path / "b", steps=10)


def test_a_full_disk_at_a_checkpoint_does_not_end_the_run(tmp_path, monkeypatch):
    real = checkpoint.save_file
    calls = []

    def full(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(checkpoint, "save_file", full)
    told = []
    steps, progress, _ = run(tmp_path, steps=10, checkpoint_every=3, told=told)
    assert progress.step == 10 and len(steps) == 10
    assert "No space left on device" in told[0] and "step 3" in told[0]
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000003", "step-00000009"]


def test_another_run_is_refused(tmp_path):
    run(tmp_path, steps=4, checkpoint_every=2, job={"arguments": {"lr": 1}, "data": {"a": "x"}})
    with pytest.raises(SynthError, match=r"other data \(a\)"):
        run(tmp_path, steps=4, job={"arguments": {"lr": 1}, "data": {"a": "y"}})


def test_state_is_json():
    state = dataclasses.asdict(Progress(step=3, losses=[0.1]))
    assert Progress(**json.loads(json.dumps(state))) == Progress(step=3, losses=[0.1])
