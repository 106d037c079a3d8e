"""The report of ``synth simulate``: excess test error by generation."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number


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
