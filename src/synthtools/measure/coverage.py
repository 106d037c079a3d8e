"""Comparison of two distributions of perplexity: coverage collapse (ToEdit, figures 2 and 3).

Synthetic text covers the lower part of the range of human text. Measured are the shares of each distribution outside
the other, the distance between the two, and its uncertainty. Perplexity is skewed to the right, with outliers of any
size, so densities are of ln ppl unless the linear scale is requested: the overlap and the Jensen–Shannon divergence of
two densities do not depend on the scale, but a kernel of fixed width needs an even spread [ours].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.measure.bootstrap import intervals, resampled
from synthtools.measure.perplexity import distribution, without_outliers
from synthtools.measure.response import kl

GRID_POINTS = 512
_MOST_BINS = 50
_REACH = 3.0  # bandwidths beyond the outermost documents
_CHUNK = 4096


@dataclass(frozen=True)
class Axis:
    """The common grid of all densities.

    Attributes:
        points: float64 [GRID_POINTS], evenly spaced, ln ppl or ppl.
        edges: of the histogram's bins.
    """

    log: bool
    points: np.ndarray
    edges: np.ndarray

    def of(self, ppl: np.ndarray) -> np.ndarray:
        return np.log(ppl) if self.log else ppl

    def ppl(self, places: np.ndarray) -> list[float]:
        return (np.exp(places) if self.log else places).tolist()


def common_axis(sides: list[np.ndarray], log: bool = True) -> Axis | None:
    """A grid for densities of several corpora, and the edges of their histograms.

    On the logarithmic scale the grid covers all documents; on the linear one the range of every corpus
    without outliers, as a single outlier would stretch it beyond use.

    Args:
        sides: finite perplexities of each, ascending; those without documents are ignored.
    """
    places = [np.log(side) if log else side for side in sides if len(side)]
    if not places:
        return None
    cleaned = [without_outliers(side) for side in places]
    widest = max(bandwidth(side) for side in cleaned) or 1.0
    grid_of = places if log else cleaned
    low = min(float(side[0]) for side in grid_of) - _REACH * widest
    high = max(float(side[-1]) for side in grid_of) + _REACH * widest
    first = min(float(side[0]) for side in cleaned)
    last = max(float(side[-1]) for side in cleaned)
    # Rice's rule for the smallest corpus: more bins would show its noise.
    bins = min(_MOST_BINS, int(np.ceil(2 * min(len(side) for side in places) ** (1 / 3))))
    return Axis(
        log,
        np.linspace(low, high, GRID_POINTS),
        np.linspace(first, last if last > first else first + 1, bins + 1),
    )


def bandwidth(sample: np.ndarray) -> float:
    """Scott's rule, s·n^(−1/5), as in scipy's ``gaussian_kde``; 0 without spread."""
    if len(sample) < 2:
        return 0.0
    return float(sample.std(ddof=1)) * float(len(sample) ** -0.2)


def density(sample: np.ndarray, grid: np.ndarray) -> np.ndarray | None:
    """Gaussian kernel density with Scott's bandwidth at the grid's points; None without spread."""
    width = bandwidth(sample)
    if not width > 0:
        return None
    total = np.zeros(len(grid))
    for start in range(0, len(sample), _CHUNK):
        z = (grid[:, None] - sample[None, start : start + _CHUNK]) / width
        total += np.exp(-0.5 * z * z).sum(axis=1)
    return total / (len(sample) * width * np.sqrt(2 * np.pi))


class _Binned:
    """The density of resamples, by linear binning on the grid and a fixed kernel width: fast, and within a
    thousandth of the exact density. Used for intervals only."""

    def __init__(self, sample: np.ndarray, grid: np.ndarray) -> None:
        step = grid[1] - grid[0]
        places = np.clip((sample - grid[0]) / step, 0, len(grid) - 1.000001)
        self._left = places.astype(np.int64)
        self._share = places - self._left
        # Documents outside a linear grid are left out.
        self._there = (sample >= grid[0]) & (sample <= grid[-1])
        width = bandwidth(sample)
        z = (grid[:, None] - grid[None, :]) / width
        self._kernel = np.exp(-0.5 * z * z) / (width * np.sqrt(2 * np.pi))

    def density(self, counts: np.ndarray) -> np.ndarray:
        """Of the resample with each document ``counts`` times."""
        weights = counts * self._there
        size = len(self._kernel)
        laid = np.bincount(self._left, weights * (1 - self._share), size)
        laid += np.bincount(self._left + 1, weights * self._share, size)
        return self._kernel @ (laid / counts.sum())


def overlap(f: np.ndarray, g: np.ndarray, grid: np.ndarray) -> float:
    """The overlap coefficient ∫ min(f, g), by trapezoids."""
    return float(np.trapezoid(np.minimum(f, g), grid))


def jensen_shannon(f: np.ndarray, g: np.ndarray) -> float:
    """Jensen–Shannon divergence in nats (at most ln 2) of densities on one even grid."""
    # Tiny values would underflow when halved.
    p, q = (np.where(d > 1e-250 * d.max(), d, 0) / d.sum() for d in (f, g))
    middle = (p + q) / 2
    return 0.5 * (kl(p, middle) + kl(q, middle))


def apart(left: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Wasserstein-1 distance, in the values' unit, and the Kolmogorov–Smirnov statistic.

    Args:
        left, right: ascending.
    """
    both = np.sort(np.concatenate([left, right]), kind="stable")
    # The difference of the two cumulative distributions at each value.
    gap = np.searchsorted(left, both, "right") / len(left)
    gap = gap - np.searchsorted(right, both, "right") / len(right)
    return float(np.abs(gap[:-1]) @ np.diff(both)), float(np.abs(gap).max())


