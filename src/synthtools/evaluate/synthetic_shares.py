"""How much synthetic data training tolerates: a series of runs compared with the guidance of Ratios.

Ratios (arXiv 2510.05133): up to 20 % synthetic data, results stay within 3 % of the baseline at all scales; from 20 to
30 % only for large models (6.9B parameters and more); above 30 % the loss is 8–15 %. Calibration gets worse one or two
iterations before accuracy does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.evaluate import differences
from synthtools.evaluate.suites import HEADS

SAFE, LIMIT, TOLERANCE = 0.20, 0.30, 0.03
LARGE = 6.9e9


def guidance(share: float, parameters: float | None) -> tuple[str, str]:
    """(zone, the paper's guidance) for a synthetic share. ``parameters``: of the model, if known."""
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
) -> dict[str, Any]:
    """A series of runs at increasing synthetic share, compared with the first.

    Args:
        shares: of each report, 0 to 1, increasing.
        chosen: paths of figures; none: the head figure of each suite.

    Returns:
        ``rows``, for each run: ``zone`` and ``guidance`` of the paper, ``losses`` by figure (relative to the first
        run, above 0 if worse), their mean ``loss``, whether it is at most 3 % (``within``), the mean change of
        ``ece``; ``left_out``: head figures that are 0 in the first run (their relative loss is undefined);
        ``largest_within``: the largest share up to which all runs stay within 3 %; ``calibration_first``: the
        share at which ECE is worse while the loss is still within.

    Raises:
        UsageError: there are no figures, or not all reports have them.
    """
    figures = [differences.figures(report) for report in reports]
    first = figures[0]
    heads = [] if chosen else head_figures(reports[0], first)
    names = list(chosen) or [name for name in heads if first[name] != 0]
    if not names:
        raise UsageError(
            f"{parameter('budget')}: the reports have no accuracy or perplexity that is nonzero in the baseline; name "
            f"{parameter('figure')} PATH"
        )
    for name in names:
        for number, of_report in enumerate(figures, 1):
            if name not in of_report:
                raise UsageError(f"{parameter('figure', name)}: report {number} has no such figure")
        if first[name] == 0:
            named = parameter("figure", name)
            raise UsageError(f"{named}: is 0 in the baseline: a relative loss is undefined")
    rows: list[dict[str, Any]] = []
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
    """Paths of the main figures: of each suite (eval) or validation set (train). ``figures``: the report's
    ``differences.figures``."""
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


def curves(
    reports: Sequence[tuple[str, dict[str, Any]]], shares: Sequence[float]
) -> dict[str, Any]:
    """A report of kind ``mixtures``.

    Args:
        reports: of train or eval, each with the name of its file.
        shares: of each report, 0 to 1, in any order; runs with the same share (seeds) are summarised.

    Returns:
        ``of``: the kind of the reports; ``curves``: of the perplexity of each validation set, of the main
        figure of each suite and of its calibration error; mean, range and number of runs of each share.

    Raises:
        SynthError: reports of different kinds, or without such figures, or with different ones.
    """
    kinds = {report["kind"]: name for name, report in reports}
    if len(kinds) > 1:
        raise SynthError(
            f"{reports[0][0]}: reports of different kinds ({', '.join(sorted(kinds))}) cannot make a curve"
        )
    by_report = [differences.figures(report) for _, report in reports]
    names = _figures(reports[0][1], by_report[0])
    if not names:
        raise SynthError(
            f"{reports[0][0]}: has no perplexity or accuracy for a curve; give reports "
            "of synth train with validation sets, or of synth eval"
        )
    for (name, report), figures in zip(reports, by_report, strict=True):
        own = {*_figures(report, figures)}
        for figure in sorted(own.symmetric_difference(names)):
            one = reports[0][0] if figure in own else name
            raise SynthError(f"{one}: has no {figure}, which other reports have")
    return {
        "kind": "mixtures",
        "of": next(iter(kinds)),
        "reports": [name for name, _ in reports],
        "curves": [
            _curve(figure, shares, [figures[figure] for figures in by_report]) for figure in names
        ],
    }


def _figures(report: dict[str, Any], figures: dict[str, float]) -> list[str]:
    return [*head_figures(report, figures), *(name for name in figures if name.endswith(".ece"))]


def _curve(figure: str, shares: Sequence[float], values: Sequence[float]) -> dict[str, Any]:
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
