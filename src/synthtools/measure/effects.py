"""Differences between two corpora, with intervals at a level corrected for the number of questions [ours].

An interval is the estimate ± the quantile of Student's t × its standard error, on the log scale for ratios.
Documents are assumed independent. A difference is claimed if the interval excludes the null value; ``alpha`` is
divided equally among the questions, and among the effects of a question, so that the probability of any false claim
is at most 5 % (Bonferroni).
"""

from __future__ import annotations

import math
from typing import NotRequired, TypedDict

import numpy as np

ALPHA = 0.05
_FEWEST = 10  # documents of a side


class Effect(TypedDict):
    """A difference of the other corpus from the reference.

    ``none`` is the null value: 0 for differences, 1 for ratios, 0.5 for an AUC; None if the number is not a
    difference. ``label`` names one of several effects.
    """

    name: str
    value: float | None
    interval: list[float] | None
    none: float | None
    differs: bool
    label: NotRequired[str]


def effect(
    name: str,
    estimate: float,
    error: float,
    freedom: float,
    alpha: float,
    none: float = 0.0,
    *,
    ratio: bool = False,
) -> Effect:
    """An effect from its estimate and standard error.

    Args:
        freedom: degrees of freedom of the error.
        ratio: the estimate is the logarithm of the reported value.
    """
    if not math.isfinite(estimate) or not math.isfinite(error) or freedom < 1:
        return unknown(name, 1.0 if ratio else none)
    from scipy.special import stdtrit

    reach = float(stdtrit(freedom, 1 - alpha / 2)) * error
    ends = [estimate - reach, estimate + reach]
    differs = not ends[0] <= none <= ends[1]
    if ratio:
        estimate, *ends = (math.exp(min(one, 700.0)) for one in (estimate, *ends))
        none = 1.0
    return {"name": name, "value": estimate, "interval": ends, "none": none, "differs": differs}


def unknown(name: str, none: float | None = 0.0) -> Effect:
    """An effect that could not be computed."""
    return {"name": name, "value": None, "interval": None, "none": none, "differs": False}


