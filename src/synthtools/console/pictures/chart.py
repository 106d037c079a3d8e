"""A picture as data: what is plotted, before anything draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Numbers = Sequence[float]


@dataclass(frozen=True)
class Series:
    """Numbers under one name.

    Attributes:
        x, y: coordinates, of one length; with ``bars`` x holds the edges, one more than y; with
            ``named`` y is empty.
        form: ``line``; ``points``; ``bars``, a histogram; ``named``, a horizontal bar for each of
            the panel's names, of length x; ``pies``, this series' slice of a pie at each (x, y).
        low, high: an interval around each y (around each x with ``named``).
        weights: of ``pies``, how much the slice is of what lies there.
        reference: drawn thin and grey, something to hold the others against.
    """

    name: str
    x: Numbers
    y: Numbers = ()
    form: str = "line"
    low: Numbers | None = None
    high: Numbers | None = None
    weights: Numbers | None = None
    reference: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes; labels name the quantity and its unit.

    Attributes:
        names: of the bars of ``named`` series, from the top.
        from_zero: the axis of the values begins at 0.
        is_map: both axes have one scale and their numbers mean nothing.
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


@dataclass(frozen=True)
class Picture:
    """Panels that belong together.

    Attributes:
        caption: how to read it, for the page.
    """

    title: str
    panels: list[Panel] = field(default_factory=list)
    caption: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of words under a head, for the page."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Story:
    """What a report says, in words.

    Attributes:
        lines: the findings, a sentence each, with their numbers.
    """

    title: str
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
