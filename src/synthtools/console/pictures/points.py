"""The plotted points as CSV, so that anyone can plot them otherwise."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthtools.console.pictures.chart import Panel, Picture, Series
from synthtools.records.files import write_whole

_COLUMNS = ("panel", "series", "name", "x", "x_end", "y", "low", "high")


def to_csv(picture: Picture) -> str:
    """Rows of panel, series, name (of a named bar), x, x_end (of a histogram's bin), y, low, high."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for panel in picture.panels:
        for series in panel.series:
            writer.writerows(
                [panel.title, series.name, *map(_cell, row)] for row in _rows(panel, series)
            )
    return out.getvalue()


def save_points(picture: Picture, path: str) -> None:
    """Writes the points, replacing an older file."""
    write_whole(Path(path), to_csv(picture).encode("utf-8"))


def _rows(panel: Panel, series: Series) -> Iterator[tuple[Any, ...]]:
    low = series.low if series.low is not None else [None] * len(series.x)
    high = series.high if series.high is not None else [None] * len(series.x)
    if series.form == "named":
        for name, x, a, b in zip(panel.names, series.x, low, high, strict=True):
            yield name, x, None, None, a, b
    elif series.form == "bars":
        for start, end, y in zip(series.x[:-1], series.x[1:], series.y, strict=True):
            yield None, start, end, y, None, None
    else:
        for x, y, a, b in zip(series.x, series.y, low, high, strict=True):
            yield None, x, None, y, a, b


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else repr(float(value))
