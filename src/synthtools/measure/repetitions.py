"""Rows of repeated runs as groups: mean, spread and interval of each value over the repetitions [ours].

The interval is Student's: mean ± t(0.975, n − 1) · s / √n, with s the sample standard deviation (n − 1 in the
denominator). It assumes that repetitions are independent draws from a nearly normal distribution.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthtools.errors import SynthError
from synthtools.records import natural_order

CONFIDENCE = 0.95
ALONE = "one repetition has no interval"
NONE = "no value"

# Identifies a repetition in a group: the values of the fields over which runs were repeated.
Repetition = tuple[Any, ...]


@dataclass
class Row:
    """The results of one run.

    Attributes:
        fields: by name; they identify the row.
        values: by name; missing or None if no report of the run had it.
        others: further fields that are not numbers.
    """

    fields: dict[str, Any]
    values: dict[str, int | float | None] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)


@dataclass
class RunGroup:
    """Rows that differ only in their repetition.

    Attributes:
        fields: the common ones.
        values: name → repetition → value, for repetitions with the value.
        repetitions: all, in order.
    """

    fields: dict[str, Any]
    values: dict[str, dict[Repetition, float]]
    repetitions: list[Repetition]


def label(fields: dict[str, Any]) -> str:
    """``share=25, method=npo``; ``all`` without fields."""
    return ", ".join(f"{name}={'null' if v is None else v}" for name, v in fields.items()) or "all"


def grouped(
    rows: Iterable[Row], by: Sequence[str], over: Sequence[str], names: Sequence[str]
) -> list[RunGroup]:
    """The rows by the fields ``by``, in natural order.

    Args:
        over: fields that distinguish the repetitions of a group.
        names: of the values.

    Raises:
        SynthError: two rows of a group are the same repetition, or a value is too large.
    """
    by_fields: dict[tuple[Any, ...], RunGroup] = {}
    first: dict[tuple[tuple[Any, ...], Repetition], Row] = {}
    for row in rows:
        fields = {name: row.fields.get(name) for name in by}
        place = tuple(natural_order.key(value) for value in fields.values())
        group = by_fields.setdefault(place, RunGroup(fields, {name: {} for name in names}, []))
        repetition = tuple(natural_order.key(row.fields.get(name)) for name in over)
        other = first.setdefault((place, repetition), row)
        if other is not row:
            raise _twice(other, row, by, over)
        group.repetitions.append(repetition)
        for name in names:
            value = row.values.get(name)
            if value is not None:
                try:
                    group.values[name][repetition] = float(value)
                except OverflowError as error:
                    large = f"{name} of {label(row.fields)}: too large a number"
                    raise SynthError(large) from error
    groups = sorted(
        by_fields.values(), key=lambda g: [*map(natural_order.order, g.fields.values())]
    )
    for group in groups:
        group.repetitions.sort(key=lambda one: [*map(natural_order.order, one)])
    return groups


def _twice(one: Row, other: Row, by: Sequence[str], over: Sequence[str]) -> SynthError:
    differ = [name for name in {**one.fields, **other.fields} if name not in (*by, *over)]
    rows = [f"({label({n: row.fields.get(n) for n in differ})})" for row in (one, other)]
    same = label({name: one.fields.get(name) for name in (*by, *over)})
    which = f" {' and '.join(rows)}" if differ else ""
    return SynthError(
        f"two rows are the same repetition: {same}{which}; group by, or repeat over, a field that "
        "distinguishes them"
    )


def estimate(values: Iterable[float]) -> dict[str, Any]:
    """Mean, spread and 95 % interval of the mean.

    Returns:
        ``n``; ``mean``; ``standard_deviation``, ``low`` and ``high``, None below two values; ``reason``: why
        something is None, else None. Equal values have an interval of width 0.
    """
    sample = list(values)
    size = len(sample)
    names = ("mean", "standard_deviation", "low", "high")
    if not size:
        return {"n": 0, **dict.fromkeys(names), "reason": NONE}
    if min(sample) == max(sample):  # exact: a rounded mean would give a spread
        mean, spread = sample[0], 0.0
    else:
        mean = math.fsum(value / size for value in sample)
        spread = math.sqrt(math.fsum((v - mean) * (v - mean) / (size - 1) for v in sample))
    if size < 2:
        return {"n": 1, **dict.fromkeys(names), "mean": mean, "reason": ALONE}
    reach = quantile(size - 1) * spread / math.sqrt(size)
    numbers = (mean, spread, mean - reach, mean + reach)
    return {"n": size, **dict(zip(names, numbers, strict=True)), "reason": None}


def quantile(degrees: int) -> float:
    """Half the width of the interval in standard errors, by Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))


def table(groups: Sequence[RunGroup]) -> list[dict[str, Any]]:
    """For each group ``name``, ``fields``, ``repetitions`` (number of rows), ``values`` (name → ``estimate``)."""
    return [
        {
            "name": label(group.fields),
            "fields": group.fields,
            "repetitions": len(group.repetitions),
            "values": {
                # In the order of repetitions, so that sums do not depend on the order of files.
                name: estimate(column[r] for r in group.repetitions if r in column)
                for name, column in group.values.items()
            },
        }
        for group in groups
    ]
