"""The mixture of sources that is nearest to a sample in energy distance, and whether it is near enough.

The energy distance (Székely and Rizzo 2013) of two samples is 2 E‖X−Y‖ − E‖X−X′‖ − E‖Y−Y′‖; here over pairs of
different documents, so that it is 0 on average where both have one distribution.
"""

from __future__ import annotations

import numpy as np

from synthtools.measure.labelled_sources import Pool

# Of a mixture, what is not asked for documents without repeating any.
_NEGLIGIBLE = 0.02


def distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Euclidean, float64 [n, m]."""
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
    roots: np.ndarray = np.sqrt(np.maximum(squares, 0))
    return roots


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


def _within(inside: np.ndarray, counts: np.ndarray) -> float:
    """The mean distance of two different documents."""
    return float(counts @ inside @ counts / (counts.sum() ** 2 - (counts**2).sum()))


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
    inside, across, within = (
        distances(left, right) for left, right in ((own, own), (points, own), (points, points))
    )
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
        for side, (toward, around, counts) in enumerate(
            ((across, within, some), (inside, inside, drawn))
        ):
            reached = nearest_mixture(pool, toward, inside, counts, half)[1]
            far[row, side] = reached - _within(around, counts)
    observed, expected = far.mean(axis=0)
    farther = 1 + int((far[:, 1] >= observed).sum())
    return float(observed), float(expected), farther / (1 + resamples)
