"""A step of bounded forgetting with replay and KL beside the plain form, and beside a step of training.

The plain form keeps the logits of both models for the whole batch and takes the losses from them. Speed: tokens a
second of the same rows in turns, each in a process of its own. Memory: the peak of the head alone, over a process that
makes the same tensors and no loss, at vocabularies of 32,000 and 128,000.
"""

import os
import statistics

import numpy as np

from benchmarks.common import apart, machine
from benchmarks.training import HEAD_ROWS, HEAD_WIDTH, VOCABULARIES, model_and_tokens

MODULE = "benchmarks.unlearning"
CONTEXT = int(os.environ.get("BENCH_CONTEXT", 256))
ROWS = int(os.environ.get("BENCH_ROWS", 8))
STEPS = int(os.environ.get("BENCH_STEPS", 8))
TURNS = int(os.environ.get("BENCH_TURNS", 3))
WARM = 2


def _rows():
    """The same tokens for all: half of the rows to forget, half to replay; no padding."""
    model, documents, _, device = model_and_tokens()
    return model, np.resize(np.concatenate(documents), (STEPS + WARM, ROWS, CONTEXT)), device


def _rate(step, steps) -> float:
    """Tokens a second of a function of the step's number."""
    import time

    start = 0.0
    for number in range(steps + WARM):
        if number == WARM:
            start = time.perf_counter()
        step(number)
    return steps * ROWS * (CONTEXT - 1) / (time.perf_counter() - start)


