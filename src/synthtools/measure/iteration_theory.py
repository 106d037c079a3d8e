"""Closed-form results on iterated linear regression, and the report of ``iteration``'s simulations with them.

All values are in units of base = σ²d/(T − d − 1), the expected test error of the first generation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from synthtools.measure.iteration import LinearSetting
from synthtools.measure.repetitions import quantile


def base(setting: LinearSetting) -> float:
    """E‖w_1 − w*‖² = σ² E tr((XᵀX)⁻¹) = σ²d/(T − d − 1), for T ≥ d + 2."""
    return setting.noise**2 * setting.features / (setting.samples - setting.features - 1)


def shares(setting: LinearSetting) -> np.ndarray:
    """The share of the rows that each edit replaces, float64 [generations − 1]."""
    return np.array(setting.edited, np.float64) / setting.samples


def paper_expression(workflow: str, setting: LinearSetting) -> list[float] | None:
    """The papers' test error by generation; None if they give none.

    - replace: n; accumulate: Σ_{i≤n} 1/i² (both exact)
    - edit: ToEdit's Theorem 1, w_{n+1} = w* + X⁺(E_1 + Σ_{i≤n} M_i E_{i+1}), whose expectation over
      masks independent of the data is 1 + Σ_{i≤n} tr(M_i)/T
    """
    generations = np.arange(1, setting.generations + 1)
    if workflow == "replace":
        return [float(n) for n in generations]
    if workflow == "accumulate":
        return [float(total) for total in np.cumsum(1 / generations**2)]
    if workflow == "edit":
        return [1.0, *(1 + np.cumsum(shares(setting))).tolist()]
    return None


def bound(workflow: str) -> float | None:
    """The papers' bound for all generations: π²/6 for accumulate, 2 for edit (Theorem 2)."""
    return {"accumulate": math.pi**2 / 6, "edit": 2.0}.get(workflow)


def shrinking_bound(setting: LinearSetting, decay: float) -> float | None:
    """The second bound of ToEdit's Theorem 2, for shrinking edits; None if it does not apply.

    base + σ² √E[tr (XᵀX)⁻²] √E[tr M_1]/(1 − η), ‖M_i‖ = η‖M_{i-1}‖, with the Frobenius norm, so
    that η² is ``decay``, the ratio of the edited shares. E tr (XᵀX)⁻² = d(T−1)/((T−d)(T−d−1)(T−d−3))
    needs T > d + 3.
    """
    rows, features = setting.samples, setting.features
    left = rows - features
    if decay >= 1 or left <= 3 or not setting.edited:
        return None
    squared = features * (rows - 1) / (left * (left - 1) * (left - 3))
    grown = math.sqrt(squared * setting.edited[0]) / (1 - math.sqrt(decay))
    return 1 + setting.noise**2 * grown / base(setting)


def large_sample_limit(workflow: str, setting: LinearSetting) -> list[float]:
    """The literal process for T ≫ d [ours].

    Any subset of the samples then has the same covariance as all, and

        e_n = Σ_m F_nm e_m + N_n

    where F_nm is the share of generation n's samples with labels drawn by the model w_m, and N_n the least squares
    of their noise; Cov(N_n, N_m) = K_nm base/d, with K_nm the share of the noise common to both. So
    E_test = diag[(1 − F)⁻¹ K (1 − F)⁻ᵀ]. For replace and accumulate it is exact for every T.
    """
    size = setting.generations
    drawn, common = _composition(workflow, setting)
    spread = np.linalg.inv(np.eye(size) - drawn)
    return [float(error) for error in np.diag(spread @ common @ spread.T)]


def _composition(workflow: str, setting: LinearSetting) -> tuple[np.ndarray, np.ndarray]:
    """F and K, float64 [generations, generations]."""
    size = setting.generations
    if workflow == "replace":
        return np.eye(size, k=-1), np.eye(size)
    if workflow != "edit":
        number = np.arange(1, size + 1)
        drawn = np.tril(np.ones((size, size)), -1) / number[:, None]
        common = 1 / np.maximum.outer(number, number)
        if workflow == "accumulate-subsample":
            np.fill_diagonal(common, 1.0)
        return drawn, common
    kept = _kept(setting)
    drawn = np.zeros((size, size))
    for n in range(size):
        for m in range(1, n + 1):
            # Last edited in generation m: unchanged since m, but not before.
            drawn[n, m - 1] = kept[n, m] - kept[n, m - 1]
    return drawn, np.tril(kept) + np.tril(kept, -1).T


def _kept(setting: LinearSetting) -> np.ndarray:
    """At [n, m]: the share of rows with the same label in generations m and n ≥ m."""
    size = setting.generations
    edited = np.concatenate([[1.0], shares(setting)])
    kept = np.eye(size)
    for n in range(size):
        for m in range(n):
            between = edited[m + 1 : n + 1]
            if setting.masks == "random":
                kept[n, m] = np.prod(1 - between)
            elif setting.masks == "nested":
                kept[n, m] = 1 - between.max()
            else:
                kept[n, m] = 1 - between.sum()
    return kept


_WHY = (
    "The proof of Theorem 1 takes w_n = w* + X⁺(E_1 + Σ M_i E_i+1): it needs disjoint masks, keeps "
    "the first noise on edited rows, and drops the cross term X⁺M(Xw_n-1 − Ỹ_n-1), by which the "
    "error of the model that draws the edits comes back into the data."
)


def workflow_result(
    name: str, setting: LinearSetting, decay: float, errors: np.ndarray
) -> dict[str, Any]:
    """One workflow's part of the report.

    Args:
        errors: in units of base, [repetitions, generations].
    """
    mean = errors.mean(axis=0)
    count = len(errors)
    spread = errors.std(axis=0, ddof=1) / math.sqrt(count) if count > 1 else None
    reach = None if spread is None else quantile(count - 1) * spread
    most = bound(name)
    low = None if reach is None else (mean - reach).tolist()
    return {
        "workflow": name,
        "simulated": mean.tolist(),
        "standard_error": None if spread is None else spread.tolist(),
        "low": low,
        "high": None if reach is None else (mean + reach).tolist(),
        "paper": paper_expression(name, setting),
        "bound": most,
        "shrinking_bound": shrinking_bound(setting, decay) if name == "edit" else None,
        "limit": large_sample_limit(name, setting),
        "exceeds_bound": None if most is None or low is None else max(low) > most,
        "notes": _notes(name, setting, mean, low, most),
    }


def _notes(
    name: str, setting: LinearSetting, mean: np.ndarray, low: list[float] | None, most: float | None
) -> list[str]:
    notes = []
    if setting.samples <= setting.features + 3:
        notes.append(
            "with at most 3 samples more than features the error has no finite variance: intervals mean "
            "nothing"
        )
    if name != "edit" or most is None:
        return notes
    last = len(mean)
    if low is not None and max(low) > most:
        notes.append(
            f"the literal process exceeds the paper's bound of {most:g} × base: {mean[-1]:.2f} × "
            f"base after {last} generations. {_WHY}"
        )
    else:
        notes.append(
            f"the literal process is not seen to exceed the paper's bound of {most:g} × base here "
            f"({mean[-1]:.2f} × base after {last} generations), but the bound does not hold for it "
            f"in general. {_WHY}"
        )
    return notes
