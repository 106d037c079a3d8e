"""Linear regression iterated on its own data (ToEdit, section 3).

    x ~ N(0, I_d), y = x·w* + e, e ~ N(0, σ²); X has T samples and is the same in all generations
    Ỹ_1 = Xw* + E_1, w_n = X⁺Ỹ_n, Ŷ_n = Xw_{n-1} + E_n

``replace``, ``accumulate`` and ``accumulate-subsample`` (arXiv 2404.01413, 2410.16713) and ``edit``
(arXiv 2412.14689) differ in how Ỹ_n is made from Ŷ_n. These equations are simulated literally; ``iteration_theory`` has
the expressions and bounds. The test error is E‖w_n − w*‖², the excess over σ². All errors are linear in the noise and
do not depend on w*: the simulation works with deviations from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.errors import SynthError, parameter
from synthtools.scale.threads import in_order

Solve = Callable[[np.ndarray], np.ndarray]

# Weighted least squares with at least so many rows per feature, and features, are solved iteratively: their Gram
# matrix would cost several times as much, and differs little from that of X.
_ROWS_A_FEATURE = 8
_MANY_FEATURES = 256
_STEPS = 40
_TOLERANCE = 1e-6


def solver(gram: np.ndarray) -> Solve:
    """b → gram⁻¹ b by Cholesky's factors.

    Raises:
        np.linalg.LinAlgError: the matrix is singular.
    """
    from scipy.linalg import cho_factor, cho_solve

    factor = cho_factor(gram, lower=True, check_finite=False)
    return lambda b: cho_solve(factor, b, check_finite=False)


class Weighted:
    """Least squares over rows of X with integer weights, including 0.

    scipy's conjugate gradients on XᵀWX, preconditioned by the factors of XᵀX, with products in float32
    and everything else in float64: about twelve passes over X reduce the residual to 1e-6 of the right side,
    compared with a standard error of percents in the simulation.

    Args:
        x: float64 [samples, features]; solve: with (XᵀX)⁻¹.
    """

    def __init__(self, x: np.ndarray, solve: Solve) -> None:
        self._x = x
        self._solve = solve
        samples, features = x.shape
        stepwise = features >= _MANY_FEATURES and samples >= _ROWS_A_FEATURE * features
        self._single = x.astype(np.float32) if stepwise else None

    def solve(self, times: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """argmin Σᵢ timesᵢ (xᵢ·w)² − 2 labelsᵢ xᵢ·w, for labels that are sums over the times.

        Args:
            times: int [samples]; labels: float64 [samples], zero where times is.

        Returns:
            float64 [features].

        Raises:
            np.linalg.LinAlgError: the rows do not determine the features.
        """
        if self._single is not None:
            solution = self._stepwise(self._single, times, labels)
            if solution is not None:
                return solution
        used = np.flatnonzero(times)
        root = np.sqrt(times[used])
        weighted = self._x[used] * root[:, None]
        return solver(weighted.T @ weighted)(weighted.T @ (labels[used] / root))

    def _stepwise(self, x: np.ndarray, times: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        from scipy.sparse.linalg import LinearOperator, cg

        weights = times.astype(np.float32)
        shape = (x.shape[1],) * 2
        gram = LinearOperator(
            shape, lambda v: _moments(x, weights, v.astype(np.float32)), dtype=np.float64
        )
        inverse = LinearOperator(shape, self._solve, dtype=np.float64)
        moments = self._x.T @ labels
        solution, failed = cg(gram, moments, rtol=_TOLERANCE, maxiter=_STEPS, M=inverse)
        return None if failed else np.asarray(solution)


def _moments(x: np.ndarray, weights: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """XᵀWXv, float64, in one pass: a chunk of rows serves both products while it is in the cache."""
    moments = np.zeros(len(vector))
    for start in range(0, len(x), 1000):
        rows = x[start : start + 1000]
        moments += (weights[start : start + 1000] * (rows @ vector)) @ rows
    return moments


WORKFLOWS = ("replace", "accumulate", "accumulate-subsample", "edit")
MASKS = ("disjoint", "nested", "random")


@dataclass(frozen=True)
class LinearSetting:
    """The setting of a simulation.

    Attributes:
        samples: T; features: d, at most T − 2; noise: σ.
        edited: rows that each edit replaces, one number for each generation after the first.
        masks: which rows: ``disjoint`` from all earlier ones, ``nested`` in the one before, or a
            fresh ``random`` draw without replacement.
    """

    samples: int
    features: int
    noise: float
    generations: int
    edited: tuple[int, ...]
    masks: str = "disjoint"


def edited_rows(samples: int, generations: int, share: float, decay: float) -> tuple[int, ...]:
    """Rows of each mask: ``share`` of the samples, then ``decay`` times as many each time."""
    return tuple(round(samples * share * decay**k) for k in range(generations - 1))


def repetition(
    setting: LinearSetting,
    workflows: tuple[str, ...],
    seed: int,
    number: int,
    room: np.ndarray | None = None,
) -> np.ndarray:
    """Squared errors ‖w_n − w*‖² of one drawn X under each workflow.

    X belongs to (seed, number) and the noise to (seed, number, workflow): a workflow's numbers do not depend on
    which others are requested.

    Args:
        room: float64 [samples, features], a buffer for X; allocating it costs as much as drawing X.

    Returns:
        float64 [workflows, generations].

    Raises:
        SynthError: a subsample determines no model.
    """
    draw = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, 0)))
    x = np.empty((setting.samples, setting.features)) if room is None else room
    draw.standard_normal(out=x)
    solve = solver(x.T @ x)
    errors = np.empty((len(workflows), setting.generations))
    for row, name in enumerate(workflows):
        key = (number, 1 + WORKFLOWS.index(name))
        noise = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
        for generation, error in enumerate(_PROCESSES[name](setting, x, solve, noise)):
            errors[row, generation] = error @ error
    return errors


# Each process yields w_n − w* for n = 1, 2, …; labels are kept as deviations Ỹ − Xw*.


def _noise(
    setting: LinearSetting, draw: np.random.Generator, rows: int | None = None
) -> np.ndarray:
    return setting.noise * draw.standard_normal(setting.samples if rows is None else rows)


def _replace(
    setting: LinearSetting, x: np.ndarray, solve: Solve, draw: np.random.Generator
) -> Iterator[np.ndarray]:
    """Ỹ_n = Ŷ_n."""
    error = np.zeros(setting.features)
    for _ in range(setting.generations):
        error = error + solve(x.T @ _noise(setting, draw))  # X⁺X w_{n-1} = w_{n-1}
        yield error


def _accumulate(
    setting: LinearSetting, x: np.ndarray, solve: Solve, draw: np.random.Generator
) -> Iterator[np.ndarray]:
    """The pool of n·T samples (X, Ŷ_1), …, (X, Ŷ_n): its least squares are X⁺ of their mean."""
    error = np.zeros(setting.features)
    moments = np.zeros(setting.features)
    for generation in range(1, setting.generations + 1):
        moments += x.T @ (x @ error + _noise(setting, draw))
        error = solve(moments / generation)
        yield error


def _accumulate_subsample(
    setting: LinearSetting, x: np.ndarray, solve: Solve, draw: np.random.Generator
) -> Iterator[np.ndarray]:
    """T of the pool's n·T samples, without replacement, drawn again in each generation."""
    rows = setting.samples
    pool = np.empty((setting.generations, rows))
    weighted = Weighted(x, solve)
    error = np.zeros(setting.features)
    for generation in range(1, setting.generations + 1):
        pool[generation - 1] = x @ error + _noise(setting, draw)
        if generation == 1:
            error = solve(x.T @ pool[0])
            yield error
            continue
        taken = draw.choice(generation * rows, rows, replace=False, shuffle=False)
        row = taken % rows
        times = np.bincount(row, minlength=rows)
        labels = np.bincount(row, pool[:generation].reshape(-1)[taken], minlength=rows)
        distinct = np.count_nonzero(times)
        try:
            error = weighted.solve(times, labels)
        except np.linalg.LinAlgError:
            error = np.full(setting.features, np.inf)
        if distinct < setting.features or not np.isfinite(error).all():
            raise SynthError(
                f"accumulate-subsample: a subsample of {rows:,} holds {distinct:,} distinct "
                f"samples and determines no {setting.features:,} features; give "
                f"{parameter('samples')} at least {2 * setting.features:,}"
            )
        yield error


