"""Claims about a table, judged by its repetitions [ours].

A claim is a chain of comparisons between cells. It is computed separately for each repetition, so that effects shared
by the cells of a repetition (its seed, its data) cancel. For each comparison, the difference in the claimed direction
has a mean and a 95 % interval over the repetitions, and a verdict: reproduced if the interval is above 0, contradicted
if it is below, inconclusive if it contains 0 or there is none; untested if the caller says so, or if a run that it
depends on does not beat its floor. A claim of a known value, ``left = right ± tolerance``, is tested against that
value: reproduced if the mean is within the tolerance and the interval contains the value, even if few repetitions make
it wide, or if the whole interval is within the tolerance; contradicted if the mean is outside and the interval does not
contain the value. Verdicts are not corrected for the number of claims.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from synthtools.errors import SynthError, near
from synthtools.measure import expressions
from synthtools.measure.expressions import Cell, Comparison, Node, Undefined
from synthtools.measure.repetitions import Repetition, RunGroup, estimate, label
from synthtools.records import natural_order

REPRODUCED, CONTRADICTED, OPEN = "reproduced", "contradicted", "inconclusive"
UNTESTED = "untested"

_SHOWN = 12


@dataclass(frozen=True)
class Claim:
    words: str
    text: str
    chain: list[Comparison]


def parse(text: str) -> Claim:
    """``WORDS: EXPRESSION``, split at the last colon before a space; without words they are the expression.

    Raises:
        ValueError: see ``expressions.parse``.
    """
    words, colon, expression = text.rpartition(": ")
    expression = expression.strip()
    chain = expressions.parse(expression)
    return Claim(words.strip() if colon and words.strip() else expression, expression, chain)


def _group(
    cell: Cell, claim: Claim, by: Sequence[str], names: Sequence[str], groups: Sequence[RunGroup]
) -> RunGroup:
    """The group of a cell. Raises SynthError: there is none, or there are several."""
    where = f"claim {claim.text!r}, character {cell.at}"
    if cell.name not in names:
        raise SynthError(f"{where}: no value {cell.name!r}{near(cell.name, names)}")
    for name, _ in cell.where:
        if name not in by:
            raise SynthError(f"{where}: the table is not by {name!r}{near(name, by)}")
    same = natural_order.same
    fitting = [g for g in groups if all(same(g.fields[name], value) for name, value in cell.where)]
    if len(fitting) == 1:
        return fitting[0]
    where_given = ", ".join(f"{name}={value}" for name, value in cell.where) or "no field"
    labels = [label(group.fields) for group in (fitting or groups)]
    count = f"{len(labels)} groups have" if fitting else "no group has"
    shown = "; ".join(labels[:_SHOWN]) + (" …" if len(labels) > _SHOWN else "")
    raise SynthError(
        f"{where}: {count} {where_given}; a cell needs exactly one (there are: {shown})"
    )


def judged(
    claim: Claim,
    by: Sequence[str],
    names: Sequence[str],
    groups: Sequence[RunGroup],
    floors: Mapping[str, str | float] = MappingProxyType({}),
    untested: str | None = None,
) -> dict[str, Any]:
    """A claim's part of the report.

    Args:
        floors: conditions of a verdict: value → the value that it must be below in every run of a cell, or
            the number (the score of guessing) that its interval must be above.
        untested: why no claim is tested.

    Returns:
        ``claim``, ``expression``, ``verdict``; ``reason`` of an untested claim, of a missing interval, or of
        one of width 0; ``repetitions`` that all cells have, ``left_out``: those that only some have; ``weakest``:
        the text of the weakest comparison, and its ``difference``; ``comparisons``: all.
    """
    sides = [claim.chain[0].left, *(one.right for one in claim.chain)]
    sides += [one.tolerance for one in claim.chain if one.tolerance is not None]
    cells = [cell for side in sides for cell in expressions.cells(side)]
    group_of = {cell: _group(cell, claim, by, names, groups) for cell in cells}
    columns = {cell: group.values[cell.name] for cell, group in group_of.items()}
    some = {one for column in columns.values() for one in column}
    shared = [one for one in some if all(one in column for column in columns.values())]
    # Sorted, so that sums do not depend on the order of files.
    shared.sort(key=lambda one: [*map(natural_order.order, one)])
    if not columns:
        shared = [()]  # numbers alone: the same in any repetition
    comparisons = [_compared(comparison, columns, shared) for comparison in claim.chain]
    weakest = min(comparisons, key=_strength)
    verdicts = {one["verdict"] for one in comparisons}
    verdict = CONTRADICTED if CONTRADICTED in verdicts else OPEN if OPEN in verdicts else REPRODUCED
    reason = weakest["reason"]
    untested = untested or _no_better(group_of, shared, floors)
    if untested is not None:
        verdict, reason = UNTESTED, untested
    return {
        "claim": claim.words,
        "expression": claim.text,
        "verdict": verdict,
        "reason": reason,
        "repetitions": len(shared),
        "left_out": len(some) - len(shared) if columns else 0,
        "weakest": weakest["comparison"],
        "difference": weakest["difference"],
        "comparisons": comparisons,
    }


def _no_better(
    group_of: dict[Cell, RunGroup], shared: list[Repetition], floors: Mapping[str, str | float]
) -> str | None:
    """A cell that does not beat its floor, or whose floor is unknown."""
    for cell, group in group_of.items():
        floor, values, of = floors.get(cell.name), group.values[cell.name], label(group.fields)
        if isinstance(floor, float):
            low = estimate([values[one] for one in shared])["low"]
            if low is None or low <= floor:
                return f"{cell.name} of {of} is not above {floor:g}"
        elif floor is not None:
            for one in shared:
                if one not in group.values[floor]:
                    return f"{floor} of {of} is not known"
                if values[one] >= group.values[floor][one]:
                    return f"{cell.name} of {of} is not below {floor}"
    return None


def _compared(
    comparison: Comparison, columns: dict[Cell, dict[Repetition, float]], shared: list[Repetition]
) -> dict[str, Any]:
    differences, tolerances, undefined = [], [], None
    for repetition in shared:

        def side(node: Node, one: Repetition = repetition) -> float:
            return expressions.value(node, lambda cell: columns[cell][one])

        try:
            left, right = side(comparison.left), side(comparison.right)
            if comparison.tolerance is not None:
                tolerances.append(side(comparison.tolerance))
        except Undefined as why:
            values = ", ".join(str(one) for one in repetition if one is not None)
            undefined = f"{why} in repetition {values}" if values else str(why)
            break
        differences.append(right - left if "<" in comparison.sign else left - right)
    difference = estimate([] if undefined else differences)
    if undefined or not shared:
        difference["reason"] = undefined or "no repetition has all of these values"
    elif len(shared) > 1 and difference["standard_deviation"] == 0:
        # Possible with a coarse measure, without certainty: noted beside the verdict.
        difference["reason"] = "the same in every repetition"
    return {
        "comparison": comparison.text,
        "verdict": _verdict(difference, comparison.sign, estimate(tolerances)["mean"]),
        "reason": difference.pop("reason"),
        "difference": difference,
    }


def _verdict(difference: dict[str, Any], sign: str, tolerance: float | None) -> str:
    """The verdict from the interval of a difference; for ``<=`` and ``>=``, 0 agrees with the claim.
    ``tolerance``: for ``=``, which claims a difference of 0."""
    low, high = difference["low"], difference["high"]
    if low is None:
        return OPEN
    if sign == "=":
        assert tolerance is not None
        near, holds = abs(difference["mean"]) <= tolerance, low <= 0 <= high
        if (near and holds) or max(-low, high) <= tolerance:
            return REPRODUCED
        return OPEN if near or holds else CONTRADICTED
    if low > 0 or (low == 0 and "=" in sign):
        return REPRODUCED
    return CONTRADICTED if high < 0 else OPEN


def _strength(compared: dict[str, Any]) -> tuple[int, float]:
    """Rank of a comparison: by its verdict, then by its standardised difference."""
    rank = (CONTRADICTED, OPEN, REPRODUCED).index(compared["verdict"])
    mean, spread = compared["difference"]["mean"], compared["difference"]["standard_deviation"]
    if mean is None:
        return rank, -math.inf
    return rank, mean / spread if spread else math.copysign(math.inf, mean) if mean else 0.0
