"""Densities repeatedly fitted to their own samples (arXiv 2410.16713).

Generation 1 is fitted to T samples of N(0, 1). Each further model is fitted to T samples from the last one
(``replace``), to these and all earlier ones (``accumulate``), or to T of all, drawn without replacement
(``accumulate-subsample``). A ``gaussian`` has the mean and the variance (divided by the number) of its data; a ``kde``
is a Gaussian kernel of bandwidth h about each sample. With h = 0 for the Gaussian, v_0 = 1 and m_0 = 0, the exact
expectations of the model's variance v_t and of the squared error m_t of its mean are

    replace       v_t = (1 − 1/T) v_{t−1} + h²              m_t = m_{t−1} + v_{t−1}/T
    accumulate    v_t = (1 − 1/(T t²)) v_{t−1} + h²/t       m_t = m_{t−1} + v_{t−1}/(T t²)

so that a Gaussian's variance falls to (1 − 1/T)^t if data are replaced, and to Π(1 − 1/(T i²)), which converges, if
they accumulate; that of a kernel estimate grows without bound, by h² and by h²/t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.measure.repetitions import quantile
from synthtools.scale.threads import in_order

WORKFLOWS = ("replace", "accumulate", "accumulate-subsample")
MEASURES = ("variance", "mean_error")

_NUMBERS = 2_000_000  # samples drawn at once


@dataclass(frozen=True)
class DensitySetting:
    """``samples``: T; ``bandwidth``: h of a kernel estimate, 0 for a Gaussian."""

    samples: int
    generations: int
    bandwidth: float


def silverman(samples: int) -> float:
    """Silverman's rule for samples of N(0, 1): h = 1.06 T^(−1/5)."""
    return 1.06 / math.pow(samples, 0.2)


def expected(workflow: str, setting: DensitySetting) -> dict[str, list[float]] | None:
    """Expected variance and squared error of the mean by generation; None if no closed form is known."""
    if workflow == "accumulate-subsample":
        return None
    variance, error = 1.0, 0.0
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    for t in range(1, setting.generations + 1):
        kept = t if workflow == "accumulate" else 1
        step = variance / (setting.samples * kept**2)
        variance, error = variance - step + setting.bandwidth**2 / kept, error + step
        values["variance"].append(variance)
        values["mean_error"].append(error)
    return values


def _process(
    setting: DensitySetting, workflow: str, draw: np.random.Generator, count: int
) -> np.ndarray:
    """Variance and squared error of the mean, float64 [count, 2, generations]."""
    samples, shape = setting.samples, (count, setting.samples)
    measured = np.empty((count, len(MEASURES), setting.generations))
    pool = fitted = fresh = draw.standard_normal(shape)
    mean, variance = fitted.mean(1), fitted.var(1)
    for generation in range(setting.generations):
        if generation:
            if setting.bandwidth:
                taken = draw.integers(0, fitted.shape[1], shape)
                centres = np.take_along_axis(fitted, taken, 1)
                fresh = centres + setting.bandwidth * draw.standard_normal(shape)
            else:
                fresh = mean[:, None] + np.sqrt(variance)[:, None] * draw.standard_normal(shape)
            pool = fresh if workflow == "replace" else np.concatenate([pool, fresh], 1)
        fitted = pool
        if pool.shape[1] > samples and workflow == "accumulate-subsample":
            order = np.argpartition(draw.random(pool.shape), samples - 1, 1)[:, :samples]
            fitted = np.take_along_axis(pool, order, 1)
        mean, variance = fitted.mean(1), fitted.var(1)
        measured[:, 0, generation] = variance + setting.bandwidth**2
        measured[:, 1, generation] = mean**2
    return measured


def simulated(
    setting: DensitySetting, workflow: str, seed: int, count: int, jobs: int
) -> np.ndarray:
    """Variance and squared error of the mean of many loops, float64 [count, 2, generations].

    Draws belong to (seed, workflow, chunk), and the size of chunks does not depend on ``jobs``.
    """
    chunk = max(1, _NUMBERS // (setting.samples * setting.generations))

    def work(start: int) -> np.ndarray:
        key = (WORKFLOWS.index(workflow), start)
        draw = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
        return _process(setting, workflow, draw, min(chunk, count - start))

    return np.concatenate([*in_order(range(0, count, chunk), work, jobs)])


def result(setting: DensitySetting, workflow: str, values: np.ndarray) -> dict[str, Any]:
    """One workflow's part of the report; values: [repetitions, 2, generations]."""
    count = len(values)
    means = values.mean(0)
    alone = count < 2
    reach = None if alone else quantile(count - 1) * values.std(0, ddof=1) / np.sqrt(count)
    known = expected(workflow, setting)
    part: dict[str, Any] = {"workflow": workflow}
    for row, name in enumerate(MEASURES):
        part[name] = {
            "simulated": means[row].tolist(),
            "low": None if reach is None else (means[row] - reach[row]).tolist(),
            "high": None if reach is None else (means[row] + reach[row]).tolist(),
            "expected": known and known[name],
        }
    return part
