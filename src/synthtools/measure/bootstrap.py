"""Bootstrap resamples and intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def resampled(sizes: Sequence[int], resamples: int, seed: int) -> Iterator[list[np.ndarray]]:
    """Draws with replacement from samples of these sizes, as counts of each item, int64 [size]."""
    draw = np.random.default_rng(np.random.SeedSequence(seed))
    for _ in range(resamples):
        yield [np.bincount(draw.integers(0, n, n), minlength=n) for n in sizes]


def intervals(
    names: list[str], table: np.ndarray, estimate: np.ndarray, corrected: bool = True
) -> dict[str, list[float] | None]:
    """95 % intervals by the bias-corrected percentile bootstrap (Efron 1981).

    Resamples are noisier than the sample, and distances between two of them larger: plain percentiles would be
    too high.

    Args:
        table: float64 [resamples, figures]; estimate: the figures of the sample.
        corrected: for bias; False: plain percentiles.

    Returns:
        By name; None if a resample has no value.
    """
    if not len(table):
        return {}
    from scipy.special import ndtr, ndtri

    by_name: dict[str, list[float] | None] = {}
    for name, column, value in zip(names, table.T, estimate, strict=True):
        if not np.isfinite(column).all() or not np.isfinite(value):
            by_name[name] = None
            continue
        # A resample of every item once equals the sample up to the order of its sum: a tie on any machine.
        tied = np.isclose(column, value, rtol=1e-12, atol=1e-15)
        below = np.mean((column < value) & ~tied) + np.mean(tied) / 2
        bias = ndtri(np.clip(below, 0.5 / len(column), 1 - 0.5 / len(column))) if corrected else 0
        ends = np.percentile(column, 100 * ndtr(2 * bias + ndtri([0.025, 0.975])))
        by_name[name] = ends.tolist()
    return by_name
