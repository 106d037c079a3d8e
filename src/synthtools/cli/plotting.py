"""The run behind ``synth plot``."""

from __future__ import annotations

import shutil
from pathlib import Path

from synthtools import reports
from synthtools.cli import quantities
from synthtools.cli.publish import SUFFIXES, save_figure
from synthtools.cli.terminal import write_stdout
from synthtools.errors import OutputExistsError, UsageError, printable
from synthtools.records.files import write_whole
from synthtools.reports import document
from synthtools.reports.document import encoded

_PAGES = (".html", ".htm")


def run_plot(
    names: list[str], output: str | None, data: str | None, shares: str | None, force: bool
) -> None:
    """Reads the reports and draws them.

    Args:
        shares: of synthetic text in the run of each report: they are drawn as one figure, which on
            a page stands before the reports.

    Raises:
        UsageError: no format has such a suffix, or several reports are to be one figure.
        OutputExistsError
        SynthError: a file is no report, or nothing in it can be plotted.
    """
    suffix = None if output is None else Path(output).suffix.lower()
    if suffix is not None and suffix not in (*SUFFIXES, *_PAGES):
        raise UsageError(f"-o {output}: name a .png, .svg or .html file")
    if suffix in SUFFIXES and len(names) > 1 and shares is None:
        raise UsageError(
            f"-o {output}: a figure is of one report; name a .html file for {len(names)}, or the "
            "--shares of runs"
        )
    if names.count("-") > 1:
        raise UsageError("-: stdin holds one report")
    parts = None if shares is None else quantities.shares(shares, len(names))
    for path in (output, data):
        if path is not None and not force and Path(path).exists():
            raise OutputExistsError(f"{path}: already there; --force replaces it")
    found = [(name, document.load(name)) for name in names]
    plain = suffix not in _PAGES
    if parts is not None:
        from synthtools.evaluate.mixtures import curves

        found = [("mixtures", curves(found, parts)), *([] if plain else found)]
    drawn = [
        (name, reports.figure(report, name))
        for name, report in found
        if plain or (data is not None and reports.has_figure(report["kind"]))
    ]
    if output is None:
        from synthtools.reports.figures.text import lines_of

        with reports.whole(found[0][1], ", ".join(names)):
            width = max(40, shutil.get_terminal_size().columns)
            blocks = ["\n".join(map(printable, lines_of(one, width))) for _, one in drawn]
        write_stdout("\n\n\n".join(blocks) + "\n")
    elif plain:
        with reports.whole(*reversed(found[0])):
            save_figure(drawn[0][1], output, force)
    else:
        from synthtools.reports.figures.page import page

        write_whole(Path(output), encoded(page(found)), force)
    if data is not None:
        from synthtools.reports.figures.points import to_csv

        write_whole(Path(data), encoded(to_csv(drawn)), force)
