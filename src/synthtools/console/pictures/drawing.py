"""Pictures by matplotlib: PNG or SVG, the same bytes for the same numbers, readable in grey."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from synthtools.console.pictures.chart import Panel, Picture, Series
from synthtools.errors import SynthError

# Okabe and Ito's colours in an order that alternates dark and light, each with its own dashes: told
# apart without colour and by the colour-blind.
_COLOURS = ("#0072B2", "#E69F00", "#000000", "#56B4E9", "#D55E00", "#009E73", "#CC79A7")
_DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1)),
    (0, (6, 1.5, 1.5, 1.5)),
    (0, (3, 1)),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_REFERENCE = "0.55"
_FEW_POINTS = 30
_STYLE = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def render(picture: Picture, form: str, *, inline: bool = False, salt: str = "synth") -> bytes:
    """A picture as ``png`` or ``svg``.

    Args:
        inline: for a page: text stays text.
        salt: makes the names inside an SVG its own, where several stand on one page.

    Raises:
        SynthError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SynthError("pictures need matplotlib: pip install 'synthtools[plot]'") from error
    style = {**_STYLE, "svg.hashsalt": salt, "svg.fonttype": "none" if inline else "path"}
    with mpl.rc_context(style):
        count = len(picture.panels)
        columns = count if count <= 3 else (2 if count == 4 else 3)
        rows = -(-count // columns)
        drawn = Figure(figsize=(3.6 * columns, 2.7 * rows), layout="constrained")
        axes = np.atleast_1d(drawn.subplots(rows, columns)).ravel()
        for place, panel in zip(axes, picture.panels, strict=False):
            _panel(place, panel)
        for place in axes[count:]:
            place.set_axis_off()
        data = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        drawn.savefig(data, format=form, dpi=200, metadata=metadata)
    return data.getvalue()


def _panel(axes: Any, panel: Panel) -> None:
    axes.set_title(panel.title, loc="left")
    axes.set(xlabel=panel.x_label, ylabel=panel.y_label)
    if panel.y_log:
        axes.set_yscale("log")
    ordinary = [series for series in panel.series if not series.reference]
    for series in panel.series:
        number = None if series.reference else ordinary.index(series)
        if series.form == "named":
            _named(axes, panel, series, number or 0, len(ordinary))
        else:
            _plain(axes, series, number)
    if panel.names:
        axes.set_yticks(range(len(panel.names)), [_short(name) for name in panel.names])
        axes.invert_yaxis()
    if panel.from_zero:
        axes.set_xlim(left=0) if panel.names else axes.set_ylim(bottom=0)
    _count_from_one(axes, panel)
    if panel.x_log:
        _logarithmic(axes)
    if len(panel.series) > 1:
        axes.legend(handlelength=2.6)


def _plain(axes: Any, series: Series, number: int | None) -> None:
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    label = _short(series.name)
    if number is None:
        axes.plot(x, y, color=_REFERENCE, linewidth=0.9, linestyle=_DASHES[2], label=label)
        return
    colour, dashes = _COLOURS[number % len(_COLOURS)], _DASHES[number % len(_DASHES)]
    if series.form == "bars":
        axes.stairs(y, x, fill=True, color=colour, alpha=0.18, linewidth=0)
        axes.stairs(y, x, color=colour, linestyle=dashes, linewidth=1.0, label=label)
        return
    if series.form == "points":
        marker = _MARKERS[number % len(_MARKERS)]
        size = 16 if len(x) <= 200 else 5
        axes.scatter(
            x, y, s=size, marker=marker, color=colour, alpha=0.7, linewidths=0, label=label
        )
        return
    if series.low is not None and series.high is not None:
        low, high = np.asarray(series.low, float), np.asarray(series.high, float)
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    marker = _MARKERS[number % len(_MARKERS)] if len(x) <= _FEW_POINTS else None
    axes.plot(x, y, color=colour, linestyle=dashes, marker=marker, markersize=3, label=label)


def _named(axes: Any, panel: Panel, series: Series, number: int, count: int) -> None:
    height = 0.8 / count
    places = np.arange(len(panel.names)) + (number - (count - 1) / 2) * height
    errors = None
    if series.low is not None and series.high is not None:
        x = np.asarray(series.x, float)
        errors = np.maximum(0, [x - np.asarray(series.low), np.asarray(series.high) - x])
    axes.barh(
        places,
        series.x,
        height * 0.9,
        color=_COLOURS[number % len(_COLOURS)],
        alpha=0.85,
        label=_short(series.name),
        xerr=errors,
        error_kw={"linewidth": 0.8, "ecolor": "0.3"},
    )


def _logarithmic(axes: Any) -> None:
    """A logarithmic x axis; over few decades with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    if high < 1000 * low:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 8 * low else range(1, 10)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _count_from_one(axes: Any, panel: Panel) -> None:
    """Whole numbers alone along an axis that counts."""
    if panel.x_label in ("generation", "step") and not panel.x_log:
        axes.xaxis.get_major_locator().set_params(integer=True)


def _short(name: str) -> str:
    return name if len(name) <= 40 else "…" + name[-39:]
