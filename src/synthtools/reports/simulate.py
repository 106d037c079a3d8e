"""The reports of ``synth simulate``: excess test error by generation under each workflow; with ``--model
gaussian|kde`` variance and mean of densities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

from synthtools.reports import document
from synthtools.reports.document import number, reach
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, table_of


class SimulatedCurve(TypedDict):
    """For each generation, the mean over repetitions and its 95 % interval."""

    simulated: list[float]
    low: list[float] | None
    high: list[float] | None


class Workflow(SimulatedCurve):
    """Errors and bounds in units of the report's ``base``; lists have one number per generation."""

    workflow: str
    standard_error: list[float] | None
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


class DensityCurve(SimulatedCurve):
    expected: list[float] | None


class DensityWorkflow(TypedDict):
    workflow: str
    variance: DensityCurve
    mean_error: DensityCurve


class DensitiesReport(document.BaseReport):
    model: str
    samples: int
    bandwidth: float | None
    generations: int
    repetitions: int
    workflows: list[DensityWorkflow]


def _columns(columns: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """A line of names, then one line per generation."""
    rows = zip(*([name, *cells] for name, cells in columns), strict=True)
    return ["  ".join(f"{cell:>10}" for cell in row) for row in rows]


def _simulated(generations: Sequence[int], curve: SimulatedCurve) -> Series:
    low, high = curve["low"], curve["high"]
    return Series("simulated, 95 %", generations, curve["simulated"], low=low, high=high)


def lines(report: SimulateReport) -> list[str]:
    generations = range(1, report["generations"] + 1)
    head = (
        f"T = {report['samples']:,} samples, d = {report['features']:,} features, σ = "
        f"{report['noise']:g}, {report['repetitions']:,} repetitions; base = σ²d/(T−d−1) = "
        f"{number(report['base'])}"
    )
    lines = [head, "excess test error in units of base"]
    for result in report["workflows"]:
        columns: list[tuple[str, Sequence[float | None]]] = [
            ("generation", generations),
            ("simulated", result["simulated"]),
            ("std. error", result["standard_error"] or [None] * len(generations)),
            ("limit T≫d", result["limit"]),
        ]
        if result["paper"] is not None:
            columns.append(("paper", result["paper"]))
        cells = ((name, map(number, values)) for name, values in columns)
        lines += ["", result["workflow"], *_columns(cells)]
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
        series = [_simulated(generations, result)]
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
        "Excess test error of a linear model fitted to data labelled by earlier models, in "
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


def _setting(report: DensitiesReport) -> str:
    width = "" if report["bandwidth"] is None else f", bandwidth {report['bandwidth']:.4g}"
    return (
        f"{report['model']}, T = {report['samples']:,} samples of N(0, 1) a generation{width}, "
        f"{report['repetitions']:,} repetitions"
    )


def densities_lines(report: DensitiesReport) -> list[str]:
    count = report["generations"]
    lines = [_setting(report)]
    for one in report["workflows"]:
        columns: list[tuple[str, Iterable[str]]] = [("generation", map(str, range(1, count + 1)))]
        for name, curve in (("variance", one["variance"]), ("mean_error", one["mean_error"])):
            columns.append((name, map(number, curve["simulated"])))
            expected: Sequence[float | None] = curve["expected"] or [None] * count
            columns.append(("expected", map(number, expected)))
        lines += ["", one["workflow"], *_columns(columns)]
    return lines


def densities_figure(report: DensitiesReport) -> Figure:
    """A panel for each workflow and measure: simulated, and expected."""
    generations = range(1, report["generations"] + 1)
    panels = []
    for one in report["workflows"]:
        for label, curve in (
            ("variance", one["variance"]),
            ("squared error of the mean", one["mean_error"]),
        ):
            series = [_simulated(generations, curve)]
            if curve["expected"] is not None:
                series.append(Series("expected", generations, curve["expected"]))
            panels.append(Panel(one["workflow"], "generation", label, series, from_zero=True))
    return Figure("Densities fitted to their own samples", panels, _setting(report) + ".")


def densities_story(report: DensitiesReport) -> Story:
    last = report["generations"]
    sentences = [
        f"{one['workflow']}: variance {number(one['variance']['simulated'][-1])} after {last} generations "
        f"(initially 1), squared error of the mean {number(one['mean_error']['simulated'][-1])}."
        for one in report["workflows"]
    ]
    columns = (
        "workflow",
        ("variance", lambda one: one["variance"]["simulated"][-1]),
        ("expected", lambda one: one["variance"]["expected"] and one["variance"]["expected"][-1]),
    )
    table = table_of(f"Generation {last}", report["workflows"], columns)
    return Story("Theory of iterated data", sentences, [table])
