"""Tables of repeated runs: values against the first field that is a number, or a bar for each group."""

from __future__ import annotations

import math
from typing import Any

from synthtools.cli.pictures.chart import Panel, Picture, Series, Story, Table, bars
from synthtools.cli.table_text import cells, claim_cells
from synthtools.measure.repetitions import label
from synthtools.records import natural

_NOTHING = {"mean": None, "low": None, "high": None}


def picture(report: dict[str, Any]) -> Picture:
    """A panel for each value; a line for each of what the other fields are together."""
    groups = report["groups"]
    x = _axis(report)
    panels = [
        _bars(name, groups) if x is None else _lines(name, x, groups) for name in report["columns"]
    ]
    over = ", ".join(report["over"])
    return Picture(
        "Table of runs",
        panels,
        f"Means over {over} with their 95 % intervals." if over else "Single runs.",
    )


def _axis(report: dict[str, Any]) -> str | None:
    """The first field that is a number in all groups and not the same in all."""
    for name in report["by"]:
        values = {natural.key(group["fields"][name]) for group in report["groups"]}
        if len(values) > 1 and all(isinstance(value, int | float) for value in values):
            return str(name)
    return None


def _lines(name: str, x: str, groups: list[dict[str, Any]]) -> Panel:
    curves: dict[str, list[dict[str, Any]]] = {}
    for group in groups:
        rest = {field: value for field, value in group["fields"].items() if field != x}
        curves.setdefault(label(rest) if rest else name, []).append(group)
    series = []
    for curve, parts in curves.items():
        parts.sort(key=lambda group: natural.order(group["fields"][x]))
        found = [group["values"].get(name, _NOTHING) for group in parts]
        there = [(group, one) for group, one in zip(parts, found, strict=True) if _has(one)]
        if there:
            series.append(
                Series(
                    curve,
                    [natural.key(group["fields"][x]) for group, _ in there],
                    [one["mean"] for _, one in there],
                    **_reach([one for _, one in there]),
                )
            )
    return Panel(name, x, name, series)


def _bars(name: str, groups: list[dict[str, Any]]) -> Panel:
    there = [group for group in groups if _has(group["values"].get(name, _NOTHING))]
    found = [group["values"][name] for group in there]
    series = [Series(name, [one["mean"] for one in found], form="named", **_reach(found))]
    return bars(name, name, [g["name"] for g in there], *(series if found else []), from_zero=False)


def _has(found: dict[str, Any]) -> bool:
    return found["mean"] is not None


def _reach(found: list[dict[str, Any]]) -> dict[str, list[float]]:
    """The intervals, where there is one at least; a mean without one is a point of its own."""
    if all(one["low"] is None for one in found):
        return {}
    return {
        end: [math.nan if one[end] is None else one[end] for one in found]
        for end in ("low", "high")
    }


def story(report: dict[str, Any]) -> Story:
    """The verdicts, and both tables."""
    lines = [f"{claim['claim']}: {claim['verdict']}." for claim in report["claims"]]
    tables = [Table("Means and half of their 95 % intervals", *cells(report))]
    if report["claims"]:
        tables.append(Table("Claims", *claim_cells(report)))
    return Story("Table of runs", lines, tables)
