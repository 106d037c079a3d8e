"""``synth simulate``: the theory of iterated data on a linear model."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.options import Jobs
from synthtools.cli.parameters import option


def simulate(
    jobs: Jobs,
    samples: Annotated[
        str,
        option("--samples", "-T", metavar="T", help="Samples that a model is fitted to (10K)."),
    ] = "100",
    features: Annotated[
        str,
        option("--features", "-d", metavar="D", help="Features of a sample, at most T − 2."),
    ] = "10",
    noise: Annotated[
        float, option("--noise", metavar="S", help="Standard deviation of the labels' noise.")
    ] = 1.0,
    generations: Annotated[
        int,
        option(
            "--generations",
            metavar="N",
            min=1,
            max=10_000,
            help="Models one after the other, the first included.",
        ),
    ] = 10,
    repetitions: Annotated[
        str,
        option("--repetitions", metavar="R", help="Draws of the data to average over."),
    ] = "1000",
    workflow: Annotated[
        list[str] | None,
        option(
            "--workflow",
            metavar="replace|accumulate|accumulate-subsample|edit",
            help="What a generation is fitted to; several by commas or by repeating the option "
            "(default: all). replace: the last model's labels; accumulate: those of all; "
            "accumulate-subsample: T samples drawn from all; edit: the last labels, a part of them "
            "drawn anew.",
            show_default=False,
        ),
    ] = None,
    edit_share: Annotated[
        float,
        option("--edit-share", metavar="P", max=1, help="Share of the samples in the first edit."),
    ] = 0.4,
    edit_decay: Annotated[
        float,
        option(
            "--edit-decay",
            metavar="Q",
            max=1,
            help="Each edit takes Q times as many samples as the one before (1: all the same).",
        ),
    ] = 0.5,
    masks: Annotated[
        str,
        option(
            "--masks",
            metavar="disjoint|nested|random",
            help="Which samples an edit takes: none that was edited before (as the paper's proof "
            "needs), some of those just edited, or any.",
        ),
    ] = "disjoint",
    seed: Annotated[int, option("--seed", metavar="N", min=0, help="Seed of every draw.")] = 0,
    report: Annotated[
        str | None, option("--report", metavar="FILE", help="Write the report to this file too.")
    ] = None,
    plot: Annotated[
        str | None,
        option("--plot", metavar="FILE", help="Draw the curves as PNG or SVG (needs [plot])."),
    ] = None,
    json_output: Annotated[
        bool, option("--json", help="Print the report as JSON at a terminal too.")
    ] = False,
) -> None:
    """Theory of iterated data: test error of a linear model by generation.

    A model is fitted to labelled samples, labels them anew, and so on (the setting of ToEdit,
    section 3). The process is simulated to the letter; beside it stand the papers' expression and
    bounds, and the value for many samples per feature in closed form [ours]. Test error is the
    excess over the noise, in units of that of the first model, base = S²·D/(T−D−1).

    The literal process of edit exceeds ToEdit's bound of 2·base: the proof drops a cross term, by
    which the errors of the model that draws the edits come back into the data. The report says by
    how much.

    \b
    Examples:
      synth simulate
      synth simulate --workflow edit --edit-share 0.1 --edit-decay 1 --generations 11
      synth simulate --workflow replace,edit --json | jq '.workflows[] | [.workflow, .simulated[-1]]'
      synth simulate -T 10K -d 1K --repetitions 100 --plot curves.png

    Memory: for each core T × D × 8 bytes (80 MB for 10,000 × 1,000), one and a half to three times
    that with accumulate-subsample or random masks. accumulate-subsample has least squares of its own
    in each generation: from 8 samples a feature on by conjugate gradients, to a relative error of
    1e-6, at some five times the cost of the other workflows.
    """
    from synthtools.cli import simulating
    from synthtools.cli.quantities import count

    workflows = simulating.chosen(workflow or [])
    setting = simulating.setting_of(
        count(samples, "--samples"),
        count(features, "--features"),
        noise,
        generations,
        edit_share,
        edit_decay,
        masks,
        "edit" in workflows,
    )
    simulating.run_simulation(
        setting,
        workflows,
        count(repetitions, "--repetitions"),
        seed,
        jobs.workers(),
        share=edit_share,
        decay=edit_decay,
        report_file=report,
        plot=plot,
        json_output=json_output,
    )
