"""The report of ``synth sample``: what was there and what was drawn."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, bars, named


def figure(report: dict[str, Any]) -> Figure:
    """Records by stratum where there are strata."""
    every = {"all records": {"records": report["records_seen"], "drawn": report["drawn"]}}
    strata = report.get("strata") or every
    series = [
        named(word, [stratum[key] for stratum in strata.values()])
        for word, key in (("there", "records"), ("drawn", "drawn"))
    ]
    return Figure(
        "Sample",
        [bars("Records", "records", list(strata), *series)],
        "Records that were there and records that were drawn.",
        finding=f"{number(report['drawn'])} of {number(report['records_seen'])} records drawn",
    )
