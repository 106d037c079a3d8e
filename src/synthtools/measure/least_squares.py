"""Least squares of many labels over one X, and of rows that count several times."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Solve = Callable[[np.ndarray], np.ndarray]

# Weighted least squares of so many rows a feature, and so many features, are found step by step: their
# Gram matrix would cost several times as much, and differs little from that of X.
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
    """Least squares over rows of X that count several times or not at all.

    scipy's conjugate gradients on XᵀWX, preconditioned by the factors of XᵀX, with products in float32
    and everything else in float64: some twelve passes over X bring the residual to 1e-6 of the right
    side, against a standard error of percents in what is simulated.

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
        solution = None
        if self._single is not None:
            solution = self._stepwise(self._single, times, labels)
        return self._at_once(times, labels) if solution is None else solution

    def _at_once(self, times: np.ndarray, labels: np.ndarray) -> np.ndarray:
        there = np.flatnonzero(times)
        root = np.sqrt(times[there])
        weighted = self._x[there] * root[:, None]
        return solver(weighted.T @ weighted)(weighted.T @ (labels[there] / root))

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
