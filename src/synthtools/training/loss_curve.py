"""How fast a model learns a few texts: their losses over the first steps of training on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from synthtools.lm.devices import choose
from synthtools.lm.model_name import ModelName
from synthtools.lm.pretrained import load_weights
from synthtools.lm.scorer import Tokenised

_ROWS = 8
_RATES = (1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5)


def loss_curve(
    model: ModelName,
    texts: Sequence[Tokenised],
    begin: Sequence[int],
    steps: int,
    rate: float,
    device: str,
    enough: float = 0.0,
) -> np.ndarray:
    """Mean loss of each text in nats per token, before the first and after each step of AdamW at a constant
    rate on all their tokens: float64 [steps + 1, texts].

    Args:
        texts: scored tokens, at least one each, after prompt tokens that are not scored.
        begin: tokens before each text that no chat template rendered.
        enough: stop when the mean over texts is at most this share of the first one.
    """
    # Also the frozen base of a model with adapters.
    net = load_weights(model, torch.float32, choose(device)).requires_grad_(True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.0)
    parts = [([] if t.rendered else list(begin), t.prompt, t.ids) for t in texts]
    rows = [np.concatenate([np.array(head, np.int64), *rest]) for head, *rest in parts]
    # The very first token cannot be predicted.
    counts = np.array(
        [max(1, min(len(t.ids), len(r) - 1)) for t, r in zip(texts, rows, strict=True)]
    )
    curve: list[np.ndarray] = []
    while True:
        losses = np.zeros(len(rows))
        for first in range(0, len(rows), _ROWS):
            some = rows[first : first + _ROWS]
            ids = torch.zeros(len(some), max(map(len, some)), dtype=torch.int64)
            labels = torch.full_like(ids, -100)
            for row, tokens in enumerate(some):
                ids[row, : len(tokens)] = torch.from_numpy(tokens)
                own = slice(len(tokens) - counts[first + row], len(tokens))
                labels[row, own] = ids[row, own]
            logits = net(input_ids=ids.to(net.device), use_cache=False).logits[:, :-1]
            sums = cross_entropy(
                logits.transpose(1, 2).float(), labels[:, 1:].to(net.device), reduction="none"
            ).sum(1)
            if len(curve) < steps:
                (sums.sum() / int(counts.sum())).backward()
            losses[first : first + _ROWS] = sums.detach().double().cpu().numpy()
        curve.append(losses / counts)
        if len(curve) > steps or curve[-1].mean() <= enough * curve[0].mean():
            return np.array(curve)
        optimizer.step()
        optimizer.zero_grad()


def slow_rate(
    model: ModelName, texts: Sequence[Tokenised], begin: Sequence[int], steps: int, device: str
) -> float:
    """The highest rate at which so many steps lower the loss of texts but do not halve it [ours]: at higher
    rates every model learns them within a step or two, which shows no difference between models."""
    for rate in _RATES[:-1]:
        means = loss_curve(model, texts, begin, steps, rate, device, 0.5).mean(1)
        if means.max() <= means[0] < 2 * means[-1]:
            return rate
    return _RATES[-1]
