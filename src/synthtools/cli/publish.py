"""Output of a report: written to a file, plotted, shown at a terminal or printed as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from synthtools.cli import terminal
from synthtools.cli.terminal import write_stdout
from synthtools.errors import SynthError, UsageError, printable
from synthtools.records.atomic_files import write_whole
from synthtools.redaction import hidden, hide
from synthtools.reports import document, figure
from synthtools.reports.figures.chart import Figure

SUFFIXES = (".png", ".svg")


def check_plot(path: str) -> None:
    """Checks before any work that a figure can be drawn, and that its suffix names a format.

    Raises:
        UsageError
        SynthError: matplotlib is not installed, or the directory does not exist.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {path}: name a .png or .svg file")
    require_figures("--plot", path)


def require_figures(option: str, path: str) -> None:
    """Raises SynthError if figures cannot be drawn, or not written to ``path``."""
    if find_spec("matplotlib") is None:
        raise SynthError("figures need matplotlib: pip install 'synthtools[plot]'")
    require_folder(option, path)


def require_folder(option: str, path: str) -> None:
    """Raises SynthError if the directory of a file does not exist."""
    if not Path(path).absolute().parent.is_dir():
        raise SynthError(f"{option} {path}: directory {Path(path).parent} does not exist")


def draw(report: dict[str, Any], path: str | None) -> None:
    """``--plot FILE`` of a tool: the figure of its report, if requested.

    A report with nothing to plot is a remark, not an error.
    """
    if path is None:
        return
    try:
        drawn = figure(hidden(report), "the report")
    except SynthError as nothing:
        terminal.remark(f"{path}: not drawn: {nothing}")
        return
    save_figure(drawn, path)


def save_figure(drawn: Figure, path: str, force: bool = True) -> None:
    """Writes a figure atomically, in the format of the suffix."""
    from synthtools.reports.figures.render import render

    content = render(drawn, Path(path).suffix.lower()[1:], remark=terminal.remark)
    write_whole(Path(path), content, force)


def publish(report: dict[str, Any], options: Any, lines: Sequence[str]) -> None:
    """Writes, plots and prints a report, as the options say.

    Args:
        options: with ``report``, ``json_output`` and possibly ``plot``.
        lines: the report for a terminal.
    """
    keep(report, options)
    if options.lines_only:
        write_lines(lines)
    else:
        show(report, options.json_output, lines)


def keep(report: dict[str, Any], options: Any) -> None:
    """Writes ``report`` and ``plot`` of the options, if given."""
    draw(report, getattr(options, "plot", None))
    if options.report:
        document.save(report, options.report)


def show(report: dict[str, Any], as_json: bool, lines: Sequence[str]) -> None:
    """Prints the report: lines at a terminal, otherwise JSON."""
    if as_json or sys.stdout is None or not sys.stdout.isatty():
        write_stdout(document.to_json(report))
    else:
        write_lines(lines)


def write_lines(lines: Sequence[str]) -> None:
    """Prints lines without control characters."""
    write_stdout("".join(f"{hide(printable(line))}\n" for line in lines))
