"""How often the intervals of `synth fit` hold the true parameters, and how often `synth diff --generations` warns
of loops in which nothing changes.

LAWS_LOOPS (100) simulations of a power law, three fifths as many of Hoffmann et al.'s, twice as many loops: ten
minutes.
"""

import os

import numpy as np

from benchmarks.common import machine
from synthtools.evaluate.generations import followed
from synthtools.measure.law_fit import Runs
from synthtools.measure.law_study import study
from synthtools.measure.laws import LAWS
from synthtools.measure.record_numbers import summary

# Besiroglu et al. 2024's constants of Hoffmann et al.'s law.
CHINCHILLA = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
POWER = {"E": 1.7, "A": 400, "alpha": 0.3}
NOISE = 5e-3
DISTRIBUTIONS = {
    "gamma": lambda draw, size: draw.gamma(3, 50, size),
    "normal": lambda draw, size: draw.standard_normal(size),
    "log-normal": lambda draw, size: np.exp(draw.standard_normal(size)),
    "uniform": lambda draw, size: draw.random(size),
}


def covered(name, x, true, loops):
    """Shares of the loops in which the 95 % interval of each parameter holds the true value."""
    (law,) = LAWS[name]
    exact = law.curve({key: np.array([value]) for key, value in true.items()}, x)
    draw = np.random.default_rng(0)
    hits = dict.fromkeys(true, 0)
    for seed in range(loops):
        y = exact * np.exp(NOISE * draw.standard_normal(len(exact)))
        fields = {variable: variable for variable in law.variables}
        runs = [Runs(law, x, y, 1e-3)]
        (fit,) = study(runs, ["L"], fields, 0, 200, seed, (None, None), {})["fits"]
        for key, value in true.items():
            low, high = fit["intervals"][key]
            hits[key] += low <= value <= high
    return {key: count / loops for key, count in hits.items()}


def main():
    loops = int(os.environ.get("LAWS_LOOPS", 100))
    print(machine())
    for count in (12, 40):
        shares = covered("power", {"x": np.geomspace(1e6, 1e9, count)}, POWER, loops)
        print(f"power, {count} rows, noise {NOISE:.1%}: {shares}", flush=True)
    tokens = np.tile(np.geomspace(5e9, 5e11, 8), 10)
    x = {"N": np.repeat(np.geomspace(7e7, 1.6e10, 10), 8), "D": tokens}
    print(
        f"chinchilla, 80 rows: {covered('chinchilla', x, CHINCHILLA, 3 * loops // 5)}", flush=True
    )
    draw = np.random.default_rng(0)
    for name, sample in DISTRIBUTIONS.items():
        for size in (100, 300, 2000):
            found = [
                followed([{"kind": "x", **summary(sample(draw, size))} for _ in range(10)], [])
                for _ in range(2 * loops)
            ]
            warned = sum(one["warning"] is not None for one in found)
            falling = sum(one["verdict"] == "collapsing" for one in found)
            print(f"{name}, {size} documents: {warned} of {len(found)} warn, {falling} collapse")
