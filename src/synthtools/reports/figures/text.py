"""Figures as text for a terminal; their points as CSV, for other plotting programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from synthtools.reports.document import bars, columns, cut, number
from synthtools.reports.figures.chart import Figure, Panel, Series, literal

_HEIGHT = 16
_MARKS = "o+x*#@%&"
_REFERENCE = "·"
_MOST_BINS = 25


def lines_of(figure: Figure, width: int = 80) -> list[str]:
    """The figure's panels one below the other, in lines of at most ``width`` columns."""
    lines = _wrapped((figure.finding or figure.title).split(), width, " ")
    for panel in figure.panels:
        lines += ["", *_wrapped(panel.title.split(), width, " ")]
        lines += _wrapped(panel.note.split(), width, " ") if panel.note else []
        forms = {series.form for series in panel.series}
        if forms == {"named"}:
            lines += _named(panel, width)
        elif forms == {"pies"}:
            lines += _pies(panel, width)
        elif forms == {"bars"}:
            lines += _histograms(panel, width)
        else:
            lines += _canvas(panel, width)
    return lines


def _wrapped(parts: list[str], width: int, between: str = "   ") -> list[str]:
    """Joins parts into lines, as many per line as fit."""
    lines = [""]
    for part in parts:
        part = cut(literal(part), width)
        joined = between.join(filter(None, [lines[-1], part]))
        if columns(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def _rows(
    labels: Sequence[str], sizes: Sequence[float], values: Sequence[str], width: int
) -> list[str]:
    """A bar for each label, followed by its value."""
    labels = [cut(literal(label), width // 3) for label in labels]
    room = width - max(map(columns, labels)) - max(map(len, values)) - 2
    rows = bars(labels, [max(0.0, size) for size in sizes], room)
    return [f"{row} {value}".rstrip() for row, value in zip(rows, values, strict=True)]


def _named(panel: Panel, width: int) -> list[str]:
    lines = []
    for series in panel.series:
        lines += _wrapped([f"{series.name}:", panel.x_label], width, " ")
        values = [float(value) for value in series.x]
        lines += _rows(panel.names, values, [*map(number, values)], width)
    return lines


def _pies(panel: Panel, width: int) -> list[str]:
    """A line for each pie that is not empty, with its slices."""
    lines = [f"{panel.x_label} × {panel.y_label}"]
    for place, (x, y) in enumerate(zip(panel.series[0].x, panel.series[0].y, strict=True)):
        slices = [(series.name, (series.weights or [])[place]) for series in panel.series]
        parts = [f"{name} {number(count)}" for name, count in slices if count]
        if parts:
            head, *more = _wrapped(parts, width - 10, ", ")
            lines.append(f"  {number(x)} × {number(y)}: {head}")
            lines += [f"{'':9}{line}" for line in more]
    return lines


def _histograms(panel: Panel, width: int) -> list[str]:
    lines = []
    for series in panel.series:
        lines += _wrapped([f"{series.name}:", panel.y_label, f"by {panel.x_label}"], width, " ")
        step = -(-len(series.y) // _MOST_BINS)
        heights = [float(sum(series.y[i : i + step])) for i in range(0, len(series.y), step)]
        labels = [number(float(series.x[i]), 3) for i in range(0, len(series.y), step)]
        lines += _rows(labels, heights, [f"{height:5.1f} %" for height in heights], width)
    return lines


def _scaled(values: np.ndarray, log: bool) -> np.ndarray:
    return np.log10(values) if log else values


def _canvas(panel: Panel, width: int) -> list[str]:
    """Curves and points on a grid of characters, with numbers at the ends of the axes."""
    drawn: list[tuple[str, np.ndarray, np.ndarray]] = []
    legend = []
    ordinary = 0
    for series in panel.series:
        mark = _REFERENCE if series.reference else _MARKS[ordinary % len(_MARKS)]
        ordinary += not series.reference
        legend.append(f"{mark} {series.name}")
        x, y = _points(series, panel, width)
        drawn.append((mark, x, y))
    some = [(x, y) for _, x, y in drawn if len(x)]
    if not some:
        return [*_wrapped(legend, width), "nothing to plot"]
    left, right = min(x.min() for x, _ in some), max(x.max() for x, _ in some)
    bottom, top = min(y.min() for _, y in some), max(y.max() for _, y in some)
    if panel.from_zero and not panel.y_log:
        bottom = min(0.0, bottom)
    ends = [_end(value, panel.y_log) for value in (top, bottom)]
    wide = max(map(len, ends))
    room = width - wide - 2
    grid = [[" "] * room for _ in range(_HEIGHT)]
    for mark, x, y in reversed(drawn):
        across = _places(x, left, right, room)
        rows = _places(y, bottom, top, _HEIGHT)
        for column, row in zip(across, rows, strict=True):
            grid[_HEIGHT - 1 - row][column] = mark
    lines = []
    for index, cells in enumerate(grid):
        label = ends[0] if index == 0 else ends[1] if index == _HEIGHT - 1 else ""
        lines.append(f"{label:>{wide}} │{''.join(cells)}".rstrip())
    lines.append(" " * wide + " └" + "─" * room)
    first, last = _end(left, panel.x_log), _end(right, panel.x_log)
    name = cut(literal(panel.x_label), room - len(first) - len(last) - 2)
    spare = room - len(first) - len(last) - columns(name)
    middle = " " * (spare // 2) + name + " " * (spare - spare // 2)
    lines.append(" " * (wide + 2) + first + middle + last)
    return [*_wrapped([panel.y_label, *legend], width), *lines]


def _points(series: Series, panel: Panel, width: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    valid = np.isfinite(x) & np.isfinite(y)
    valid &= (x > 0) | (not panel.x_log)
    valid &= (y > 0) | (not panel.y_log)
    x, y = _scaled(x[valid], panel.x_log), _scaled(y[valid], panel.y_log)
    if series.form != "line" or len(x) < 2:
        return x, y
    # As many points along the curve as the canvas has columns.
    fine = np.linspace(x.min(), x.max(), width)
    order = np.argsort(x, kind="stable")
    return fine, np.interp(fine, x[order], y[order])


def _places(values: np.ndarray, low: float, high: float, count: int) -> list[int]:
    if not high > low:
        return [count // 2] * len(values)
    return [int(place) for place in np.rint((values - low) / (high - low) * (count - 1))]


def _end(value: float, log: bool) -> str:
    return number(math.pow(10, value) if log else float(value), 3)


_COLUMNS = ("report", "panel", "series", "name", "x", "x_end", "y", "low", "high", "weight")


def to_csv(figures: Sequence[tuple[str, Figure]], digits: int = 17) -> str:
    """Rows of report, panel, series, name (of a named bar), x, x_end (of a histogram's bin), y, low,
    high, weight (of a slice of a pie).

    Args:
        figures: (name of the report, figure).
        digits: of numbers; 17 keep every double exactly.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for report, figure in figures:
        for panel in figure.panels:
            for series in panel.series:
                head = (report, panel.title, series.name)
                rows = _csv_rows(panel, series)
                writer.writerows([*head, *(_cell(one, digits) for one in row)] for row in rows)
    return out.getvalue()


def _csv_rows(panel: Panel, series: Series) -> Iterator[tuple[Any, ...]]:
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
    if value is None or isinstance(value, str):
        return value or ""
    return repr(float(value)) if digits >= 17 else f"{float(value):.{digits}g}"
