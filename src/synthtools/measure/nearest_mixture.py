"""The mixture of sources that is nearest to a sample in energy distance, and whether it is near enough.

The energy distance (Székely and Rizzo 2013) of two samples is 2 E‖X−Y‖ − E‖X−X′‖ − E‖Y−Y′‖; here over pairs of
different documents, so that it is 0 on average where both have one distribution.
"""

from __future__ import annotations

import numpy as np

from synthtools.measure.labelled_sources import Pool


def distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Euclidean, float64 [n, m]."""
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
    found: np.ndarray = np.sqrt(np.maximum(squares, 0))
    return found


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

    Each resample halves every source: one half is the reference, from the other a sample of the same
    size is drawn, by the weights of the nearest mixture. Both samples are held against the
    reference.

    Args:
        features: [n, d]; weights: [n], for how many documents each stands.

    Returns:
        The sample's distance from its nearest mixture (squared, see ``nearest_mixture``), that of the
        drawn ones (mean), and the share of resamples whose drawn sample is as far, 1 added to both.
    """
    points, own = pool.whitened(features), pool.whitened(pool.features)
    inside = distances(own, own)
    across = distances(points, own)
    # Of unequal weights, as many documents as would say as much with equal ones.
    n = max(2, round(weights.sum() ** 2 / (weights**2).sum()))
    spread = _within(distances(points, points), weights)
    mixture, _ = nearest_mixture(pool, across, inside, weights, np.ones(len(own)))
    draw = np.random.default_rng(seed)
    far = np.zeros((resamples, 2))
    for row in range(resamples):
        turn = draw.permutation(len(own))
        half = np.zeros(len(own))
        counts = np.zeros(len(own))
        wanted = draw.multinomial(n, mixture)
        for source in range(len(pool.synthetic)):
            mine = turn[pool.source[turn] == source]
            middle = (len(mine) + 1) // 2
            half[mine[:middle]] = 1
            rest, times = mine[middle:], wanted[source]
            counts[rest] += times // len(rest)
            counts[rest[: times % len(rest)]] += 1
        far[row, 0] = nearest_mixture(pool, across, inside, weights, half)[1] - spread
        far[row, 1] = nearest_mixture(pool, inside, inside, counts, half)[1] - _within(
            inside, counts
        )
    farther = 1 + int((far[:, 1] >= far[:, 0]).sum())
    return float(far[:, 0].mean()), float(far[:, 1].mean()), farther / (1 + resamples)
