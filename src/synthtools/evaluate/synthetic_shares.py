"""How much synthetic data a training run tolerates: the guidance of Ratios beside a series of runs.

Ratios (arXiv 2510.05133): up to 20 % synthetic stays within 3 % of the baseline at all scales; from 20 to 30 % it
depends on the scale (models of 6.9B parameters and more hold); above 30 % 8–15 % are lost. Calibration gets worse
one or two iterations before accuracy does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, TypedDict

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.evaluate import differences
from synthtools.evaluate.suites import HEADS

SAFE, LIMIT, TOLERANCE = 0.20, 0.30, 0.03
LARGE = 6.9e9


class ShareRow(TypedDict):
    """A run at a synthetic share, against the first: what the paper says of the share, the losses by figure
    (of the first run's value, above 0 where it is worse), their mean, whether that is at most 3 %, and the
    mean change of ECE."""

    share: float
    zone: str
    guidance: str
    losses: dict[str, float]
    loss: float
    within: bool
    ece: float | None


class BudgetReport(TypedDict):
    """A series of runs.

    Attributes:
        left_out: head figures that are 0 in the first run, of which no share can be lost.
        largest_within: the largest share up to which all runs stay within 3 %.
        calibration_first: the share at which ECE is worse while the loss is still within.
    """

    figures: list[str]
    left_out: list[str]
    parameters: float | None
    rows: list[ShareRow]
    largest_within: float | None
    calibration_first: float | None


def guidance(share: float, parameters: float | None = None) -> tuple[str, str]:
    """(zone, what the paper says of it) of a synthetic share. ``parameters``: of the model; None where they are
    not known."""
    if share <= SAFE:
        return "safe", "within 3 % of the baseline at all scales"
    if share > LIMIT:
        return "too much", "a loss of 8–15 % is to be expected"
    words = "holds from 6.9B parameters on, smaller models lose"
    if parameters is not None:
        words = "holds at this size" if parameters >= LARGE else "models below 6.9B parameters lose"
    return "depends on scale", words


def series(
    reports: Sequence[dict[str, Any]],
    shares: Sequence[float],
    chosen: Sequence[str],
    parameters: float | None,
) -> BudgetReport:
    """A series of runs at growing synthetic share, against the first.

    Args:
        shares: of each report, 0 to 1, growing.
        chosen: paths of figures to look at; none: the head figure of each suite.

    Raises:
        UsageError: nothing to look at, or a figure is not in all reports.
    """
    figures = [differences.figures(report) for report in reports]
    first = figures[0]
    heads = [] if chosen else head_figures(reports[0], first)
    names = list(chosen) or [name for name in heads if first[name] != 0]
    if not names:
        raise UsageError(
            f"{parameter('budget')}: the reports have no accuracy or perplexity that is not 0 in the baseline; name "
            f"{parameter('figure')} PATH"
        )
    for name in names:
        for number, of_report in enumerate(figures, 1):
            if name not in of_report:
                raise UsageError(f"{parameter('figure', name)}: report {number} has no such figure")
        if first[name] == 0:
            named = parameter("figure", name)
            raise UsageError(f"{named}: is 0 in the baseline, of which no share can be lost")
    rows: list[ShareRow] = []
    for of_report, share in zip(figures, shares, strict=True):
        losses = {}
        for name in names:
            change = (of_report[name] - first[name]) / abs(first[name])
            losses[name] = change if differences.lower_is_better(name) else -change
        loss = sum(losses.values()) / len(losses)
        zone, words = guidance(share, parameters)
        rows.append(
            {
                "share": share,
                "zone": zone,
                "guidance": words,
                "losses": losses,
                "loss": loss,
                "within": loss <= TOLERANCE,
                "ece": _ece(first, of_report),
            }
        )
    within = [row["share"] for row in takewhile(lambda row: row["within"], rows)]
    early = next((r["share"] for r in rows if r["within"] and (r["ece"] or 0) > 0.01), None)
    return {
        "figures": names,
        "left_out": [name for name in heads if name not in names],
        "parameters": parameters,
        "rows": rows,
        "largest_within": within[-1] if within else None,
        "calibration_first": early,
    }


def head_figures(report: dict[str, Any], figures: dict[str, float]) -> list[str]:
    """Paths of the figures that say how good a model is: of each suite (eval), of each validation set (train).
    ``figures``: the report's ``differences.figures``."""
    if report.get("kind") == "train":
        return [name for name in figures if name.startswith("valid.")]
    if "suites" not in report:
        return [name for name in figures if name in ("perplexity", "accuracy", "loss")]
    heads = []
    for suite in report["suites"]:
        heads += [path for h in HEADS if (path := f"suites.{suite}.{h}") in figures][:1]
    return heads


def _ece(first: dict[str, float], other: dict[str, float]) -> float | None:
    keys = [key for key in first if key.endswith(".ece") and key in other]
    return sum(other[key] - first[key] for key in keys) / len(keys) if keys else None


class MixtureCurve(TypedDict):
    """A figure by growing synthetic share: mean, range and number of the runs of each share."""

    figure: str
    quantity: str
    name: str
    shares: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    runs: list[int]


def curves(
    reports: Sequence[tuple[str, dict[str, Any]]], shares: Sequence[float]
) -> dict[str, Any]:
    """A report of kind ``mixtures``.

    Args:
        reports: of train or eval, each with the name of its file.
        shares: of each report, 0 to 1, in any order; runs of one share (seeds) are put together.

    Returns:
        ``of``: the kind of the reports; ``curves``: of the perplexity of each validation set, of the head
        figure of each suite and of its calibration error.

    Raises:
        SynthError: reports of different kinds, without such a figure, or with others than the first.
    """
    kinds = {report["kind"]: name for name, report in reports}
    if len(kinds) > 1:
        raise SynthError(
            f"{reports[0][0]}: reports of different kinds ({', '.join(sorted(kinds))}) make no curve"
        )
    by_report = [differences.figures(report) for _, report in reports]
    wanted = _wanted(reports[0][1], by_report[0])
    if not wanted:
        raise SynthError(
            f"{reports[0][0]}: has no perplexity or accuracy to hold against the share; give reports "
            "of synth train with validation sets, or of synth eval"
        )
    for (name, report), figures in zip(reports, by_report, strict=True):
        there = {*_wanted(report, figures)}
        for figure in sorted(there.symmetric_difference(wanted)):
            one = reports[0][0] if figure in there else name
            raise SynthError(f"{one}: has no {figure}, which other reports have")
    return {
        "kind": "mixtures",
        "of": next(iter(kinds)),
        "reports": [name for name, _ in reports],
        "curves": [
            _curve(figure, shares, [figures[figure] for figures in by_report]) for figure in wanted
        ],
    }


def _wanted(report: dict[str, Any], figures: dict[str, float]) -> list[str]:
    return [*head_figures(report, figures), *(name for name in figures if name.endswith(".ece"))]


def _curve(figure: str, shares: Sequence[float], values: Sequence[float]) -> MixtureCurve:
    runs: dict[float, list[float]] = {}
    for share, value in sorted(zip(shares, values, strict=True)):
        runs.setdefault(share, []).append(value)
    first, _, name = figure.partition(".")
    quantity = "perplexity"
    if first != "valid":
        name, _, quantity = (name if first == "suites" else figure).rpartition(".")
    return {
        "figure": figure,
        "quantity": quantity,
        "name": name or figure,
        "shares": list(runs),
        "mean": [sum(part) / len(part) for part in runs.values()],
        "low": [min(part) for part in runs.values()],
        "high": [max(part) for part in runs.values()],
        "runs": [len(part) for part in runs.values()],
    }
