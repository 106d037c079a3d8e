"""Hashed n-gram responses: concentration of a corpus, and differences of two (ToEdit, figures 5, 10, 11).

A response is the count of n-grams in each hash bucket, int64 [buckets].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Added to each bucket for the Kullback–Leibler divergence, which empty buckets would make infinite [ours].
SMOOTHING = 0.5


def concentration(counts: np.ndarray) -> dict[str, Any]:
    """How evenly a response fills its buckets [ours].

    Returns:
        ``entropy`` (nats), ``effective_buckets`` (its exponential), ``gini`` (0 even, 1 all in one
        bucket), ``top_1_percent`` and ``top_10_percent`` (share of the fullest buckets),
        ``empty_buckets``. Shares are None without n-grams.
    """
    total = int(counts.sum())
    empty = int((counts == 0).sum())
    if not total:
        names = ("entropy", "effective_buckets", "gini", "top_1_percent", "top_10_percent")
        return {**dict.fromkeys(names), "empty_buckets": empty}
    shares = np.sort(counts)[::-1] / total
    entropy = -float(np.sum(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares))))
    # Gini from shares in decreasing order: the mean distance of the Lorenz curve from the diagonal.
    size = len(shares)
    gini = float(np.sum((size + 1 - 2 * np.arange(1, size + 1)) * shares)) / size
    return {
        "entropy": entropy,
        "effective_buckets": math.exp(entropy),
        "gini": gini,
        "top_1_percent": float(shares[: math.ceil(size / 100)].sum()),
        "top_10_percent": float(shares[: math.ceil(size / 10)].sum()),
        "empty_buckets": empty,
    }


def divergence(left: np.ndarray, right: np.ndarray) -> dict[str, float | None]:
    """Divergences of two responses.

    Returns:
        ``kl_left_right`` and ``kl_right_left`` (nats, after adding ``SMOOTHING`` to each bucket),
        ``js`` (Jensen–Shannon divergence in nats, at most ln 2), ``total_variation`` (0…1),
        ``cosine`` (of the responses); all None if one is empty.
    """
    names = ("kl_left_right", "kl_right_left", "js", "total_variation", "cosine")
    if not left.sum() or not right.sum():
        return dict.fromkeys(names)
    p, q = left / left.sum(), right / right.sum()
    middle = (p + q) / 2
    one, other = (counts / counts.sum() for counts in (left + SMOOTHING, right + SMOOTHING))
    values = (
        kl(one, other),
        kl(other, one),
        (kl(p, middle) + kl(q, middle)) / 2,
        float(np.abs(p - q).sum()) / 2,
        float(p @ q / math.sqrt((p @ p) * (q @ q))),
    )
    return dict(zip(names, values, strict=True))


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """Kullback–Leibler divergence in nats of probabilities; q is positive wherever p is."""
    positive = p > 0
    return float(np.sum(p[positive] * np.log(p[positive] / q[positive])))


def largest_differences(left: np.ndarray, right: np.ndarray, most: int) -> list[dict[str, Any]]:
    """The buckets whose shares differ most, the largest difference first."""
    shares = [counts / max(1, counts.sum()) for counts in (left, right)]
    gap = shares[0] - shares[1]
    order = np.lexsort((np.arange(len(gap)), -np.abs(gap)))[:most]
    return [
        {
            "bucket": int(index),
            "left": int(left[index]),
            "right": int(right[index]),
            "difference": float(gap[index]),
        }
        for index in order
        if gap[index] != 0
    ]


def over_represented(
    left: Mapping[str, int],
    right: Mapping[str, int],
    totals: Sequence[int],
    most: int,
    prior_share: float = 0.1,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Over-represented n-grams in each of two corpora by ``log_odds``.

    Args:
        left, right: counts of n-grams; those missing in a table count as 0.
        totals: all n-grams of each corpus, including those not in the tables.

    Returns:
        For each corpus its n-grams with the highest z, as ``{"ngram", "left", "right", "z",
        "log_odds"}``.
    """
    names = sorted({*left, *right})
    if not names or not all(totals):
        return [], []
    counts = np.array([[left.get(n, 0), right.get(n, 0)] for n in names], np.int64)
    odds, z = log_odds(counts, totals, prior_share)

    def row(index: int) -> dict[str, Any]:
        return {
            "ngram": names[index],
            "left": int(counts[index, 0]),
            "right": int(counts[index, 1]),
            "log_odds": float(odds[index]),
            "z": float(z[index]),
        }

    order = np.argsort(-z, kind="stable")
    first = [row(i) for i in order[:most] if z[i] > 0]
    last = [row(i) for i in order[::-1][:most] if z[i] < 0]
    return first, last


def log_odds(
    counts: np.ndarray, totals: Sequence[int], prior_share: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of the left corpus against the right with a Dirichlet prior [ours], and their z.

    Monroe, Colaresi and Quinn 2008, equations 16 and 22: the prior is the pooled distribution with
    the weight of ``prior_share`` of both corpora.

    Args:
        counts: int64 [items, 2], not both 0; totals: of all items of each corpus, including those not in
            ``counts``.
    """
    prior = prior_share * sum(totals)
    raised = counts + prior_share * counts.sum(axis=1, keepdims=True)
    rest = np.array(totals, np.float64) + prior - raised
    everything = (rest <= 1e-9 * raised).any(axis=1)  # an item that is all of a corpus
    odds = np.log(raised / np.where(everything[:, None], 1.0, rest))
    difference = np.where(everything, 0.0, odds[:, 0] - odds[:, 1])
    return difference, difference / np.sqrt((1 / raised).sum(axis=1))


def kl_reduction(
    target: np.ndarray, raw: np.ndarray, selected: np.ndarray
) -> dict[str, float | None]:
    """How much closer to the target a selection is than the raw data, in nats.

    Args:
        target, raw, selected: n-grams by bucket, int64 [buckets].
    """
    before = divergence(target, raw)["kl_left_right"]
    after = divergence(target, selected)["kl_left_right"]
    gain = None if before is None or after is None else before - after
    return {"kl_target_raw": before, "kl_target_selected": after, "kl_reduction": gain}
