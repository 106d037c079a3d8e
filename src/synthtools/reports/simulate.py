"""The report of ``synth simulate``: excess test error by generation under each workflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from synthtools.reports import document
from synthtools.reports.document import number, reach
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, table_of


class Workflow(TypedDict):
    """Errors and bounds in units of the report's ``base``, the lists one number a generation."""

    workflow: str
    simulated: list[float]
    standard_error: list[float] | None
    low: list[float] | None
    high: list[float] | None
    paper: list[float] | None
    bound: float | None
    shrinking_bound: float | None
    limit: list[float]
    exceeds_bound: bool | None
    notes: list[str]


class Edit(TypedDict):
    share: float
    decay: float
    masks: str
    rows: list[int]


class SimulateReport(document.BaseReport):
    samples: int
    features: int
    noise: float
    generations: int
    repetitions: int
    base: float
    unit: str
    edit: Edit
    workflows: list[Workflow]


def lines(report: SimulateReport) -> list[str]:
    head = (
        f"T = {report['samples']:,} samples, d = {report['features']:,} features, σ = "
        f"{report['noise']:g}, {report['repetitions']:,} repetitions; base = σ²d/(T−d−1) = "
        f"{number(report['base'])}"
    )
    lines = [head, "excess test error in units of base"]
    for result in report["workflows"]:
        names = ["generation", "simulated", "std. error", "limit T≫d"]
        columns: list[Sequence[float | None]] = [
            range(1, report["generations"] + 1),
            result["simulated"],
            result["standard_error"] or [None] * report["generations"],
            result["limit"],
        ]
        if result["paper"] is not None:
            names.append("paper")
            columns.append(result["paper"])
        lines += ["", result["workflow"], "  ".join(f"{name:>10}" for name in names)]
        for row in zip(*columns, strict=True):
            lines.append("  ".join(f"{number(value):>10}" for value in row))
        if result["bound"] is not None:
            lines.append(f"paper's bound: {number(result['bound'])}")
        if result["shrinking_bound"] is not None:
            lines.append(f"paper's bound for shrinking edits: {number(result['shrinking_bound'])}")
        lines += result["notes"]
    return lines


def figure(report: SimulateReport) -> Figure:
    """A panel for each workflow: simulated, the papers' expression, the bound."""
    generations = range(1, report["generations"] + 1)
    panels = []
    for result in report["workflows"]:
        low, high = result["low"], result["high"]
        series = [Series("simulated, 95 %", generations, result["simulated"], low=low, high=high)]
        if result["paper"] is not None:
            series.append(Series("paper's expression", generations, result["paper"]))
        series.append(Series("limit T ≫ d", generations, result["limit"]))
        if result["bound"] is not None:
            bound = [result["bound"]] * len(generations)
            series.append(Series("paper's bound", generations, bound, reference=True))
        labels = (result["workflow"], "generation", "test error / base")
        panels.append(Panel(*labels, series, from_zero=True))
    return Figure(
        "Linear regression on its own data",
        panels,
        "Excess test error of a linear model fitted to data that models before it labelled, in "
        f"units of the first generation's {report['base']:.4g} (T = {report['samples']:,} samples, "
        f"d = {report['features']:,} features, {report['repetitions']:,} repetitions).",
    )


def story(report: SimulateReport) -> Story:
    last, workflows = report["generations"], report["workflows"]
    lines = []
    for result in workflows:
        lines.append(
            f"{result['workflow']}: {number(result['simulated'][-1])} times the first generation's "
            f"error after {last} generations."
        )
        lines += result["notes"]
    columns = (
        "workflow",
        ("simulated", lambda one: one["simulated"][-1]),
        ("95 %", lambda one: reach(one["low"] and (one["low"][-1], one["high"][-1]))),
        ("paper's expression", lambda one: one["paper"] and one["paper"][-1]),
        ("paper's bound", "bound"),
        ("limit T ≫ d", lambda one: one["limit"][-1]),
    )
    title = f"Test error / base, generation {last}"
    return Story("Theory of iterated data", lines, [table_of(title, workflows, columns)])
