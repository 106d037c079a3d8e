"""How often the intervals of `synth fit` hold the true parameters, and how often `synth diff --generations` warns
of loops in which nothing changes; published fits, from their published runs.

LAWS_LOOPS (100) simulations of a power law, three fifths as many of Hoffmann et al.'s, twice as many loops: ten
minutes of a core. LAWS_DATA=DIR, three more: DIR holds data/svg_extracted_data.csv of
github.com/epoch-research/analyzing-chinchilla, and data/*.csv of github.com/sail-sg/regmix.
"""

import csv
import os
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.common import machine
from synthtools.evaluate.generations import followed
from synthtools.measure.law_fit import Runs
from synthtools.measure.law_study import best_mixture, study
from synthtools.measure.laws import LAWS, mixture
from synthtools.measure.record_numbers import summaries

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


def columns(place, *names):
    """Numbers of a CSV file, by column; all but the number of the run where none is named."""
    with open(place, newline="") as file:
        rows = list(csv.DictReader(file))
    names = names or [name for name in rows[0] if name != "index"]
    return {name: np.array([float(row[name]) for row in rows]) for name in names}


def chinchilla(folder):
    """Besiroglu et al. 2024: 245 runs read from a figure of Hoffmann et al., the five worst left out."""
    size, flop, loss = columns(
        folder / "svg_extracted_data.csv", "Model Size", "Training FLOP", "loss"
    ).values()
    kept = np.argsort(loss)[:-5]
    (law,) = LAWS["chinchilla"]
    x = {"N": size[kept], "D": (flop / 6 / size)[kept]}
    report = study(
        [Runs(law, x, loss[kept], 1e-3)],
        ["L"],
        {"N": "N", "D": "D"},
        0.2,
        1000,
        0,
        (5.76e23, None),
        {},
    )
    (fit,) = report["fits"]
    hoffmann = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
    for name, (low, high) in fit["intervals"].items():
        one, other = (
            f"{value} is {'within' if low <= value <= high else 'outside'}"
            for value in (CHINCHILLA[name], hoffmann[name])
        )
        print(
            f"chinchilla {name} = {fit['figures'][name]:.4g} [{low:.4g}, {high:.4g}]: {one}, {other}"
        )
    print("at 5.76e23 FLOP:", report["optimum"])
    print("left out:", fit["held_out"])


def regmix(folder):
    """Liu et al. 2024: the losses on 13 parts of the Pile of 512 models of 1M parameters, and of others."""
    shares, losses = (columns(folder / f"train_{what}_1m.csv") for what in ("mixture", "pile_loss"))
    others = {
        size: [columns(folder / f"test_{what}_{size}.csv") for what in ("mixture", "pile_loss")]
        for size in ("1m", "1B")
    }
    for name in ("quadratic", "regmix", "mixing"):
        ranks = []
        law = mixture(name, list(shares), np.column_stack(list(shares.values())))
        for loss, y in losses.items():
            # The exponential law takes 13 s a loss.
            if name == "mixing" and "pile_cc" not in loss:
                continue
            fit = Runs(law, shares, y, 1e-3).fitted()
            rank = {
                size: float(spearmanr(fit.predict(x), other[loss]).statistic)
                for size, (x, other) in others.items()
            }
            ranks.append(rank)
            if "pile_cc" in loss:
                best = best_mixture([fit], 0)
                most = {part: share for part, share in best.items() if share > 0.01}
                print(f"{name}, Pile-CC: rank correlation {rank}, best {most}", flush=True)
        means = {size: np.mean([one[size] for one in ranks]) for size in others}
        print(f"{name}: mean over {len(ranks)} losses {means}", flush=True)


def main():
    if folder := os.environ.get("LAWS_DATA"):
        chinchilla(Path(folder))
        regmix(Path(folder))
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
                followed(
                    [
                        {"kind": "x", **summaries(sample(draw, size), np.array([0, size]))[0]}
                        for _ in range(10)
                    ],
                    [],
                )
                for _ in range(2 * loops)
            ]
            warned = sum(one["warning"] is not None for one in found)
            falling = sum(one["verdict"] == "collapsing" for one in found)
            print(f"{name}, {size} documents: {warned} of {len(found)} warn, {falling} collapse")
