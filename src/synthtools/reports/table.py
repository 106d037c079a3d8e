"""The report of ``synth table``: repeated runs, as text, Markdown and a figure."""

from __future__ import annotations

import math
from typing import Any

from synthtools.errors import SynthError, UsageError
from synthtools.measure.claims import UNTESTED
from synthtools.measure.repetitions import estimate, label
from synthtools.records import natural_order
from synthtools.reports.document import aligned, encoded
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table, bars, ends, named

# Significant digits of means; half-widths have two [ours].
_DIGITS = 4
# Larger numbers are written with an exponent.
_LARGE = 1e7


def with_reach(estimated: dict[str, Any]) -> str:
    """An estimate as mean ± half-width: two digits of the half-width, at most four of the mean."""
    mean = estimated["mean"]
    if mean is None or not math.isfinite(mean):
        return "–"
    if estimated["low"] is None or not math.isfinite(estimated["low"]):
        return _alone(mean)
    return " ± ".join(_together(mean, (estimated["high"] - estimated["low"]) / 2))


def between(estimated: dict[str, Any]) -> str:
    """An estimate as mean [low, high], with the same number of decimals."""
    mean, low, high = estimated["mean"], estimated["low"], estimated["high"]
    if mean is None:
        return "–"
    if low is None:
        return _alone(mean)
    if low == high:
        return f"{_alone(mean)} [{_alone(low)}, {_alone(high)}]"
    places = _places(mean, (high - low) / 2)
    if places is None:
        return f"{mean:.3g} [{low:.3g}, {high:.3g}]"
    # The signs of the ends must be visible.
    while any(end and not float(f"{end:.{places}f}") for end in (low, high)):
        places += 1
    return f"{mean:.{places}f} [{low:.{places}f}, {high:.{places}f}]"


def _together(mean: float, reach: float) -> tuple[str, str]:
    if not reach:
        return _alone(mean), "0"
    places = _places(mean, reach)
    if places is None:
        return f"{mean:.3g}", f"{reach:.2g}"
    # The half-width may be too small for the mean's decimals: then it has more.
    behind = -_exponent(reach) > places
    return f"{mean:.{places}f}", f"{reach:.2g}" if behind else f"{reach:.{places}f}"


def _alone(value: float) -> str:
    """A number without an interval: integers in full, others with the digits of a mean."""
    if abs(value) >= _LARGE:
        return f"{value:.{_DIGITS}g}"
    whole = value == int(value) or abs(value) >= 10**_DIGITS
    return f"{value:.0f}" if whole else f"{value:.{_DIGITS}g}"


def _places(mean: float, reach: float) -> int | None:
    """Decimals; None for numbers that are written with an exponent."""
    if not 1e-4 <= max(abs(mean), reach) < _LARGE:
        return None
    most = _DIGITS - 1 - _exponent(mean or reach)
    return max(0, min(1 - _exponent(reach), most))


def _exponent(value: float) -> int:
    """The decimal exponent of the first digit."""
    return math.floor(math.log10(abs(value)))


