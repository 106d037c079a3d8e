"""Densities fitted to their own samples: closed forms against products and sums, the simulation against both."""

import math

import numpy as np
import pytest

import synthtools
from synthtools.errors import SynthError
from synthtools.measure.iterated_densities import DensitySetting, expected, simulated

GAUSSIAN = DensitySetting(samples=8, generations=12, bandwidth=0.0)
KERNEL = DensitySetting(samples=8, generations=12, bandwidth=0.5)


def test_a_gaussian_is_that_of_the_products_of_the_paper():
    replaced, kept = expected("replace", GAUSSIAN), expected("accumulate", GAUSSIAN)
    for t in range(1, 13):
        assert replaced["variance"][t - 1] == pytest.approx((1 - 1 / 8) ** t)
        product = math.prod(1 - 1 / (8 * i**2) for i in range(1, t + 1))
        assert kept["variance"][t - 1] == pytest.approx(product)
    # Π(1 − x²/i²) is sin(πx)/(πx), here with x² = 1/8.
    far = expected("accumulate", DensitySetting(8, 20_000, 0.0))["variance"][-1]
    x = math.pi * math.sqrt(1 / 8)
    assert far == pytest.approx(math.sin(x) / x, rel=1e-4)
    # What the variance loses is the error of the mean.
    for values in (replaced, kept):
        assert np.add(values["variance"], values["mean_error"]) == pytest.approx(np.ones(12))


def test_a_kernel_estimate_grows_by_its_kernel():
    # As (1 − 1/T)^t falls, T h² is what v = (1 − 1/T) v + h² stays at.
    assert expected("replace", DensitySetting(8, 400, 0.5))["variance"][-1] == pytest.approx(2)
    first = expected("accumulate", KERNEL)["variance"][:2]
    assert first == pytest.approx([7 / 8 + 1 / 4, (7 / 8 + 1 / 4) * 31 / 32 + 1 / 8])


@pytest.mark.parametrize("setting", [GAUSSIAN, KERNEL])
@pytest.mark.parametrize("workflow", ["replace", "accumulate"])
def test_the_simulation_is_what_is_expected(setting, workflow):
    found = simulated(setting, workflow, seed=3, count=20_000, jobs=1)
    known = expected(workflow, setting)
    error = found.std(0) / math.sqrt(len(found))
    distance = (found.mean(0) - [known["variance"], known["mean_error"]]) / error
    assert np.abs(distance).max() < 4.5


def test_the_report_does_not_depend_on_cores():
    words = {"model": "kde", "samples": 500, "generations": 3, "repetitions": 3000, "seed": 1}
    one, two = (synthtools.simulate(**words, jobs=jobs) for jobs in (1, 2))
    assert one["workflows"] == two["workflows"] and one["bandwidth"] == pytest.approx(
        0.3058, abs=1e-4
    )
    subsample = one["workflows"][2]["variance"]
    assert subsample["expected"] is None and 1 < subsample["simulated"][-1] < 1.4


@pytest.mark.parametrize(
    "words",
    [
        {"bandwidth": 0.1},
        {"model": "kde", "bandwidth": 0.0},
        {"model": "gaussian", "workflow": "edit"},
    ],
)
def test_what_does_not_go_together_is_refused(words):
    with pytest.raises(SynthError):
        synthtools.simulate(**words)
