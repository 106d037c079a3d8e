"""Reports: one JSON document with the numbers and how they were made; text tables."""

from __future__ import annotations

import json
import math
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from synthtools import __version__
from synthtools.errors import SynthError
from synthtools.records.atomic_files import write_whole
from synthtools.records.whole_file import LARGEST, decompressed
from synthtools.redaction import hider

if TYPE_CHECKING:
    from synthtools.evaluate.foreign_results import ForeignResults
    from synthtools.records.memory_input import MemoryRecords

# A list without objects or lists in it stands on one line, of words where it is no longer than this.
_LINE = 100
_NESTED = frozenset((dict, list, tuple))
_quoted = json.encoder.encode_basestring

# Far deeper than any report [ours].
_DEEPEST = 100


class MadeBy(TypedDict):
    tool: str
    version: str
    arguments: dict[str, Any]
    seed: int | None
    model: dict[str, Any] | None
    inputs: list[dict[str, Any]]
    counts: dict[str, Any]
    seconds: float
    throughput: dict[str, float]


class BaseReport(TypedDict):
    """The fields of every report; ``made_by`` is added at the end of the run."""

    kind: str
    made_by: NotRequired[MadeBy]


def made_by(
    tool: str,
    arguments: dict[str, Any],
    inputs: list[dict[str, Any]],
    counts: dict[str, Any],
    seconds: float,
    model: dict[str, Any] | None = None,
    throughput: dict[str, float] | None = None,
) -> MadeBy:
    return {
        "tool": tool,
        "version": __version__,
        "arguments": arguments,
        "seed": arguments.get("seed"),
        "model": model,
        "inputs": inputs,
        "counts": counts,
        "seconds": round(seconds, 3),
        "throughput": throughput or {},
    }


def to_json(report: dict[str, Any]) -> str:
    """The report as indented JSON, without secrets; NaN and infinities become null, so that every parser can read it.

    Memory: twice the text, and fifty times that of the longest entry of a top-level list.
    """
    if not report:
        return "{}\n"
    hide = hider()
    members = (f"  {_text(name)}: {_member(hide(value))}" for name, value in report.items())
    return "{\n" + ",\n".join(members) + "\n}\n"


def _member(value: Any) -> str:
    """A value one level down; lists of objects one by one, as they may be long."""
    if not (isinstance(value, list) and value and all(isinstance(one, dict) for one in value)):
        return _text(value, "\n  ")
    entries = ("    " + _text(one, "\n    ") for one in value)
    return "[\n" + ",\n".join(entries) + "\n  ]"


@cache
def _flat(line: str) -> json.JSONEncoder:
    """Writes an object without others in it, each member on a line."""
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=("," + line, ": "))


def _text(value: Any, line: str = "\n") -> str:
    """A value as indented JSON; ``line``: how its further lines begin.

    Several times as fast as json.dumps, which indents token by token: what holds no object or list goes to its
    compiled encoder.
    """
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, float):
        return float.__repr__(value) if math.isfinite(value) else "null"
    inner = line + "  "
    if isinstance(value, dict) and value:
        if _NESTED.isdisjoint(map(type, value.values())):
            with suppress(ValueError):  # what is not finite
                return "{" + inner + _flat(inner).encode(value)[1:-1] + line + "}"
        members = [
            f"{_quoted(name if isinstance(name, str) else json.dumps(name))}: {_text(member, inner)}"
            for name, member in value.items()
        ]
        return "{" + inner + ("," + inner).join(members) + line + "}"
    if isinstance(value, (list, tuple)) and value:
        if _NESTED.isdisjoint(map(type, value)):
            try:
                short = _flat(" ").encode(value)
            except ValueError:
                short = "[" + ", ".join(map(_text, value)) + "]"
            if '"' not in short or len(short) <= _LINE:
                return short
        items = [_text(item, inner) for item in value]
        return "[" + inner + ("," + inner).join(items) + line + "]"
    return json.dumps(value)


def encoded(text: str) -> bytes:
    """A text as UTF-8; invalid bytes of a name are escaped, as in JSON."""
    return text.encode("utf-8", "backslashreplace")


def save(report: dict[str, Any], path: str, claimed: bool = False) -> None:
    """Writes a report file, replacing an older one; ``claimed`` as in ``AtomicFile``."""
    write_whole(Path(path), encoded(to_json(report)), claimed=claimed)


def load(path: str | MemoryRecords) -> dict[str, Any]:
    """A tool's report, or the log of a training run as one: ``kind`` train-log, ``steps``. ``path``: - is stdin; or
    the report of a calling program. Raises SynthError: it cannot be read or is neither."""
    return of(*_named(path))


def load_result(path: str | MemoryRecords) -> tuple[dict[str, Any], list[dict[str, Any]] | None]:
    """Like ``load``, but also for results of other programs; with their samples, None for our reports."""
    return result_of(*_named(path))


def result_of(data: bytes, name: str) -> tuple[dict[str, Any], list[dict[str, Any]] | None]:
    """Like ``load_result``, from the content of a file."""
    from synthtools.evaluate import foreign_results

    foreign_result = _foreign(data, name)
    if foreign_result is not None:
        return foreign_result
    try:
        return of(data, name), None
    except SynthError as error:
        raise SynthError(f"{error} (also supported: {foreign_results.READ})") from error


def foreign(path: str) -> dict[str, Any] | None:
    """A file of another program as a report; None if the format is not known."""
    foreign_result = _foreign(*_named(path))
    return None if foreign_result is None else foreign_result.report


