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
    vocabulary = logits.shape[1]
    width = min(vocabulary, top_k or _FIRST)
    values, ids = torch.topk(logits, width, dim=1)
    mass = torch.logsumexp(values if top_k else logits, 1, keepdim=True)
    shares = (values - mass).double().exp()
    picked = ids.gather(1, _drawn(_nucleus(shares, top_p), uniforms)[:, None])[:, 0]
    if top_k is None and width < vocabulary:
        # Rows that need more tokens are sorted in full.
        wide = (shares.sum(1) < top_p).nonzero()[:, 0]
        if len(wide):
            values, ids = torch.sort(logits[wide], dim=1, descending=True, stable=True)
            shares = _nucleus((values - mass[wide]).double().exp(), top_p)
            picked[wide] = ids.gather(1, _drawn(shares, uniforms[wide])[:, None])[:, 0]
    return picked


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
