"""Calibration against torchmetrics, scipy and slow obvious versions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from synthtools.evaluate import calibration, differences


def random_answers(size=300, choices=4, seed=0, sharp=3.0, varied=False):
    draw = np.random.default_rng(seed)
    logprobs, gold = [], []
    for i in range(size):
        count = 2 + i % 4 if varied else choices
        raw = draw.normal(0, sharp, count)
        # Right about as often as the probabilities at half their sharpness say.
        p = np.exp(raw / 2) / np.exp(raw / 2).sum()
        logprobs.append(raw - 20)
        gold.append(draw.choice(count, p=p))
    keys = draw.integers(0, 1 << 63, size, dtype=np.uint64)
    lengths = [draw.integers(1, 30, len(one)).astype(float) for one in logprobs]
    return calibration.ChoiceScores(logprobs, np.array(gold), lengths, keys)


@pytest.mark.parametrize("seed", range(2))
def test_ece_and_mce_equal_torchmetrics(seed):
    metrics = pytest.importorskip("torchmetrics.functional.classification")
    import torch

    answers = random_answers(400, seed=seed)
    p = np.array([np.exp(o - o.max()) / np.exp(o - o.max()).sum() for o in answers.logprobs])
    found = calibration.figures(calibration.judged(answers))
    for norm, name in (("l1", "ece"), ("max", "mce")):
        theirs = metrics.multiclass_calibration_error(
            torch.from_numpy(p), torch.from_numpy(answers.gold), 4, n_bins=10, norm=norm
        )
        assert found[name] == pytest.approx(float(theirs), abs=1e-6)
    assert found["accuracy"] == np.mean(p.argmax(1) == answers.gold)


def slow_ece(confidence, right, edges):
    """Bins [low, high), the last with its high end."""
    total = 0.0
    for low, high in zip(edges[:-1], edges[1:]):
        inside = [
            i for i, c in enumerate(confidence) if low <= c < high or (c == high == edges[-1])
        ]
        if inside:
            hit = sum(right[i] for i in inside) / len(inside)
            said = sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(hit - said)
    return total


@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.6, 0.7, 1.0])),
            st.booleans(),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_bins_of_equal_width_equal_the_definition(items):
    confidence, right = np.array(items, np.float64).T
    found, _ = calibration.errors(calibration.width_bins(confidence), confidence, right)
    edges = [float(f"0.{tenth}") for tenth in range(10)] + [1.0]
    assert found == pytest.approx(slow_ece(confidence, right, edges), abs=1e-12)


def test_a_confidence_on_an_edge_is_in_the_bin_that_begins_there():
    tenths = np.array([float(f"0.{tenth}") for tenth in range(10)] + [1.0])
    assert calibration.width_bins(tenths).tolist() == [*range(10), 9]
    below = np.nextafter(tenths[1:], 0)
    assert calibration.width_bins(below).tolist() == list(range(10))


@given(st.lists(st.sampled_from([0.2, 0.25, 0.5, 0.7, 0.9]) | st.floats(0, 1), min_size=1))
def test_bins_of_equal_mass_keep_equal_confidences_together(values):
    confidence = np.array(values)
    bins = calibration.mass_bins(confidence)
    order = np.argsort(confidence, kind="stable")
    assert (np.diff(bins[order]) >= 0).all() and bins.min() >= 0 and bins.max() <= 9
    for value in set(values):
        assert len(set(bins[confidence == value])) == 1
    if len(set(values)) == len(values) and len(values) >= 10:
        counts = np.bincount(bins, minlength=10)
        assert counts.max() - counts.min() <= 1


def test_brier_and_nll_equal_scikit_learn():
    from sklearn.metrics import log_loss

    answers = random_answers(200)
    p = np.array([np.exp(o - o.max()) / np.exp(o - o.max()).sum() for o in answers.logprobs])
    found = calibration.figures(calibration.judged(answers))
    assert found["nll"] == pytest.approx(log_loss(answers.gold, p, labels=range(4)))
    assert found["brier"] == pytest.approx(np.square(p - np.eye(4)[answers.gold]).sum(1).mean())


def test_the_fitted_temperature_is_the_best_and_finds_the_one_that_made_the_data():
    answers = random_answers(3000, sharp=2.0, varied=True)
    found = calibration.fitted_temperature(answers)

    def loss(temperature):
        return calibration.judged(answers, temperature).nll.mean()

    best = minimize_scalar(loss, bounds=(0.2, 10), method="bounded", options={"xatol": 1e-8})
    assert found == pytest.approx(best.x, rel=1e-3)
    assert found == pytest.approx(2, rel=0.1)  # random_answers draws at half the sharpness
    result = calibration.scaling(answers, 0)
    assert result["fitted_on"] + result["measured_on"] == 3000
    assert result["ece"][1] < result["ece"][0] / 2 and result["nll"][1] < result["nll"][0]


def test_halves_belong_to_keys_and_not_to_order():
    answers = random_answers(60)
    turned = calibration.part(answers, np.arange(60)[::-1])
    one, other = calibration.scaling(answers, 3), calibration.scaling(turned, 3)
    assert one["temperature"] == pytest.approx(other["temperature"], rel=1e-6)
    assert one["nll"] == pytest.approx(other["nll"])
    assert calibration.scaling(answers, 4)["temperature"] != one["temperature"]
    assert calibration.scaling(random_answers(19), 0) is None


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth = calibration.figures(calibration.judged(random_answers(20_000, seed=99)))["accuracy"]
    held = 0
    for seed in range(40):
        found = calibration.judged(random_answers(150, seed=seed))
        low, high = calibration.intervals(found, 100, 0)["accuracy"]
        held += low <= truth <= high
    assert held >= 33  # 40 × 0.95 less four standard deviations


def report(ece, accuracy, ends=0.01):
    return {
        "suites": {
            "s": {
                "figures": {"ece": ece, "accuracy": accuracy},
                "intervals": {
                    "ece": [ece - ends, ece + ends],
                    "accuracy": [accuracy - ends, accuracy + ends],
                },
            }
        }
    }


@pytest.mark.parametrize(
    "after, state",
    [
        ((0.2, 0.5), "early warning"),
        ((0.2, 0.3), "both worse"),
        ((0.1, 0.3), "accuracy lower"),
        ((0.105, 0.501), "no sign"),
        ((0.05, 0.6), "no sign"),
    ],
)
def test_the_early_warning_is_worse_calibration_at_flat_accuracy(after, state):
    rows = differences.warnings(report(0.1, 0.5), report(*after), [])
    assert [row["state"] for row in rows] == [state]
    assert not rows[0]["paired"]
