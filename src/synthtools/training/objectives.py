"""Losses as functions of the label's log-odds, or of a document's log-probability.

For logits z and label y let d = z_y − logsumexp_{j≠y} z_j, so that p_y = sigmoid(d). Every loss of a
token is a function f(d) with its derivative f'(d), both exact where p_y → 0 and where p_y → 1 (from
the negative log-likelihood neither is: in float32 it rounds to 0 as p_y → 1).

A loss of a document is a function of ln π = Σ_t ln p_t. Its gradient is that of ln π, which is what
``ASCENT`` minimises, times dL/d ln π: a weight that all tokens of the document share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus


class Objective(NamedTuple):
    """A loss per token: ``value`` and ``slope`` map log-odds [n] to f(d) and f'(d) [n]."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


class DocumentObjective(NamedTuple):
    """A loss per document.

    Attributes:
        value, slope: map ln π, the same of the original model, and the documents' token counts,
            each [documents], to L and dL/d ln π, each [documents].
        compares: the original model's ln π is needed.
    """

    value: Callable[[Tensor, Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor, Tensor], Tensor]
    compares: bool


# −ln p = softplus(−d)
CROSS_ENTROPY = Objective(lambda d: softplus(-d), lambda d: -torch.sigmoid(-d))

# ln p, without a lower bound: gradient ascent on the cross entropy
ASCENT = Objective(lambda d: -softplus(-d), lambda d: torch.sigmoid(-d))

# −ln(1 − p) = softplus(d) ≥ 0: cross entropy of the inverted probability [Flaws]
BOUNDED = Objective(softplus, torch.sigmoid)


def weighted_ascent(alpha: float) -> Objective:
    """p^α · ln p, the weight p^α taken as a constant: what is forgotten already counts less (Wang et
    al. 2025, arXiv 2502.19301)."""

    def weight(d: Tensor) -> Tensor:
        return torch.exp(-alpha * softplus(-d))

    return Objective(lambda d: -weight(d) * softplus(-d), lambda d: weight(d) * torch.sigmoid(-d))


def negative_preference(beta: float) -> DocumentObjective:
    """NPO: (2/β) · ln(1 + (π / π_original)^β) (Zhang et al. 2024, arXiv 2404.05868, equation 3)."""

    def ratio(log_p: Tensor, original: Tensor) -> Tensor:
        return beta * (log_p - original)

    return DocumentObjective(
        lambda log_p, original, _: 2.0 / beta * softplus(ratio(log_p, original)),
        lambda log_p, original, _: 2.0 * torch.sigmoid(ratio(log_p, original)),
        compares=True,
    )


def simple_negative_preference(beta: float, margin: float) -> DocumentObjective:
    """SimNPO: −(2/β) · ln σ(−(β/n) ln π − γ), n the document's tokens (Fan et al. 2024,
    arXiv 2410.07163, equation 4)."""

    def ratio(log_p: Tensor, tokens: Tensor) -> Tensor:
        return beta * log_p / tokens + margin

    return DocumentObjective(
        lambda log_p, _, tokens: 2.0 / beta * softplus(ratio(log_p, tokens)),
        lambda log_p, _, tokens: 2.0 / tokens * torch.sigmoid(ratio(log_p, tokens)),
        compares=False,
    )
