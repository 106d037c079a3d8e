"""Fit a law to runs: parameters with intervals, its error on runs it has not seen, what is best.

A row is a run: the fields of --x are what it was made of, --y its loss. Rows are records, or those of
a report of synth table. The parameters have the least mean of Huber's loss of ln(predicted/observed),
as in Hoffmann et al. 2022, which leaves them alone when a few runs went wrong; 95 % intervals come
from refits to reweighted rows (Bayesian bootstrap). The largest runs are left out of a second fit,
which is to predict them: how far extrapolation can be trusted. Of mixtures and weights, drawn runs
are left out.

\b
  chinchilla   N,D      L = E + A/N^alpha + B/D^beta (Hoffmann et al. 2022)
  kaplan       N,D      L = ((Nc/N)^(alpha_N/alpha_D) + Dc/D)^alpha_D (Kaplan et al. 2020)
  power        X        L = E + A/x^alpha
  rectified    D        L = B/(D_l + D^beta) + E: fine-tuning on D records (Lin et al. 2024)
  repeat       N,D,U    D tokens of which U are unique: chinchilla of the effective parameters and
               or D,U   tokens, U + U R* (1 - exp(-(D/U - 1)/R*)) (Muennighoff et al. 2023)
  golden       W        L = E + C (w^2 + k (1-w)^2)/(1 - (1-w)^2), w the loss weight of human text,
                        least at w = (sqrt(k^2 + 4k) - k)/2 (arXiv 2502.18049; as a law [ours])
  mixing       shares   L = c + k exp(sum of t_j r_j) (Ye et al. 2024)
  quadratic    shares   a polynomial of second degree by ridge regression [ours]
  regmix       shares   boosted trees over many small runs, and the mean of the 128 best of 16,384 drawn
                        mixtures (Liu et al. 2024; scikit-learn's trees in place of LightGBM's [ours]);
                        needs [map]

\b
Examples:
  synth table 'runs/{tokens}-{seed}.json' --take loss=valid.human --json |
    synth fit --law power --x tokens --y loss --plot fit.png
  synth fit runs.csv --law chinchilla --x parameters,tokens --y loss --flops 1e21
  synth fit mixtures.csv --law mixing --x web,code,books --y web_loss,code_loss,books_loss
  synth fit epochs.csv --law repeat --x tokens,unique --y loss --at tokens=4e9,unique=1e9

Memory: the rows, at most 10,000 [ours].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, cast

from synthtools.cli import quantities
from synthtools.cli.kinds import FieldName, Resamples
from synthtools.cli.options import Inputs, Picture, Report, Seed
from synthtools.cli.parameters import option
from synthtools.errors import SynthError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from synthtools.measure.laws import Law
    from synthtools.records.batch import Batch
    from synthtools.records.rejects import Rejects
    from synthtools.reports.fit import FitReport

_MOST_ROWS = 10_000
_BUDGETED = ("chinchilla", "kaplan", "repeat")
_REGRESSIONS = ("quadratic", "regmix")


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, Seed, Picture, Report):
    """Options of ``synth fit``."""

    law: Literal[
        "chinchilla",
        "kaplan",
        "power",
        "rectified",
        "repeat",
        "golden",
        "mixing",
        "quadratic",
        "regmix",
    ] = option(..., help="The form to fit.")
    x: list[FieldName] = option(
        ...,
        commas=True,
        help="The fields of the law's variables, in its order: N parameters, D tokens (or records), U "
        "unique tokens, W weight of human text; of the last three the shares, each from 0 to 1.",
    )
    y: list[FieldName] = option(
        ...,
        commas=True,
        help="The field of the loss; several are fitted one by one, and what is best has the least mean.",
    )
    fix: list[quantities.NamedNumber] | None = option(
        metavar="NAME=NUMBER,…",
        parse=quantities.named_number,
        commas=True,
        help="Parameters that are known (E=1.8).",
    )
    held_out: float = option(
        0.2,
        metavar="SHARE",
        parse=quantities.share,
        max=0.9,
        help="Share of the rows that a second fit leaves out to predict them; 0 for none.",
    )
    flops: float | None = option(
        metavar="C",
        min=1e6,
        help="With chinchilla, kaplan and repeat: parameters and tokens of the least loss at 6·N·D = C "
        "(1e21).",
    )
    unique: int | None = option(
        metavar="U",
        parse=quantities.count,
        min=1,
        help="With repeat and --flops: how many unique tokens there are (10B).",
    )
    at: list[quantities.NamedNumber] | None = option(
        metavar="FIELD=NUMBER,…",
        parse=quantities.named_number,
        commas=True,
        help="Predict the loss of a run that is made so; name all fields of --x.",
    )
    delta: float = option(
        1e-3,
        metavar="D",
        min=1e-12,
        help="Where Huber's loss turns from squares to absolute values, of ln(predicted/observed).",
    )
    bootstrap: Resamples = option(200, help="Refits for the 95 % intervals [ours]; 0 for none.")

    def check(self) -> None:
        super().check()
        for name in (names := [*self.x, *self.y]):
            if names.count(name) > 1:
                raise UsageError(f"--x, --y {name}: is named twice")
        if self.flops is not None and self.law not in _BUDGETED:
            raise UsageError(f"--flops goes with --law {', '.join(_BUDGETED)}")
        if self.fix and self.law in _REGRESSIONS:
            raise UsageError(f"--fix goes with the other laws, not {' or '.join(_REGRESSIONS)}")
        if self.law == "regmix" and find_spec("sklearn") is None:
            raise UsageError(
                "--law regmix needs scikit-learn: pip install 'synthtools[map]' (or --law quadratic)"
            )
        if (self.unique is not None) != (self.law == "repeat" and self.flops is not None):
            raise UsageError("--unique goes with --law repeat and --flops, which need it")
        if self.at is not None and sorted(one.name for one in self.at) != sorted(self.x):
            raise UsageError(f"--at: give each field of --x once: {', '.join(self.x)}")


def run(options: Options) -> FitReport:
    """Reads all rows and fits."""
    import numpy as np

    from synthtools.cli.run import Run
    from synthtools.measure.law_fit import Runs
    from synthtools.measure.law_study import study
    from synthtools.measure.laws import mixture
    from synthtools.reports.rows import with_rows_of_tables

    law, width = _law(options), len(options.x)
    for one in options.at or ():
        sound, words = _RANGES[_range(options.law, law, options.x.index(one.name), "--x")]
        if not sound(one.value):
            raise UsageError(f"--at {one.name}={one.value:g}: {options.law} needs {words}")
    parts = [np.zeros((0, width + len(options.y)))]
    with (
        with_rows_of_tables(options.files) as shards,
        Run(
            "fit",
            options,
            plot=options.plot,
            inputs=shards,
            check=lambda one: _numbers(one, options, law),
        ) as run,
    ):
        for batch in run.records():
            parts.append(_numbers(batch, options, law, run.rejects))
            run.count(len(parts[-1]))
            if run.progress.records > _MOST_ROWS:
                raise SynthError(f"more than {_MOST_ROWS:,} rows; fit to a sample (synth sample)")
        rows = np.concatenate(parts)
        law = law or mixture(options.law, options.x, rows[:, :width])
        x = dict(zip(law.variables, rows.T, strict=False))
        fixed = {one.name: one.value for one in options.fix or ()}
        runs = [Runs(law, x, y, options.delta, fixed) for y in rows.T[width:]]
        fields = dict(zip(law.variables, options.x, strict=True))
        if fault := runs[0].fault(fields):
            raise SynthError(f"{', '.join(shard.name for shard in run.shards)}: {fault}")
        at = {one.name: one.value for one in options.at or ()}
        budget = (options.flops, options.unique)
        drawn = (options.held_out, options.bootstrap, options.seed)
        report = study(runs, options.y, fields, *drawn, budget, at)
        return cast("FitReport", run.finish({"law": options.law, **report}))


def _law(options: Options) -> Law | None:
    """The law of these variables; None for those of shares, which depend on the rows. Raises UsageError: it has
    other variables."""
    from synthtools.measure.laws import LAWS

    forms = LAWS.get(options.law)
    if forms is None:
        return None
    for law in forms:
        if len(law.variables) == len(options.x):
            if options.flops is not None and "N" not in law.variables:
                raise UsageError("--flops: --x has no parameters (N)")
            return law
    wanted = " or ".join(",".join(law.variables) for law in forms)
    raise UsageError(f"--x {','.join(options.x)}: {options.law} needs a field for each of {wanted}")


def _numbers(
    batch: Batch, options: Options, law: Law | None, rejects: Rejects | None = None
) -> np.ndarray:
    """The numbers of the fields of --x and --y, float64 [sound records, fields]; the other records go to
    ``rejects``."""
    import numpy as np

    from synthtools.records.batch import MISSING
    from synthtools.records.record_faults import no_field, without
    from synthtools.records.rejects import Rejects

    fields = [*options.x, *options.y]
    values = np.full((len(batch), len(fields)), np.nan)
    bad: dict[int, str] = {}
    for place, name in enumerate(fields):
        flag = "--x" if place < len(options.x) else "--y"
        sound, words = _RANGES[_range(options.law, law, place, flag)]
        for index, value in enumerate(batch.column(name)):
            number = _number(value)
            if value is MISSING:
                bad.setdefault(index, no_field(batch, index, name, f"use {flag}"))
            elif not sound(number):
                bad.setdefault(
                    index, f'field "{name}" holds {value!r:.40}; {options.law} needs {words}'
                )
            else:
                values[index, place] = number
    without(batch, dict(sorted(bad.items())), rejects or Rejects())
    kept: np.ndarray = np.delete(values, list(bad), axis=0)
    return kept


def _number(value: object) -> float:
    """A number, or the one that a text of CSV is; NaN where there is none."""
    from synthtools.records.natural_order import as_number

    number = as_number(value) if isinstance(value, str) else value
    if type(number) not in (int, float):
        return math.nan
    try:
        return float(cast("float", number))
    except OverflowError:
        return math.inf


_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "any": (math.isfinite, "a number"),
    "above": (
        lambda value: 0 < value < math.inf,
        "a number above 0, of which it takes the logarithm",
    ),
    "from 0": (lambda value: 0 <= value < math.inf, "a number of at least 0"),
    "share": (lambda value: 0 <= value <= 1, "a share from 0 to 1"),
    "weight": (lambda value: 0 < value <= 1, "a weight above 0, at most 1"),
}


def _range(name: str, law: Law | None, place: int, flag: str) -> str:
    """Which numbers a field may hold."""
    if flag == "--y":
        return "any" if name in _REGRESSIONS else "above"
    if law is None:
        return "share"
    if name == "golden":
        return "weight"
    return "from 0" if law.variables[place] in law.from_zero else "above"
