"""Draw reports as figures, as text at the terminal, or as one HTML page.

The kind of the report determines the figure: distributions and densities of ppl, responses of
ngram-hash, shares of edit, parts of mix, distances of dsir, curves of simulate and of a training
log, reliability of eval, maps of embed, means of table. Figures remain readable in greyscale (they
need the extra plot).

A page has the findings in words, the input data, tables, figures with their points, and the
provenance of each number; it is one file and loads nothing from elsewhere. Reports without a
figure appear as tables.

\b
Examples:
  synth plot ppl.json
  synth plot simulate.json -o figure.svg --data figure.csv
  synth ppl human.jsonl synthetic.jsonl --compare | synth plot - -o ppl.png
  synth plot 0.json 20.json 40.json --shares 0,20%,40% -o mixtures.png
  synth plot ppl.json ngrams.json edit.json -o page.html

Memory: the reports; a file of more than 1 GiB is refused [ours].
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthtools import reports
from synthtools.cli.kinds import FileName, ReportName, Shares
from synthtools.cli.parameters import Group, operand, option, output_file
from synthtools.cli.publish import SUFFIXES, save_figure
from synthtools.errors import OutputExistsError, UsageError, printable
from synthtools.records.atomic_files import write_whole
from synthtools.reports import document
from synthtools.reports.document import encoded

_PAGES = (".html", ".htm")


@dataclass(frozen=True, kw_only=True)
class Options(Group):
    """Options of ``synth plot``."""

    reports: list[ReportName] = operand(
        ...,
        help="Reports of any tool (--report FILE, --json), or the step log of synth train. - is "
        "stdin.",
    )
    output: FileName | None = option(
        None,
        "-o",
        help="Write to this file: .png or .svg for one report, .html for a page of any number. "
        "Without it, draw in characters on stdout.",
    )
    data: str | None = output_file(help="Write the plotted points as CSV too.")
    shares: list[Shares] | None = option(
        commas=True,
        help="Draw reports of synth train or synth eval as mixture curves: the synthetic share of "
        "each (0,10%,20% or 0,0.1,0.2). Runs of one share are averaged.",
    )
    force: bool = option(False, help="Overwrite existing files.")

    @property
    def suffix(self) -> str | None:
        return None if self.output is None else Path(self.output).suffix.lower()

    def check(self) -> None:
        super().check()
        count = len(self.reports)
        if self.output is not None and self.suffix not in (*SUFFIXES, *_PAGES):
            raise UsageError(f"-o {self.output}: name a .png, .svg or .html file")
        if self.suffix in SUFFIXES and count > 1 and self.shares is None:
            raise UsageError(
                f"-o {self.output}: a figure is of one report; name a .html file for {count}, or "
                "the --shares of runs"
            )
        if self.reports.count("-") > 1:
            raise UsageError("-: stdin holds one report")
        if self.shares is not None and len(self.shares) != count:
            raise UsageError(f"--shares names {len(self.shares)} shares for {count} reports")
        for path in (self.output, self.data):
            if path is not None and not self.force and Path(path).exists():
                raise OutputExistsError(f"{path}: already there; --force replaces it")


def run(options: Options) -> str | None:
    """Draws to the files that are named; without one, returns the figures in characters."""
    given: list[tuple[str, dict[str, Any]]] = [
        (str(one), document.load(one)) for one in options.reports
    ]
    on_page = options.suffix in _PAGES
    if options.shares is not None:
        from synthtools.evaluate.synthetic_shares import curves

        given = [("mixtures", curves(given, options.shares)), *(given if on_page else [])]
    figures = [
        (name, reports.figure(report, name))
        for name, report in given
        if not on_page or (options.data is not None and reports.has_figure(report["kind"]))
    ]
    text = None
    if options.output is None:
        from synthtools.reports.figures.text import lines_of

        width = max(40, shutil.get_terminal_size().columns)
        with reports.whole(given[0][1], ", ".join(map(str, options.reports))):
            drawn = ["\n".join(map(printable, lines_of(one, width))) for _, one in figures]
        text = "\n\n\n".join(drawn) + "\n"
    elif on_page:
        from synthtools.reports.figures.page import page

        write_whole(Path(options.output), encoded(page(given)), options.force)
    else:
        with reports.whole(*reversed(given[0])):
            save_figure(figures[0][1], options.output, options.force)
    if options.data is not None:
        from synthtools.reports.figures.text import to_csv

        write_whole(Path(options.data), encoded(to_csv(figures)), options.force)
    return text
