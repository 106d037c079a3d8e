"""MAUVE: how near one set of documents is to another by their vectors (Pillutla et al. 2021).

Vectors of length 1 are projected to the principal components with 90 % of their variance and assigned to k clusters, a
tenth of the smaller set; p and q are the sets' shares of the clusters. MAUVE is the area under the curve of
(exp −c·KL(q‖r), exp −c·KL(p‖r)) over the mixtures r = w·p + (1 − w)·q, c = 5. The numbers agree with the authors'
package mauve-text for the same clusters; its k-means is that of faiss, ours is Lloyd's from k-means++ (Arthur and
Vassilvitskii 2007), the best of five.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from synthtools.measure.two_sample import permutation_test

SCALING = 5.0
_VARIANCE = 0.9
_POINTS = 25
_RESTARTS, _ROUNDS = 5, 500
_PERMUTATIONS = _RESAMPLES = 999
# Numbers in the mixtures that are processed at once.
_AT_ONCE = 1 << 22


def mauve(
    reference: np.ndarray, other: np.ndarray, *, seed: int, buckets: int | None = None
) -> dict[str, Any]:
    """MAUVE of two sets of vectors, 1 for equal shares of all clusters.

    Finite sets never reach it: ``expected`` is the mean over 999 random divisions of all documents, and ``p_value``
    the share of divisions, including the observed one, with a value as low. Clusters are of all documents,
    regardless of their set, so that the test is exact [ours]. ``interval`` is ± 1.96 standard deviations of 999
    bootstrap samples of the documents in their clusters [ours]: the noise of the value, not of the MAUVE of larger
    sets.

    Args:
        reference, other: float [n, width] and [m, width], finite.
        buckets: clusters; by default as above, at least two.

    Returns:
        ``value``, ``expected``, ``p_value``, ``interval``, ``buckets``, ``dimensions`` (principal
        components); all None with fewer than two documents on a side.
    """
    from threadpoolctl import threadpool_limits

    n, m = len(reference), len(other)
    if min(n, m) < 2:
        names = ("value", "expected", "p_value", "interval", "buckets", "dimensions")
        return dict.fromkeys(names)
    k = buckets or max(2, round(min(n, m) / 10))
    draw = np.random.default_rng(np.random.SeedSequence(seed))
    with threadpool_limits(1):  # with more threads, the order of sums and thus clusters would vary
        points = components(np.concatenate([reference, other]))
        labels = clusters(points, k, draw)
    p, q = (np.bincount(some, minlength=k) for some in (labels[:n], labels[n:]))
    of_reference = draw.multivariate_hypergeometric(p + q, n, _PERMUTATIONS)
    permuted = areas(of_reference, p + q - of_reference)
    (value,) = areas(p[None], q[None])
    again = [draw.multinomial(c.sum(), c / c.sum(), _RESAMPLES) for c in (p, q)]
    resampled = areas(again[0], again[1])
    reach = 1.96 * float(resampled.std(ddof=1))
    return {
        **permutation_test(np.concatenate([[value], permuted]), "low"),
        "interval": [max(0.0, float(value) - reach), min(1.0, float(value) + reach)],
        "buckets": k,
        "dimensions": points.shape[1],
    }


def areas(p: np.ndarray, q: np.ndarray, scaling: float = SCALING) -> np.ndarray:
    """MAUVE of histograms, float64 [pairs].

    Args:
        p, q: counts or shares, [pairs, buckets].
    """
    p, q = (side / side.sum(axis=1, keepdims=True) for side in (p, q))
    rows = max(1, _AT_ONCE // (_POINTS * p.shape[1]))
    parts = [_areas(p[at : at + rows], q[at : at + rows], scaling) for at in range(0, len(p), rows)]
    return np.concatenate(parts)


def _areas(p: np.ndarray, q: np.ndarray, scaling: float) -> np.ndarray:
    weights = np.linspace(1e-6, 1 - 1e-6, _POINTS)[:, None]
    mixtures = weights * p[:, None] + (1 - weights) * q[:, None]
    # From (1, 0) to (0, 1): x falls and y rises along the curve.
    x, y = np.ones((len(p), _POINTS + 2)), np.zeros((len(p), _POINTS + 2))
    x[:, -1], y[:, -1] = 0, 1
    x[:, 1:-1] = np.exp(-scaling * _divergence(q[:, None], mixtures))
    y[:, 1:-1] = np.exp(-scaling * _divergence(p[:, None], mixtures))
    # The mean of the areas under y over x and under x over y, by trapezoids.
    wide = -np.diff(x) * (y[:, 1:] + y[:, :-1])
    high = np.diff(y) * (x[:, 1:] + x[:, :-1])
    return (wide + high).sum(axis=1) / 4


def _divergence(p: np.ndarray, r: np.ndarray) -> np.ndarray:
    """KL(p‖r) in nats along the last axis; r is above 0 where p is."""
    ratio = np.divide(p, r, out=np.ones(np.broadcast_shapes(p.shape, r.shape)), where=p > 0)
    return (p * np.log(ratio)).sum(axis=-1)


def components(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1 (zeros unchanged) on the fewest principal components with 90 % of their variance:
    float32 [documents, components]."""
    points = vectors.astype(np.float64)
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    points /= np.where(norms > 0, norms, 1)
    points -= points.mean(axis=0)
    _, values, axes = np.linalg.svd(points, full_matrices=False)
    shares = np.cumsum(values**2)
    kept = int(np.argmax(shares >= _VARIANCE * shares[-1])) + 1
    return (points @ axes[:kept].T).astype(np.float32)


def clusters(points: np.ndarray, k: int, draw: np.random.Generator) -> np.ndarray:
    """k-means: the cluster of each point, int64; the best of five by squared distances."""
    tries = [_lloyd(points, _spread(points, k, draw)) for _ in range(_RESTARTS)]
    return min(tries, key=lambda one: one[1])[0]


def _spread(points: np.ndarray, k: int, draw: np.random.Generator) -> np.ndarray:
    """The initial centres, each drawn by its squared distance from those before (k-means++)."""
    chosen = [int(draw.integers(len(points)))]
    nearest = np.full(len(points), np.inf)
    while len(chosen) < k:
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        total = np.cumsum(nearest, dtype=np.float64)
        if total[-1] > 0:
            chosen.append(int(np.searchsorted(total, draw.random() * total[-1], side="right")))
        else:  # fewer distinct points than clusters
            chosen.append(int(draw.integers(len(points))))
    return points[chosen]


def _lloyd(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, float]:
    """Clusters and the sum of squared distances, up to a constant."""
    labels = np.full(len(points), -1)
    for _ in range(_ROUNDS):
        distances = (centres**2).sum(axis=1) - 2 * (points @ centres.T)
        before, labels = labels, distances.argmin(axis=1)
        if (labels == before).all():
            break
        sizes = np.bincount(labels, minlength=len(centres))
        order = np.argsort(labels, kind="stable")
        used = np.flatnonzero(sizes)  # an empty cluster keeps its centre
        starts = (np.cumsum(sizes) - sizes)[used]
        centres[used] = np.add.reduceat(points[order], starts) / sizes[used, None]
    inertia = float(distances[np.arange(len(points)), labels].sum(dtype=np.float64))
    return labels, inertia
