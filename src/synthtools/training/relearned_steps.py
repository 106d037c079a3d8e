"""How soon a model learns again what it forgot: steps of training on a few texts until their loss is back."""

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


def relearned_steps(
    model: ModelName,
    texts: Sequence[Tokenised],
    begin: Sequence[int],
    goal: float,
    steps: int,
    rate: float,
    device: str,
) -> int | None:
    """Steps of AdamW at a constant rate, each on all texts, until their mean loss a token is at most
    ``goal``: 0 where it is from the beginning, None where more than ``steps`` are needed.

    Args:
        texts: tokens that count, after tokens that do not; begin: tokens before each.
    """
    # Of a model with adapters, whose base was frozen, too.
    net = load_weights(model, torch.float32, choose(device)).requires_grad_(True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.0)
    rows = [np.concatenate([np.array(begin, np.int64), t.prompt, t.ids]) for t in texts]
    counts = [len(t.ids) for t in texts]
    total = sum(counts)
    for step in range(steps + 1):
        loss = 0.0
        for first in range(0, len(rows), _ROWS):
            some = rows[first : first + _ROWS]
            ids = torch.zeros(len(some), max(map(len, some)), dtype=torch.int64)
            labels = torch.full_like(ids, -100)
            for row, tokens in enumerate(some):
                ids[row, : len(tokens)] = torch.from_numpy(tokens)
                own = slice(len(tokens) - counts[first + row], len(tokens))
                labels[row, own] = ids[row, own]
            logits = net(input_ids=ids.to(net.device), use_cache=False).logits[:, :-1]
            part = cross_entropy(
                logits.flatten(0, 1).float(),
                labels[:, 1:].flatten().to(net.device),
                reduction="sum",
            )
            (part / total).backward()
            loss += float(part.detach()) / total
        if loss <= goal:
            return step
        optimizer.step()
        optimizer.zero_grad()
    return None
