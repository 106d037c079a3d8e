"""Figures with matplotlib: PNG or SVG, the same bytes for the same numbers, readable in greyscale."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from synthtools.errors import SynthError
from synthtools.reports import document
from synthtools.reports.figures import styles as fonts
from synthtools.reports.figures.chart import Figure, Panel, Series, brief, literal, words
from synthtools.reports.figures.styles import CHARACTER, Styles, left_to_right, short

# With more histograms in a panel, only outlines are drawn.
_FEW_FILLED = 3
# More points than this are rasterised inside an SVG.
_MANY_POINTS = 2000
_PIE_RADIUS = 0.46
# Points of a map are drawn in rounds, some of each group in each, so that no group covers the others.
_ROUNDS = 25
# Bars have their values beside them up to this number.
_FEW_BARS = 12
_STYLE = {
    "text.parse_math": False,  # names hold $ and _
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.5,
}

# More names than this are written small; inches per name.
_MANY_NAMES = 20
_NAME_HEIGHT = 0.1
# Inches: width of a character of a title (9 points) and of small print (5.5); heights of lines.
_TITLE_CHARACTER, _SMALL_CHARACTER = 0.079, 0.044
_LEGEND_LINE, _TITLE_LINE, _SMALL_LINE = 0.143, 0.17, 0.11
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def render(
    figure: Figure,
    form: str,
    *,
    inline: bool = False,
    salt: str = "synth",
    remark: Callable[[str], None] | None = None,
) -> bytes:
    """A figure as ``png`` or ``svg``.

    Args:
        inline: for a page that has the finding and the source in its text; text is not converted to paths.
        remark: called with a line about characters missing in all fonts.
        salt: makes ids inside an SVG unique if a page has several.

    Raises:
        SynthError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure as Canvas
        from matplotlib.text import Text
    except ImportError as error:
        raise SynthError("figures need matplotlib: pip install 'synthtools[plot]'") from error
    names, missing = fonts.families("".join(map(literal, words(figure))))
    if missing and remark and not inline:  # a browser has its own fonts
        shown = missing if len(missing) <= 20 else missing[:20] + "…"
        bringing = fonts.packages(missing)
        hint = f" (Debian: apt install {bringing})" if bringing else ""
        remark(f"no font on this machine has {shown}: shown as boxes{hint}")
    style = {**_STYLE, "svg.hashsalt": salt, "svg.fonttype": "none" if inline else "path"}
    with mpl.rc_context({**style, "font.family": names}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        count = len(figure.panels)
        columns = count if count <= 3 else (2 if count == 4 else 3)
        rows = -(-count // columns)
        size = (5.5, 4.5) if any(panel.is_map for panel in figure.panels) else (3.6, 2.7)
        # Each name needs a line, and room beside the bars.
        most = max(len(panel.names) for panel in figure.panels)
        tall = most > _MANY_NAMES
        names_of_bars = [short(name) for panel in figure.panels for name in panel.names]
        longest = max(map(document.columns, names_of_bars), default=0)
        width = columns * (size[0] + CHARACTER * max(0, longest - 20))
        height = rows * max(size[1], _NAME_HEIGHT * most + 0.9)
        styles = Styles(figure)
        legend = styles.legend(width)
        title, small = list[str](), list[str]()
        if not inline:
            title = document.wrapped(literal(figure.finding), int(width / _TITLE_CHARACTER))
            small = document.wrapped(literal(figure.source), int(width / _SMALL_CHARACTER))
        above = _TITLE_LINE * len(title) + 0.05 * bool(title)
        source = _SMALL_LINE * len(small) + 0.05 * bool(small)
        below = source + _LEGEND_LINE * len(legend) + 0.1 * bool(legend)
        whole = height + above + below
        drawn = Canvas(figsize=(width, whole), layout="constrained")
        drawn.get_layout_engine().set(rect=(0, below / whole, 1, height / whole))
        noted = any(panel.note for panel in figure.panels)
        axes = np.atleast_1d(drawn.subplots(rows, columns)).ravel()
        for place, panel in zip(axes, figure.panels, strict=False):
            _panel(place, panel, styles)
            if noted:
                place.set_title(place.get_title("left") + "\n", loc="left")
            if tall and not panel.names:
                place.set_box_aspect(0.75)
                place.set_anchor("N")
        for place in axes[count:]:
            place.set_axis_off()
        left = 0.08 / width
        drawn.text(left, 1 - 0.05 / whole, "\n".join(title), va="top", fontsize=9, weight="bold")
        drawn.text(left, 0.03 / whole, "\n".join(small), va="bottom", fontsize=5.5, color="0.35")
        if legend:
            _legend(drawn, legend, (left, (source + 0.03) / whole))
        for text in drawn.findobj(Text):
            text.set_text("\n".join(map(left_to_right, text.get_text().split("\n"))))
        data = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        drawn.savefig(data, format=form, dpi=200, metadata=metadata)
    return data.getvalue()


def _legend(figure: Any, rows: list[list[tuple[str, Any]]], corner: tuple[float, float]) -> None:
    """A legend below the axes, so that it covers no data."""
    columns = len(rows[0])
    # matplotlib fills column by column.
    entries = [row[column] for column in range(columns) for row in rows if column < len(row)]
    place = {"loc": "lower left", "bbox_to_anchor": corner, "borderpad": 0, "borderaxespad": 0}
    look = {"fontsize": 7, "frameon": False, "handlelength": 2.6, "labelspacing": 0.45}
    names = ["·"] * len(entries)  # a name that begins with _ would be left out
    handles = [handle for _, handle in entries]
    legend = figure.legend(handles, names, ncols=columns, **place, **look)
    for text, (name, _) in zip(legend.get_texts(), entries, strict=True):
        text.set_text(name)


def _panel(axes: Any, panel: Panel, styles: Styles) -> None:
    axes.set_title("\n".join(document.wrapped(literal(panel.title), 40)), loc="left")
    if panel.note:
        note = textwrap.shorten(literal(panel.note), 80, placeholder=" …")
        look = {"textcoords": "offset points", "fontsize": 6, "va": "bottom"}
        axes.annotate(note, (0, 1), (0, 3), "axes fraction", **look)
    axes.set(xlabel=literal(panel.x_label), ylabel=literal(panel.y_label))
    if panel.is_map:
        _map(axes, panel, styles)
    elif panel.names:
        for number, series in enumerate(panel.series):
            _named(axes, panel, series, number, styles)
        _name_rows(axes, panel)
    elif any(series.form == "pies" for series in panel.series):
        _pies(axes, panel, styles)
    else:
        for series in panel.series:
            _plain(axes, series, styles, len(panel.series) <= _FEW_FILLED)
    if panel.from_zero:
        axes.set_xlim(left=0) if panel.names else axes.set_ylim(bottom=0)
    if panel.x_label in ("generation", "level", "step") and not panel.x_log:
        axes.xaxis.get_major_locator().set_params(integer=True)
    if panel.x_log:
        axes.set_xscale("log")
        _plain_numbers(axes.xaxis, *axes.get_xlim())
    if panel.y_log:
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis, *axes.get_ylim())


def _plain(axes: Any, series: Series, styles: Styles, filled: bool) -> None:
    x, y, colour = np.asarray(series.x, float), np.asarray(series.y, float), styles.colour(series)
    if series.form == "bars":
        if filled:
            axes.stairs(y, x, fill=True, color=colour, alpha=0.18, linewidth=0)
        line = styles.line(series)
        axes.stairs(y, x, color=colour, linestyle=line["linestyle"], linewidth=1.0)
    elif series.form == "points":
        look = {"color": colour, "marker": styles.marker(series), "alpha": 0.6, "linewidths": 0}
        size = 16 if len(x) <= 200 else 3
        axes.scatter(x, y, size, rasterized=len(x) > _MANY_POINTS, **look)
    else:
        if series.low is not None and series.high is not None:
            low, high = np.asarray(series.low, float), np.asarray(series.high, float)
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(x, y, color=colour, **styles.line(series))


def _pies(axes: Any, panel: Panel, styles: Styles) -> None:
    """A pie at each position, its area proportional to its weights; the largest fills a cell of the grid."""
    from matplotlib.patches import Wedge

    weights = np.array([series.weights for series in panel.series], float)
    whole = weights.sum(0)
    for place, total in enumerate(whole):
        if not total:
            continue
        radius = _PIE_RADIUS * np.sqrt(total / whole.max())
        centre = (panel.series[0].x[place], panel.series[0].y[place])
        turn = 90.0  # from noon, clockwise
        for series, part in zip(panel.series, weights[:, place] / total, strict=True):
            if part:
                wedge = Wedge(centre, radius, turn - 360 * part, turn)
                wedge.set(facecolor=styles.colour(series), edgecolor="white", linewidth=0.4)
                axes.add_patch(wedge)
                turn -= 360 * part
    x, y = np.asarray(panel.series[0].x), np.asarray(panel.series[0].y)
    axes.set(xlim=(x.min() - 0.6, x.max() + 0.6), ylim=(y.min() - 0.6, y.max() + 0.6))
    axes.set(xticks=sorted(set(x.tolist())), yticks=sorted(set(y.tolist())), aspect="equal")


def _map(axes: Any, panel: Panel, styles: Styles) -> None:
    for turn in range(_ROUNDS):
        for place, series in enumerate(panel.series):
            look = {"color": styles.colour(series), "marker": styles.marker(series), "alpha": 0.75}
            x, y = (np.asarray(values, float)[turn::_ROUNDS] for values in (series.x, series.y))
            order = 2 + turn * len(panel.series) + place
            axes.scatter(x, y, 12, linewidths=0.3, edgecolors="white", zorder=order, **look)
    axes.set_aspect("equal", "datalim")
    axes.set(xticks=[], yticks=[])


def _named(axes: Any, panel: Panel, series: Series, number_: int, styles: Styles) -> None:
    height = 0.8 / len(panel.series)
    places = np.arange(len(panel.names)) + (number_ - (len(panel.series) - 1) / 2) * height
    x, errors = np.asarray(series.x, float), None
    if series.low is not None and series.high is not None:
        errors = np.maximum(0, [x - np.asarray(series.low), np.asarray(series.high) - x])
    colours, fill = styles.of_bars(panel, series)
    look = {"color": colours, "edgecolor": "white", "linewidth": 0, **fill}
    error = {"linewidth": 0.8, "ecolor": "0.3"}
    bars = axes.barh(places, x, height * 0.9, xerr=errors, error_kw=error, **look)
    if len(panel.names) * len(panel.series) <= _FEW_BARS:
        values = [brief(float(value)) if math.isfinite(value) else "" for value in x]
        axes.bar_label(bars, values, padding=2, fontsize=6.5)


def _name_rows(axes: Any, panel: Panel) -> None:
    size = {"fontsize": 5.5} if len(panel.names) > _MANY_NAMES else {}
    names = [left_to_right(short(name)) for name in panel.names]
    axes.set_yticks(range(len(names)), names, **size)
    spare = max(0.0, (4 - len(panel.names)) / 2)  # keeps a few bars slim
    axes.set_ylim(len(panel.names) - 0.5 + spare, -0.5 - spare)
    if not panel.x_log:
        whole = all(type(value) is int for series in panel.series for value in series.x)
        # More long numbers would overlap.
        axes.locator_params(axis="x", nbins=5, integer=whole)
    axes.margins(x=0.18)  # for the values


def _plain_numbers(axis: Any, low: float, high: float) -> None:
    """Plain numbers along a logarithmic axis, at 1, 2 and 5 where it covers few decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if high < 1000 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 8 * low else range(1, 10)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _compact(value)))
    axis.set_minor_formatter(NullFormatter())


def _compact(value: float) -> str:
    """A number in few characters, so that neighbours on a short axis do not touch."""
    if 1e-3 <= value < 1e9:
        if value >= 1e6:
            return f"{value / 1e6:g}M"
        return f"{value / 1e3:g}K" if value >= 1e4 else f"{value:g}"
    if not value > 0:
        return f"{value:g}"
    power = math.floor(math.log10(value) + 1e-9)
    first = f"{value / 10.0**power:.3g}"
    return ("" if first == "1" else f"{first}·") + "10" + str(power).translate(_SUPERSCRIPTS)
