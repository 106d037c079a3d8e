"""The share of a class in a sample, from labelled sources of both classes.

Documents are points of a few numbers. A logistic regression on them gives each a log-odds; the share π is
what makes the sample's scores those of a mixture, found in three ways:

    em         the most likely π of Σ ln(π r + 1 − π), r = p(x | synthetic)/p(x | human) from the calibrated
               log-odds (Saerens et al. 2002)
    adjusted   (ḡ − ḡ_human)/(ḡ_synthetic − ḡ_human), g the probability of a document (Bella et al. 2010)
    matching   the synthetic part of the mixture of sources that is nearest to the sample in energy distance
               (Székely and Rizzo 2013), without any classifier [ours]

Sources of a class weigh the same. The share is that of em, and its 95 % interval holds four variances [ours]: of
the sample and of the sources' documents (bootstrap), of the choice of sources (delete-one jackknife), and of the
other ways about it, as far as it is more than the bootstrap's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synthtools.measure.labelled_sources import Classifier, Pool, calibrated, expit
from synthtools.measure.nearest_mixture import distances, nearest_mixture

METHODS = ("em", "adjusted", "matching")
# How far a share is off where sources were moved to another domain: so much, and so much of it [ours].
_TRANSFER = (0.05, 0.25)


class PoolSample(NamedTuple):
    """Log-odds of a sample and of the pool, and distances between all of them: what shares are found
    from, whatever the weights of documents.

    Attributes:
        log_odds: [n], of the sample; own: [N], of the pool's documents, held out.
        across: [n, N], distances between sample and pool; inside: [N, N], in the pool.
    """

    log_odds: np.ndarray
    own: np.ndarray
    across: np.ndarray
    inside: np.ndarray


def sample_of(pool: Pool, classifier: Classifier, features: np.ndarray) -> PoolSample:
    points, own = pool.whitened(features), pool.whitened(pool.features)
    return PoolSample(
        classifier.log_odds(features),
        classifier.held_out,
        distances(points, own),
        distances(own, own),
    )


def shares(pool: Pool, sample: PoolSample, counts: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The share by each of ``METHODS``.

    Args:
        counts: [n], how often each document of the sample is there, or what it weighs; own: [N],
            likewise of the pool.
    """
    weights, labels = pool.weights(own), pool.labels
    slope, intercept = calibrated(pool, sample.own, own)
    total = counts.sum()
    share = _most_likely(_ratio(sample.log_odds, (slope, intercept)), counts)
    p = expit(slope * sample.own + intercept)
    human, synthetic = (float((weights * p)[labels == of].sum()) for of in (False, True))
    mean = float(counts @ expit(slope * sample.log_odds + intercept)) / total
    adjusted = (mean - human) / max(synthetic - human, 1e-3)
    mixture, _ = nearest_mixture(pool, sample.across, sample.inside, counts, own)
    return np.array([share, min(1.0, max(0.0, adjusted)), mixture[pool.synthetic].sum()])


def _ratio(log_odds: np.ndarray, calibration: tuple[float, float]) -> np.ndarray:
    """Of the densities of documents, synthetic to human."""
    slope, intercept = calibration
    ratio: np.ndarray = np.exp(np.clip(slope * log_odds + intercept, -30, 30))
    return ratio


def _most_likely(ratio: np.ndarray, counts: np.ndarray) -> float:
    """The π of the largest Σ counts·ln(π r + 1 − π), which EM goes to; by halving, for its slope falls."""

    def slope(share: float) -> float:
        return float(counts @ ((ratio - 1) / (share * (ratio - 1) + 1)))

    low, high = 0.0, 1.0
    if slope(low) <= 0 or slope(high) >= 0:
        return low if slope(low) <= 0 else high
    for _ in range(30):
        middle = (low + high) / 2
        if slope(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


class Estimate(NamedTuple):
    """A share and what it is made of.

    Attributes:
        share, low, high: with a 95 % interval.
        methods: the share by each of ``METHODS``.
        errors: standard deviations, by what they come from.
    """

    share: float
    low: float
    high: float
    methods: dict[str, float]
    errors: dict[str, float]


def estimate(
    pool: Pool,
    classifier: Classifier,
    features: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    resamples: int = 200,
    seed: int = 0,
    moved: bool = False,
) -> Estimate:
    """The share of synthetic documents in a sample.

    Args:
        features: [n, d]; weights: [n], what documents weigh, 1 by default; moved: the synthetic sources
            are of another domain, moved to that of the sample.
    """
    weights = np.ones(len(features)) if weights is None else weights
    sample, every = sample_of(pool, classifier, features), np.ones(len(pool.source))
    estimated = shares(pool, sample, weights, every)
    draw = np.random.default_rng(seed)
    table = np.zeros((resamples, len(METHODS)))
    for row in table:
        counts = np.bincount(
            draw.integers(0, len(features), len(features)), minlength=len(features)
        )
        row[:] = shares(pool, sample, weights * counts, _resampled(pool, draw))
    # As far as the ways differ more than resamples do.
    apart = (estimated - estimated[0])[1:] ** 2 - np.var(table[:, 1:] - table[:, :1], axis=0)
    share = float(estimated[0])
    # Near 0 and 1 resamples are cut off on one side: the other one tells.
    ends = np.quantile(table[:, 0], [0.025, 0.975]) - share
    errors = {
        "sampling": float(max(np.std(table[:, 0]), np.abs(ends).max() / 1.96)),
        "methods": float(np.sqrt(max(0.0, apart.mean()))),
        "sources": _jackknife(pool, features, weights),
    }
    if moved:
        errors["transfer"] = _TRANSFER[0] + _TRANSFER[1] * share
    error = 1.96 * float(np.sqrt(sum(e * e for e in errors.values())))
    low, high = max(0.0, share - error), min(1.0, share + error)
    return Estimate(share, low, high, dict(zip(METHODS, estimated.tolist(), strict=True)), errors)


def _resampled(pool: Pool, draw: np.random.Generator) -> np.ndarray:
    """How often each document is drawn from its source, with replacement."""
    counts = np.zeros(len(pool.source))
    for source in range(len(pool.synthetic)):
        rows = np.flatnonzero(pool.source == source)
        np.add.at(counts, rows[draw.integers(0, len(rows), len(rows))], 1)
    return counts


def _jackknife(pool: Pool, features: np.ndarray, weights: np.ndarray) -> float:
    """The standard deviation by leaving out a source of a class that has others."""
    variance = 0.0
    for label in (False, True):
        of_class = np.flatnonzero(pool.synthetic == label)
        if len(of_class) < 2:
            continue
        left = []
        for source in of_class:
            classifier = Classifier(pool.without(int(source)))
            left.append(
                _most_likely(_ratio(classifier.log_odds(features), classifier.calibration), weights)
            )
        variance += (len(left) - 1) * float(np.var(left))
    return float(np.sqrt(variance))