def cells(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The head and rows of the table of groups, as text. With ``pivot``, groups that differ only in that field
    share a row."""
    pivot = report["pivot"]
    by = [name for name in report["by"] if name != pivot]
    pivoted = [group["fields"][pivot] for group in report["groups"]] if pivot else []
    across = {natural_order.key(value): value for value in pivoted}
    places = sorted(across, key=natural_order.order) if pivot else [None]
    rows: dict[tuple[Any, ...], dict[Any, dict[str, Any]]] = {}
    for group in report["groups"]:
        place = natural_order.key(group["fields"][pivot]) if pivot else None
        rows.setdefault(tuple(group["fields"][name] for name in by), {})[place] = group
    columns = report["columns"]
    head = [*by, "n"]
    for place in places:
        at = f"{pivot}={_field(across[place])}" if pivot else ""
        head += [f"{name} {at}".strip() if len(columns) > 1 or not at else at for name in columns]
    order = sorted(rows, key=lambda fields: [*map(natural_order.order, fields)])
    return head, [_row(fields, rows[fields], places, columns) for fields in order]


def _row(
    fields: tuple[Any, ...],
    groups: dict[Any, dict[str, Any]],
    places: list[Any],
    columns: list[str],
) -> list[str]:
    most = max(group["repetitions"] for group in groups.values())
    row = [*map(_field, fields), str(most)]
    for place in places:
        for name in columns:
            estimated = groups[place]["values"][name] if place in groups else estimate([])
            fewer = 0 < estimated["n"] < most
            row.append(with_reach(estimated) + (f" (n = {estimated['n']})" if fewer else ""))
    return row


def _field(value: Any) -> str:
    return "–" if value is None else str(value)


def claim_cells(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    head = ["claim", "difference", "n", "verdict"]
    rows = []
    for claim in report["claims"]:
        of = f" ({claim['weakest']})" if len(claim["comparisons"]) > 1 else ""
        count, verdict = str(claim["repetitions"]), str(claim["verdict"])
        if claim["left_out"]:
            count += f" ({claim['left_out']} left out)"
        if verdict == UNTESTED:
            verdict += f": {claim['reason']}"
        elif claim["reason"]:
            verdict += f" ({claim['reason']})"
        rows.append([claim["claim"], between(claim["difference"]) + of, count, verdict])
    return head, rows


def lines(report: dict[str, Any]) -> list[str]:
    head, rows = cells(report)
    lines = aligned([head, *rows], right=True)
    over = ", ".join(report["over"])
    lines.append(f"mean ± half of the 95 % interval over {over}" if over else "single runs")
    for claim in report["claims"]:
        lines += ["", f"{claim['verdict']}: {claim['claim']}"]
        several = len(claim["comparisons"]) > 1
        for one in claim["comparisons"]:
            of = f"{one['comparison']}: " if several or claim["claim"] != one["comparison"] else ""
            verdict = f"  {one['verdict']}" if several else ""
            lines.append(f"  {of}{between(one['difference'])}{verdict}")
        if claim["reason"]:
            lines.append(f"  {claim['reason']}")
        if claim["left_out"]:
            lines.append(f"  repetitions without some of these values: {claim['left_out']}")
    return lines


def markdown(report: dict[str, Any]) -> str:
    words = len([name for name in report["by"] if name != report["pivot"]])
    lines = _table(*cells(report), words)
    if report["claims"]:
        lines += ["", *_table(*claim_cells(report), 1, last=1)]
    return "\n".join(lines) + "\n"


def _table(head: list[str], rows: list[list[str]], left: int, last: int = 0) -> list[str]:
    """A table; the first ``left`` and the last ``last`` columns are text, the others numbers."""
    count = len(head)
    rule = ["---" if at < left or at >= count - last else "---:" for at in range(count)]
    return [f"| {' | '.join(map(_word, row))} |" for row in (head, rule, *rows)]


def _word(text: str) -> str:
    """A text for a cell; signs with a meaning in Markdown are escaped."""
    text = " ".join(text.split())
    for sign in "\\|<*":
        text = text.replace(sign, f"\\{sign}")
    return text


def replaced(content: bytes, section: str, text: str, name: str) -> bytes:
    """A file with new text between the lines ``<!-- section -->`` and ``<!-- /section -->``; ``name``: of the file,
    for errors.

    Raises:
        UsageError: the name of the section is invalid.
        SynthError: a line is missing or repeated, or they are in the wrong order.
    """
    if not section or "\n" in section or "--" in section or section.startswith("/"):
        raise UsageError(f"section {section}: a name in one line, without -- and no / first")
    parts = content.splitlines(keepends=True)
    places = []
    for mark in (f"<!-- {section} -->", f"<!-- /{section} -->"):
        lines = [at for at, line in enumerate(parts) if line.strip() == encoded(mark)]
        if len(lines) != 1:
            how = "no line" if not lines else f"{len(lines)} lines"
            raise SynthError(
                f"{name}: {how} {mark}; the section goes between the lines <!-- {section} --> and "
                f"<!-- /{section} -->, each once"
            )
        places += lines
    start, end = places
    if end < start:
        raise SynthError(f"{name}: <!-- /{section} --> comes before <!-- {section} -->")
    ending = b"\r\n" if parts[start].endswith(b"\r\n") else b"\n"
    # Empty lines around: in Markdown a table cannot follow a comment directly.
    inner = ["", *text.splitlines(), ""]
    middle = b"".join(encoded(line) + ending for line in inner)
    return b"".join(parts[: start + 1]) + middle + b"".join(parts[end:])


_NOTHING = {"mean": None, "low": None, "high": None}


def figure(report: dict[str, Any]) -> Figure:
    """A panel for each value: against the first field that is a number, or a bar for each group."""
    groups, x = report["groups"], _axis(report)
    panels = [
        _bars(name, groups) if x is None else _curves(name, x, groups) for name in report["columns"]
    ]
    over = ", ".join(report["over"])
    caption = f"Means over {over} with their 95 % intervals." if over else "Single runs."
    return Figure("Table of runs", panels, caption)


def _axis(report: dict[str, Any]) -> str | None:
    """The first field that is numeric in all groups and varies."""
    for name in report["by"]:
        values = {natural_order.key(group["fields"][name]) for group in report["groups"]}
        if len(values) > 1 and all(isinstance(value, int | float) for value in values):
            return str(name)
    return None


def _known(name: str, groups: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    values = [(group, group["values"].get(name, _NOTHING)) for group in groups]
    return [(group, value) for group, value in values if value["mean"] is not None]


def _curves(name: str, x: str, groups: list[dict[str, Any]]) -> Panel:
    """A line for each combination of the other fields."""
    curves: dict[str, list[dict[str, Any]]] = {}
    for group in groups:
        rest = {field: value for field, value in group["fields"].items() if field != x}
        curves.setdefault(label(rest) if rest else name, []).append(group)
    series = []
    for curve, parts in curves.items():
        parts.sort(key=lambda group: natural_order.order(group["fields"][x]))
        known = _known(name, parts)
        if known:
            places = [natural_order.key(group["fields"][x]) for group, _ in known]
            low, high = ends(_intervals([value for _, value in known]))
            means = [value["mean"] for _, value in known]
            series.append(Series(curve, places, means, low=low, high=high))
    return Panel(name, x, name, series)


def _bars(name: str, groups: list[dict[str, Any]]) -> Panel:
    known = _known(name, groups)
    values = [value for _, value in known]
    series = [named(name, [value["mean"] for value in values], _intervals(values))]
    names = [group["name"] for group, _ in known]
    return bars(name, name, names, *(series if known else []), from_zero=False)


def _intervals(values: list[dict[str, Any]]) -> list[tuple[float, float]] | None:
    """The intervals, if there is any; NaN for a mean without one."""
    if all(value["low"] is None for value in values):
        return None
    return [
        (math.nan, math.nan) if value["low"] is None else (value["low"], value["high"])
        for value in values
    ]


def story(report: dict[str, Any]) -> Story:
    lines = [f"{claim['claim']}: {claim['verdict']}." for claim in report["claims"]]
    tables = [Table("Means and half of their 95 % intervals", *cells(report))]
    if report["claims"]:
        tables.append(Table("Claims", *claim_cells(report)))
    return Story("Table of runs", lines, tables)
