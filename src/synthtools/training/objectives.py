"""Losses as functions of the label's log-odds, or of a document's log-probability.

For logits z and label y let d = z_y − logsumexp_{j≠y} z_j, so that p_y = sigmoid(d). Every loss of a
token is a function f(d) with derivative f'(d), both exact as p_y → 0 and as p_y → 1 (unlike functions of the
negative log-likelihood, which rounds to 0 in float32 as p_y → 1).

A loss of a document is a function of ln π = Σ_t ln p_t. Its gradient is that of ln π, which is what
``ASCENT`` minimises, times dL/d ln π: a weight shared by all tokens of the document.

``unlearn_loss`` returns the loss of a method of unlearning (``unlearn_methods``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from synthtools.training.unlearn_methods import METHODS, Weights, settled


class Objective(NamedTuple):
    """A loss per token: ``value`` and ``slope`` map log-odds [n] to f(d) and f'(d) [n]."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


class DocumentObjective(NamedTuple):
    """A loss per document.

    Attributes:
        value, slope: map ln π, the same of the original model, and the documents' token counts,
            each [documents], to L and dL/d ln π, each [documents].
        compares: whether the original model's ln π is needed.
    """

    value: Callable[[Tensor, Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor, Tensor], Tensor]
    compares: bool


class LoweredLabel(NamedTuple):
    """Distillation from the original model with the label's logit lowered by ``strength``: KL(lowered
    original ‖ model), whose gradient is that of the cross entropy (UNDIAL, Dong et al. 2024,
    arXiv 2402.10052)."""

    strength: float


class SteeredStates(NamedTuple):
    """Mean squared distance of the hidden states from a random direction of length ``norm`` (RMU, Li et
    al. 2024, arXiv 2403.03218)."""

    norm: float


# −ln p = softplus(−d)
CROSS_ENTROPY = Objective(lambda d: softplus(-d), lambda d: -torch.sigmoid(-d))

# ln p, without a lower bound: gradient ascent on the cross entropy
ASCENT = Objective(lambda d: -softplus(-d), lambda d: torch.sigmoid(-d))

# −ln(1 − p) = softplus(d) ≥ 0: cross entropy of the inverted probability [Flaws]
BOUNDED = Objective(softplus, torch.sigmoid)


def weighted_ascent(alpha: float) -> Objective:
    """p^α · ln p, with p^α as a constant weight: tokens that are already forgotten count less (Wang et
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


def preference(beta: float) -> DocumentObjective:
    """DPO with the factor of NPO: −(2/β) · ln σ(β · (ln π_w/π_w,original − ln π_l/π_l,original)), l the
    answer to forget, w the preferred one (Rafailov et al. 2023, arXiv 2305.18290; Zhang et al. 2024).

    Documents come in pairs, l before w; both have the loss of the pair, so that the mean over documents
    equals the mean over pairs.
    """

    def excess(log_p: Tensor, original: Tensor) -> Tensor:
        ratio = beta * (log_p - original).reshape(-1, 2)
        return ratio[:, 0] - ratio[:, 1]

    def slope(log_p: Tensor, original: Tensor, _: Tensor) -> Tensor:
        rise = 4.0 * torch.sigmoid(excess(log_p, original))
        return torch.stack((rise, -rise), 1).flatten()

    return DocumentObjective(
        lambda log_p, original, _: (
            2.0 / beta * softplus(excess(log_p, original))
        ).repeat_interleave(2),
        slope,
        compares=True,
    )


Loss = Objective | DocumentObjective | LoweredLabel | SteeredStates


@dataclass(frozen=True)
class UnlearnLoss:
    """A method with all its parameters; ``reverse``: KL(current ‖ original) instead of KL(original ‖
    current)."""

    method: str
    objective: Loss | None
    weights: Weights
    beta: float
    reverse: bool

    @property
    def terms(self) -> list[str]:
        """The terms with a weight."""
        return [name for name, weight in zip(Weights._fields, self.weights, strict=True) if weight]

    @property
    def pairs(self) -> bool:
        """Whether the method needs preferred answers."""
        return METHODS[self.method].pairs

    @property
    def compares(self) -> bool:
        """Whether the original model reads the forget stream, too."""
        own = self.objective
        return isinstance(own, LoweredLabel) or (
            isinstance(own, DocumentObjective) and own.compares
        )


def unlearn_loss(
    name: str, weights: Weights | None, beta: float | None, margin: float, reverse: bool
) -> UnlearnLoss:
    """A method by name.

    Raises:
        UsageError: a parameter does not apply to the method.
    """
    chosen, number = settled(name, weights, beta, margin)
    own = number or 0.0
    objectives: dict[str, Callable[[], Loss]] = {
        "bounded": lambda: BOUNDED,
        "npo": lambda: negative_preference(own),
        "simnpo": lambda: simple_negative_preference(own, margin),
        "dpo": lambda: preference(own),
        "idkdpo": lambda: preference(own),
        "wga": lambda: weighted_ascent(own),
        "undial": lambda: LoweredLabel(own),
        "rmu": lambda: SteeredStates(own),
        "taskvector": lambda: CROSS_ENTROPY,
    }
    objective = objectives.get(name, lambda: ASCENT)() if chosen.forget else None
    return UnlearnLoss(name, objective, chosen, own, reverse)
