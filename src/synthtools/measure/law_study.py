"""The study of a law: its parameters with intervals, its error on held-out runs, the optimum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from synthtools.measure.bootstrap import intervals
from synthtools.measure.law_fit import Fit, Runs
from synthtools.measure.laws import Values, adds_to_one

# Candidate mixtures [ours].
_MIXTURES = 4096
# For trees: mixtures drawn, and the number of the best that are averaged, as in RegMix.
_DRAWN, _BEST = 16384, 128
# FLOPs of training a transformer: 6 per parameter and token (Kaplan et al. 2020).
FLOPS = 6
_CURVE = 41
_GRID = 512

Figures = dict[str, float]


def study(
    runs: Sequence[Runs],
    losses: Sequence[str],
    fields: dict[str, str],
    held_out: float,
    resamples: int,
    seed: int,
    budget: tuple[float | None, float | None],
    at: Figures,
) -> dict[str, Any]:
    """The report of a fit, without its head.

    Args:
        runs: the same runs with each of the losses; fields: of the variables.
        held_out: share of the rows that the second fit leaves out.
        budget: FLOPs and unique tokens; at: fields of a run whose loss is predicted.
    """
    law = runs[0].law
    fits = [one.fitted() for one in runs]
    held = _left_out(runs[0], held_out, seed)
    notes = []
    small = None
    if held.any():
        parts = [one.take(~held) for one in runs]
        fault = parts[0].fault(fields)
        small = None if fault else [one.fitted() for one in parts]
        notes += [f"nothing is held out: without it, {fault}"] if fault else []
    if not all(fit.determined() for fit in fits):
        notes.append("the rows do not identify these parameters: vary the variables independently")
    edges = {name: fit.parameters()[name] for fit in fits for name in fit.at_edges()}
    notes += [
        f"{name} is at its bound, {v:g}: the runs are not of this form" for name, v in edges.items()
    ]
    points = _grid(runs[0])

    def figures(some: Sequence[Fit]) -> list[Figures]:
        best = _best(some, budget, seed)
        named = {fields.get(name, name): value for name, value in best.items()}
        figures = {}
        if at:
            x = {name: np.array([at[field]]) for name, field in fields.items()}
            figures = {y: float(one.predict(x)[0]) for y, one in zip(losses, some, strict=True)}
        curves = [dict(enumerate(one.predict(points).tolist())) if points else {} for one in some]
        return [*(one.parameters() for one in some), named, figures, *curves]  # type: ignore[list-item]

    table = [figures(fits), *map(figures, _resampled(fits, resamples, seed))]
    # Reweighted trees have other splits: corrected for that bias, an interval would exclude the estimate.
    columns = [_estimated(list(column), not law.trees) for column in zip(*table, strict=True)]
    count = len(fits)
    best, deviations = columns[count], columns[count + 1]
    notes += _beyond(runs[0], best["figures"], fields, budget[0])
    return {
        "formula": law.formula,
        "variables": fields,
        "fixed": runs[0].fixed,
        "rows": len(held),
        "fits": [
            {
                "y": losses[place],
                **columns[place],
                "error": fits[place].errors(runs[place]),
                "held_out": _held_out(small[place], runs[place], held) if small else None,
                "points": _points(fits[place], small[place] if small else None, fields, held),
                "curve": _curve(points, columns[count + 2 + place]),
            }
            for place in range(count)
        ],
        "optimum": best if best["figures"] else None,
        "prediction": {"at": at, **deviations} if at else None,
        "notes": notes,
    }


def _best(fits: Sequence[Fit], budget: tuple[float | None, float | None], seed: int) -> Figures:
    """The minimum of the mean loss: variables, and the loss as ``L``; empty if there is none."""
    law = fits[0].runs.law
    if law.shares:
        return best_mixture(fits, seed)
    if "k" in law.parameters:
        return best_weight(fits)
    return {} if budget[0] is None else best_size(fits, budget[0], budget[1])


def _beyond(runs: Runs, best: Figures, fields: dict[str, str], flops: float | None) -> list[str]:
    """Notes on optima outside the range of the runs."""
    law, notes = runs.law, []
    if flops is not None:
        times = flops / (FLOPS * float((runs.x["N"] * runs.x["D"]).max()))
        notes += [f"the budget is {times:.3g} times that of the largest run"] if times > 1 else []
    if law.shares:
        ends = {f: (runs.x[v].min() - 1e-9, runs.x[v].max() + 1e-9) for v, f in fields.items()}
        out = [field for field, (low, high) in ends.items() if not low <= best[field] <= high]
        notes += [f"the best share of {field} is outside those of the runs" for field in out]
    return notes


def _estimated(rows: list[Figures], corrected: bool) -> dict[str, Any]:
    """Figures and their 95 % intervals; the first row is the estimate."""
    names = list(rows[0])
    table = np.array([[row[name] for name in names] for row in rows])
    return {"figures": rows[0], "intervals": intervals(names, table[1:], table[0], corrected)}


def _grid(runs: Runs) -> Values:
    """Points along the only variable; empty if there are several."""
    if len(runs.x) > 1:
        return {}
    name, x = next(iter(runs.x.items()))
    if runs.law.size and x.min() > 0:
        return {name: np.geomspace(x.min(), x.max(), _CURVE)}
    return {name: np.linspace(x.min(), x.max(), _CURVE)}


def _curve(points: Values, column: dict[str, Any]) -> dict[str, Any] | None:
    if not points:
        return None
    known = [one or [np.nan, np.nan] for one in column["intervals"].values()]
    low, high = np.array(known).T.tolist() if known else (None, None)
    x = next(iter(points.values())).tolist()
    return {"x": x, "predicted": list(column["figures"].values()), "low": low, "high": high}


def _held_out(small: Fit, runs: Runs, held: np.ndarray) -> dict[str, Any]:
    """The error of a law fitted to the other rows on those left out."""
    left = runs.take(held)
    size = runs.law.size
    least = float(np.prod([left.x[v] for v in size], axis=0).min()) if size else None
    return {
        "rows": int(held.sum()),
        "from_size": least,
        **small.errors(left),
        "parameters": small.parameters(),
    }


def _points(
    fit: Fit, small: Fit | None, fields: dict[str, str], held: np.ndarray
) -> list[dict[str, Any]]:
    """Each row: its fields, the observed loss, the predicted one, and the one predicted if it is held out."""
    x, y = fit.runs.x, fit.runs.y
    predicted = fit.predict(x)
    blind = None if small is None else small.predict(x)
    return [
        {
            "x": {field: float(x[v][row]) for v, field in fields.items()},
            "observed": float(y[row]),
            "predicted": float(predicted[row]),
            "held_out": None if blind is None or not held[row] else float(blind[row]),
        }
        for row in range(len(y))
    ]


def _left_out(runs: Runs, share: float, seed: int) -> np.ndarray:
    """The held-out rows, bool [rows]: the largest, equal sizes together; random ones if no variable is a size."""
    count = round(share * len(runs.y))
    if count == 0:
        return np.zeros(len(runs.y), bool)
    size = np.random.default_rng(np.random.SeedSequence(seed)).random(len(runs.y))
    if runs.law.size:
        size = np.prod([runs.x[name] for name in runs.law.size], axis=0)
    held: np.ndarray = size >= np.sort(size)[-count]
    return held


def _resampled(fits: Sequence[Fit], resamples: int, seed: int) -> Iterator[list[Fit]]:
    """The same fits to rows weighted by Dirichlet(1, …, 1), the Bayesian bootstrap (Rubin 1981): with few runs,
    draws with replacement would often miss all runs of one size [ours]. Laws of several losses share weights."""
    draw = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    for _ in range(resamples):
        weights = draw.standard_exponential(len(fits[0].runs.y))
        weights /= weights.mean()
        yield [fit.runs.fitted(weights, fit) for fit in fits]


def best_size(fits: Sequence[Fit], flops: float, unique: float | None) -> Figures:
    """Parameters and tokens that minimise the mean loss at 6·N·D FLOPs."""
    budget = flops / FLOPS

    def at(log_size: np.ndarray) -> Values:
        size = np.exp(log_size)
        return {"N": size, "D": budget / size, "U": np.full(size.shape, unique or np.inf)}

    log_size, loss = _least(fits, at, (0, np.log(budget)))
    return {"N": float(np.exp(log_size)), "D": float(budget / np.exp(log_size)), "L": loss}


def best_weight(fits: Sequence[Fit]) -> Figures:
    """The weight of human text that minimises the mean loss; for one loss (√(k² + 4k) − k)/2."""
    weight, loss = _least(fits, lambda w: {"w": w}, (1e-3, 1))
    return {"w": weight, "L": loss}


def _least(
    fits: Sequence[Fit], at: Callable[[np.ndarray], Values], ends: tuple[float, float]
) -> tuple[float, float]:
    """The minimum of the mean loss between two ends, and that loss."""
    from scipy.optimize import minimize_scalar

    grid = np.linspace(*ends, _GRID)
    place = int(np.argmin(_mean(fits, at(grid))))
    optimum = minimize_scalar(
        lambda one: float(_mean(fits, at(np.array([one])))[0]),
        bounds=(grid[max(place - 1, 0)], grid[min(place + 1, _GRID - 1)]),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(optimum.x), float(optimum.fun)


def best_mixture(fits: Sequence[Fit], seed: int) -> Figures:
    """The shares that minimise the mean loss, with a sum of 1 if those of the runs have it, else of at most 1.

    Trees have no gradient: for them, the mean of the best of many shares drawn around the runs', as in Liu et al.
    2024.
    """
    from scipy.optimize import minimize

    runs = fits[0].runs
    names = list(runs.x)
    shares = np.column_stack(list(runs.x.values()))
    of_one = adds_to_one(shares)
    parts = len(names) + (not of_one)
    draw = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    if runs.law.trees:
        centre = shares.mean(axis=0)
        centre = np.append(centre, 1 - centre.sum())[:parts]
        tried = draw.dirichlet(np.maximum(centre, 1e-3), _DRAWN)
    else:
        tried = np.vstack([np.eye(parts), draw.dirichlet(np.ones(parts), _MIXTURES)])
    tried = tried[:, : len(names)]

    def loss(shares: np.ndarray) -> np.ndarray:
        return _mean(fits, dict(zip(names, np.atleast_2d(shares).T, strict=True)))

    if runs.law.trees:
        best = tried[np.argsort(loss(tried), kind="stable")[:_BEST]].mean(axis=0)
        return {**dict(zip(names, best.tolist(), strict=True)), "L": float(loss(best)[0])}
    begin = tried[int(np.argmin(loss(tried)))]
    optimum = minimize(
        lambda shares: float(loss(shares)[0]),
        begin,
        method="SLSQP",
        bounds=[(0, 1)] * len(names),
        constraints={"type": "eq" if of_one else "ineq", "fun": lambda s: 1 - s.sum()},
        options={"ftol": 1e-12, "maxiter": 200},
    ).x
    optimum = np.clip(optimum, 0, 1)
    best = optimum if loss(optimum)[0] <= loss(begin)[0] else begin
    return {**dict(zip(names, best.tolist(), strict=True)), "L": float(loss(best)[0])}


def _mean(fits: Sequence[Fit], x: Values) -> np.ndarray:
    mean: np.ndarray = np.mean([fit.predict(x) for fit in fits], axis=0)
    return mean
