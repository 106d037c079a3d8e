"""The report of ``synth simulate --model gaussian|kde``: variance and mean of densities by generation."""

from __future__ import annotations

from typing import TypedDict

from synthtools.reports import document
from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, table_of

_TITLES = {"variance": "variance", "mean_error": "squared error of the mean"}


class DensityCurve(TypedDict):
    """A number a generation: the mean over the repetitions, its 95 % interval, its expectation."""

    simulated: list[float]
    low: list[float] | None
    high: list[float] | None
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


def _curves(one: DensityWorkflow) -> list[tuple[str, DensityCurve]]:
    return [("variance", one["variance"]), ("mean_error", one["mean_error"])]


def _setting(report: DensitiesReport) -> str:
    width = "" if report["bandwidth"] is None else f", bandwidth {report['bandwidth']:.4g}"
    return (
        f"{report['model']}, T = {report['samples']:,} samples of N(0, 1) a generation{width}, "
        f"{report['repetitions']:,} repetitions"
    )


def lines(report: DensitiesReport) -> list[str]:
    lines = [_setting(report)]
    for one in report["workflows"]:
        columns = [[f"{n}" for n in range(1, report["generations"] + 1)]]
        names = ["generation"]
        for name, curve in _curves(one):
            names += [name, "expected"]
            columns.append([number(value) for value in curve["simulated"]])
            expected = curve["expected"]
            columns.append([number(v) for v in expected] if expected else ["–"] * len(columns[0]))
        lines += ["", one["workflow"], "  ".join(f"{name:>10}" for name in names)]
        lines += ["  ".join(f"{cell:>10}" for cell in row) for row in zip(*columns, strict=True)]
    return lines


def figure(report: DensitiesReport) -> Figure:
    """A panel for each workflow and measure: simulated, and in closed form."""
    generations = range(1, report["generations"] + 1)
    panels = []
    for one in report["workflows"]:
        for name, curve in _curves(one):
            low, high = curve["low"], curve["high"]
            series = [
                Series("simulated, 95 %", generations, curve["simulated"], low=low, high=high)
            ]
            if curve["expected"] is not None:
                series.append(Series("expected", generations, curve["expected"]))
            panels.append(
                Panel(one["workflow"], "generation", _TITLES[name], series, from_zero=True)
            )
    return Figure("Densities fitted to their own samples", panels, _setting(report) + ".")


def story(report: DensitiesReport) -> Story:
    last = report["generations"]
    sentences = [
        f"{one['workflow']}: variance {number(one['variance']['simulated'][-1])} after {last} generations "
        f"(at first 1), squared error of the mean {number(one['mean_error']['simulated'][-1])}."
        for one in report["workflows"]
    ]
    columns = (
        "workflow",
        ("variance", lambda one: one["variance"]["simulated"][-1]),
        ("expected", lambda one: one["variance"]["expected"] and one["variance"]["expected"][-1]),
    )
    table = table_of(f"Generation {last}", report["workflows"], columns)
    return Story("Theory of iterated data", sentences, [table])
