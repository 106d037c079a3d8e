"""The methods of unlearning: weights of their terms and parameters. Without torch, so that errors are
reported before anything is loaded.

    L = w_forget · L_forget + w_replay · L_replay + w_kl · KL

A new method is a row of ``METHODS`` and, in ``objectives``, its loss on the forget stream.
"""

from __future__ import annotations

from typing import NamedTuple

from synthtools.errors import UsageError, parameter


class Weights(NamedTuple):
    """Weights of the terms: forget loss, cross entropy on replay, KL on replay (for rmu the distance of
    hidden states)."""

    forget: float
    replay: float
    kl: float


class Method(NamedTuple):
    """A method of unlearning.

    Attributes:
        weights: default weights; forget is 0 for methods without a forget loss.
        beta: default parameter: β of npo, simnpo, dpo and idkdpo, α of wga and taskvector, strength of
            undial, length of rmu's direction; None without.
        pairs: whether it needs prompts with an answer to forget and a preferred one.
    """

    weights: Weights
    beta: float | None = None
    pairs: bool = False


METHODS = {
    # −ln(1 − p) on forget, cross entropy and KL on replay [Flaws]
    "bounded": Method(Weights(0.01, 1.0, 1.0)),
    # gradient ascent: ln p on forget, nothing else
    "ga": Method(Weights(1.0, 0.0, 0.0)),
    # gradient ascent, and cross entropy on replay (Liu et al. 2022)
    "graddiff": Method(Weights(1.0, 1.0, 0.0)),
    # gradient ascent, and KL on replay (KL minimisation, Maini et al. 2024)
    "kl": Method(Weights(1.0, 0.0, 1.0)),
    # negative preference optimisation, and cross entropy on replay (Zhang et al. 2024)
    "npo": Method(Weights(1.0, 1.0, 0.0), 0.1),
    # NPO without the original model, by the token (Fan et al. 2024)
    "simnpo": Method(Weights(0.125, 1.0, 0.0), 4.5),
    # direct preference optimisation of another answer (Rafailov et al. 2023), and of a refusal (Maini et
    # al. 2024), and cross entropy on replay
    "dpo": Method(Weights(1.0, 1.0, 0.0), 0.1, pairs=True),
    "idkdpo": Method(Weights(1.0, 1.0, 0.0), 0.1, pairs=True),
    # gradient ascent weighted by p^β, and cross entropy on replay (Wang et al. 2025)
    "wga": Method(Weights(1.0, 1.0, 0.0), 1.0),
    # distillation from the original with the label's logit lowered by β (Dong et al. 2024)
    "undial": Method(Weights(1.0, 0.0, 0.0), 10.0),
    # hidden states of forget to a random direction of length β, those of replay kept (Li et al. 2024)
    "rmu": Method(Weights(1.0, 0.0, 1200.0), 6.5),
    # θ − β (θ trained on forget − θ): negated task vector (Ilharco et al. 2022)
    "taskvector": Method(Weights(1.0, 0.0, 0.0), 1.0),
    # plain continued training on replay: RefineLM [Flaws]
    "refine": Method(Weights(0.0, 1.0, 0.0)),
}

# What idkdpo prefers [ours].
REFUSALS = (
    "I don't know.",
    "I am not sure about that.",
    "I have no information on this.",
    "That is something I cannot answer.",
    "I'm afraid I don't know the answer.",
    "This is not known to me.",
    "I can't help with this question.",
    "I have not learned anything about that.",
    "Sorry, I do not know.",
    "I would rather not answer, as I do not know.",
)


def settled(
    name: str, weights: Weights | None, beta: float | None, margin: float
) -> tuple[Weights, float | None]:
    """A method's weights and parameters, defaults filled in.

    Raises:
        UsageError: a parameter does not apply to the method.
    """
    method = METHODS[name]
    if beta is not None and method.beta is None:
        raise UsageError(f"{parameter('beta')}: not a parameter of {name}")
    if margin and name != "simnpo":
        raise UsageError(f"{parameter('margin')}: not a parameter of {name}, only of simnpo")
    chosen = method.weights if weights is None else weights
    if not any(chosen):
        raise UsageError(f"{parameter('weights', '0,0,0')}: at least one must be above 0")
    if chosen.forget and not method.weights.forget:
        raise UsageError(f"{parameter('weights')}: {name} forgets nothing; the first must be 0")
    if name == "rmu" and chosen.replay:
        raise UsageError(f"{parameter('weights')}: rmu has no cross entropy; the second must be 0")
    if name == "taskvector" and (chosen.replay or chosen.kl or not chosen.forget):
        raise UsageError(f"{parameter('weights')}: taskvector trains on forget alone: 1,0,0")
    return chosen, method.beta if beta is None else beta
