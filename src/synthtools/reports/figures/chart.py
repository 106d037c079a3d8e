"""Figures as data, independent of how they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from synthtools.errors import printable
from synthtools.reports.document import number

if TYPE_CHECKING:
    import numpy as np

Numbers: TypeAlias = "Sequence[float] | np.ndarray"


@dataclass(frozen=True)
class Series:
    """Numbers under one name.

    Attributes:
        x, y: coordinates, of one length; with ``bars`` x holds the edges, one more than y; with
            ``named`` y is empty.
        form: ``line``; ``points``; ``bars``, a histogram; ``named``, a horizontal bar for each of
            the panel's names, of length x; ``pies``, this series' slice of a pie at each (x, y).
        low, high: an interval around each y (around each x with ``named``).
        weights: of ``pies``, the size of the slice.
        reference: drawn thin and grey, for comparison.
        corpus: the figure's corpus that it belongs to, if its name is different.
    """

    name: str
    x: Numbers
    y: Numbers = ()
    form: str = "line"
    low: Numbers | None = None
    high: Numbers | None = None
    weights: Numbers | None = None
    reference: bool = False
    corpus: str = ""


@dataclass(frozen=True)
class Panel:
    """One pair of axes; labels name the quantity and its unit.

    Attributes:
        names: of the bars of ``named`` series, from the top.
        from_zero: the axis of values begins at 0.
        is_map: the axes have the same scale, without numbers.
        note: small print below the title, about data not shown.
    """

    title: str
    x_label: str
    y_label: str
    series: list[Series]
    x_log: bool = False
    y_log: bool = False
    names: Sequence[str] = ()
    from_zero: bool = False
    is_map: bool = False
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """Panels that belong together.

    Attributes:
        caption: how to read it, for the page.
        corpora: in the order in which they were named; each has the same colour in all figures of a run.
        finding: the main result, with its numbers.
        source: how it was made.
    """

    title: str
    panels: list[Panel] = field(default_factory=list)
    caption: str = ""
    corpora: Sequence[str] = ()
    finding: str = ""
    source: str = ""


def bars(
    title: str, label: str, names: Sequence[str], *series: Series | Numbers, from_zero: bool = True
) -> Panel:
    """A panel of horizontal bars, one per name; plain numbers become a series named after the label."""
    drawn = [s if isinstance(s, Series) else named(label, s) for s in series]
    return Panel(title, label, "", drawn, names=names, from_zero=from_zero)


def named(name: str, values: Numbers, intervals: Sequence[Sequence[float]] | None = None) -> Series:
    """A bar for each of a panel's names."""
    low, high = ends(intervals)
    return Series(name, values, form="named", low=low, high=high)


def ends(intervals: Sequence[Sequence[float]] | None) -> tuple[Numbers | None, Numbers | None]:
    if intervals is None:
        return None, None
    return [low for low, _ in intervals], [high for _, high in intervals]


def brief(value: float) -> str:
    """A value for a title or a bar: three significant digits, or the integer part."""
    return f"{value:,.0f}" if abs(value) >= 1000 else number(value, 3)


def extremes(quantity: str, values: Mapping[str, float | None]) -> str:
    """The finding about a quantity of corpora: one value, two compared, or the range of more."""
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        return ""
    if len(known) == 1:
        return f"{quantity} {brief(*known.values())}"
    ends = list(known)
    if len(known) > 2:
        ends = [min(known, key=known.__getitem__), max(known, key=known.__getitem__)]
    first, last = (f"{brief(known[name])} ({name})" for name in ends)
    range_or_pair = f"{first} against {last}" if len(known) == 2 else f"from {first} to {last}"
    return f"{quantity} {range_or_pair}"


@dataclass(frozen=True)
class Table:
    """Rows of words under a head, for the page."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


# The name of a number in a row; a heading and a name; or a heading and a function of the row.
Column = str | tuple[str, str | Callable[[Any], Any]]


def table_of(title: str, rows: Iterable[Any], columns: Iterable[Column]) -> Table:
    """A table with a row for each of ``rows``; numbers are formatted by ``number``."""
    known = [(plain(one), one) if isinstance(one, str) else one for one in columns]
    cells = [
        [cell(row.get(key) if isinstance(key, str) else key(row)) for _, key in known]
        for row in rows
    ]
    return Table(title, [heading for heading, _ in known], cells)


def pairs(title: str, values: Iterable[tuple[str, Any]]) -> Table:
    """A table of names and values."""
    return Table(title, ["", ""], [[name, cell(value)] for name, value in values])


def cell(value: Any) -> str:
    return value if isinstance(value, str) else number(value)


def plain(name: str) -> str:
    """The name of a number as words."""
    return name.replace("_", " ")


@dataclass(frozen=True)
class Story:
    """A report in words; ``lines``: the findings, one sentence each, with their numbers."""

    title: str
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()


def literal(text: str) -> str:
    """A text that can be drawn: one line, without control characters or unpaired surrogates."""
    return printable(text).encode("utf-8", "backslashreplace").decode("utf-8")


def words(figure: Figure) -> list[str]:
    texts = [figure.title, figure.finding, figure.source]
    for panel in figure.panels:
        texts += [panel.title, panel.note, panel.x_label, panel.y_label, *panel.names]
        texts += [series.name for series in panel.series]
    return texts


def check(figure: Figure) -> None:
    """Raises ValueError or TypeError: a figure is inconsistent."""
    if not all(isinstance(word, str) for word in words(figure)):
        raise TypeError("a label is not a text")
    for panel in figure.panels:
        for series in panel.series:
            _check_lengths(panel, series)


def _check_lengths(panel: Panel, series: Series) -> None:
    count = _count(series.x)
    if series.form == "named":
        expected = {"x": (count, len(panel.names)), "y": (_count(series.y), 0)}
    elif series.form == "bars":
        _count(series.x, finite=True)
        expected = {"y": (_count(series.y), count - 1)}
    else:
        expected = {"y": (_count(series.y), count)}
    for name in ("low", "high", "weights"):
        values = getattr(series, name)
        if values is not None:
            expected[name] = (_count(values), count - (series.form == "bars"))
    for name, (size, right) in expected.items():
        if size != right:
            raise ValueError(f"{series.name}: {size} numbers of {name} instead of {right}")


def _count(values: Numbers, finite: bool = False) -> int:
    """The number of values; None counts as a missing one."""
    import numpy as np

    array = np.asarray(values, np.float64 if len(values) == 0 else None)
    if array.dtype.kind not in "iufbO" or array.ndim != 1:
        raise TypeError("not a list of numbers")
    array = array.astype(np.float64)
    if finite and not np.isfinite(array).all():
        raise ValueError("an edge that is not a number")
    return len(array)
