"""The share of a class in a sample, from labelled sources of both classes.

Documents are points in a space of a few features, and a logistic regression gives each a log-odds. The share π in the
mixture is estimated in three ways:

    em         maximum likelihood, Σ ln(π r + 1 − π), r = p(x | synthetic)/p(x | human) from the calibrated
               log-odds (Saerens et al. 2002)
    adjusted   (ḡ − ḡ_human)/(ḡ_synthetic − ḡ_human), g the probability of a document (Bella et al. 2010)
    matching   the synthetic part of the mixture of sources nearest to the sample in energy distance
               (Székely and Rizzo 2013), without a classifier [ours]

Sources of a class have equal weight. The share is that of em; its 95 % interval combines four variances [ours]: of the
sample and of the sources' documents (bootstrap), of the choice of sources (delete-one jackknife), and of the difference
from the other methods, as far as it exceeds that of the bootstrap.

The energy distance (Székely and Rizzo 2013) of two samples is 2 E‖X−Y‖ − E‖X−X′‖ − E‖Y−Y′‖; here over pairs of
different documents, so that its expectation is 0 if both have the same distribution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synthtools.measure.labelled_sources import Classifier, Pool, calibrated, expit

# Sources with a smaller weight in the mixture do not limit the number of documents.
_NEGLIGIBLE = 0.02


def distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Euclidean, float64 [n, m]."""
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
    return np.sqrt(np.maximum(squares, 0))


def nearest_mixture(
    pool: Pool, across: np.ndarray, inside: np.ndarray, counts: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, float]:
    """The mixture of sources nearest to the sample in energy distance, and that distance.

    With the kernel d(x, o) + d(y, o) − d(x, y) the energy distance is a squared norm, so that this is a least-squares
    problem over a simplex.

    Args:
        across: [n, N], distances between sample and pool; inside: [N, N], within the pool; counts: [n],
            multiplicities or weights of the sample's documents; own: [N], likewise of the pool's.

    Returns:
        Weights [sources], and the squared distance plus the mean distance within the sample.
    """
    from scipy.optimize import nnls

    k = len(pool.synthetic)
    members = np.zeros((k, len(own)))
    members[pool.source, np.arange(len(own))] = own
    sizes = members.sum(1)
    # Pairs of a document with itself, at distance 0, do not count.
    pairs = np.maximum(sizes**2 - (members**2).sum(1), 1e-12)
    sums = members @ inside @ members.T
    between = sums / np.outer(sizes, sizes)
    np.fill_diagonal(between, np.diag(sums) / pairs)
    toward = counts @ across @ members.T / sizes / counts.sum()
    # ½‖·‖² up to a constant: w·toward − ½ w·between·w, over Σ w = 1.
    gram = toward[:, None] + toward - between
    values, vectors = np.linalg.eigh(gram)
    root = (vectors * np.sqrt(np.maximum(values, 0))).T
    heavy = 1e3 * np.sqrt(max(float(values.max()), 1e-12))
    weights, _ = nnls(np.vstack([root, np.full(k, heavy)]), np.append(np.zeros(len(root)), heavy))
    weights /= weights.sum()
    return weights, float(2 * weights @ toward - weights @ between @ weights)


