"""Pictures at a terminal, of characters."""

from __future__ import annotations

import math

import numpy as np

from synthtools.cli.pictures.chart import Panel, Picture, Series
from synthtools.reports.document import bars, number

_WIDTH, _HEIGHT = 64, 16
_MARKS = "o+x*#@%&"
_REFERENCE = "·"
_MOST_BINS = 25


def lines_of(picture: Picture) -> list[str]:
    """The picture's panels one below the other."""
    lines = [picture.title]
    for panel in picture.panels:
        lines += ["", panel.title]
        forms = {series.form for series in panel.series}
        if forms == {"named"}:
            lines += _named(panel)
        elif forms == {"pies"}:
            lines += _pies(panel)
        elif forms == {"bars"}:
            lines += _histograms(panel)
        else:
            lines += _canvas(panel)
    return lines


def _named(panel: Panel) -> list[str]:
    lines = []
    for series in panel.series:
        lines.append(f"{series.name}: {panel.x_label}")
        rows = bars(panel.names, [max(0.0, float(value)) for value in series.x])
        for row, value in zip(rows, series.x, strict=True):
            lines.append(f"{row.rsplit(maxsplit=2)[0]} {number(float(value))}")
    return lines


def _pies(panel: Panel) -> list[str]:
    """A line for each pie that is not empty, with its slices."""
    lines = [f"{panel.x_label} × {panel.y_label}"]
    for place, (x, y) in enumerate(zip(panel.series[0].x, panel.series[0].y, strict=True)):
        held = [(series.name, (series.weights or [])[place]) for series in panel.series]
        if any(count for _, count in held):
            parts = ", ".join(f"{name} {number(count)}" for name, count in held if count)
            lines.append(f"  {number(x)} × {number(y)}: {parts}")
    return lines


def _histograms(panel: Panel) -> list[str]:
    lines = []
    for series in panel.series:
        lines.append(f"{series.name}: {panel.y_label} by {panel.x_label}")
        step = -(-len(series.y) // _MOST_BINS)
        heights = [sum(series.y[i : i + step]) for i in range(0, len(series.y), step)]
        labels = [number(float(series.x[i]), 3) for i in range(0, len(series.y), step)]
        lines += bars(labels, [height / 100 for height in heights])
    return lines


def _scaled(values: np.ndarray, log: bool) -> np.ndarray:
    return np.log10(values) if log else values


def _canvas(panel: Panel) -> list[str]:
    """Curves and points on a grid of characters, the axes' ends in numbers."""
    drawn: list[tuple[str, np.ndarray, np.ndarray]] = []
    legend = []
    ordinary = 0
    for series in panel.series:
        mark = _REFERENCE if series.reference else _MARKS[ordinary % len(_MARKS)]
        ordinary += not series.reference
        legend.append(f"{mark} {series.name}")
        x, y = _points(series, panel)
        drawn.append((mark, x, y))
    some = [(x, y) for _, x, y in drawn if len(x)]
    if not some:
        return [*legend, "nothing to plot"]
    left, right = min(x.min() for x, _ in some), max(x.max() for x, _ in some)
    bottom, top = min(y.min() for _, y in some), max(y.max() for _, y in some)
    if panel.from_zero and not panel.y_log:
        bottom = min(0.0, bottom)
    grid = [[" "] * _WIDTH for _ in range(_HEIGHT)]
    for mark, x, y in reversed(drawn):
        columns = _places(x, left, right, _WIDTH)
        rows = _places(y, bottom, top, _HEIGHT)
        for column, row in zip(columns, rows, strict=True):
            grid[_HEIGHT - 1 - row][column] = mark
    ends = [_end(value, panel.y_log) for value in (top, bottom)]
    wide = max(map(len, ends))
    lines = []
    for index, row in enumerate(grid):
        label = ends[0] if index == 0 else ends[1] if index == _HEIGHT - 1 else ""
        lines.append(f"{label:>{wide}} │{''.join(row)}".rstrip())
    lines.append(" " * wide + " └" + "─" * _WIDTH)
    first, last = _end(left, panel.x_log), _end(right, panel.x_log)
    middle = panel.x_label.center(_WIDTH - len(first) - len(last))
    lines.append(" " * (wide + 2) + first + middle + last)
    return [f"{panel.y_label}   {'   '.join(legend)}", *lines]


def _points(series: Series, panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    there = np.isfinite(x) & np.isfinite(y)
    there &= (x > 0) | (not panel.x_log)
    there &= (y > 0) | (not panel.y_log)
    x, y = _scaled(x[there], panel.x_log), _scaled(y[there], panel.y_log)
    if series.form != "line" or len(x) < 2:
        return x, y
    # As many places along the curve as the canvas is wide.
    fine = np.linspace(x.min(), x.max(), _WIDTH)
    order = np.argsort(x, kind="stable")
    return fine, np.interp(fine, x[order], y[order])


def _places(values: np.ndarray, low: float, high: float, count: int) -> list[int]:
    if not high > low:
        return [count // 2] * len(values)
    return np.rint((values - low) / (high - low) * (count - 1)).astype(int).tolist()  # type: ignore[no-any-return]


def _end(value: float, log: bool) -> str:
    return number(math.pow(10, value) if log else float(value), 3)
