"""The run behind ``synth simulate``."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from synthtools.cli import pictures
from synthtools.cli.options import ARGUMENTS
from synthtools.cli.publish import show
from synthtools.errors import UsageError
from synthtools.measure.iteration import (
    MASKS,
    WORKFLOWS,
    Setting,
    edited_rows,
    repetitions,
)
from synthtools.measure.iteration_theory import (
    base,
    bound,
    large_sample_limit,
    paper_expression,
    shrinking_bound,
)
from synthtools.measure.repetitions import quantile
from synthtools.reports import document
from synthtools.reports.document import number

_WHY = (
    "The proof of Theorem 1 takes w_n = w* + X⁺(E_1 + Σ M_i E_i+1): it needs disjoint masks, keeps "
    "the first noise on edited rows, and drops the cross term X⁺M(Xw_n-1 − Ỹ_n-1), by which the "
    "error of the model that draws the edits comes back into the data."
)


def chosen(names: list[str]) -> tuple[str, ...]:
    """Workflows as options name them, several or comma lists; all where none is named.

    Raises:
        UsageError
    """
    given = [part.strip() for name in names for part in name.split(",")]
    for name in given:
        if name not in WORKFLOWS:
            raise UsageError(f"--workflow {name}: use one of {', '.join(WORKFLOWS)}")
    return tuple(w for w in WORKFLOWS if w in given) if given else WORKFLOWS


def setting_of(
    samples: int,
    features: int,
    noise: float,
    generations: int,
    share: float,
    decay: float,
    masks: str,
    edits: bool,
) -> Setting:
    """The options as a setting.

    Args:
        edits: whether the workflow edit is asked for: only then its options must fit.

    Raises:
        UsageError
    """
    if samples < features + 2:
        raise UsageError(
            f"--samples {samples}: the expected error is finite from --features + 2 = "
            f"{features + 2} samples on"
        )
    for name, value in (("--noise", noise), ("--edit-share", share), ("--edit-decay", decay)):
        if not math.isfinite(value) or value <= 0:
            raise UsageError(f"{name} {value}: must be above 0")
    if masks not in MASKS:
        raise UsageError(f"--masks {masks}: use one of {', '.join(MASKS)}")
    edited = edited_rows(samples, generations, share, decay)
    if edits and masks == "disjoint" and sum(edited) > samples:
        fit = next(k for k in range(generations) if sum(edited[: k + 1]) > samples)
        raise UsageError(
            f"disjoint masks of these shares fill the data after {fit + 1} generations: lower "
            "--edit-share, --edit-decay or --generations, or take --masks random"
        )
    return Setting(samples, features, noise, generations, edited, masks)


def run_simulation(
    setting: Setting,
    workflows: tuple[str, ...],
    count: int,
    seed: int,
    jobs: int,
    *,
    share: float,
    decay: float,
    report_file: str | None,
    plot: str | None,
    json_output: bool,
) -> None:
    """Simulates, compares with what is known, and prints the report."""
    if plot is not None:
        pictures.check_name(plot)
    start = time.monotonic()
    errors = repetitions(setting, workflows, seed, count, jobs)
    unit = base(setting)
    found = [
        _workflow(name, setting, decay, errors[:, row] / unit) for row, name in enumerate(workflows)
    ]
    result: dict[str, Any] = {
        "kind": "simulate",
        "samples": setting.samples,
        "features": setting.features,
        "noise": setting.noise,
        "generations": setting.generations,
        "repetitions": count,
        "base": unit,
        "unit": "all errors and bounds are multiples of base",
        "edit": {
            "share": share,
            "decay": decay,
            "masks": setting.masks,
            "rows": list(setting.edited),
        },
        "workflows": found,
    }
    seconds = time.monotonic() - start
    counts = {"repetitions": count}
    speed = {"repetitions_per_second": round(count / max(seconds, 1e-9), 1)}
    made_by = document.made_by("simulate", ARGUMENTS.get({}), [], counts, seconds, None, speed)
    report = result | {"made_by": made_by}
    pictures.plot(report, plot)
    if report_file:
        document.save(report, report_file)
    show(report, json_output, _lines(report))


def _workflow(name: str, setting: Setting, decay: float, errors: np.ndarray) -> dict[str, Any]:
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
    name: str, setting: Setting, mean: np.ndarray, low: list[float] | None, most: float | None
) -> list[str]:
    notes = []
    if setting.samples <= setting.features + 3:
        notes.append(
            "with no more than --features + 3 samples the error has no variance: intervals mean "
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


def _lines(report: dict[str, Any]) -> list[str]:
    head = (
        f"T = {report['samples']:,} samples, d = {report['features']:,} features, σ = "
        f"{report['noise']:g}, {report['repetitions']:,} repetitions; base = σ²d/(T−d−1) = "
        f"{number(report['base'])}"
    )
    lines = [head, "excess test error in units of base"]
    for found in report["workflows"]:
        names = ["generation", "simulated", "std. error", "limit T≫d"]
        columns = [
            range(1, report["generations"] + 1),
            found["simulated"],
            found["standard_error"] or [None] * report["generations"],
            found["limit"],
        ]
        if found["paper"] is not None:
            names.append("paper")
            columns.append(found["paper"])
        lines += ["", found["workflow"], "  ".join(f"{name:>10}" for name in names)]
        for row in zip(*columns, strict=True):
            lines.append("  ".join(f"{number(value):>10}" for value in row))
        if found["bound"] is not None:
            lines.append(f"paper's bound: {number(found['bound'])}")
        if found["shrinking_bound"] is not None:
            lines.append(f"paper's bound for shrinking edits: {number(found['shrinking_bound'])}")
        lines += found["notes"]
    return lines
