"""Sampling of next tokens from logits."""

from __future__ import annotations

import torch
from torch import Tensor

# Tokens to sort at first, before it is known how many top-p needs.
_FIRST = 256


def choose(
    logits: Tensor, uniforms: Tensor, temperature: float, top_p: float, top_k: int | None
) -> Tensor:
    """One token per row, by inverting the cumulative distribution.

    Logits are divided by the temperature, then restricted to the k largest, then to the smallest set
    with probability ``top_p`` of the rest (Holtzman et al. 2020), in the order of transformers and vLLM.
    A row's token depends only on its logits and its random number.

    Args:
        logits: float32 [rows, vocabulary].
        uniforms: float64 [rows], in [0, 1).
        temperature: 0 for the largest logit.

    Returns:
        int64 [rows].
    """
    if temperature == 0:
        return logits.argmax(1)
    logits = logits / temperature
    if top_k is None and top_p == 1:
        return _drawn((logits - logits.amax(1, keepdim=True)).double().exp(), uniforms)
    if top_k is None:
        return _from_nucleus(
            logits, torch.logsumexp(logits, 1, keepdim=True), uniforms, top_p, _FIRST
        )
    values, ids = torch.topk(logits, min(top_k, logits.shape[1]), dim=1)
    shares = (values - torch.logsumexp(values, 1, keepdim=True)).double().exp()
    return ids.gather(1, _drawn(_nucleus(shares, top_p), uniforms)[:, None])[:, 0]


def _from_nucleus(
    logits: Tensor, mass: Tensor, uniforms: Tensor, top_p: float, count: int
) -> Tensor:
    """A token of each row [rows], drawn from its most probable ones: ``count``, or as many as top-p needs.

    Args:
        mass: logarithm of the sum of exponentials [rows, 1].
    """
    vocabulary = logits.shape[1]
    values, ids = _largest(logits, min(count, vocabulary))
    shares = (values - mass).double().exp()
    picked = ids.gather(1, _drawn(_nucleus(shares, top_p), uniforms)[:, None])[:, 0]
    if count >= vocabulary:
        return picked
    lacking = top_p - shares.sum(1)
    # Sorting all takes twice as long as finding the 8 · 256 largest of 6,144, which suffice for most rows if each
    # has a quarter of the last one's probability. Both give the same token.
    more = min(8 * count, vocabulary)
    hopeful = lacking < (more - count) * shares[:, -1] / 4
    for width, rows in ((more, hopeful), (vocabulary, ~hopeful)):
        wide = (rows & (lacking > 0)).nonzero()[:, 0]
        if len(wide):
            picked[wide] = _from_nucleus(logits[wide], mass[wide], uniforms[wide], top_p, width)
    return picked


def _largest(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest logits, descending, and their tokens; above _FIRST equal ones in the order of the tokens."""
    vocabulary = logits.shape[1]
    if count <= _FIRST:
        values, ids = torch.topk(logits, count, dim=1)
    elif count == vocabulary:
        values, ids = torch.sort(logits, dim=1, descending=True, stable=True)
    else:
        # Integers in the order of the logits (-0 as 0), then of the tokens.
        bits = (logits + 0.0).view(torch.int32)
        places = torch.arange(vocabulary - 1, -1, -1, device=logits.device)
        keys = (bits ^ (bits >> 31 & 0x7FFFFFFF)).long() << 32 | places
        ids = vocabulary - 1 - (torch.topk(keys, count, dim=1).values & 0xFFFFFFFF)
        values = logits.gather(1, ids)
    return values, ids


def _nucleus(shares: Tensor, top_p: float) -> Tensor:
    """Descending probabilities [rows, n], 0 after the first ones that sum to ``top_p``."""
    before = shares.cumsum(1) - shares
    return torch.where(before < top_p, shares, 0.0)


def _drawn(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Index drawn in each row from weights ≥ 0, float64 [rows, n]."""
    reached = weights.cumsum(1)
    aim = uniforms[:, None] * reached[:, -1:]
    index = torch.searchsorted(reached, aim, right=True)[:, 0]
    # Rounding may put the target after the last positive weight.
    last = weights.shape[1] - 1 - (weights.flip(1) > 0).int().argmax(1)
    return torch.minimum(index, last)