def figures(left: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """The table of coverage collapse without the density figures, from ascending perplexities.

    ``left_outside``: share of the left corpus outside the range of the right one;
    ``left_above_maximum``, ``left_above_p99``: above the right one's maximum and 99th percentile;
    likewise for the right. ``range_covered``: the part of the left one's range between its 1st and
    99th percentile that is within the right one's. ``wasserstein`` in perplexity, ``wasserstein_log`` in
    nats per token. Ratios and shifts are of right to left.
    """
    table: dict[str, float] = {}
    for name, one, other in (("left", left, right), ("right", right, left)):
        above = 1 - np.searchsorted(one, other[-1], "right") / len(one)
        below = np.searchsorted(one, other[0], "left") / len(one)
        p99 = np.percentile(other, 99)
        table[f"{name}_outside"] = float(above + below)
        table[f"{name}_above_maximum"] = float(above)
        table[f"{name}_above_p99"] = float(1 - np.searchsorted(one, p99, "right") / len(one))
    first, last = np.percentile(left, [1, 99])
    begin, end = np.percentile(right, [1, 99])
    inside = max(0.0, min(last, end) - max(first, begin))
    table["range_covered"] = float(inside / (last - first)) if last > first else np.nan
    table["wasserstein"], table["ks"] = apart(left, right)
    table["wasserstein_log"] = apart(np.log(left), np.log(right))[0]
    cleaned = [without_outliers(side) for side in (left, right)]
    table["variance_ratio"] = _ratio(left, right)
    table["variance_ratio_cleaned"] = _ratio(*cleaned)
    table["mean_shift"] = float(right.mean() - left.mean())
    table["mean_shift_cleaned"] = float(cleaned[1].mean() - cleaned[0].mean())
    table["median_shift"] = float(np.median(right) - np.median(left))
    return table


def _ratio(left: np.ndarray, right: np.ndarray) -> float:
    if min(len(left), len(right)) < 2 or not left.var(ddof=1) > 0:
        return np.nan
    return float(right.var(ddof=1) / left.var(ddof=1))


def compare(
    left: np.ndarray,
    right: np.ndarray,
    axis: Axis,
    resamples: int,
    seed: int,
    paired: bool = False,
) -> dict[str, Any]:
    """The table of two corpora with 95 % bootstrap intervals [ours].

    Args:
        left, right: finite perplexities, ascending; with ``paired``, of the same documents in the same
            order.
        resamples: draws of documents with replacement; 0 for no intervals.
        paired: draw the same documents on both sides.

    Returns:
        ``figures``, ``overlap`` and ``js`` (None without spread), ``intervals`` of each by name.
    """
    order = [np.argsort(side, kind="stable") for side in (left, right)]
    ranked = [side[o] for side, o in zip((left, right), order, strict=True)]
    placed = [axis.of(side) for side in ranked]
    densities = [density(side, axis.points) for side in placed]
    estimates = figures(*ranked) | _of_densities(densities, axis)
    names = list(estimates)
    table = np.empty((resamples, len(names)))
    estimate = np.array([np.nan if estimates[name] is None else estimates[name] for name in names])
    flat = any(d is None for d in densities)
    binned = [] if flat else [_Binned(side, axis.points) for side in placed]
    sizes = [len(left)] if paired else [len(left), len(right)]
    for row, drawn_times in enumerate(resampled(sizes, resamples, seed)):
        # In the order of the documents, or already by rank.
        counts = [drawn_times[0][o] for o in order] if paired else drawn_times
        drawn = [np.repeat(side, n) for side, n in zip(ranked, counts, strict=True)]
        smooth: list[np.ndarray | None] = [None, None]
        if binned:
            smooth = [b.density(n) for b, n in zip(binned, counts, strict=True)]
        values = figures(*drawn) | _of_densities(smooth, axis)
        table[row] = [np.nan if values[name] is None else values[name] for name in names]
    return estimates | {"intervals": intervals(names, table, estimate)}


def _of_densities(densities: list[np.ndarray | None], axis: Axis) -> dict[str, Any]:
    f, g = densities
    if f is None or g is None:
        return {"overlap": None, "js": None}
    return {"overlap": overlap(f, g, axis.points), "js": jensen_shannon(f, g)}


def side(ppl: np.ndarray, axis: Axis | None, resamples: int, seed: int) -> dict[str, Any]:
    """One corpus: location, spread and percentiles with intervals, histogram and density on the axis.

    Args:
        ppl: finite perplexities, ascending.
    """
    numbers = distribution(ppl)
    del numbers["histogram"]
    if axis is None or not len(ppl):
        return numbers | {"intervals": {}, "histogram": None, "density": None}
    names = ["median", "mean", "mean_cleaned"]
    table = np.empty((resamples, len(names)))
    for row, (times,) in enumerate(resampled([len(ppl)], resamples, seed)):
        drawn = np.repeat(ppl, times)
        table[row] = np.median(drawn), drawn.mean(), without_outliers(drawn).mean()
    places = axis.of(ppl)
    smooth = density(places, axis.points)
    counts = np.histogram(places, axis.edges)[0]
    return numbers | {
        "intervals": intervals(names, table, np.array([numbers[name] for name in names])),
        "histogram": {
            "counts": counts.tolist(),
            "below": int((places < axis.edges[0]).sum()),
            "above": int((places > axis.edges[-1]).sum()),
        },
        "density": None if smooth is None else smooth.tolist(),
    }
