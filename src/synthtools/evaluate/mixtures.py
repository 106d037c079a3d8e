"""Runs at several synthetic shares as curves: each figure against the share (ToEdit, figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from synthtools.errors import SynthError
from synthtools.evaluate import differences
from synthtools.evaluate.budget import head_figures


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
