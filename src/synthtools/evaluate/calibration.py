"""Calibration of a model's probabilities, on questions with choices.

Probabilities are the softmax of the choices' log-likelihoods; the prediction is the most probable choice,
the confidence its probability (Ratios).

    ECE = Σ_b |B_b|/N · |acc(B_b) − conf(B_b)|       MCE = max_b |acc(B_b) − conf(B_b)|
    Brier = mean Σ_k (p_k − y_k)²                    NLL = mean −ln p_gold

There are ten bins, of equal width [b/10, (b+1)/10) with 1 in the last [ours], or of equal mass (about as many items in
each; equal confidences share a bin [ours]).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.evaluate.estimates import bootstrap, draw_of

BINS = 10
# The floats nearest to the tenths: linspace gives 0.30000000000000004.
_EDGES = np.arange(BINS + 1) / BINS
# Bounds of the fitted temperature, which would be infinite for a model at chance.
_COLDEST, _HOTTEST = 0.01, 100.0

_FIGURES = ("accuracy", "accuracy_norm", "ece", "ece_mass", "mce", "brier", "nll", "confidence")


@dataclass(frozen=True)
class ChoiceScores:
    """A model's log-likelihoods of the choices of each item, in nats, and the right choice.

    Attributes:
        lengths: characters of each choice, for the normalised accuracy.
        keys: uint64 [items], which assign items to halves.
    """

    logprobs: Sequence[np.ndarray]
    gold: np.ndarray
    lengths: Sequence[np.ndarray]
    keys: np.ndarray

    def __len__(self) -> int:
        return len(self.gold)


@dataclass(frozen=True)
class ItemScores:
    """Scores of each item, float64 [items] each.

    Attributes:
        right, right_norm: 1 where the prediction is right, plain and by log-likelihood per character.
        confidence: probability of the prediction; brier, nll: the item's contribution.
        predicted: the prediction.
    """

    right: np.ndarray
    right_norm: np.ndarray
    confidence: np.ndarray
    brier: np.ndarray
    nll: np.ndarray
    predicted: np.ndarray


def judged(answers: ChoiceScores, temperature: float = 1.0) -> ItemScores:
    """The figures of each item."""
    size = len(answers)
    right, norm, confidence, brier, nll = (np.empty(size) for _ in range(5))
    predicted = np.empty(size, np.int64)
    for i, (raw, lengths) in enumerate(zip(answers.logprobs, answers.lengths, strict=True)):
        gold = int(answers.gold[i])
        scaled = raw / temperature
        shifted = scaled - scaled.max()
        mass = np.log(np.exp(shifted).sum())
        p = np.exp(shifted - mass)
        predicted[i] = best = int(np.argmax(raw))
        right[i] = best == gold
        norm[i] = int(np.argmax(raw / lengths)) == gold
        confidence[i] = p[best]
        nll[i] = mass - shifted[gold]
        brier[i] = float(np.square(p).sum()) - 2 * p[gold] + 1
    return ItemScores(right, norm, confidence, brier, nll, predicted)


def width_bins(confidence: np.ndarray) -> np.ndarray:
    """The bin of equal width of each confidence, int64."""
    return np.clip(np.searchsorted(_EDGES, confidence, "right") - 1, 0, BINS - 1)


def mass_bins(confidence: np.ndarray) -> np.ndarray:
    """The bin of equal mass of each confidence, int64."""
    ranked = np.sort(confidence)
    cuts = [ranked[len(ranked) * b // BINS] for b in range(1, BINS)] if len(ranked) else []
    return np.searchsorted(np.array(cuts), confidence, "right")


def reliability(
    bins: np.ndarray, confidence: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items, mean confidence and accuracy of each bin, float64 [bins]; 0 in an empty one."""
    n = np.bincount(bins, minlength=BINS).astype(np.float64)
    some = np.maximum(n, 1)
    return n, np.bincount(bins, confidence, BINS) / some, np.bincount(bins, right, BINS) / some