def _edit(
    setting: LinearSetting, x: np.ndarray, solve: Solve, draw: np.random.Generator
) -> Iterator[np.ndarray]:
    """Ỹ_n = M_{n-1}Ŷ_n + (1 − M_{n-1})Ỹ_{n-1}."""
    labels = _noise(setting, draw)
    moments = x.T @ labels
    error = solve(moments)
    yield error
    start = 0
    for count in setting.edited:
        # The rows of X are exchangeable and the masks independent of them: adjacent rows are as good as any
        # others, and need no copy.
        rows: Any = slice(start, start + count)
        if setting.masks == "random":
            rows = np.sort(draw.choice(setting.samples, count, replace=False, shuffle=False))
        elif setting.masks == "disjoint":
            start += count
        part = x[rows]
        drawn = part @ error + _noise(setting, draw, count)
        moments = moments + part.T @ (drawn - labels[rows])
        labels[rows] = drawn
        error = solve(moments)
        yield error


_PROCESSES = {
    "replace": _replace,
    "accumulate": _accumulate,
    "accumulate-subsample": _accumulate_subsample,
    "edit": _edit,
}


def repetitions(
    setting: LinearSetting, workflows: tuple[str, ...], seed: int, count: int, jobs: int
) -> np.ndarray:
    """Squared errors of many drawn X, float64 [count, workflows, generations].

    Repetitions run in parallel, each on one core: the numbers do not depend on ``jobs``.
    """
    import scipy.linalg  # noqa: F401 (its libraries must be loaded to be limited)
    from threadpoolctl import threadpool_limits

    # Chunks do not depend on the number of cores; without them small problems would spend their time queueing.
    chunk = max(1, 200_000 // (setting.samples * setting.features))

    own = threading.local()

    def work(start: int) -> list[np.ndarray]:
        if not hasattr(own, "room"):
            own.room = np.empty((setting.samples, setting.features))
        numbers = range(start, min(count, start + chunk))
        return [repetition(setting, workflows, seed, number, own.room) for number in numbers]

    with threadpool_limits(1, "blas"):
        parts = in_order(range(0, count, chunk), work, jobs)
        squared = [errors for part in parts for errors in part]
    return np.array(squared)
