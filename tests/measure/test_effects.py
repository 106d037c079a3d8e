"""Effects with their intervals: the formulas' numbers, and no claim by chance."""

import numpy as np
import pytest

from synthtools.measure import effects


def test_effects_are_those_of_the_formulas():
    from scipy import stats

    draw = np.random.default_rng(0)
    one, other = draw.normal(0, 1, 50), draw.normal(0.5, 2, 70)
    found = effects.of_means("m", one, other, 0.05, ratio=False)
    interval = stats.ttest_ind(other, one, equal_var=False).confidence_interval(0.95)
    assert found["interval"] == pytest.approx([interval.low, interval.high])
    # Newcombe 1998, table II, example (a), method 10: 56/70 against 48/80
    shares = effects.of_shares("s", 48, 80, 56, 70, 0.05)
    assert shares["interval"] == pytest.approx([0.0524, 0.3339], abs=5e-5) and shares["differs"]
    assert not effects.of_shares("s", 10, 100, 10, 100, 0.05)["differs"]
    auc = effects.of_auc("a", [(np.arange(10.0), np.arange(5.0, 15.0))], 0.05)
    u = stats.mannwhitneyu(np.arange(5.0, 15.0), np.arange(10.0)).statistic
    assert auc["value"] == pytest.approx(u / 100)


def test_medians_of_a_corpus_with_two_peaks_differ_by_chance_alone_as_often_as_said():
    """At a level of 1 % 9 of 400 or more would with a probability of 2 %; by the bootstrap 23 did."""
    draw = np.random.default_rng(3)
    claims = 0
    for _ in range(400):
        one, other = draw.choice([3.5, 5.0], (2, 100)) + draw.normal(0, 0.3, (2, 100))
        claims += effects.of_medians("m", one, other, 0.01)["differs"]
    assert claims <= 8


def test_medians_and_spreads_are_those_of_the_formulas():
    from scipy import stats

    draw = np.random.default_rng(1)
    one, other = draw.normal(4, 0.5, 100), draw.normal(3.6, 0.8, 90)
    found = effects.of_medians("m", one, other, 0.05)
    ends = []
    for side in (one, other):
        # Between the k-th value and the next one the sign test does not reject.
        kept = [k for k in range(len(side) + 1) if stats.binomtest(k, len(side)).pvalue > 0.05]
        ends.append((np.median(side), np.sort(side)[min(kept) - 1], np.sort(side)[max(kept)]))
    (p, low, high), (q, first, last) = ends
    interval = [q - p - np.hypot(q - first, high - p), q - p + np.hypot(last - q, p - low)]
    assert found["interval"] == pytest.approx(np.exp(interval)) and found["differs"]
    assert found["value"] == pytest.approx(np.exp(q - p))
    spread = effects.of_spreads("s", one, other, 0.05)
    far = [np.abs(side - np.median(side)) for side in (one, other)]
    assert spread["value"] == pytest.approx(far[1].mean() / far[0].mean()) and spread["differs"]
    drawn = [np.log([draw.choice(side, len(side)).mean() for _ in range(2000)]) for side in far]
    error = np.hypot(*(side.std() for side in drawn))
    reach = np.log(spread["interval"][1] / spread["value"])
    assert reach == pytest.approx(stats.t.ppf(0.975, 89) * error, rel=0.05)
    for few in (effects.of_medians, effects.of_spreads):
        assert few("x", one[:9], other, 0.05)["value"] is None
