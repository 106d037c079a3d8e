"""``synth diff``: what changed between runs."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.options import Seed
from synthtools.cli.parameters import operand, option


def diff(
    seed: Seed,
    reports: Annotated[
        list[str] | None,
        operand(
            metavar="REPORT",
            help="Two or more reports of one tool (--report FILE, --json); each is compared with the "
            "first. - is stdin.",
        ),
    ] = None,
    samples: Annotated[
        list[str] | None,
        option(
            "--samples",
            metavar="FILE",
            help="The samples of each report of synth eval, in their order (default: where the report "
            "says, or beside it).",
            show_default=False,
        ),
    ] = None,
    figure: Annotated[
        list[str] | None,
        option(
            "--figure",
            metavar="PATH",
            help="Only figures whose path holds this (suites.arc_easy, ece); with --budget the whole "
            "path of a figure whose loss counts (default: accuracy or perplexity of each suite).",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        bool,
        option(
            "--budget",
            help="Take the reports as runs at growing synthetic share and set them beside the "
            "guidance of Ratios: at most 20 % is safe, 20–30 % depends on scale, more loses.",
        ),
    ] = False,
    shares: Annotated[
        str | None,
        option(
            "--shares",
            metavar="LIST",
            help="With --budget: the synthetic share of each report (0,10%,20% or 0,0.1,0.2).",
        ),
    ] = None,
    parameters: Annotated[
        str | None,
        option(
            "--parameters",
            metavar="N",
            help="With --budget: parameters of the models (1B), on which the guidance between 20 "
            "and 30 % depends.",
        ),
    ] = None,
    bootstrap: Annotated[
        int,
        option(
            "--bootstrap",
            metavar="B",
            min=0,
            max=100_000,
            help="Resamples behind the 95 % intervals of paired differences [ours]; 0 for none.",
        ),
    ] = 1000,
    everything: Annotated[
        bool, option("--all", help="Show all figures at a terminal, not the first 60.")
    ] = False,
    report: Annotated[
        str | None,
        option("--report", metavar="FILE", help="Keep the differences here as well, as JSON."),
    ] = None,
    plot: Annotated[
        str | None,
        option(
            "--plot",
            metavar="FILE",
            help="Draw the differences as PNG or SVG (needs [plot]).",
        ),
    ] = None,
    json_output: Annotated[
        bool, option("--json", help="Print the differences as JSON at a terminal too.")
    ] = False,
) -> None:
    """Compare reports: what changed between two runs of any tool.

    Every number that all reports have is set beside that of the first report. For reports of synth
    eval whose samples are there, models are also compared item by item: differences with paired
    bootstrap intervals, McNemar's exact test for right and wrong, a permutation test of flipped
    signs for other figures, p-values corrected by Holm. Items are known by suite, subject and id; where
    these repeat, they are paired by occurrence if their texts agree, else refused.

    \b
    Examples:
      synth diff base.json tuned.json
      synth diff base.json tuned.json --json | jq '.paired[] | select(.p_holm < 0.05)'
      synth diff human.json edited.json --figure perplexity
      synth diff mix0.json mix20.json mix40.json --budget --shares 0,20%,40% --plot budget.png

    Memory: the reports, and the samples of two of them.
    """
    from synthtools.cli.differing import Differing, run_diff

    options = Differing(
        samples=tuple(samples or ()),
        figures=tuple(figure or ()),
        shares=shares,
        parameters=parameters,
        budget=budget,
        resamples=bootstrap,
        seed=seed.seed,
        everything=everything,
    )
    run_diff(list(reports or []), options, report, plot, json_output)
