"""Length-controlled win rates, after AlpacaEval 2 (arXiv 2404.04475).

    logit P(model m preferred on prompt i) = θ_m + φ·tanh(Δlength_mi / sd_m(Δlength)) + γ_i

θ_m is the quality of the model, φ the judge's preference for length, γ_i how easily the reference is beaten on
the prompt. The length-controlled win rate is the mean probability over a model's prompts without the middle
term. All models are fitted jointly, by penalised maximum likelihood, with one φ [ours]: the preference for length
belongs to the judge, and the answers of a model that are all shorter than the reference's do not identify it. (The
authors fit each model separately, with difficulties fitted in advance and two variants of the reference to identify
φ.) With a single model γ is omitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from synthtools.measure.labelled_sources import expit

# Penalty on γ², with a likelihood summed over preferences [ours]; with it, rates from GPT-4's preferences for
# 12 models differ from the published ones by 1.0 points on average.
_DIFFICULTY_PENALTY = 0.3
# Determines what the data do not: the level of a model that wins all or nothing.
_PENALTY = 1e-3
_STEPS, _LONGEST_STEP, _CLOSE = 200, 2.0, 1e-9


class Controlled(NamedTuple):
    """A fit: the length-controlled win rate of each model, in [0, 1], and θ, φ, γ."""

    rates: np.ndarray
    theta: np.ndarray
    phi: float
    gamma: np.ndarray


def fit(
    models: Sequence[int],
    prompts: Sequence[int],
    preferences: Sequence[float],
    lengths: Sequence[float],
) -> Controlled:
    """Fits preferences of models over a reference.

    Args:
        models, prompts: their numbers from 0, one pair per preference; every number occurs.
        preferences: in [0, 1]; 1 where the model is preferred.
        lengths: characters of the model's answer minus those of the reference's.
    """
    model, prompt = np.asarray(models), np.asarray(prompts)
    wins, longer = np.asarray(preferences, np.float64), np.asarray(lengths, np.float64)
    count, size = int(model.max()) + 1, int(prompt.max()) + 1
    x = np.tanh(_scaled(longer, model, count))
    # γ's block of the Hessian is diagonal and is eliminated, so that a step costs models², not prompts².
    design = np.zeros((len(wins), count + 1))
    design[np.arange(len(wins)), model] = 1
    design[:, count] = x
    alone = count == 1
    theta, gamma = np.zeros(count + 1), np.zeros(size)
    for _ in range(_STEPS):
        chance = expit(design @ theta + gamma[prompt])
        weight = chance * (1 - chance)
        slope = design.T @ (wins - chance) - _PENALTY * theta
        curve = (design * weight[:, None]).T @ design + _PENALTY * np.eye(count + 1)
        if alone:
            first, second = np.linalg.solve(curve, slope), np.zeros(size)
        else:
            own = np.bincount(prompt, wins - chance, size) - _DIFFICULTY_PENALTY * gamma
            diagonal = np.bincount(prompt, weight, size) + _DIFFICULTY_PENALTY
            cross = np.zeros((count + 1, size))
            np.add.at(cross, (model, prompt), weight)
            cross[count] = np.bincount(prompt, weight * x, size)
            schur = curve - (cross / diagonal) @ cross.T
            first = np.linalg.solve(schur, slope - cross @ (own / diagonal))
            second = (own - cross.T @ first) / diagonal
        longest = max(float(np.abs(first).max()), float(np.abs(second).max()))
        # A long Newton step overshoots if probabilities are near 0 or 1.
        short = min(1.0, _LONGEST_STEP / max(longest, 1e-300))
        theta, gamma = theta + short * first, gamma + short * second
        if longest < _CLOSE:
            break
    equal = expit(theta[model] + gamma[prompt])
    rates = np.bincount(model, equal, count) / np.bincount(model, minlength=count)
    return Controlled(rates, theta[:count], float(theta[count]), gamma)


def _scaled(longer: np.ndarray, model: np.ndarray, count: int) -> np.ndarray:
    """Differences in units of their model's standard deviation."""
    number = np.bincount(model, minlength=count)
    mean = np.bincount(model, longer, count) / number
    squares = np.bincount(model, (longer - mean[model]) ** 2, count)
    spread = np.sqrt(squares / np.maximum(number - 1, 1))
    scaled = np.zeros_like(longer)
    np.divide(longer, spread[model], out=scaled, where=spread[model] > 0)
    return scaled
