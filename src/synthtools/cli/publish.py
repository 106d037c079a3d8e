"""What becomes of a report: kept in a file, drawn, shown at a terminal or printed as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from synthtools.cli.terminal import write_stdout
from synthtools.errors import printable
from synthtools.redaction import hide
from synthtools.reports import document


def publish(report: dict[str, Any], options: Any, lines: Sequence[str]) -> None:
    """Keeps and draws a report where the options say, and prints it.

    Args:
        options: with ``report``, ``json_output`` and perhaps ``plot``.
        lines: the report as a person reads it at a terminal.
    """
    keep(report, options)
    show(report, options.json_output, lines)


def keep(report: dict[str, Any], options: Any) -> None:
    """Writes ``report`` and draws ``plot`` of the options, where they are asked for."""
    if getattr(options, "plot", None) is not None:
        from synthtools.cli import pictures

        pictures.plot(report, options.plot)
    if options.report:
        document.save(report, options.report)


def show(report: dict[str, Any], as_json: bool, lines: Sequence[str]) -> None:
    """The report on stdout: lines for a person at a terminal, JSON for everyone else."""
    if as_json or sys.stdout is None or not sys.stdout.isatty():
        write_stdout(document.to_json(report))
    else:
        write_stdout("".join(f"{hide(printable(line))}\n" for line in lines))
