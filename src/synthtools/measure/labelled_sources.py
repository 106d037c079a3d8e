"""Sources of labelled documents, and a classifier of the two labels that is calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_FOLDS = 5
_PENALTY = 0.3
# A number farther from the mean, in standard deviations, tells no more [ours].
_FARTHEST = 3.0
_STEPS = 100


class LabelledSource(NamedTuple):
    """Documents of one label.

    Attributes:
        features: float64 [documents, numbers]; words: the frequent ones, of its language; none where its
            documents share none.
    """

    name: str
    synthetic: bool
    features: np.ndarray
    words: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Pool:
    """The documents of all sources, one after the other.

    Attributes:
        features: [n, d]; source: int [n]; synthetic: bool [sources].
    """

    features: np.ndarray
    source: np.ndarray
    synthetic: np.ndarray

    @classmethod
    def of(cls, sources: Sequence[LabelledSource]) -> Pool:
        numbers = np.repeat(np.arange(len(sources)), [len(s.features) for s in sources])
        labels = np.array([s.synthetic for s in sources])
        return cls(np.concatenate([s.features for s in sources]), numbers, labels)

    @property
    def labels(self) -> np.ndarray:
        return self.synthetic[self.source]

    def weights(self, counts: np.ndarray | None = None) -> np.ndarray:
        """Of documents, so that both classes weigh 1, and the sources of a class the same.

        Args:
            counts: how often each document is there, once by default.
        """
        counts = np.ones(len(self.source)) if counts is None else counts
        sizes = np.bincount(self.source, counts, len(self.synthetic))
        of_class = np.where(self.synthetic, self.synthetic.sum(), (~self.synthetic).sum())
        return counts / np.maximum(sizes * of_class, 1e-300)[self.source]

    def whitened(self, features: np.ndarray) -> np.ndarray:
        """Features in which the documents of a source have variance 1 and no correlations."""
        means = np.array(
            [self.features[self.source == k].mean(0) for k in range(len(self.synthetic))]
        )
        values, vectors = np.linalg.eigh(np.cov((self.features - means[self.source]).T))
        return features @ (vectors / np.sqrt(np.maximum(values, 1e-12)))

    def without(self, source: int) -> Pool:
        kept = np.arange(len(self.synthetic)) != source
        rows = kept[self.source]
        numbers = (np.cumsum(kept) - 1)[self.source[rows]]
        return Pool(self.features[rows], numbers, self.synthetic[kept])


def logistic(x: np.ndarray, y: np.ndarray, weights: np.ndarray, penalty: float) -> np.ndarray:
    """Coefficients and, last, the intercept of the least Σ w·loss + penalty/2·‖coefficients‖², by
    Newton's method.

    Args:
        x: [n, d]; y: bool [n]; weights: [n].
    """
    x = np.column_stack([x, np.ones(len(x))])
    ridge = np.full(x.shape[1], penalty)
    ridge[-1] = 1e-9
    solution = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = expit(x @ solution)
        gradient = x.T @ (weights * (p - y)) + ridge * solution
        curvature = (x * (weights * p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        solution -= step * min(1.0, 5 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-8:
            break
    return solution


def expit(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -500, 500)))


class Classifier:
    """Log-odds of synthetic against human, where both are as frequent.

    Attributes:
        held_out: the log-odds of the pool's own documents, each by a classifier that has not seen it.
        calibration: slope and intercept that make log-odds calibrated.
    """

    def __init__(self, pool: Pool) -> None:
        self._mean = pool.features.mean(axis=0)
        self._scale = pool.features.std(axis=0) + 1e-12
        x, y = self._normal(pool.features), pool.labels
        weights = pool.weights() * len(y) / 2
        self._solution = logistic(x, y, weights, _PENALTY)
        self.held_out: np.ndarray = np.zeros(len(y))
        fold = np.arange(len(y)) % _FOLDS
        for number in range(_FOLDS):
            own = fold == number
            solution = logistic(x[~own], y[~own], weights[~own], _PENALTY)
            self.held_out[own] = x[own] @ solution[:-1] + solution[-1]
        self.calibration = calibrated(pool, self.held_out, np.ones(len(y)))

    def _normal(self, features: np.ndarray) -> np.ndarray:
        x = np.clip((features - self._mean) / self._scale, -_FARTHEST, _FARTHEST)
        return np.column_stack([x, x * x])

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Float64 [n], before calibration."""
        return self._normal(features) @ self._solution[:-1] + self._solution[-1]


def calibrated(pool: Pool, log_odds: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the logistic regression on held-out log-odds (Platt).

    Args:
        counts: [N], how often each document of the pool is there.
    """
    labels, weights = pool.labels, pool.weights(counts) * len(counts) / 2
    slope, intercept = logistic(log_odds[:, None], labels, weights, 1e-3)
    return float(slope), float(intercept)
