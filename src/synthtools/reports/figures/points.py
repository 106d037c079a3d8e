"""The plotted points as CSV, so that anyone can plot them otherwise."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from synthtools.reports.figures.chart import Figure, Panel, Series

_COLUMNS = ("report", "panel", "series", "name", "x", "x_end", "y", "low", "high", "weight")


def to_csv(figures: Sequence[tuple[str, Figure]], digits: int = 17) -> str:
    """Rows of report, panel, series, name (of a named bar), x, x_end (of a histogram's bin), y, low,
    high, weight (of a slice of a pie).

    Args:
        figures: the name of each one's report, and it.
        digits: of a number; 17 keep every double.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for report, figure in figures:
        for panel in figure.panels:
            for series in panel.series:
                head = (report, panel.title, series.name)
                writer.writerows(
                    [*head, *(_cell(value, digits) for value in row)]
                    for row in _rows(panel, series)
                )
    return out.getvalue()


def _rows(panel: Panel, series: Series) -> Iterator[tuple[Any, ...]]:
    low, high, weights = (
        [None] * len(series.x) if values is None else values
        for values in (series.low, series.high, series.weights)
    )
    if series.form == "named":
        for name, x, a, b in zip(panel.names, series.x, low, high, strict=True):
            yield name, x, None, None, a, b, None
    elif series.form == "bars":
        for start, end, y in zip(series.x[:-1], series.x[1:], series.y, strict=True):
            yield None, start, end, y, None, None, None
    else:
        for x, y, a, b, w in zip(series.x, series.y, low, high, weights, strict=True):
            yield None, x, None, y, a, b, w


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return repr(float(value)) if digits >= 17 else f"{float(value):.{digits}g}"
