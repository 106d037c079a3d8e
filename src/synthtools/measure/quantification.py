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

The energy distance (Székely and Rizzo 2013) of two samples is 2 E‖X−Y‖ − E‖X−X′‖ − E‖Y−Y′‖; here over pairs of
different documents, so that it is 0 on average where both have one distribution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synthtools.measure.labelled_sources import Classifier, Pool, calibrated, expit

# Of a mixture, what is not asked for documents without repeating any.
_NEGLIGIBLE = 0.02


def distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Euclidean, float64 [n, m]."""
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
    return np.sqrt(np.maximum(squares, 0))


def nearest_mixture(
    pool: Pool, across: np.ndarray, inside: np.ndarray, counts: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, float]:
    """The weights of sources whose mixture is nearest to the sample in energy distance, and how far it
    still is.

    With a kernel d(x, o) + d(y, o) − d(x, y) the energy distance is a squared norm, so that this is a
    least-squares problem over a simplex.

    Args:
        across: [n, N], distances between sample and pool; inside: [N, N], in the pool; counts: [n], how
            often each document of the sample is there, or what it weighs; own: [N], likewise of the
            pool.

    Returns:
        Weights [sources], and the squared distance plus the mean distance within the sample.
    """
    from scipy.optimize import nnls

    k = len(pool.synthetic)
    members = np.zeros((k, len(own)))
    members[pool.source, np.arange(len(own))] = own
    sizes = members.sum(1)
    # A document is at no distance from itself, which is not what two documents of a source are.
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

    Each resample halves every source: one half is the reference; from the other as many documents
    are drawn, by the weights of the sample's nearest mixture, as it gives without repeating one, and as
    many from the sample. Both draws are held against the reference. (Repeated documents would
    be noisier, and a nearest mixture of noise is nearer.)

    Args:
        features: [n, d]; weights: [n], for how many documents each stands.

    Returns:
        The mean distance of draws from the sample (squared, see ``nearest_mixture``), that of draws from
        the sources, and the share of these that are farther than the former's mean, 1 added to
        both counts.
    """
    points, own = pool.whitened(features), pool.whitened(pool.features)
    inside, across, within = distances(own, own), distances(points, own), distances(points, points)
    mixture, _ = nearest_mixture(pool, across, inside, weights, np.ones(len(own)))
    there = np.bincount(pool.source, minlength=len(mixture)) // 2
    used = mixture > _NEGLIGIBLE
    reach = float((there / np.maximum(mixture, 1e-12))[used].min())
    n = max(2, int(min(float((weights > 0).sum()), reach)))
    draw = np.random.default_rng(seed)
    far = np.zeros((resamples, 2))
    for row in range(resamples):
        turn = draw.permutation(len(own))
        half, drawn = np.zeros(len(own)), np.zeros(len(own))
        wanted = draw.multinomial(n, mixture)
        for source in range(len(mixture)):
            mine = turn[pool.source[turn] == source]
            drawn[mine[: min(wanted[source], there[source])]] = 1
            half[mine[there[source] :]] = 1
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
    across, inside = distances(points, own), distances(own, own)
    return PoolSample(classifier.log_odds(features), classifier.held_out, across, inside)


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
    return np.exp(np.clip(slope * log_odds + intercept, -30, 30))


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
        drawn = draw.integers(0, len(features), len(features))
        counts = np.bincount(drawn, minlength=len(features))
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
            ratio = _ratio(classifier.log_odds(features), classifier.calibration)
            left.append(_most_likely(ratio, weights))
        variance += (len(left) - 1) * float(np.var(left))
    return float(np.sqrt(variance))
