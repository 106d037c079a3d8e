"""``synth plot``: reports as pictures and pages."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.parameters import operand, option


def plot(
    reports: Annotated[
        list[str],
        operand(
            metavar="REPORT",
            help="Reports of any tool (--report FILE, --json), or the step log of synth train. "
            "- is stdin.",
        ),
    ],
    output: Annotated[
        str | None,
        option(
            "--output",
            "-o",
            metavar="FILE",
            help="Draw to this file: .png or .svg for one report, .html for a page of any number. "
            "Without it, draw with characters on stdout.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        option("--data", metavar="FILE", help="Write the plotted points as CSV too."),
    ] = None,
    shares: Annotated[
        str | None,
        option(
            "--shares",
            metavar="LIST",
            help="Draw reports of synth train or synth eval as mixture curves: the synthetic share "
            "of each (0,10%,20% or 0,0.1,0.2). Runs of one share are averaged.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Draw reports: figures, pictures at the terminal, or one page to send.

    The kind of the report chooses the picture: distributions and densities of ppl, responses of
    ngram-hash, shares of edit, parts of mix, distances of dsir, curves of simulate and of a training
    log, reliability of eval, maps of embed, means of table. Figures are fit to print and readable in grey (they need the extra plot).

    A page holds the findings in words, the data that went in, tables, figures with their points, and
    what made each number; it is one file and loads nothing from elsewhere. Reports that have no
    picture are tables there.

    \b
    Examples:
      synth plot ppl.json
      synth plot simulate.json -o figure.svg --data figure.csv
      synth ppl human.jsonl synthetic.jsonl --compare | synth plot - -o ppl.png
      synth plot 0.json 20.json 40.json --shares 0,20%,40% -o mixtures.png
      synth plot ppl.json ngrams.json edit.json -o page.html

    Memory: the reports; what holds more than 1 GiB is refused as none [ours].
    """
    from synthtools.cli.plotting import run_plot

    run_plot(reports, output, data, shares, force)