def _welch(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """The difference of means, other − one, its standard error and degrees of freedom (Welch)."""
    if min(len(one), len(other)) < 2:
        return math.nan, math.nan, 0.0
    parts = [side.var(ddof=1) / len(side) for side in (one, other)]
    error = sum(parts)
    if error == 0:
        return float(other.mean() - one.mean()), 0.0, float(len(one) + len(other) - 2)
    weights = sum(p * p / (len(s) - 1) for p, s in zip(parts, (one, other), strict=True))
    return float(other.mean() - one.mean()), math.sqrt(error), error * error / weights


def of_means(name: str, one: np.ndarray, other: np.ndarray, alpha: float, *, ratio: bool) -> Effect:
    """The difference of means, or with ``ratio`` the ratio of geometric means."""
    sides = [np.asarray(side, np.float64) for side in (one, other)]
    if ratio:
        with np.errstate(divide="ignore", invalid="ignore"):
            sides = [np.log(side) for side in sides]
    sides = [side[np.isfinite(side)] for side in sides]
    return effect(name, *_welch(*sides), alpha, ratio=ratio)


def standardized(name: str, one: np.ndarray, other: np.ndarray, alpha: float) -> Effect:
    """The difference of means in units of the pooled standard deviation (Cohen's d)."""
    one, other = (side[np.isfinite(side)] for side in (one, other))
    difference, error, freedom = _welch(one, other)
    if not freedom:
        return unknown(name)
    pooled = math.sqrt((one.var(ddof=1) + other.var(ddof=1)) / 2)
    if pooled == 0:
        return effect(name, 0.0, 0.0, freedom, alpha) if difference == 0 else unknown(name)
    return effect(name, difference / pooled, error / pooled, freedom, alpha)


def of_medians(name: str, one: np.ndarray, other: np.ndarray, alpha: float) -> Effect:
    """The ratio of medians; ``one`` and ``other`` are logarithms.

    Each median's interval is from the sign test (Thompson 1936), which is valid for any distribution: the
    bootstrap is too optimistic if a median is between two peaks.
    """
    from scipy.special import bdtrik

    sides = []
    for side in map(np.sort, (one, other)):
        # The smallest rank that at most α/2 of all samples have below half of the distribution.
        rank = math.ceil(bdtrik(alpha / 2, len(side), 0.5)) if len(side) >= _FEWEST else 0
        if rank < 1:
            return unknown(name, 1.0)
        sides.append((float(np.median(side)), float(side[rank - 1]), float(side[-rank])))
    estimate, *ends = (math.exp(min(value, 700.0)) for value in _difference(*sides))
    differs = not ends[0] <= 1 <= ends[1]
    return {"name": name, "value": estimate, "interval": ends, "none": 1.0, "differs": differs}


def of_spreads(name: str, one: np.ndarray, other: np.ndarray, alpha: float) -> Effect:
    """The ratio of mean absolute deviations from the median, with the error of its logarithm by the delta method."""
    if min(len(one), len(other)) < _FEWEST:
        return unknown(name, 1.0)
    deviations = [np.abs(side - np.median(side)) for side in (one, other)]
    means = [float(side.mean()) for side in deviations]
    if not all(means):
        return unknown(name, 1.0)
    errors = [
        float(side.std(ddof=1)) / math.sqrt(len(side)) / mean
        for side, mean in zip(deviations, means, strict=True)
    ]
    ratio, freedom = math.log(means[1] / means[0]), min(len(one), len(other)) - 1
    return effect(name, ratio, math.hypot(*errors), freedom, alpha, ratio=True)


def _difference(
    one: tuple[float, float, float], other: tuple[float, float, float]
) -> tuple[float, float, float]:
    """other − one and its interval, from independent estimates and their intervals (Newcombe 1998,
    method 10; Zou and Donner 2008)."""
    (p, low, high), (q, first, last) = one, other
    difference = q - p
    return (
        difference,
        difference - math.hypot(q - first, high - p),
        difference + math.hypot(last - q, p - low),
    )


def of_shares(name: str, k: int, n: int, l: int, m: int, alpha: float) -> Effect:  # noqa: E741
    """The difference l/m − k/n of two shares, with the interval of Newcombe (1998, method 10)."""
    from scipy.special import ndtri

    z = float(ndtri(1 - alpha / 2))
    difference, *ends = _difference(_wilson(k, n, z), _wilson(l, m, z))
    differs = not ends[0] <= 0 <= ends[1]
    return {"name": name, "value": difference, "interval": ends, "none": 0.0, "differs": differs}


def _wilson(k: int, n: int, z: float) -> tuple[float, float, float]:
    """A share and its score interval (Wilson 1927)."""
    middle, reach = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
    return k / n, (middle - reach) / (n + z * z), (middle + reach) / (n + z * z)


def surplus(name: str, one: np.ndarray, n: int, other: np.ndarray, m: int, alpha: float) -> Effect:
    """The difference of the shares of surplus copies.

    Args:
        one, other: copies beyond the first in each cluster; clusters are independent, copies are not.
    """
    difference = float(other.sum()) / m - float(one.sum()) / n
    variance = float((one**2).sum()) / n**2 + float((other**2).sum()) / m**2
    # With no copies on either side, one could still have occurred by chance.
    error = math.sqrt(max(variance, 1 / n**2 + 1 / m**2))
    return effect(name, difference, error, n + m - 2, alpha)


def _above(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each value of ``other``, the share of ``one`` below it, with equal values counted half."""
    ranked = np.sort(one)
    twice = np.searchsorted(ranked, other) + np.searchsorted(ranked, other, side="right")
    return twice / (2 * len(one))


def of_auc(name: str, folds: list[tuple[np.ndarray, np.ndarray]], alpha: float) -> Effect:
    """The mean AUC over folds, each with its variance by DeLong, DeLong and Clarke-Pearson (1988).

    A value below 0.5 is chance: a classifier that has learnt nothing does not show a difference.

    Args:
        folds: the scores of the held-out documents of the reference and of the other, for each fold.
    """
    values, variances, smallest = [], [], 0
    for one, other in folds:
        if min(len(one), len(other)) < 2:
            continue
        m, n = len(one), len(other)
        of_other, of_one = _above(one, other), 1 - _above(other, one)
        values.append(float(of_other.mean()))
        # At an AUC of 1 the variance would be 0.
        least = 1 / (12 * min(m, n) ** 2)
        variances.append(max(of_one.var(ddof=1) / m + of_other.var(ddof=1) / n, least))
        smallest += min(m, n)
    if not values:
        return unknown(name, 0.5)
    # Folds share training data: 1/J becomes 1/J + held-out / training documents for J folds (Nadeau and Bengio 2003).
    share = 1 / len(values) + 1 / max(1, len(values) - 1)
    error = math.sqrt(float(np.mean(variances)) * share)
    auc = effect(name, float(np.mean(values)), error, smallest - 1, alpha, 0.5)
    assert auc["interval"] is not None
    low, high = auc["interval"]
    return {**auc, "interval": [max(0.0, low), min(1.0, high)], "differs": low > 0.5}
