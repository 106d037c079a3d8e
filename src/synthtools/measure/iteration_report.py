"""What the simulated errors of a workflow say, beside what theory says of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from synthtools.measure.iteration import LinearSetting
from synthtools.measure.iteration_theory import (
    bound,
    large_sample_limit,
    paper_expression,
    shrinking_bound,
)
from synthtools.measure.repetitions import quantile

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
    reach = None
    if spread is not None:
        reach = quantile(count - 1) * spread
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