def errors(bins: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """(expected, maximum) calibration error over bins."""
    n, mean_confidence, accuracy = reliability(bins, confidence, right)
    gaps = np.abs(accuracy - mean_confidence)
    return float((n * gaps).sum() / n.sum()), float(gaps.max())


def figures(scores: ItemScores) -> dict[str, float]:
    """Accuracy and calibration over items; at least one."""
    wide = errors(width_bins(scores.confidence), scores.confidence, scores.right)
    mass = errors(mass_bins(scores.confidence), scores.confidence, scores.right)
    return {
        "accuracy": float(scores.right.mean()),
        "accuracy_norm": float(scores.right_norm.mean()),
        "ece": wide[0],
        "ece_mass": mass[0],
        "mce": wide[1],
        "brier": float(scores.brier.mean()),
        "nll": float(scores.nll.mean()),
        "confidence": float(scores.confidence.mean()),
    }


def chosen(scores: ItemScores, which: np.ndarray) -> ItemScores:
    """Some of the items, by index or mask."""
    return ItemScores(*(getattr(scores, name)[which] for name in ItemScores.__dataclass_fields__))


def intervals(scores: ItemScores, resamples: int, seed: int) -> dict[str, list[float] | None]:
    """95 % intervals of ``figures`` from resamples of the items."""
    draw = draw_of(seed, "calibration")
    return bootstrap(
        _FIGURES,
        lambda which: [*figures(chosen(scores, which)).values()],
        len(scores.right),
        resamples,
        draw,
    )


def fitted_temperature(answers: ChoiceScores) -> float:
    """The temperature T, between 0.01 and 100, that minimises Σ −ln softmax(logprobs / T)_gold (Guo et al.
    2017). The sum is convex in 1/T, so the minimum is unique."""
    from scipy.optimize import minimize_scalar

    most = max(len(one) for one in answers.logprobs)
    table = np.full((len(answers), most), -np.inf)
    for row, one in zip(table, answers.logprobs, strict=True):
        row[: len(one)] = one - one.max()
    gold = table[np.arange(len(answers)), answers.gold]

    def loss(log_inverse: float) -> float:
        inverse = np.exp(log_inverse)
        return float((np.log(np.exp(table * inverse).sum(1)) - gold * inverse).mean())

    bounds = (-np.log(_HOTTEST), -np.log(_COLDEST))
    optimum = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    return float(np.exp(-optimum.x))


def scaling(answers: ChoiceScores, seed: int) -> dict[str, Any] | None:
    """A temperature fitted on one half of the items and measured on the other [ours]. The half of an item
    depends on the seed and its key alone.

    Returns:
        ``temperature``, ``at_limit`` (the fit would go beyond 0.01 or 100), and figures of the other half as
        [before, after]; None with fewer than 20 items.
    """
    if len(answers) < 20:
        return None
    mixed = draw_of(seed, "halves").integers(0, 1 << 63, dtype=np.uint64)
    order = np.argsort((answers.keys ^ mixed) * np.uint64(0x9E3779B97F4A7C15), kind="stable")
    half = len(answers) // 2
    first, second = np.sort(order[:half]), np.sort(order[half:])
    value = fitted_temperature(part(answers, first))
    rest = part(answers, second)
    before, after = figures(judged(rest)), figures(judged(rest, value))
    return {
        "temperature": value,
        "at_limit": not 1.01 * _COLDEST < value < 0.99 * _HOTTEST,
        "fitted_on": half,
        "measured_on": len(rest),
        "ece": [before["ece"], after["ece"]],
        "nll": [before["nll"], after["nll"]],
        "brier": [before["brier"], after["brier"]],
    }


def part(answers: ChoiceScores, which: np.ndarray) -> ChoiceScores:
    """Some of the items, by index."""
    return ChoiceScores(
        [answers.logprobs[i] for i in which],
        answers.gold[which],
        [answers.lengths[i] for i in which],
        answers.keys[which],
    )


def section(answers: ChoiceScores, resamples: int, seed: int) -> tuple[dict[str, Any], ItemScores]:
    """The section of a report about a set of questions, and the scores of its items."""
    scores = judged(answers)
    return {
        "figures": figures(scores),
        "intervals": intervals(scores, resamples, seed),
        "temperature": scaling(answers, seed),
        "reliability": {
            "equal_width": _rows(width_bins(scores.confidence), scores, _EDGES),
            "equal_mass": _rows(mass_bins(scores.confidence), scores, None),
        },
    }, scores


def _rows(bins: np.ndarray, scores: ItemScores, edges: np.ndarray | None) -> list[dict[str, Any]]:
    n, mean_confidence, accuracy = reliability(bins, scores.confidence, scores.right)
    rows = []
    for b in np.flatnonzero(n).tolist():
        own = scores.confidence[bins == b]
        low, high = (own.min(), own.max()) if edges is None else (edges[b], edges[b + 1])
        rows.append(
            {
                "low": float(low),
                "high": float(high),
                "items": int(n[b]),
                "confidence": float(mean_confidence[b]),
                "accuracy": float(accuracy[b]),
            }
        )
    return rows