def ours() -> float:
    from synthtools.training.frozen_model import FrozenModel
    from synthtools.training.language_model_task import ModelWithHead, RowStream
    from synthtools.training.loop import _gradients
    from synthtools.training.objectives import unlearn_loss
    from synthtools.training.packers import Blend, WholePacker
    from synthtools.training.parallel import Ranks
    from synthtools.training.unlearn_task import FORGET, REPLAY, UnlearnTask

    model, original, tokens, device = _two()
    half, ranks = device != "cpu", Ranks(0, 1, device)
    blends = []
    for part in (tokens[:, : ROWS // 2], tokens[:, ROWS // 2 :]):
        flat = part.reshape(-1)
        starts = np.arange(0, len(flat) + 1, CONTEXT)
        blends.append(Blend([WholePacker(flat, starts, CONTEXT, 0)]))
    streams = [RowStream(FORGET, blends[0], ROWS // 2), RowStream(REPLAY, blends[1], ROWS // 2)]
    task = UnlearnTask(
        ModelWithHead(model, half),
        FrozenModel(ModelWithHead(original, half)),
        unlearn_loss("bounded", None, None, 0.0, False),
        streams,
        ROWS,
        ranks,
    )
    optimizer = _optimizer(model)

    def step(number: int) -> None:
        sums, _ = _gradients(task, task.micro_batches(number), 1.0, ranks)
        means = dict(zip(task.names, (sums[:, 0] / sums[:, 1].clamp(min=1)).tolist(), strict=True))
        task.parts(means)
        optimizer.step()
        optimizer.zero_grad()

    return _rate(step, STEPS)


def plain() -> float:
    import torch
    from torch.nn.functional import cross_entropy, kl_div, log_softmax

    model, original, tokens, device = _two()
    optimizer = _optimizer(model)

    def step(number: int) -> None:
        rows = torch.from_numpy(tokens[number]).to(device)
        labels = rows[:, 1:]
        half = ROWS // 2
        with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            with torch.no_grad():
                kept = original(input_ids=rows[half:], use_cache=False).logits[:, :-1].float()
            logits = model(input_ids=rows, use_cache=False).logits[:, :-1].float()
        log_p = log_softmax(logits, -1)
        own = log_p[:half].gather(2, labels[:half, :, None])
        forget = -torch.log1p(-own.exp().clamp(max=1 - 1e-6)).mean()
        replay = cross_entropy(logits[half:].flatten(0, 1), labels[half:].flatten())
        kl = kl_div(
            log_p[half:].flatten(0, 1),
            log_softmax(kept, -1).flatten(0, 1),
            log_target=True,
            reduction="batchmean",
        )
        (0.01 * forget + replay + kl).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        forget.item()

    return _rate(step, STEPS)


def training() -> float:
    """A step of ``synth train`` on the same rows."""
    from synthtools.training import attention
    from synthtools.training.language_model_task import LanguageModelTask, ModelWithHead, RowStream
    from synthtools.training.loop import _gradients
    from synthtools.training.packers import Blend, WholePacker
    from synthtools.training.parallel import Ranks

    model, tokens, device = _rows()
    model.set_attn_implementation(attention.NAME)
    half, ranks = device != "cpu", Ranks(0, 1, device)
    flat = tokens.reshape(-1)
    blend = Blend([WholePacker(flat, np.arange(0, len(flat) + 1, CONTEXT), CONTEXT, 0)])
    stream = RowStream("train", blend, ROWS)
    task = LanguageModelTask(ModelWithHead(model, half), stream, ROWS, ranks, [None])
    optimizer = _optimizer(model)

    def step(number: int) -> None:
        _gradients(task, task.micro_batches(number), 1.0, ranks)
        optimizer.step()
        optimizer.zero_grad()

    return _rate(step, STEPS)


def _two():
    import copy

    from synthtools.training import attention

    model, tokens, device = _rows()
    model.set_attn_implementation(attention.NAME)
    original = copy.deepcopy(model).eval().requires_grad_(False)
    return model.train(), original, tokens, device


def _optimizer(model):
    from synthtools.training.loop import optimizer_for
    from synthtools.training.plan import Settings

    return optimizer_for(model, Settings(1, ROWS, ROWS, 1e-4))


def head(how: str, vocabulary: int) -> float:
    """Peak memory in MB of the head's part of a step: replay, KL, and what is forgotten."""
    import resource

    import torch
    from torch.nn.functional import cross_entropy, kl_div, log_softmax

    from synthtools.training.head import KLTarget, head_loss
    from synthtools.training.objectives import BOUNDED, CROSS_ENTROPY

    torch.manual_seed(0)
    half = HEAD_ROWS // 2
    hidden = torch.randn(HEAD_ROWS, HEAD_WIDTH, requires_grad=True)
    kept = torch.randn(half, HEAD_WIDTH)
    weight = torch.randn(vocabulary, HEAD_WIDTH, requires_grad=True)
    kept_weight = torch.randn(vocabulary, HEAD_WIDTH)
    hidden.grad, weight.grad = torch.zeros_like(hidden), torch.zeros_like(weight)
    labels = torch.randint(0, vocabulary, (HEAD_ROWS,))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ones = torch.full((half,), 1 / half)
    if how == "plain":
        logits = hidden @ weight.T
        log_p = log_softmax(logits, 1)
        own = log_p[:half].gather(1, labels[:half, None])
        forget = -torch.log1p(-own.exp().clamp(max=1 - 1e-6)).mean()
        replay = cross_entropy(logits[half:], labels[half:])
        log_q = log_softmax(kept @ kept_weight.T, 1)
        kl = kl_div(log_p[half:], log_q, log_target=True, reduction="batchmean")
        (0.01 * forget + replay + kl).backward()
    else:
        head_loss(hidden[:half], weight, labels[:half], 0.01 * ones, BOUNDED).total.backward()
        original = KLTarget(kept, kept_weight, ones)
        head_loss(
            hidden[half:], weight, labels[half:], ones, CROSS_ENTROPY, original
        ).total.backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    print(machine())
    rates = {name: [] for name in ("ours", "plain", "training")}
    for _ in range(TURNS):
        for name, found in rates.items():
            found.append(apart(MODULE, name))
    middle = {name: statistics.median(found) for name, found in rates.items()}
    for name, rate in middle.items():
        print(f"{name:9} {rate:8,.0f} tokens/s")
    print(f"ours / plain    {middle['ours'] / middle['plain']:.2f}  (aim 1.0)")
    print(f"ours / training {middle['ours'] / middle['training']:.2f}")
    for vocabulary in VOCABULARIES:
        a, b = apart(MODULE, "head", "ours", vocabulary), apart(MODULE, "head", "plain", vocabulary)
        print(
            f"head at {vocabulary:,}: {a:,.0f} MB, plain {b:,.0f} MB, ratio {a / b:.2f}  (aim 0.4)"
        )
