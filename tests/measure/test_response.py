"""Figures of hashed responses against cases that can be worked out, and against scipy."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cosine, jensenshannon

from synthtools.measure.response import (
    SMOOTHING,
    concentration,
    divergence,
    largest_differences,
    over_represented,
)


def test_concentration_of_what_is_known():
    even = concentration(np.full(1000, 7))
    assert even["entropy"] == pytest.approx(math.log(1000))
    assert even["effective_buckets"] == pytest.approx(1000)
    assert even["gini"] == pytest.approx(0, abs=1e-12)
    assert (even["top_1_percent"], even["top_10_percent"]) == pytest.approx((0.01, 0.1))
    one = np.zeros(1000, np.int64)
    one[3] = 5
    assert concentration(one) == pytest.approx(
        {
            "entropy": 0,
            "effective_buckets": 1,
            "gini": 0.999,
            "top_1_percent": 1,
            "top_10_percent": 1,
            "empty_buckets": 999,
        }
    )
    nothing = concentration(np.zeros(5, np.int64))
    assert nothing["entropy"] is None and nothing["empty_buckets"] == 5


def test_gini_against_its_definition():
    counts = np.random.default_rng(0).integers(0, 50, 200)
    mean_difference = np.abs(counts[:, None] - counts).mean()
    assert concentration(counts)["gini"] == pytest.approx(mean_difference / (2 * counts.mean()))


def test_divergences_against_scipy():
    random = np.random.default_rng(1)
    left, right = random.integers(0, 30, 500), random.integers(0, 90, 500)
    found = divergence(left, right)
    p, q = left / left.sum(), right / right.sum()
    assert found["js"] == pytest.approx(jensenshannon(p, q) ** 2)
    assert found["cosine"] == pytest.approx(1 - cosine(p, q))
    assert found["total_variation"] == pytest.approx(np.abs(p - q).sum() / 2)
    smooth = [(c + SMOOTHING) / (c + SMOOTHING).sum() for c in (left, right)]
    assert found["kl_left_right"] == pytest.approx(stats.entropy(*smooth))
    assert found["kl_right_left"] == pytest.approx(stats.entropy(*smooth[::-1]))
    same = divergence(left, 3 * left)
    assert (same["js"], same["total_variation"], same["cosine"]) == pytest.approx((0, 0, 1))
    apart = divergence(np.array([5, 0]), np.array([0, 2]))
    assert (apart["js"], apart["total_variation"], apart["cosine"]) == pytest.approx(
        (math.log(2), 1, 0)
    )
    assert set(divergence(left, np.zeros(500)).values()) == {None}


def test_the_buckets_that_differ_most_come_first():
    rows = largest_differences(np.array([5, 5, 0]), np.array([0, 5, 5]), 2)
    assert [(row["bucket"], row["difference"]) for row in rows] == [(0, 0.5), (2, -0.5)]
    assert largest_differences(np.array([1, 1]), np.array([2, 2]), 5) == []


def test_what_stands_out():
    """Log-odds with a Dirichlet prior: counts that could be chance stay behind those that cannot."""
    left = {"the": 5000, "delve": 60, "rare": 2}
    right = {"the": 5000, "said": 80}
    more, less = over_represented(left, right, (100_000, 100_000), 10)
    assert [row["ngram"] for row in more] == ["delve", "rare"]
    assert [row["ngram"] for row in less] == ["said"]
    assert more[0]["z"] > 4 > more[1]["z"]
    # Monroe et al. 2008, equations 16 and 22, written out for one word.
    prior = 60 * 0.1
    a, b = 60 + prior, prior
    odds = math.log(a / (120_000 - a)) - math.log(b / (120_000 - b))
    assert more[0]["log_odds"] == pytest.approx(odds)
    assert more[0]["z"] == pytest.approx(odds / math.sqrt(1 / a + 1 / b))
    assert over_represented({}, {}, (1, 1), 5) == over_represented(left, {}, (9, 0), 5) == ([], [])
