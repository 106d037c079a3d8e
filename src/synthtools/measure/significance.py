"""Tests for differences between groups in a number of their documents (Baskets)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from synthtools.text.rank_sums import rank_sum

# A group with fewer documents has no spread.
_FEWEST = 2
# With more groups, the pairs are too many to read.
MOST_GROUPS = 200
# Quantiles of the standard normal: 5 %, two-sided; a power of 80 %.
_Z_TEST, _Z_POWER = 1.959963984540054, 0.8416212335729143
# With fewer unequal pairs McNemar's exact p is always above 5 %.
_FEWEST_UNEQUAL = 6
# scipy uses exact permutations if one side has no more than this and there are no ties.
_EXACT = 8


def compared(names: Sequence[str], values: Sequence[np.ndarray]) -> dict[str, Any]:
    """Kruskal–Wallis, Levene (about the median) and Mann–Whitney for each pair of groups.

    p-values of pairs are two-sided, corrected by Bonferroni and by Holm over all pairs; the rank-biserial correlation
    2U/(mn) − 1 is above 0 if the left group has larger values.

    Args:
        values: float64 of each group; non-finite ones are left out.

    Returns:
        ``kruskal_wallis`` (h, p), ``levene`` (w, p), ``pairs``, ``left_out`` (groups with fewer than two
        values); None with a ``reason`` if there is nothing to test.
    """
    finite = [one[np.isfinite(one)] for one in values]
    kept = [i for i, one in enumerate(finite) if len(one) >= _FEWEST]
    left_out = [name for name, one in zip(names, finite, strict=True) if len(one) < _FEWEST]
    report: dict[str, Any] = {
        "kruskal_wallis": None, "levene": None, "pairs": None, "left_out": left_out, "reason": None
    }  # fmt: skip
    if len(kept) < 2:
        return {**report, "reason": "fewer than two groups of two documents or more"}
    groups = [finite[i] for i in kept]
    low, high = min(one.min() for one in groups), max(one.max() for one in groups)
    if low == high:
        return {**report, "reason": "all values are equal"}
    report["kruskal_wallis"] = _kruskal_wallis(groups)
    report["levene"] = _levene(groups)
    if report["levene"] is None:
        report["reason"] = "Levene: no group has any spread"
    if len(kept) > MOST_GROUPS:
        report["reason"] = f"pairs: more than {MOST_GROUPS} groups"
        return report
    report["pairs"] = _pairs([names[i] for i in kept], [np.sort(one) for one in groups])
    return report


def _kruskal_wallis(groups: list[np.ndarray]) -> dict[str, float]:
    """H with its correction for ties, and p; as ``scipy.stats.kruskal``, whose module takes a second to import."""
    from scipy.special import chdtrc

    sizes = [len(one) for one in groups]
    n = sum(sizes)
    _, places, ties = np.unique(np.concatenate(groups), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[places]
    starts = np.cumsum([0, *sizes[:-1]])
    squares = sum(np.add.reduceat(ranks, starts) ** 2 / sizes)
    h = 12 / (n * (n + 1)) * squares - 3 * (n + 1)
    h /= 1 - np.sum(ties**3.0 - ties) / (n**3 - n)
    return {"h": float(h), "p": float(chdtrc(len(groups) - 1, h))}


def _levene(groups: list[np.ndarray]) -> dict[str, float] | None:
    """W about the medians, and p, as ``scipy.stats.levene``; None if no group has any spread."""
    from scipy.special import fdtrc

    k, n = len(groups), sum(map(len, groups))
    distances = [np.abs(one - np.median(one)) for one in groups]
    means = [one.mean() for one in distances]
    mean = sum(len(one) * own for one, own in zip(groups, means, strict=True)) / n
    between = sum(len(one) * (own - mean) ** 2 for one, own in zip(groups, means, strict=True))
    within = sum(np.sum((one - own) ** 2) for one, own in zip(distances, means, strict=True))
    if not within:
        return None
    w = (n - k) * between / ((k - 1) * within)
    return {"w": float(w), "p": float(fdtrc(k - 1, n - k, w))}


def mann_whitney(left: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """U of the left sample and its two-sided p, as in ``scipy.stats.mannwhitneyu``; both float64, ascending."""
    m, n = len(left), len(right)
    u, ties = rank_sum(left, right)
    if min(m, n) <= _EXACT and not ties:
        from scipy.stats import mannwhitneyu

        exact = mannwhitneyu(left, right)
        return float(exact.statistic), float(exact.pvalue)
    variance = m * n / 12 * (m + n + 1 - ties / ((m + n) * (m + n - 1)))
    if variance <= 0:
        return u, 1.0
    z = (max(u, m * n - u) - m * n / 2 - 0.5) / math.sqrt(variance)
    return u, min(1.0, math.erfc(z / math.sqrt(2)))


def _pairs(names: list[str], groups: list[np.ndarray]) -> list[dict[str, Any]]:
    tests = []
    for left, right in combinations(range(len(groups)), 2):
        u, p = mann_whitney(groups[left], groups[right])
        effect = 2 * u / (len(groups[left]) * len(groups[right])) - 1
        tests.append((names[left], names[right], u, effect, p))
    ps = np.array([row[-1] for row in tests])
    return [
        {
            "left": left,
            "right": right,
            "u": u,
            "rank_biserial": effect,
            "p": p,
            "p_bonferroni": min(1.0, p * len(tests)),
            "p_holm": float(holm),
        }
        for (left, right, u, effect, p), holm in zip(tests, corrected_by_holm(ps), strict=True)
    ]


def detectable_difference(change: np.ndarray, shares: bool) -> float | None:
    """The smallest difference of means that a paired two-sided test at 5 % detects with a power of 80 % at this
    sample size; None if there is none.

    δ solves n δ² = (z_α √ψ + z_β √(ψ − δ²))² (Connor 1987), where ψ is the mean square of the pairs' differences: for
    figures of 0 and 1 the share of pairs that disagree, which is at least δ.

    Args:
        change: float64 [n], other − first; shares: the figures are 0 or 1.
    """
    n, square = len(change), float(np.mean(np.square(change)))
    slope = _Z_TEST * math.sqrt(n) + _Z_POWER * math.sqrt(max(0.0, n - _Z_TEST**2 + _Z_POWER**2))
    slope /= n + _Z_POWER**2
    if not shares:
        return slope * math.sqrt(square) if square else None
    if n < _FEWEST_UNEQUAL:
        return None
    difference = 1.0
    for _ in range(60):  # halves the error each time
        difference = slope * math.sqrt(max(square, difference))
    return difference if difference <= 1 else None


def detectable_auc(members: int, others: int) -> float | None:
    """The smallest AUC above 0.5 that the two-sided Mann–Whitney test at 5 % detects with a power of 80 %; None if
    there is none.

    A solves A = ½ + z_α s(½) + z_β s(A), with s(A) the standard error of Hanley and McNeil (1982).
    """

    def spread(auc: float) -> float:
        square = auc * auc
        both = (members - 1) * (auc / (2 - auc) - square)
        both += (others - 1) * (2 * square / (1 + auc) - square)
        return math.sqrt((auc * (1 - auc) + both) / (members * others))

    if 2 / math.comb(members + others, members) > 0.05:  # p at complete separation
        return None
    least = 0.5
    for _ in range(60):
        least = min(1.0, 0.5 + _Z_TEST * spread(0.5) + _Z_POWER * spread(least))
    return least if least < 1 else None


def corrected_by_holm(ps: np.ndarray) -> np.ndarray:
    """p-values after Holm's step-down correction (1979)."""
    order = np.argsort(ps, kind="stable")
    raised = np.maximum.accumulate(ps[order] * np.arange(len(ps), 0, -1))
    corrected = np.empty(len(ps))
    corrected[order] = np.minimum(1, raised)
    return corrected
