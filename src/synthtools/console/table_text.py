"""The table of a ``synth table`` report in characters: at a terminal, and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from synthtools.console.reports import number
from synthtools.console.terminal import encoded
from synthtools.errors import SynthError, UsageError

# Means have no more digits than that, half-widths two [ours].
_DIGITS = 4


def with_reach(found: dict[str, Any]) -> str:
    """An estimate as mean ± half of its interval: two digits of the half, four of the mean at most."""
    mean = found["mean"]
    if mean is None or not math.isfinite(mean):
        return "–"
    if found["low"] is None or not math.isfinite(found["low"]):
        return number(mean)
    return " ± ".join(_together(mean, (found["high"] - found["low"]) / 2))


def between(found: dict[str, Any]) -> str:
    """An estimate as mean [low, high], all to the same place."""
    mean, low, high = found["mean"], found["low"], found["high"]
    if mean is None:
        return "–"
    if low is None:
        return number(mean)
    if low == high:
        return f"{number(mean)} [{number(low)}, {number(high)}]"
    places = _places(mean, (high - low) / 2)
    if places is None:
        return f"{mean:.3g} [{low:.3g}, {high:.3g}]"
    # On which side of 0 an end lies must be seen.
    while any(end and not float(f"{end:.{places}f}") for end in (low, high)):
        places += 1
    return f"{mean:.{places}f} [{low:.{places}f}, {high:.{places}f}]"


def _together(mean: float, reach: float) -> tuple[str, str]:
    if not reach:
        return number(mean), "0"
    places = _places(mean, reach)
    if places is None:
        return f"{mean:.3g}", f"{reach:.2g}"
    shown = f"{reach:.{places}f}"
    # Of a mean with its four digits the half-width may be far behind: then it has digits of its own.
    return f"{mean:.{places}f}", shown if float(shown) else f"{reach:.2g}"


def _places(mean: float, reach: float) -> int | None:
    """Decimal places, None for numbers that are better written with an exponent."""
    if not 1e-4 <= max(abs(mean), reach) < 1e7:
        return None
    most = _DIGITS - 1 - _exponent(mean or reach)
    return max(0, min(1 - _exponent(reach), most))


def _exponent(value: float) -> int:
    """Of the first digit."""
    return math.floor(math.log10(abs(value)))


def cells(report: dict[str, Any], columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The table of groups as words: its head and its rows."""
    head = [*report["by"], "n", *columns]
    rows = []
    for group in report["groups"]:
        row = [_field(group["fields"][name]) for name in report["by"]]
        row.append(str(group["repetitions"]))
        for name in columns:
            found = group["values"][name]
            fewer = 0 < found["n"] < group["repetitions"]
            row.append(with_reach(found) + (f" (n = {found['n']})" if fewer else ""))
        rows.append(row)
    return head, rows


def _field(value: Any) -> str:
    return "–" if value is None else str(value)


def claim_cells(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The table of claims as words."""
    head = ["claim", "difference", "n", "verdict"]
    rows = []
    for claim in report["claims"]:
        of = f" ({claim['weakest']})" if len(claim["comparisons"]) > 1 else ""
        count = str(claim["repetitions"])
        if claim["left_out"]:
            count += f" ({claim['left_out']} left out)"
        why = f" ({claim['reason']})" if claim["reason"] else ""
        rows.append(
            [claim["claim"], between(claim["difference"]) + of, count, claim["verdict"] + why]
        )
    return head, rows


def lines(report: dict[str, Any], columns: Sequence[str]) -> list[str]:
    """The report for a terminal."""
    found = _aligned(*cells(report, columns))
    over = ", ".join(report["over"])
    found.append(f"mean ± half of the 95 % interval over {over}" if over else "single runs")
    for claim in report["claims"]:
        found += ["", f"{claim['verdict']}: {claim['claim']}"]
        several = len(claim["comparisons"]) > 1
        for one in claim["comparisons"]:
            of = f"{one['comparison']}: " if several or claim["claim"] != one["comparison"] else ""
            verdict = f"  {one['verdict']}" if several else ""
            found.append(f"  {of}{between(one['difference'])}{verdict}")
        if claim["reason"]:
            found.append(f"  {claim['reason']}")
        if claim["left_out"]:
            found.append(f"  repetitions that lack some of these values: {claim['left_out']}")
    return found


def _aligned(head: list[str], rows: list[list[str]]) -> list[str]:
    wide = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(f"{word:>{w}}" for word, w in zip(row, wide, strict=True))
        for row in (head, *rows)
    ]


def markdown(report: dict[str, Any], columns: Sequence[str]) -> str:
    """The table of groups, and that of claims below it."""
    fields = len(report["by"])
    head, rows = cells(report, columns)
    found = _table(head, rows, fields)
    if report["claims"]:
        found += ["", *_table(*claim_cells(report), 1, last=1)]
    return "\n".join(found) + "\n"


def _table(head: list[str], rows: list[list[str]], left: int, last: int = 0) -> list[str]:
    """A table; so many columns at its left and its right end hold words, the others numbers."""
    count = len(head)
    rule = ["---" if at < left or at >= count - last else "---:" for at in range(count)]
    return [f"| {' | '.join(map(_word, row))} |" for row in (head, rule, *rows)]


def _word(text: str) -> str:
    """A text in a cell: what Markdown would take as an end of the cell or as HTML is escaped."""
    text = " ".join(text.split())
    for sign in "\\|<*":
        text = text.replace(sign, f"\\{sign}")
    return text


def replaced(content: bytes, section: str, text: str, name: str) -> bytes:
    """A file with other text between the lines ``<!-- section -->`` and ``<!-- /section -->``.

    Args:
        name: of the file, for errors.

    Raises:
        UsageError: no such lines can be.
        SynthError: a line is missing, stands there twice, or they stand the wrong way round.
    """
    if not section or "\n" in section or "--" in section or section.startswith("/"):
        raise UsageError(f"--section {section}: a name in one line, without -- and no / first")
    parts = content.splitlines(keepends=True)
    places = []
    for mark in (f"<!-- {section} -->", f"<!-- /{section} -->"):
        found = [at for at, line in enumerate(parts) if line.strip() == encoded(mark)]
        if len(found) != 1:
            how = "no line" if not found else f"{len(found)} lines"
            raise SynthError(
                f"{name}: {how} {mark}; the section goes between the lines <!-- {section} --> and "
                f"<!-- /{section} -->, each once"
            )
        places += found
    start, end = places
    if end < start:
        raise SynthError(f"{name}: <!-- /{section} --> stands before <!-- {section} -->")
    ending = b"\r\n" if parts[start].endswith(b"\r\n") else b"\n"
    # An empty line on each side: Markdown takes no table from the line below a comment.
    inner = ["", *text.splitlines(), ""]
    middle = b"".join(encoded(line) + ending for line in inner)
    return b"".join(parts[: start + 1]) + middle + b"".join(parts[end:])
