"""How much synthetic data a training run can bear: the guidance of Ratios beside a series of runs.

Ratios (arXiv 2510.05133): up to 20 % synthetic stays within 3 % of the baseline at all scales; from 20 to 30 % it
depends on the scale (models of 6.9B parameters and more hold); above 30 % 8–15 % are lost. Calibration gets worse
one or two iterations before accuracy does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthtools.errors import UsageError, parameter
from synthtools.evaluate import differences
from synthtools.evaluate.suites import HEADS

SAFE, LIMIT, TOLERANCE = 0.20, 0.30, 0.03
LARGE = 6.9e9


def guidance(share: float, parameters: float | None = None) -> tuple[str, str]:
    """(zone, what the paper says of it) of a synthetic share.

    Args:
        parameters: of the model; None where nobody says.
    """
    if share <= SAFE:
        return "safe", "within 3 % of the baseline at all scales"
    if share <= LIMIT:
        if parameters is None:
            return "depends on scale", "holds from 6.9B parameters on, smaller models lose"
        if parameters >= LARGE:
            return "depends on scale", "holds at this size"
        return "depends on scale", "models below 6.9B parameters lose"
    return "too much", "a loss of 8–15 % is to be expected"


def series(
    reports: Sequence[dict[str, Any]],
    shares: Sequence[float],
    chosen: Sequence[str],
    parameters: float | None,
) -> dict[str, Any]:
    """A series of runs at growing synthetic share, against the first.

    Args:
        shares: of each report, 0 to 1, growing.
        chosen: paths of figures to look at; none: the head figure of each suite.

    Returns:
        ``figures``; ``rows`` by share: ``zone``, ``guidance``, ``losses`` (by figure, of the first's
        value; above 0 is worse), ``loss`` (their mean), ``within`` (loss ≤ 3 %), ``ece`` (mean
        change over suites); ``left_out``: head figures that are 0 in the first, of which no share can
        be lost; ``largest_within``: the largest share up to which all runs stay within;
        ``calibration_first``: the share at which ECE is worse while the loss is still within.

    Raises:
        UsageError: nothing to look at, or a figure is not in all reports.
    """
    found = [differences.figures(report) for report in reports]
    heads = [] if chosen else head_figures(reports[0], found[0])
    names = list(chosen) or [name for name in heads if found[0][name] != 0]
    if not names:
        raise UsageError(
            f"{parameter('budget')}: the reports have no accuracy or perplexity that is not 0 in the baseline; name "
            f"{parameter('figure')} PATH"
        )
    for name in names:
        for index, one in enumerate(found):
            if name not in one:
                raise UsageError(
                    f"{parameter('figure', name)}: report {index + 1} has no such figure"
                )
        if found[0][name] == 0:
            raise UsageError(
                f"{parameter('figure', name)}: is 0 in the baseline, of which no share can be lost"
            )
    rows = []
    for one, share in zip(found, shares, strict=True):
        losses = {name: _loss(found[0][name], one[name], name) for name in names}
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
                "ece": _ece(found[0], one),
            }
        )
    within = []
    for row in rows:
        if not row["within"]:
            break
        within.append(row["share"])
    early = next((r["share"] for r in rows if r["within"] and (r["ece"] or 0) > 0.01), None)
    return {
        "figures": names,
        "left_out": [name for name in heads if name not in names],
        "parameters": parameters,
        "rows": rows,
        "largest_within": within[-1] if within else None,
        "calibration_first": early,
    }


def head_figures(report: dict[str, Any], found: dict[str, float]) -> list[str]:
    """Paths of the figures that say how good a model is: of each suite (eval), of each validation
    set (train).

    Args:
        found: the report's ``differences.figures``.
    """
    if report.get("kind") == "train":
        return [name for name in found if name.startswith("valid.")]
    if "suites" not in report:
        return [name for name in found if name in ("perplexity", "accuracy", "loss")]
    heads = []
    for suite in report["suites"]:
        head = next((h for h in HEADS if f"suites.{suite}.{h}" in found), None)
        heads += [f"suites.{suite}.{head}"] if head else []
    return heads


def _loss(first: float, value: float, name: str) -> float:
    change = (value - first) / abs(first)
    return change if differences.lower_is_better(name) else -change


def _ece(first: dict[str, float], other: dict[str, float]) -> float | None:
    keys = [key for key in first if key.endswith(".ece") and key in other]
    return sum(other[key] - first[key] for key in keys) / len(keys) if keys else None
