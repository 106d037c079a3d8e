"""MAUVE against the authors' package, scikit-learn and a slow form; its p-value under random labels."""

import math

import numpy as np
import pytest

from synthtools.measure.mauve import areas, clusters, components, mauve

# Clusters by faiss and MAUVE of mauve-text 0.4.0: normal vectors, [120, 6] and [150, 6], 8 buckets.
RECORDED = (
    [6, 8, 21, 24, 22, 7, 15, 17],
    [36, 36, 8, 5, 6, 21, 17, 21],
    0.5099503436114494,
)


def vectors(n, m, shift, seed=7, width=6):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, width)), draw.normal(size=(m, width)) + shift * np.eye(width)[0]


def slow(p, q, scaling=5.0):
    """The curve point by point, and the areas below it seen from both axes."""
    p, q = np.array(p) / sum(p), np.array(q) / sum(q)
    curve = [(1.0, 0.0)]
    for w in np.linspace(1e-6, 1 - 1e-6, 25):
        r = w * p + (1 - w) * q
        kl = [sum(a * math.log(a / b) for a, b in zip(side, r) if a) for side in (q, p)]
        curve.append((math.exp(-scaling * kl[0]), math.exp(-scaling * kl[1])))
    curve.append((0.0, 1.0))
    both = [sorted(curve), sorted((y, x) for x, y in curve)]
    steps = [pair for one in both for pair in zip(one, one[1:])]
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in steps) / 2


def test_the_recorded_value_of_the_authors_package():
    p, q, value = RECORDED
    assert areas(np.array([p, q]), np.array([q, p])) == pytest.approx([value, value], abs=1e-9)
    assert slow(p, q) == pytest.approx(value, abs=1e-9)


def test_it_is_that_of_the_authors_package_for_the_same_clusters():
    package = pytest.importorskip("mauve")
    for seed in range(3):
        left, right = vectors(120, 150, seed / 2, seed)
        found = package.compute_mauve(p_features=left, q_features=right, seed=seed)
        sides = np.rint(found.p_hist * 120)[None], np.rint(found.q_hist * 150)[None]
        assert areas(*sides)[0] == pytest.approx(found.mauve, abs=1e-6)


def test_equal_and_separate_shares():
    draw = np.random.default_rng(0)
    p, q = (
        draw.integers(0, 9, (2, 40, 12)) * draw.integers(0, 2, (2, 40, 12))
        + np.eye(12, dtype=int)[0]
    )
    assert areas(p, q) == pytest.approx([slow(*pair) for pair in zip(p, q)], abs=1e-9)
    assert areas(np.array([[5, 3]]), np.array([[10, 6]])) == pytest.approx([1])
    assert areas(np.array([[5, 0]]), np.array([[0, 5]]))[0] < 0.01


def test_components_and_clusters_are_as_good_as_those_of_scikit_learn():
    cluster = pytest.importorskip("sklearn.cluster")
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import normalize

    points = np.concatenate(vectors(150, 150, 3.0, width=40)) * np.linspace(1, 3, 40)
    points[5] = 0
    unit = normalize(points)
    full = PCA().fit(unit)
    kept = int(np.argmax(np.cumsum(full.explained_variance_ratio_) >= 0.9)) + 1
    found = components(points)
    assert found.shape == (300, kept)
    assert abs(found) == pytest.approx(abs(full.transform(unit)[:, :kept]), abs=1e-5)
    labels = clusters(found, 12, np.random.default_rng(0))
    ours = sum(
        ((found[labels == i] - found[labels == i].mean(axis=0)) ** 2).sum() for i in range(12)
    )
    theirs = cluster.KMeans(12, n_init=5, random_state=0).fit(found).inertia_
    assert ours == pytest.approx(theirs, rel=0.02)


def test_fewer_points_than_clusters():
    found = mauve(np.ones((30, 3)), np.ones((40, 3)), seed=0, buckets=5)
    assert found["value"] == pytest.approx(1) and found["p_value"] == 1
    assert mauve(np.ones((1, 3)), np.ones((40, 3)), seed=0)["value"] is None


def test_sets_that_differ_and_random_divisions_of_one():
    left, right = vectors(150, 200, 2.0)
    found = mauve(left, right, seed=0)
    assert found == mauve(left, right, seed=0)
    assert found["value"] < found["interval"][1] < found["expected"] and found["p_value"] == 0.001
    assert found["interval"][0] < found["value"] and found["buckets"] == 15
    draw = np.random.default_rng(1)
    everything = np.concatenate([left, right])
    ps = []
    for _ in range(100):
        some = everything[draw.choice(350, 120, replace=False)]
        ps.append(mauve(some[:50], some[50:], seed=0)["p_value"])
    assert sum(p <= 0.05 for p in ps) <= 10 and 0.4 < np.mean(ps) < 0.6
