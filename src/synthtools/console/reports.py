"""Reports: one JSON document with its numbers and with what made them; a table at a terminal."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthtools import __version__
from synthtools.console.terminal import write_stdout
from synthtools.records.files import write_whole

# A list of numbers or of short words stands on one line. (No string of JSON holds a newline.)
_SCALAR = r'(?:[-+.\deE]+|null|true|false|"(?:[^"\\\n]|\\.)*")'
_LISTS = re.compile(rf"\[\n\s+({_SCALAR}(?:,\n\s+{_SCALAR})*)\n\s+\]")
_LINE = 100


def made_by(
    tool: str,
    arguments: dict[str, Any],
    inputs: list[dict[str, Any]],
    counts: dict[str, Any],
    seconds: float,
    model: dict[str, Any] | None = None,
    throughput: dict[str, float] | None = None,
) -> dict[str, Any]:
    """The part of a report that says what made it."""
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
    """The report as indented JSON; what is no number is null, so that every reader can read it."""
    text = json.dumps(_finite(report), indent=2, ensure_ascii=False)
    return _LISTS.sub(_on_one_line, text) + "\n"


def _on_one_line(found: re.Match[str]) -> str:
    line = "[" + re.sub(r"\n\s+", " ", found[1]) + "]"
    return found[0] if '"' in line and len(line) > _LINE else line


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def save(report: dict[str, Any], path: str) -> None:
    """Writes a report file, replacing an older one."""
    write_whole(Path(path), to_json(report).encode("utf-8"))


def show(report: dict[str, Any], as_json: bool, lines: Sequence[str]) -> None:
    """The report on stdout: lines for a person at a terminal, JSON for everyone else."""
    if as_json or not sys.stdout.isatty():
        write_stdout(to_json(report))
    else:
        write_stdout("\n".join(lines) + "\n")


def number(value: float | int | None, digits: int = 4) -> str:
    """A number for a table."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}g}" if abs(value) < 1e5 else f"{value:,.0f}"


def table(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Names and values in two columns."""
    wide = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{wide}}  {value}" for name, value in rows]
