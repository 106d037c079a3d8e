"""The methods of unlearning: which loss forgets, and what the three terms weigh.

    L = w_forget · L_forget + w_replay · L_replay + w_kl · KL

A new method is an objective (see ``objectives``) and a row of ``METHODS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from synthtools.training.objectives import (
    ASCENT,
    BOUNDED,
    DocumentObjective,
    Objective,
    negative_preference,
    simple_negative_preference,
    weighted_ascent,
)


class Weights(NamedTuple):
    """Of the terms of the loss: forgetting, cross entropy on replay, divergence on replay."""

    forget: float
    replay: float
    kl: float


@dataclass(frozen=True)
class Method:
    """A way to forget.

    Attributes:
        says: what it does, in a line.
        weights: of its terms, unless the user names others.
        objective: its loss on what is to be forgotten, of β and the margin; None where nothing is
            forgotten on purpose.
        beta: its β (the α of WGA), unless the user names one; None where it has none.
    """

    says: str
    weights: Weights
    objective: Callable[[float, float], Objective | DocumentObjective] | None
    beta: float | None = None


METHODS = {
    "bounded": Method(
        "−ln(1 − p) on forget, cross entropy and KL on replay [Flaws]",
        Weights(0.01, 1.0, 1.0),
        lambda beta, margin: BOUNDED,
    ),
    "ga": Method(
        "gradient ascent: ln p on forget, nothing else",
        Weights(1.0, 0.0, 0.0),
        lambda beta, margin: ASCENT,
    ),
    "graddiff": Method(
        "gradient ascent, and cross entropy on replay (Liu et al. 2022)",
        Weights(1.0, 1.0, 0.0),
        lambda beta, margin: ASCENT,
    ),
    "kl": Method(
        "gradient ascent, and KL on replay (KL minimisation, Maini et al. 2024)",
        Weights(1.0, 0.0, 1.0),
        lambda beta, margin: ASCENT,
    ),
    "npo": Method(
        "negative preference optimisation, and cross entropy on replay (Zhang et al. 2024)",
        Weights(1.0, 1.0, 0.0),
        lambda beta, margin: negative_preference(beta),
        0.1,
    ),
    "simnpo": Method(
        "NPO without the original model, by the token (Fan et al. 2024)",
        Weights(0.125, 1.0, 0.0),
        simple_negative_preference,
        4.5,
    ),
    "wga": Method(
        "gradient ascent weighed by p^β, and cross entropy on replay (Wang et al. 2025)",
        Weights(1.0, 1.0, 0.0),
        lambda beta, margin: weighted_ascent(beta),
        1.0,
    ),
    "refine": Method(
        "plain continued training on replay: RefineLM [Flaws]", Weights(0.0, 1.0, 0.0), None
    ),
}


@dataclass(frozen=True)
class UnlearnLoss:
    """A method with its numbers settled.

    Attributes:
        method: its name.
        objective: on what is to be forgotten; None for none.
        weights: of the terms.
        reverse: KL(current ‖ original) instead of KL(original ‖ current).
    """

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
        ValueError: the name is not known, or a number does not go with it.
    """
    method = METHODS.get(name)
    if method is None:
        raise ValueError(f"method {name}: use one of {', '.join(METHODS)}")
    if beta is not None and method.beta is None:
        raise ValueError(f"beta: not a parameter of {name}")
    if margin and name != "simnpo":
        raise ValueError(f"margin: not a parameter of {name}, only of simnpo")
    chosen = method.weights if weights is None else weights
    if min(chosen) < 0 or not any(chosen):
        raise ValueError(
            f"weights {chosen[0]:g},{chosen[1]:g},{chosen[2]:g}: none below 0, not all 0"
        )
    if chosen.forget and method.objective is None:
        raise ValueError(f"weights: {name} forgets nothing; the first weight must be 0")
    beta = method.beta if beta is None else beta
    objective = None
    if chosen.forget and method.objective is not None:
        objective = method.objective(beta or 0.0, margin)
    return UnlearnLoss(name, objective, chosen, reverse)
