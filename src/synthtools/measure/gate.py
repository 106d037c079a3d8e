"""Conditions on numbers, by which a data pipeline is stopped."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthtools.measure.similar_names import near

_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_FORM = re.compile(r"\s*([\w.]+)\s*(<=|>=|<|>)\s*(\S+)\s*")


@dataclass(frozen=True)
class GateCondition:
    """A number's name, a comparison, and what it is compared with."""

    text: str
    name: str
    sign: str
    bound: float

    @classmethod
    def of(cls, text: str, names: Sequence[str]) -> GateCondition:
        """Raises ValueError where it is no condition on one of these names."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError("write NAME > NUMBER (or <, <=, >=)")
        name, sign, number = match.groups()
        if name not in names:
            raise ValueError(f"no number {name}{near(name, names)}")
        try:
            bound = float(number)
        except ValueError:
            raise ValueError(f"{number} is not a number") from None
        return cls(text.strip(), name, sign, bound)

    def failure(self, numbers: Mapping[str, Any]) -> str | None:
        """Why it holds of a report's numbers, or cannot be evaluated; None where it does not hold."""
        group, _, name = self.name.partition(".")
        value = numbers[group][name]
        if value is None:
            return f"{self.name} is not known (wanted for {self.text})"
        return (
            f"{self.name} is {value:.4g} ({self.text})"
            if _SIGNS[self.sign](value, self.bound)
            else None
        )


def failures(pairs: Sequence[Mapping[str, Any]], conditions: Sequence[GateCondition]) -> list[str]:
    """The conditions that hold of any pair of corpora, in words."""
    return [
        f"{pair['other']}: {why}"
        for pair in pairs
        for condition in conditions
        if (why := condition.failure(pair["numbers"])) is not None
    ]
