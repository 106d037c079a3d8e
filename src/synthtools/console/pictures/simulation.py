"""Test error by generation under each workflow: simulated, the papers' expression, the bounds."""

from __future__ import annotations

from typing import Any

from synthtools.console.pictures.chart import Panel, Picture, Series


def picture(report: dict[str, Any]) -> Picture:
    """Of a report of ``simulate``."""
    generations = range(1, report["generations"] + 1)
    panels = []
    for found in report["workflows"]:
        series = [
            Series(
                "simulated, 95 %",
                generations,
                found["simulated"],
                low=found["low"],
                high=found["high"],
            )
        ]
        if found["paper"] is not None:
            series.append(Series("paper's expression", generations, found["paper"]))
        series.append(Series("limit T ≫ d", generations, found["limit"]))
        if found["bound"] is not None:
            bound = [found["bound"]] * len(generations)
            series.append(Series("paper's bound", generations, bound, reference=True))
        panels.append(
            Panel(found["workflow"], "generation", "test error / base", series, from_zero=True)
        )
    return Picture(
        "Linear regression on its own data",
        panels,
        "Excess test error of a linear model fitted to data that models before it labelled, in "
        f"units of the first generation's {report['base']:.4g} (T = {report['samples']:,} samples, "
        f"d = {report['features']:,} features, {report['repetitions']:,} repetitions).",
    )
