"""Losses as functions of the label's log-odds, or of a document's log-probability.

For logits z and label y let d = z_y − logsumexp_{j≠y} z_j, so that p_y = sigmoid(d). Every loss of a
token is a function f(d) with its derivative f'(d), both exact where p_y → 0 and where p_y → 1 (from
the negative log-likelihood neither is: in float32 it rounds to 0 as p_y → 1).

A loss of a document is a function of ln π = Σ_t ln p_t. Its gradient is that of ln π, which is what
``ASCENT`` minimises, times dL/d ln π: a weight that all tokens of the document share.

The methods of unlearning say which loss forgets, and what the three terms weigh:

    L = w_forget · L_forget + w_replay · L_replay + w_kl · KL

A new method is an objective and a row of ``METHODS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from synthtools.errors import UsageError, parameter


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


class Weights(NamedTuple):
    """Of the terms of the loss: forgetting, cross entropy on replay, divergence on replay."""

    forget: float
    replay: float
    kl: float


@dataclass(frozen=True)
class Method:
    """A way to forget: the usual weights of its terms, its loss on what is to be forgotten, of β and the
    margin (None where nothing is forgotten on purpose), and its usual β (the α of WGA)."""

    weights: Weights
    objective: Callable[[float, float], Objective | DocumentObjective] | None
    beta: float | None = None


METHODS = {
    # −ln(1 − p) on forget, cross entropy and KL on replay [Flaws]
    "bounded": Method(Weights(0.01, 1.0, 1.0), lambda beta, margin: BOUNDED),
    # gradient ascent: ln p on forget, nothing else
    "ga": Method(Weights(1.0, 0.0, 0.0), lambda beta, margin: ASCENT),
    # gradient ascent, and cross entropy on replay (Liu et al. 2022)
    "graddiff": Method(Weights(1.0, 1.0, 0.0), lambda beta, margin: ASCENT),
    # gradient ascent, and KL on replay (KL minimisation, Maini et al. 2024)
    "kl": Method(Weights(1.0, 0.0, 1.0), lambda beta, margin: ASCENT),
    # negative preference optimisation, and cross entropy on replay (Zhang et al. 2024)
    "npo": Method(Weights(1.0, 1.0, 0.0), lambda beta, margin: negative_preference(beta), 0.1),
    # NPO without the original model, by the token (Fan et al. 2024)
    "simnpo": Method(Weights(0.125, 1.0, 0.0), simple_negative_preference, 4.5),
    # gradient ascent weighted by p^β, and cross entropy on replay (Wang et al. 2025)
    "wga": Method(Weights(1.0, 1.0, 0.0), lambda beta, margin: weighted_ascent(beta), 1.0),
    # plain continued training on replay: RefineLM [Flaws]
    "refine": Method(Weights(0.0, 1.0, 0.0), None),
}


@dataclass(frozen=True)
class UnlearnLoss:
    """A method with its numbers settled; ``reverse``: KL(current ‖ original) instead of KL(original ‖
    current)."""

    method: str
    objective: Objective | DocumentObjective | None
    weights: Weights
    reverse: bool

    @property
    def terms(self) -> list[str]:
        """The terms that count."""
        return [name for name, weight in zip(Weights._fields, self.weights, strict=True) if weight]


def unlearn_loss(
    name: str, weights: Weights | None, beta: float | None, margin: float, reverse: bool
) -> UnlearnLoss:
    """A method by its name.

    Raises:
        UsageError: a number does not go with it.
    """
    method = METHODS[name]
    if beta is not None and method.beta is None:
        raise UsageError(f"{parameter('beta')}: not a parameter of {name}")
    if margin and name != "simnpo":
        raise UsageError(f"{parameter('margin')}: not a parameter of {name}, only of simnpo")
    chosen = method.weights if weights is None else weights
    if not any(chosen):
        raise UsageError(f"{parameter('weights', '0,0,0')}: at least one must be above 0")
    if chosen.forget and method.objective is None:
        raise UsageError(f"{parameter('weights')}: {name} forgets nothing; the first must be 0")
    beta = method.beta if beta is None else beta
    objective = None
    if chosen.forget and method.objective is not None:
        objective = method.objective(beta or 0.0, margin)
    return UnlearnLoss(name, objective, chosen, reverse)
