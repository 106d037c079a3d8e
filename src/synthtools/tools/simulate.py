"""Theory of iterated data: test error of a linear model by generation.

A model is fitted to labelled samples, labels new ones, and so on (the setting of ToEdit,
section 3). The process is simulated exactly as defined; the report adds the papers' expression and
bounds, and the value for many samples per feature in closed form [ours]. Test error is the
excess over the noise, in units of that of the first model, base = S²·D/(T−D−1).

The process of edit as defined exceeds ToEdit's bound of 2·base: the proof drops a cross term,
through which the errors of the model that draws the edits re-enter the data. The report states by
how much.

With --model gaussian or kde a density is fitted to samples of N(0, 1), then to samples of its own, and so on
(arXiv 2410.16713): the report has its variance and the squared error of its mean, and their expected values.

\b
Examples:
  synth simulate
  synth simulate --workflow edit --edit-share 0.1 --edit-decay 1 --generations 11
  synth simulate --workflow replace,edit --json | jq '.workflows[] | [.workflow, .simulated[-1]]'
  synth simulate -T 10K -d 1K --repetitions 100 --plot curves.png
  synth simulate --model kde --bandwidth 0.3 --generations 100

Memory: for each core T × D × 8 bytes (80 MB for 10,000 × 1,000), 1.5 to 3 times that with
accumulate-subsample or random masks; of densities 16 MB, or 40 bytes a sample of all generations. accumulate-subsample solves a new least-squares problem in
each generation: from 8 samples per feature on by conjugate gradients, to a relative error of 1e-6,
at about five times the cost of the other workflows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from synthtools.cli import quantities
from synthtools.cli.kinds import Positive
from synthtools.cli.options import ARGUMENTS, Jobs, Picture, Report, Seed
from synthtools.cli.parameters import option
from synthtools.errors import UsageError
from synthtools.reports import document

if TYPE_CHECKING:
    from synthtools.reports.simulate import DensitiesReport as Densities
    from synthtools.reports.simulate import DensityWorkflow as Fitted
    from synthtools.reports.simulate import SimulateReport as Simulation
    from synthtools.reports.simulate import Workflow as Errors

Model = Literal["linear", "gaussian", "kde"]
Workflow = Literal["replace", "accumulate", "accumulate-subsample", "edit"]


@dataclass(frozen=True, kw_only=True)
class Options(Seed, Picture, Report, Jobs):
    """Options of ``synth simulate``."""

    model: Model = option(
        "linear",
        help="What is fitted: a linear model, a normal distribution, or a Gaussian kernel estimate.",
    )
    bandwidth: float | None = option(
        metavar="H",
        help="With --model kde: standard deviation of the kernel (default: Silverman's, 1.06 T^(-1/5)).",
    )
    samples: int = option(
        100,
        "-T",
        metavar="T",
        parse=quantities.count,
        min=3,
        help="Samples that each model is fitted to (10K).",
    )
    features: int = option(
        10,
        "-d",
        metavar="D",
        parse=quantities.count,
        min=1,
        help="Features of a sample, at most T − 2.",
    )
    noise: float = option(1.0, metavar="S", help="Standard deviation of the labels' noise.")
    generations: Positive = option(
        10, max=10_000, help="Number of models in sequence, including the first."
    )
    repetitions: int = option(
        1000,
        metavar="R",
        parse=quantities.count,
        min=1,
        help="Number of data sets to average over.",
    )
    workflow: list[Workflow] | None = option(
        commas=True,
        help="What a generation is fitted to; several by commas or by repeating the option "
        "(default: all). replace: the last model's labels; accumulate: those of all; "
        "accumulate-subsample: T samples drawn from all; edit: the last labels, a part of them "
        "resampled.",
    )
    edit_share: float = option(
        0.4, metavar="P", max=1, help="Share of the samples in the first edit."
    )
    edit_decay: float = option(
        0.5,
        metavar="Q",
        max=1,
        help="Each edit changes Q times as many samples as the one before (1: always the same "
        "number).",
    )
    masks: Literal["disjoint", "nested", "random"] = option(
        "disjoint",
        help="Which samples an edit takes: only those never edited before (as the paper's proof "
        "needs), some of those edited last, or any.",
    )

    def check(self) -> None:
        super().check()
        if self.bandwidth is not None and (self.model != "kde" or self.bandwidth <= 0):
            raise UsageError("--bandwidth is above 0, and of --model kde")
        if self.model != "linear":
            if "edit" in (self.workflow or ()):
                raise UsageError(
                    f"--workflow edit: labels are edited, and --model {self.model} has none"
                )
            return
        if self.samples < self.features + 2:
            raise UsageError(
                f"--samples {self.samples}: the expected error is finite from --features + 2 = "
                f"{self.features + 2} samples on"
            )
        for name, value in (
            ("--noise", self.noise),
            ("--edit-share", self.edit_share),
            ("--edit-decay", self.edit_decay),
        ):
            if value <= 0:
                raise UsageError(f"{name} {value}: must be above 0")


def run(options: Options) -> Simulation | Densities:
    """Simulates and compares with what is known."""
    start = time.monotonic()
    report = _linear(options) if options.model == "linear" else _densities(options)
    seconds = max(time.monotonic() - start, 1e-9)
    report["made_by"] = document.made_by(
        "simulate",
        ARGUMENTS.get({}),
        [],
        {"repetitions": options.repetitions},
        seconds,
        None,
        {"repetitions_per_second": round(options.repetitions / seconds, 1)},
    )
    return report


def _densities(options: Options) -> Densities:
    from synthtools.measure import iterated_densities as theory

    width = 0.0
    if options.model == "kde":
        width = options.bandwidth or theory.silverman(options.samples)
    setting = theory.DensitySetting(options.samples, options.generations, width)
    count, jobs = options.repetitions, options.workers()
    results = []
    for name in theory.WORKFLOWS:
        if name in (options.workflow or theory.WORKFLOWS):
            values = theory.simulated(setting, name, options.seed, count, jobs)
            results.append(cast("Fitted", theory.result(setting, name, values)))
    return {
        "kind": "simulate-densities",
        "model": options.model,
        "samples": options.samples,
        "bandwidth": width or None,
        "generations": options.generations,
        "repetitions": count,
        "workflows": results,
    }


def _linear(options: Options) -> Simulation:
    from synthtools.measure.iteration import WORKFLOWS, LinearSetting, edited_rows, repetitions
    from synthtools.measure.iteration_theory import base, workflow_result

    names = tuple(one for one in WORKFLOWS if one in (options.workflow or WORKFLOWS))
    decay = options.edit_decay
    edited = edited_rows(options.samples, options.generations, options.edit_share, decay)
    if "edit" in names and options.masks == "disjoint" and sum(edited) > options.samples:
        fit = next(k for k in range(len(edited)) if sum(edited[: k + 1]) > options.samples)
        raise UsageError(
            f"disjoint masks of these shares fill the data after {fit + 1} generations: lower "
            "--edit-share, --edit-decay or --generations, or take --masks random"
        )
    setting = LinearSetting(
        options.samples, options.features, options.noise, options.generations, edited, options.masks
    )
    errors = repetitions(setting, names, options.seed, options.repetitions, options.workers())
    unit = base(setting)
    results = [
        cast("Errors", workflow_result(name, setting, decay, errors[:, row] / unit))
        for row, name in enumerate(names)
    ]
    return {
        "kind": "simulate",
        "samples": setting.samples,
        "features": setting.features,
        "noise": setting.noise,
        "generations": setting.generations,
        "repetitions": options.repetitions,
        "base": unit,
        "unit": "all errors and bounds are multiples of base",
        "edit": {
            "share": options.edit_share,
            "decay": decay,
            "masks": setting.masks,
            "rows": list(setting.edited),
        },
        "workflows": results,
    }