def _foreign(data: bytes, name: str) -> ForeignResults | None:
    from synthtools.evaluate import foreign_results

    try:
        return foreign_results.of(data, name, _content)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # After a beginning that looked valid.
        raise SynthError(f"{name}: results in an unknown format: {error!r}") from error


def _named(path: str | MemoryRecords) -> tuple[bytes, str]:
    if not isinstance(path, str):
        return path.open().read(), path.name
    name = "<stdin>" if path == "-" else path
    try:
        return _content(path), name
    except OSError as error:
        raise SynthError(f"{name}: cannot be read: {error.strerror or error}") from error


def of(data: bytes, name: str) -> dict[str, Any]:
    """Like ``load``, from the content of a file. Raises SynthError: it is neither."""
    from synthtools.records.jsonl import parse_value

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SynthError(f"{name}: not a report (not UTF-8)") from error
    try:
        report = parse_value(data)
    except ValueError:
        return {"kind": "train-log", "steps": _steps(text, name)}
    if isinstance(report, dict) and "step" in report and "kind" not in report:
        return {"kind": "train-log", "steps": [report]}
    if not isinstance(report, dict) or not isinstance(report.get("kind"), str):
        raise SynthError(f'{name}: not a synth report (a JSON object with "kind")')
    if _depth(report) > _DEEPEST:
        raise SynthError(f"{name}: not a synth report (nested too deeply)")
    return report


def _content(path: str) -> bytes:
    """The content of a file, decompressed, if it is small enough for a report."""
    if path == "-" and sys.stdin is None:
        raise SynthError("<stdin>: is closed; name a report")
    with sys.stdin.buffer if path == "-" else open(path, "rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise SynthError(f"{path}: not a report (larger than {LARGEST >> 20} MiB)")
    return decompressed(data, path)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [
        one
        for node in level
        if isinstance(node, (dict, list))
        for one in (node.values() if isinstance(node, dict) else node)
    ]:
        depth += 1
    return depth


def _steps(text: str, name: str) -> list[dict[str, Any]]:
    from synthtools.records.jsonl import parse_value

    lines = text.splitlines()
    steps: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            step = parse_value(line.encode("utf-8"))
        except ValueError as error:
            if number == len(lines) and steps:
                break  # truncated by a kill, or still being written
            raise SynthError(f"{name}:{number}: not JSON; give a synth report") from error
        if not isinstance(step, dict) or type(step.get("step")) is not int:
            raise SynthError(f"{name}:{number}: neither a report nor a line of a training log")
        steps.append(step)
    if not steps:
        raise SynthError(f"{name}: is empty; give a report of synth")
    return steps


def number(value: float | int | None, digits: int = 4) -> str:
    """A number for a table."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}g}" if abs(value) < 1e5 else f"{value:,.0f}"


def percent(share: float | None, form: str = "g") -> str:
    return "–" if share is None else f"{100 * share:{form}} %"


def reach(interval: Sequence[float] | None) -> str:
    """An interval for a table."""
    return f"{number(interval[0])} … {number(interval[1])}" if interval else "–"


def bracketed(interval: Sequence[float] | None, before: str = " ") -> str:
    """An interval after a number; empty without one."""
    return f"{before}[{number(interval[0], 3)}, {number(interval[1], 3)}]" if interval else ""


def table(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Names and values in two columns."""
    wide = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{wide}}  {value}" for name, value in rows]


def aligned(rows: Sequence[Sequence[str]], right: bool = False) -> list[str]:
    """Rows of cells in columns, each as wide as its longest cell."""
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if right:
        return ["  ".join(map(str.rjust, row, wide)) for row in rows]
    return ["  ".join(map(str.ljust, row, wide)).rstrip() for row in rows]


def columns(text: str) -> int:
    """Columns of a text at a terminal: two for a wide character, none for a combining mark."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def cut(text: str, most: int) -> str:
    """A text, or its end if it takes more than ``most`` columns."""
    if columns(text) <= most:
        return text
    while columns(text) >= most:
        text = text[1:]
    return "…" + text


def wrapped(text: str, most: int) -> list[str]:
    """A text in lines of at most ``most`` columns, broken at spaces, or anywhere in a longer word."""
    # textwrap counts characters: a wide one is padded, and the padding removed again.
    wide = "".join(c + "\0" * (columns(c) - 1) for c in text)
    return [line.replace("\0", "") for line in textwrap.wrap(wide, most)]


def bars(labels: Sequence[str], shares: Sequence[float], width: int = 40) -> list[str]:
    """Horizontal bars, one line per label; the largest has ``width`` columns."""
    wide = max(map(columns, labels), default=0)
    top = max(shares, default=0.0) or 1.0
    blocks = " ▏▎▍▌▋▊▉"
    lines = []
    for label, share in zip(labels, shares, strict=True):
        eighths = round(8 * width * share / top)
        bar = "█" * (eighths // 8) + (blocks[eighths % 8] if eighths % 8 else "")
        lines.append(" " * (wide - columns(label)) + f"{label} {bar:<{width}}")
    return lines


def shares_in_bars(labels: Sequence[str], shares: Sequence[float]) -> list[str]:
    """A horizontal histogram of shares, one line per bin."""
    rows = zip(bars(labels, shares), shares, strict=True)
    return [f"{bar} {100 * share:5.1f} %" for bar, share in rows]
