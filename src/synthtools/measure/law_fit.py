"""Laws fitted to runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from synthtools.errors import SynthError, near, parameter
from synthtools.measure.laws import PARTS, Law, Values

# The number of starts from which the search continues [ours].
_STARTS = 12
_EDGES = np.log([0.01, 10.0])
_COORDINATES = 700.0
_STEP = 1e-30
_APART = 1e-6
_NOTHING = 1e300
# Ridge penalties, chosen by leave-one-out error, in units of the features' variance [ours].
_PENALTIES = np.logspace(-8, 2, 21)
# Settings of boosted trees [ours]; with them, the ranking of RegMix's published runs agrees with that of its trees.
_TREES = {"n_estimators": 300, "max_depth": 6, "learning_rate": 0.05, "min_samples_leaf": 5}
_FEWEST_FOR_TREES = 20


@dataclass
class Runs:
    """Runs that a law is fitted to.

    Attributes:
        x: float64 [rows] of each of the law's variables; y: float64 [rows].
        delta: where Huber's loss of ln(predicted/observed) changes from squares to absolute values.
        fixed: given parameters.
    """

    law: Law
    x: Values
    y: np.ndarray
    delta: float
    fixed: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        logs = {name: np.log(x[x > 0]) for name, x in self.x.items()}
        self.middle = {k: float(np.exp(v.mean())) if len(v) else 1.0 for k, v in logs.items()}
        for name in self.fixed:
            if name not in self.law.parameters:
                raise SynthError(
                    f"{parameter('fix', name)}: the law has no such parameter"
                    f"{near(name, self.law.parameters)}"
                )
            if self.fixed[name] < 0 and name not in self.law.signed:
                raise SynthError(f"{parameter('fix', name)}: must be at least 0 in this law")
        self.free = [at for at, n in enumerate(self.law.parameters) if n not in self.fixed]

    def take(self, rows: np.ndarray) -> Runs:
        x = {name: values[rows] for name, values in self.x.items()}
        return Runs(self.law, x, self.y[rows], self.delta, self.fixed)

    def fault(self, fields: dict[str, str]) -> str | None:
        """Why these rows do not determine a law, None if they may. ``fields``: names of the variables."""
        needed, rows = len(self.free), len(self.y)
        if self.law.trees and rows < _FEWEST_FOR_TREES:
            return f"{rows} rows for boosted trees; give at least {_FEWEST_FOR_TREES}"
        if rows <= needed:
            return f"{rows} rows for {needed} parameters; give at least {needed + 1}"
        for name, values in self.x.items():
            if np.ptp(values) == 0:
                return f"{fields[name]} is {values[0]:g} in all rows, so that its effect is unknown"
        different = len(np.unique(np.column_stack(list(self.x.values())), axis=0))
        if different < needed and not self.law.ridge:
            return f"{different} different settings for {needed} parameters; give at least {needed}"
        return None

    def fitted(self, weights: np.ndarray | None = None, start: Fit | None = None) -> Fit:
        """Minimises the mean of Huber's loss of ln predicted − ln observed (Hoffmann et al. 2022) by L-BFGS
        from the best of a grid of starts; for ``ridge`` laws ridge regression, for ``trees`` boosted trees.

        Args:
            weights: of the rows, with mean 1; start: the start, instead of the grid.
        """
        if self.law.ridge:
            return Fit(self, _ridge(self, np.ones(len(self.y)) if weights is None else weights))
        if self.law.trees:
            return _boosted(self, weights)
        from scipy.optimize import minimize

        at, weighing = self.free, np.ones(len(self.y)) if weights is None else weights
        starts = _starts(self) if start is None else start.coordinates[None]
        low, high = np.full(starts.shape[1], -_COORDINATES), np.full(starts.shape[1], _COORDINATES)
        for name in self.law.exponents:
            place = self.law.parameters.index(name)
            low[place], high[place] = _EDGES
        best, least = starts[0], np.inf
        for coordinates in starts if at else ():
            optimum = minimize(
                lambda moved, base=coordinates: self._loss(_placed(base, at, moved), weighing),
                np.clip(coordinates, low, high)[at],
                jac=True,
                method="L-BFGS-B",
                bounds=np.column_stack([low, high])[at],
                options={
                    "maxiter": 2000,
                    "maxfun": 5000,
                    "maxcor": 20,
                    "ftol": 1e-15,
                    "gtol": 1e-10,
                },
            )
            if optimum.fun < least:
                best, least = _placed(coordinates, at, optimum.x), optimum.fun
        if at and least >= _NOTHING:
            raise SynthError(
                f"this law has no finite loss on these rows; check them and {parameter('fix')}"
            )
        return Fit(self, best)

    def _loss(self, coordinates: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Mean loss in units of delta², and its derivatives with respect to the free coordinates."""
        apart, slopes = self.residuals(coordinates)
        with np.errstate(all="ignore"):
            loss = float(np.mean(weights * _huber(apart)))
            gradient = (weights * np.clip(apart, -1, 1) * slopes).mean(axis=1)
        if not np.isfinite(loss) or not np.isfinite(gradient).all():
            return _NOTHING, np.zeros(len(self.free))
        return loss, gradient

    def residuals(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ln predicted − ln observed)/delta, float64 [rows], and its derivatives [free, rows]."""
        moved = coordinates + 1j * _STEP * np.eye(len(coordinates))[self.free]
        with np.errstate(all="ignore"):
            predicted = self.law.curve(self.law.natural(moved, self.middle, self.fixed), self.x)
            apart = (np.log(predicted) - np.log(self.y)) / self.delta
        return apart[0].real, apart.imag / _STEP


def _huber(values: np.ndarray) -> np.ndarray:
    size = np.abs(values)
    return np.where(size <= 1, size * size / 2, size - 0.5)


def _placed(coordinates: np.ndarray, at: list[int], values: np.ndarray) -> np.ndarray:
    whole = coordinates.copy()
    whole[at] = values
    return whole


def _starts(runs: Runs) -> np.ndarray:
    """The best starts, float64 [starts, coordinates]."""
    law, least = runs.law, float(runs.y.min())
    if all(law.starts.values()):
        values = [
            [v * least if law.starts[name] is PARTS else v for v in law.starts[name]]
            if name not in runs.fixed
            else [1.0]
            for name in law.parameters
        ]
        starts = np.log(np.array(list(product(*values))))
    else:
        starts = np.array([_regressed(runs, part) for part in np.linspace(0, 0.98, 15) * least])
    losses = []
    for part in np.array_split(starts, -(-len(starts) * len(runs.y) // 4_000_000)):
        with np.errstate(all="ignore"):
            predicted = law.curve(law.natural(part, runs.middle, runs.fixed), runs.x)
            losses.append(_huber((np.log(predicted) - np.log(runs.y)) / runs.delta).mean(axis=-1))
    order = np.argsort(np.nan_to_num(np.concatenate(losses), nan=np.inf), kind="stable")
    best: np.ndarray = starts[order[:_STARTS]]
    return best


def _regressed(runs: Runs, offset: float) -> list[float]:
    """Coordinates of the mixing law with this c: ln(L − c) is linear in the shares."""
    names = [name.removeprefix("t_") for name in runs.law.signed]
    columns = np.column_stack([np.ones(len(runs.y)), *(runs.x[name] for name in names)])
    solution = np.linalg.lstsq(columns, np.log(runs.y - offset), rcond=None)[0]
    return [np.log(max(offset, 1e-3 * float(runs.y.min()))), *solution.tolist()]


def _ridge(runs: Runs, weights: np.ndarray) -> np.ndarray:
    """Coefficients of the polynomial; the penalty minimises the leave-one-out error."""
    size = len(runs.law.parameters)
    features = np.column_stack(
        [
            np.broadcast_to(runs.law.curve(dict(zip(runs.law.parameters, row, strict=True)), runs.x),
                            runs.y.shape)
            for row in np.eye(size)[1:]
        ]
    )  # fmt: skip
    shares = weights / weights.sum()
    centre, level = shares @ features, float(shares @ runs.y)
    apart = features - centre
    scale = np.sqrt(shares @ apart**2) + 1e-300
    roots = np.sqrt(shares)
    left, singular, right = np.linalg.svd(apart / scale * roots[:, None], full_matrices=False)
    projected = left.T @ (roots * (runs.y - level))
    best, least = np.zeros(size - 1), np.inf
    for penalty in _PENALTIES:
        kept = singular**2 / (singular**2 + penalty)
        hat = np.minimum(left**2 @ kept + shares, 1 - 1e-9)
        residuals = (roots * (runs.y - level) - left @ (kept * projected)) / (1 - hat)
        if (error := float(residuals @ residuals)) < least:
            least = error
            best = right.T @ (singular / (singular**2 + penalty) * projected) / scale
    return np.array([level - centre @ best, *best])


def _boosted(runs: Runs, weights: np.ndarray | None) -> Fit:
    """Boosted least-squares trees, from one thread: the same bytes on every machine."""
    from sklearn.ensemble import GradientBoostingRegressor

    shares = np.column_stack(list(runs.x.values()))
    trees = GradientBoostingRegressor(**_TREES, random_state=0).fit(shares, runs.y, weights)

    def curve(_: Values, x: Values) -> np.ndarray:
        predicted: np.ndarray = trees.predict(np.column_stack(list(x.values())))
        return predicted

    return Fit(replace(runs, law=replace(runs.law, curve=curve)), np.zeros(0))


@dataclass(frozen=True)
class Fit:
    """A law with its parameters: ``coordinates`` [parameters]; those of fixed parameters have no meaning."""

    runs: Runs
    coordinates: np.ndarray

    def _values(self) -> Values:
        law = self.runs.law
        if law.ridge:
            return dict(zip(law.parameters, self.coordinates[:, None], strict=True))
        return law.natural(self.coordinates, self.runs.middle, self.runs.fixed)

    def parameters(self) -> dict[str, float]:
        return {n: float(v[0]) for n, v in self._values().items()}

    def predict(self, x: Values) -> np.ndarray:
        """The loss, float64 [rows]."""
        rows = len(next(iter(x.values())))
        predicted: np.ndarray = np.broadcast_to(self.runs.law.curve(self._values(), x), (rows,))
        return predicted

    def at_edges(self) -> list[str]:
        """Exponents at the bounds of the search."""
        parameters = self.parameters()
        return [
            name
            for name in self.runs.law.exponents
            if name not in self.runs.fixed and np.isclose(np.log(parameters[name]), _EDGES).any()
        ]

    def determined(self) -> bool:
        """Whether the rows identify the parameters: they do not if predictions hardly change along some direction
        of the parameters [ours]."""
        if self.runs.law.ridge or not self.runs.free:
            return True
        slopes = self.runs.residuals(self.coordinates)[1]
        size = np.linalg.norm(slopes, axis=1, keepdims=True)
        if not size.all():
            return False
        return bool(np.linalg.svd(slopes / size, compute_uv=False)[-1] > _APART)

    def errors(self, runs: Runs) -> dict[str, float]:
        """Relative errors of the law on runs."""
        apart = self.predict(runs.x) / runs.y - 1
        return {
            "mean_relative_error": float(np.abs(apart).mean()),
            "largest_relative_error": float(np.abs(apart).max()),
            "bias": float(apart.mean()),
        }
