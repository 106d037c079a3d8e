"""Shares of a label: each way against the slow obvious one, intervals that cover, misfits that are seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from synthtools.measure.labelled_sources import Classifier, LabelledSource, Pool, logistic
from synthtools.measure.origin_estimate import OriginEstimator, anchored
from synthtools.measure.quantification import (
    distances,
    estimate,
    misfit,
    nearest_mixture,
    sample_of,
    shares,
)


def normal(draw: np.random.Generator, n: int, *mean: float) -> np.ndarray:
    return draw.normal(size=(n, len(mean))) + np.array(mean)


def sources(draw: np.random.Generator, n: int = 150) -> list[LabelledSource]:
    return [
        LabelledSource("a", False, normal(draw, n, 0, 0, 0)),
        LabelledSource("b", False, normal(draw, n, 0, 0.5, 0)),
        LabelledSource("c", True, normal(draw, n, 1.7, 0, 0)),
        LabelledSource("d", True, normal(draw, n, 1.7, 0, 0.5)),
    ]


def sample(draw: np.random.Generator, n: int, share: float) -> np.ndarray:
    some = round(n * share)
    parts = [(n - some, 0, 0, 0), (some, 1.7, 0, 0)]
    return np.concatenate([normal(draw, count, *mean) for count, *mean in parts])


def test_the_regression_is_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    x = normal(draw, 200, 0, 0, 0)
    y = x[:, 0] + draw.normal(size=200) > 0
    weights = draw.uniform(0.5, 2, 200)
    found = logistic(x, y, weights, 2.0)
    theirs = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(x, y, sample_weight=weights)
    np.testing.assert_allclose(found, [*theirs.coef_[0], *theirs.intercept_], rtol=1e-4, atol=1e-5)


def test_sources_of_a_class_weigh_the_same() -> None:
    draw = np.random.default_rng(1)
    given = [LabelledSource("a", False, normal(draw, 10, 0)), LabelledSource("b", False, normal(draw, 30, 0)), LabelledSource("c", True, normal(draw, 5, 0))]  # fmt: skip
    pool = Pool.of(given)
    sums = np.bincount(pool.source, pool.weights())
    np.testing.assert_allclose(sums, [0.5, 0.5, 1.0])
    rest = pool.without(1)
    np.testing.assert_array_equal(
        rest.features, np.concatenate([given[0].features, given[2].features])
    )
    np.testing.assert_allclose(np.bincount(rest.source, rest.weights()), [1.0, 1.0])


def test_shares_are_those_of_the_slow_ways() -> None:
    draw = np.random.default_rng(2)
    pool = Pool.of(sources(draw))
    classifier = Classifier(pool)
    found = sample_of(pool, classifier, sample(draw, 200, 0.3))
    every = np.ones(len(pool.source))
    em, adjusted, matching = shares(pool, found, np.ones(200), every)
    slope, intercept = classifier.calibration
    ratio = np.exp(slope * found.log_odds + intercept)
    share = 0.5
    for _ in range(5000):  # Saerens, Latinne and Decaestecker, equations 2.8 and 2.9
        share = float(np.mean(share * ratio / (share * ratio + 1 - share)))
    assert em == pytest.approx(share, abs=1e-5)
    p, own = ratio / (1 + ratio), 1 / (1 + np.exp(-slope * found.own - intercept))
    # All four sources have as many documents, so that plain means are those of the classes.
    human, synthetic = own[~pool.labels].mean(), own[pool.labels].mean()
    assert adjusted == pytest.approx((p.mean() - human) / (synthetic - human))

    def distance(free: np.ndarray) -> float:
        """The energy distance of a mixture from the sample, over pairs of different documents."""
        w = np.abs(free) / np.abs(free).sum()
        rows = [np.flatnonzero(pool.source == k) for k in range(4)]
        across = sum(w[k] * found.across[:, rows[k]].mean() for k in range(4))
        inside = 0.0
        for k in range(4):
            for other in range(4):
                block = found.inside[np.ix_(rows[k], rows[other])]
                pairs = len(rows[k]) * (len(rows[other]) - (k == other))
                inside += w[k] * w[other] * block.sum() / pairs
        return float(2 * across - inside)

    best = min(
        (minimize(distance, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12, "maxiter": 4000})
         for start in np.random.default_rng(0).uniform(0.1, 1, (6, 4))),
        key=lambda one: one.fun,
    )  # fmt: skip
    weights, value = nearest_mixture(pool, found.across, found.inside, np.ones(200), every)
    assert value == pytest.approx(best.fun, abs=1e-6)
    assert weights.sum() == pytest.approx(1)
    slow = np.abs(best.x) / np.abs(best.x).sum()
    assert matching == pytest.approx(slow[pool.synthetic].sum(), abs=5e-3)


def test_weights_of_documents_are_as_many_documents() -> None:
    draw = np.random.default_rng(3)
    pool = Pool.of(sources(draw, 60))
    classifier, given = Classifier(pool), sample(draw, 80, 0.4)
    twice = np.concatenate([given, given[:20]])
    weights = np.ones(80)
    weights[:20] = 2
    every = np.ones(len(pool.source))
    one = shares(pool, sample_of(pool, classifier, given), weights, every)
    other = shares(pool, sample_of(pool, classifier, twice), np.ones(100), every)
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_intervals_cover(share: float) -> None:
    covered, errors = 0, []
    for seed in range(12):
        draw = np.random.default_rng([seed, 7])
        pool = Pool.of(sources(draw))
        found = estimate(pool, Classifier(pool), sample(draw, 300, share), resamples=40, seed=seed)
        covered += found.low <= share <= found.high
        errors.append(abs(found.share - share))
        assert 0 <= found.low <= found.share <= found.high <= 1
    assert covered >= 11
    assert np.mean(errors) < 0.06


def test_a_sample_that_is_no_mixture_is_seen() -> None:
    def p_values(shift: float) -> list[float]:
        found = []
        for seed in range(8):
            draw = np.random.default_rng([seed, 9])
            pool = Pool.of(sources(draw))
            given = sample(draw, 200, 0.3) + np.array([0, shift, 0])
            found.append(misfit(pool, given, np.ones(200), resamples=60, seed=seed)[2])
        return found

    assert np.mean(np.array(p_values(0.0)) <= 0.05) <= 0.25
    assert max(p_values(2.0)) < 0.05


def test_an_anchor_moves_the_sources_as_the_human_text_moves() -> None:
    draw = np.random.default_rng(5)
    given = sources(draw)
    human = LabelledSource("own", False, 3 * normal(draw, 150, 4, 4, 4))
    kept, *moved = anchored(given, human)
    assert kept is human
    assert [one.name for one in moved] == ["c", "d"]
    own = np.concatenate([one.features for one in given[:2]])
    scale = human.features.std(0) / own.std(0)
    np.testing.assert_allclose(
        moved[0].features, human.features.mean(0) + (given[2].features - own.mean(0)) * scale
    )


def test_the_auc_is_scikit_learns() -> None:
    draw = np.random.default_rng(6)
    given = sources(draw)
    estimator = OriginEstimator(given, 20, 0)
    pool: Any = Pool.of(given)
    held_out = Classifier(pool).held_out
    assert estimator.auc == pytest.approx(roc_auc_score(pool.labels, held_out))


def test_distances() -> None:
    left, right = np.array([[0.0, 0], [3, 4]]), np.array([[0.0, 0]])
    assert distances(left, right).tolist() == [[0], [5]]
