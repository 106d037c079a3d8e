"""Statistics of the whole distribution at each token, from its logits."""

from __future__ import annotations

import torch
from torch import Tensor

# Logits per block: on a CPU, what fits into a core's cache.
_CPU_LOGITS = 1 << 18
_GPU_LOGITS = 1 << 25


def distribution(logits: Tensor, targets: Tensor, beside: Tensor | None) -> Tensor:
    """The rows of ``scores.TokenDistribution``, float32 [4, rows].

    With d = z − max z and m the mean under p, H = ln Σ exp d − m(d) and Var ln p = m(d²) − m(d)²: both are
    invariant to a shift of the logits z, and the shift avoids cancellation.

    Args:
        logits: float32 [rows, vocabulary]; targets: [rows], the observed tokens.
        beside: another model's logits, of q; without them the cross-entropy −Σ q ln p is NaN.
    """
    size = max(1, (_GPU_LOGITS if logits.is_cuda else _CPU_LOGITS) // logits.shape[1])
    moments = torch.full((4, len(logits)), torch.nan, device=logits.device)
    for start in range(0, len(logits), size):
        rows = slice(start, start + size)
        block = logits[rows]
        shifted = block - block.amax(1, keepdim=True)
        chosen = shifted.gather(1, targets[rows, None])
        # As floats, which are summed faster than booleans; the block then holds the weights.
        weights = torch.empty_like(shifted)
        moments[2, rows] = torch.gt(shifted, chosen, out=weights).sum(1) + 1
        torch.exp(shifted, out=weights)
        mass = weights.sum(1)
        mean = weights.mul_(shifted).sum(1) / mass
        square = weights.mul_(shifted).sum(1) / mass
        moments[0, rows] = mass.log() - mean
        moments[1, rows] = (square - mean * mean).clamp_min(0)
        if beside is not None:
            other = torch.softmax(beside[rows], 1)
            moments[3, rows] = mass.log() - (other * shifted).sum(1)
    return moments
