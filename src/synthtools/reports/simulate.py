"""Test error by generation under each workflow: simulated, the papers' expression, the bounds."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table


def figure(report: dict[str, Any]) -> Figure:
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
    return Figure(
        "Linear regression on its own data",
        panels,
        "Excess test error of a linear model fitted to data that models before it labelled, in "
        f"units of the first generation's {report['base']:.4g} (T = {report['samples']:,} samples, "
        f"d = {report['features']:,} features, {report['repetitions']:,} repetitions).",
    )


def story(report: dict[str, Any]) -> Story:
    """How far each workflow came, and what its notes say."""
    last = report["generations"]
    lines, rows = [], []
    for found in report["workflows"]:
        value = number(found["simulated"][-1])
        lines.append(
            f"{found['workflow']}: {value} times the first generation's error after {last} "
            "generations."
        )
        lines += found["notes"]
        paper = None if found["paper"] is None else found["paper"][-1]
        low, high = (found["low"] or [None])[-1], (found["high"] or [None])[-1]
        ends = "–" if low is None else f"{number(low)} … {number(high)}"
        rows.append(
            [
                found["workflow"],
                value,
                ends,
                *(number(x) for x in (paper, found["bound"], found["limit"][-1])),
            ]
        )
    head = ["workflow", "simulated", "95 %", "paper's expression", "paper's bound", "limit T ≫ d"]
    return Story(
        "Theory of iterated data",
        lines,
        [Table(f"Test error / base, generation {last}", head, rows)],
    )


def lines(report: dict[str, Any]) -> list[str]:
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
