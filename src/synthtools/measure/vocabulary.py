"""How a vocabulary grows with the text: Heaps' law (Baskets)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from synthtools.measure.repetitions import quantile

STEP = 1000
_FEWEST_POINTS = 4
FEWEST_WORDS = _FEWEST_POINTS * STEP
_SHOWN = 200


def heaps(words: np.ndarray, distinct: np.ndarray) -> dict[str, Any]:
    """Fits V(n) = K·n^β by non-linear least squares.

    The intervals are those of the least squares, at 95 %, by Student's t. Points of one curve lean
    on each other, so that they are narrower than the law deserves.

    Args:
        words: n, int64 [points], one every 1,000 words; distinct: V of each.

    Returns:
        ``k``, ``beta``, their ``*_interval``, ``r_squared``, ``points`` and the ``curve`` (at most
        200 points of it); the numbers are None with a ``reason`` where there is no fit.
    """
    names = ("k", "k_interval", "beta", "beta_interval", "r_squared")
    if len(words) < _FEWEST_POINTS:
        reason = f"fewer than {FEWEST_WORDS:,} words: too few points for a fit"
        return {**dict.fromkeys(names), "points": len(words), "curve": None, "reason": reason}
    shown = np.unique(np.linspace(0, len(words) - 1, _SHOWN).astype(np.int64))
    curve = {"words": words[shown].tolist(), "distinct": distinct[shown].tolist()}
    from scipy.optimize import OptimizeWarning, curve_fit

    n, v = words.astype(np.float64), distinct.astype(np.float64)
    # A line through the logarithms is near enough to begin with.
    slope, height = np.polyfit(np.log(n), np.log(v), 1)
    unfitted: dict[str, Any] = {**dict.fromkeys(names), "points": len(words), "curve": curve}
    with warnings.catch_warnings():
        warnings.simplefilter("error", OptimizeWarning)
        try:
            (k, beta), covariance = curve_fit(law, n, v, p0=(np.exp(height), slope))
        except (RuntimeError, OptimizeWarning):
            return {**unfitted, "reason": "the least squares find no minimum"}
    reach = quantile(len(n) - 2) * np.sqrt(np.diag(covariance))
    spread = float(((v - v.mean()) ** 2).sum())
    rest = float(((v - law(n, k, beta)) ** 2).sum())
    return {
        **unfitted,
        "k": float(k),
        "k_interval": [float(k - reach[0]), float(k + reach[0])],
        "beta": float(beta),
        "beta_interval": [float(beta - reach[1]), float(beta + reach[1])],
        "r_squared": 1 - rest / spread if spread else None,
        "reason": None,
    }


def matched(
    words: np.ndarray, distinct: np.ndarray, most: int, total: int
) -> tuple[tuple[np.ndarray, np.ndarray], str | None]:
    """The beginning of a curve, ``most`` words of ``total``; none, with the reason, of fewer words.

    β falls along every curve, so that a small corpus has a larger β than a large one of its kind:
    only curves of one length can be compared.
    """
    if total < most:
        return (words[:0], distinct[:0]), f"{total:,} words, fewer than the {most:,} to be matched"
    kept = words <= most
    return (words[kept], distinct[kept]), None


def law(n: np.ndarray, k: float, beta: float) -> np.ndarray:
    """K·n^β."""
    return k * n**beta