def misfit(
    pool: Pool, features: np.ndarray, weights: np.ndarray, *, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Whether a sample can be any mixture of the sources.

    Each resample halves every source: one half is the reference; from the other, as many documents as possible
    without repetition are drawn with the weights of the sample's nearest mixture, and as many from the sample. Both
    draws are compared with the reference. (Repeated documents would be noisier, and the nearest mixture to noise
    is nearer.)

    Args:
        features: [n, d]; weights: [n], how many documents each represents.

    Returns:
        The mean distance of draws from the sample (squared, see ``nearest_mixture``), that of draws from the
        sources, and the share of the latter farther than the former's mean, with 1 added to both counts.
    """
    points, own = pool.whitened(features), pool.whitened(pool.features)
    inside, across, within = distances(own, own), distances(points, own), distances(points, points)
    mixture, _ = nearest_mixture(pool, across, inside, weights, np.ones(len(own)))
    available = np.bincount(pool.source, minlength=len(mixture)) // 2
    used = mixture > _NEGLIGIBLE
    reach = float((available / np.maximum(mixture, 1e-12))[used].min())
    n = max(2, int(min(float((weights > 0).sum()), reach)))
    draw = np.random.default_rng(seed)
    far = np.zeros((resamples, 2))
    for row in range(resamples):
        turn = draw.permutation(len(own))
        half, drawn = np.zeros(len(own)), np.zeros(len(own))
        sizes = draw.multinomial(n, mixture)
        for source in range(len(mixture)):
            mine = turn[pool.source[turn] == source]
            drawn[mine[: min(sizes[source], available[source])]] = 1
            half[mine[available[source] :]] = 1
        some = np.zeros(len(points))
        some[draw.choice(len(points), n, replace=False, p=weights / weights.sum())] = 1
        sides = ((across, within, some), (inside, inside, drawn))
        for side, (toward, around, counts) in enumerate(sides):
            reached = nearest_mixture(pool, toward, inside, counts, half)[1]
            # The mean distance of two different documents.
            apart = counts @ around @ counts / (counts.sum() ** 2 - (counts**2).sum())
            far[row, side] = reached - float(apart)
    observed, expected = far.mean(axis=0)
    farther = 1 + int((far[:, 1] >= observed).sum())
    return float(observed), float(expected), farther / (1 + resamples)


METHODS = ("em", "adjusted", "matching")
# Standard error from shifting sources to another domain: a constant, and a part of the share [ours].
_TRANSFER = (0.05, 0.25)


class PoolSample(NamedTuple):
    """Log-odds of a sample and of the pool, and all distances: the data for estimating shares with any weights of
    documents.

    Attributes:
        log_odds: [n], of the sample; own: [N], of the pool's documents, held out.
        across: [n, N], distances between sample and pool; inside: [N, N], within the pool.
    """

    log_odds: np.ndarray
    own: np.ndarray
    across: np.ndarray
    inside: np.ndarray


def sample_of(pool: Pool, classifier: Classifier, features: np.ndarray) -> PoolSample:
    points, own = pool.whitened(features), pool.whitened(pool.features)
    across, inside = distances(points, own), distances(own, own)
    return PoolSample(classifier.log_odds(features), classifier.held_out, across, inside)


def shares(pool: Pool, sample: PoolSample, counts: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The share by each of ``METHODS``; ``counts``: [n], multiplicities or weights of the sample's documents;
    ``own``: [N], likewise of the pool's."""
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
    """Density ratios of documents, synthetic to human."""
    slope, intercept = calibration
    return np.exp(np.clip(slope * log_odds + intercept, -30, 30))


def _most_likely(ratio: np.ndarray, counts: np.ndarray) -> float:
    """The maximum over π of Σ counts·ln(π r + 1 − π), to which EM converges, by bisection on its slope."""

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
    """A share with a 95 % interval.

    Attributes:
        methods: the share by each of ``METHODS``.
        errors: standard deviations by source of error.
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
        features: [n, d]; weights: [n], of documents, 1 by default; moved: the synthetic sources were shifted from
            another domain to that of the sample.
    """
    weights = np.ones(len(features)) if weights is None else weights
    sample, every = sample_of(pool, classifier, features), np.ones(len(pool.source))
    estimated = shares(pool, sample, weights, every)
    draw = np.random.default_rng(seed)
    table = np.zeros((resamples, len(METHODS)))
    for row in table:
        drawn = draw.integers(0, len(features), len(features))
        counts = np.bincount(drawn, minlength=len(features))
        row[:] = shares(pool, sample, weights * counts, _resampled(pool, draw))
    # The difference between methods beyond that of resamples.
    apart = (estimated - estimated[0])[1:] ** 2 - np.var(table[:, 1:] - table[:, :1], axis=0)
    share = float(estimated[0])
    # Near 0 and 1 resamples are truncated on one side: the other one counts.
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
    """Multiplicities of documents drawn from each source with replacement."""
    counts = np.zeros(len(pool.source))
    for source in range(len(pool.synthetic)):
        rows = np.flatnonzero(pool.source == source)
        np.add.at(counts, rows[draw.integers(0, len(rows), len(rows))], 1)
    return counts


def _jackknife(pool: Pool, features: np.ndarray, weights: np.ndarray) -> float:
    """The standard deviation from leaving out one source of a class with several."""
    variance = 0.0
    for label in (False, True):
        of_class = np.flatnonzero(pool.synthetic == label)
        if len(of_class) < 2:
            continue
        left = []
        for source in of_class:
            classifier = Classifier(pool.without(int(source)))
            ratio = _ratio(classifier.log_odds(features), classifier.calibration)
            left.append(_most_likely(ratio, weights))
        variance += (len(left) - 1) * float(np.var(left))
    return float(np.sqrt(variance))
