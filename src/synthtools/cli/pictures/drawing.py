"""Pictures by matplotlib: PNG or SVG, the same bytes for the same numbers, readable in grey."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from synthtools.cli.pictures.chart import Panel, Picture, Series
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
_MANY_STEPS = 100
# More entries than this would cover the curves.
_LONG_LEGEND = 6
# More points than this are one image inside an SVG.
_MANY_POINTS = 2000
_HATCHES = ("", "//", "..", "xx")
_PIE_RADIUS = 0.46
# Points of a map are drawn in so many rounds, some of each group in each: none covers the others.
_ROUNDS = 25
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

# More names than that are written small; inches that a name takes.
_MANY_NAMES = 20
_NAME_HEIGHT = 0.1


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
        size = (5.5, 4.5) if any(panel.is_map for panel in picture.panels) else (3.6, 2.7)
        # A name needs a line of its own, however many there are.
        most = max(len(panel.names) for panel in picture.panels)
        tall = most > _MANY_NAMES
        height = max(size[1], _NAME_HEIGHT * most + 0.9)
        drawn = Figure(figsize=(size[0] * columns, height * rows), layout="constrained")
        axes = np.atleast_1d(drawn.subplots(rows, columns)).ravel()
        for place, panel in zip(axes, picture.panels, strict=False):
            _panel(place, panel)
            if tall and not panel.names:
                place.set_box_aspect(0.75)
                place.set_anchor("N")
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
        number = (
            None if series.reference else next(i for i, o in enumerate(ordinary) if o is series)
        )
        if panel.is_map or series.form == "pies":
            continue
        if series.form == "named":
            _named(axes, panel, series, number or 0, len(ordinary))
        else:
            _plain(axes, series, number)
    if panel.is_map:
        _map(axes, panel)
    if any(series.form == "pies" for series in panel.series):
        _pies(axes, panel)
    if panel.names:
        size = {"fontsize": 5.5} if len(panel.names) > _MANY_NAMES else {}
        axes.set_yticks(range(len(panel.names)), [_short(name) for name in panel.names], **size)
        spare = max(0.0, (4 - len(panel.names)) / 2)  # a few bars need not be fat
        axes.set_ylim(len(panel.names) - 0.5 + spare, -0.5 - spare)
        if not panel.x_log:
            axes.locator_params(axis="x", nbins=5)  # more long numbers would run into each other
    if panel.from_zero:
        axes.set_xlim(left=0) if panel.names else axes.set_ylim(bottom=0)
    _count_from_one(axes, panel)
    if panel.x_log:
        _logarithmic(axes)
    if len(panel.series) > 1 and panel.series[0].form != "pies":
        _legend(axes, panel)


def _plain(axes: Any, series: Series, number: int | None) -> None:
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    label = _short(series.name)
    if number is None:
        # Many points are the noise behind a curve, few a line to hold it against.
        noise = len(x) > _MANY_STEPS
        style = {"linewidth": 0.5, "alpha": 0.7} if noise else {"linewidth": 0.9}
        dashes = "-" if noise else _DASHES[2]
        axes.plot(x, y, color=_REFERENCE, linestyle=dashes, label=label, **style)
        return
    colour, dashes = _COLOURS[number % len(_COLOURS)], _DASHES[number % len(_DASHES)]
    if series.form == "bars":
        axes.stairs(y, x, fill=True, color=colour, alpha=0.18, linewidth=0)
        axes.stairs(y, x, color=colour, linestyle=dashes, linewidth=1.0, label=label)
        return
    if series.form == "points":
        marker = _MARKERS[number % len(_MARKERS)]
        axes.scatter(
            x,
            y,
            s=16 if len(x) <= 200 else 3,
            marker=marker,
            color=colour,
            alpha=0.6,
            linewidths=0,
            label=label,
            rasterized=len(x) > _MANY_POINTS,
        )
        return
    if series.low is not None and series.high is not None:
        low, high = np.asarray(series.low, float), np.asarray(series.high, float)
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    marker = _MARKERS[number % len(_MARKERS)] if len(x) <= _FEW_POINTS else None
    axes.plot(x, y, color=colour, linestyle=dashes, marker=marker, markersize=3, label=label)


def _legend(axes: Any, panel: Panel) -> None:
    """Inside where there is room, above the axes where points or noise fill them, below where it is
    long."""
    full = len(panel.names) > _MANY_NAMES or any(
        s.form == "points" or (s.reference and len(s.x) > _MANY_STEPS) for s in panel.series
    )
    if not full and len(panel.series) > _LONG_LEGEND:
        axes.legend(handlelength=2.6, loc="upper left", bbox_to_anchor=(0, -0.22))
        return
    if not full:
        axes.legend(handlelength=2.6)
        return
    axes.set_title("", loc="left")
    columns = min(3, len(panel.series))
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": columns}
    legend = axes.legend(title=panel.title, title_fontsize=8.5, alignment="left", **place)
    for handle in legend.legend_handles:
        handle.set_alpha(1)
        if hasattr(handle, "set_sizes"):
            handle.set_sizes([18])


def _pies(axes: Any, panel: Panel) -> None:
    """A pie at each place, its area as what lies there; the largest fills a cell of the grid."""
    from matplotlib.patches import Patch, Wedge

    weights = np.array([series.weights for series in panel.series], float)
    whole = weights.sum(0)
    for place, total in enumerate(whole):
        if not total:
            continue
        radius = _PIE_RADIUS * np.sqrt(total / whole.max())
        centre = (panel.series[0].x[place], panel.series[0].y[place])
        turn = 90.0  # from noon, clockwise
        for number, part in enumerate(weights[:, place] / total):
            if part:
                colour = _COLOURS[number % len(_COLOURS)]
                hatch = _HATCHES[number // len(_COLOURS) % len(_HATCHES)]
                wedge = Wedge(centre, radius, turn - 360 * part, turn, facecolor=colour)
                wedge.set(edgecolor="white", linewidth=0.4, hatch=hatch)
                axes.add_patch(wedge)
                turn -= 360 * part
    x, y = np.asarray(panel.series[0].x), np.asarray(panel.series[0].y)
    axes.set(xlim=(x.min() - 0.6, x.max() + 0.6), ylim=(y.min() - 0.6, y.max() + 0.6))
    axes.set(xticks=sorted(set(x.tolist())), yticks=sorted(set(y.tolist())), aspect="equal")
    handles = [
        Patch(
            facecolor=_COLOURS[number % len(_COLOURS)],
            hatch=_HATCHES[number // len(_COLOURS) % len(_HATCHES)],
            edgecolor="white",
            label=_short(series.name),
        )
        for number, series in enumerate(panel.series)
    ]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _map(axes: Any, panel: Panel) -> None:
    for turn in range(_ROUNDS):
        for number, series in enumerate(panel.series):
            axes.scatter(
                np.asarray(series.x, float)[turn::_ROUNDS],
                np.asarray(series.y, float)[turn::_ROUNDS],
                s=12,
                marker=_MARKERS[number % len(_MARKERS)],
                color=_COLOURS[number % len(_COLOURS)],
                alpha=0.75,
                linewidths=0.3,
                edgecolors="white",
                zorder=2 + turn * len(panel.series) + number,
                label=_short(series.name) if turn == 0 else None,
            )
    axes.set_aspect("equal", "datalim")
    axes.set(xticks=[], yticks=[])


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
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _compact(value)))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _compact(value: float) -> str:
    """A number of few characters: neighbours on a short axis must not touch."""
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}K" if value >= 1e4 else f"{value:g}"


def _count_from_one(axes: Any, panel: Panel) -> None:
    """Whole numbers alone along an axis that counts."""
    if panel.x_label in ("generation", "level", "step") and not panel.x_log:
        axes.xaxis.get_major_locator().set_params(integer=True)


def _short(name: str) -> str:
    return name if len(name) <= 40 else "…" + name[-39:]
