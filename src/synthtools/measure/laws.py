"""Laws: the loss of a run as a function of its size and data.

The search uses coordinates: the logarithm of each parameter; those in ``scaled`` are relative to a function of the
variables' geometric means (so that A/N^alpha and alpha are nearly independent); signed parameters are unchanged. All
functions take complex arrays, whose imaginary parts carry derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

# Parameters [..., 1], or variables [rows].
Values = dict[str, np.ndarray]
# (coordinates, the variables' geometric means) → a parameter.
Scale = Callable[[Values, dict[str, float]], Any]

EXPONENTS = (0.1, 0.25, 0.5, 1.0)
PARTS = (0.1, 0.3, 0.6, 0.9)


@dataclass(frozen=True)
class Law:
    """A form, and the starts of the search for its parameters.

    Attributes:
        formula: with the names of variables and parameters.
        variables: in the order in which a user names their fields.
        starts: start values of each parameter, before the logarithm: ``PARTS`` of the least loss,
            ``EXPONENTS`` (bounded by 0.01 and 10), or others; none for those found by a regression.
        curve: (parameters, variables) → the loss, float or complex [..., rows].
        scaled: parameters as functions of the coordinates and the variables' geometric means.
        size: variables whose product is the size of a run, if any.
        from_zero: variables that may be 0; the others must be positive.
        signed: parameters that may be negative.
        shares: the variables are shares of a mixture.
        ridge: fitted by ridge regression on the features of each parameter, not by ``curve`` in logs.
        trees: fitted by boosted trees, which then replace ``curve``.
    """

    formula: str
    variables: tuple[str, ...]
    starts: dict[str, tuple[float, ...]]
    curve: Callable[[Values, Values], Any]
    scaled: dict[str, Scale] = field(default_factory=dict)
    size: tuple[str, ...] = ()
    from_zero: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()
    shares: bool = False
    ridge: bool = False
    trees: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(self.starts)

    @property
    def exponents(self) -> list[str]:
        return [name for name, starts in self.starts.items() if starts is EXPONENTS]

    def natural(
        self, coordinates: np.ndarray, middle: dict[str, float], fixed: dict[str, float]
    ) -> Values:
        """The parameters at coordinates [..., parameters].

        Args:
            middle: geometric mean of each variable; fixed: given parameters.
        """
        values = {
            name: coordinates[..., at, None] if name in self.signed else _exp(coordinates, at)
            for at, name in enumerate(self.parameters)
        }
        given = {name: np.full((1,), value) for name, value in fixed.items()}
        values |= {name: given[name] for name in self.exponents if name in given}
        for name, scale in self.scaled.items():
            values[name] = scale(values, middle)
        return {**values, **given}


def _exp(coordinates: np.ndarray, at: int) -> np.ndarray:
    raised: np.ndarray = np.exp(coordinates[..., at, None])
    return raised


def _power(x: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    """x^exponent for x ≥ 0; 0 at 0."""
    above = x.real > 0
    raised: np.ndarray = np.exp(exponent * np.log(np.where(above, x, 1))) * above
    return raised


def _chinchilla(p: Values, x: Values) -> Any:
    return p["E"] + p["A"] * _power(x["N"], -p["alpha"]) + p["B"] * _power(x["D"], -p["beta"])


def _kaplan(p: Values, x: Values) -> Any:
    of_size = _power(p["Nc"] / x["N"], p["alpha_N"] / p["alpha_D"])
    return _power(of_size + p["Dc"] / x["D"], p["alpha_D"])


def effective(unique: np.ndarray, total: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """The value of unique units used ``total / unique`` times: U + U·R*·(1 − e^(−R/R*)), R = total/U − 1
    (Muennighoff et al. 2023, equation 5 and its form for parameters)."""
    worth: np.ndarray = unique * (1 + decay * (1 - np.exp((1 - total / unique) / decay)))
    return worth


def _repeat(p: Values, x: Values) -> Any:
    unique = np.minimum(x["U"], x["D"])
    tokens = effective(unique, x["D"], p["R_D"])
    if "A" not in p:
        return p["E"] + p["B"] * _power(tokens, -p["beta"])
    # The number of parameters that is optimal for the unique tokens: alpha·A/N^alpha = beta·B/U^beta.
    ratio = p["alpha"] * p["A"] / (p["beta"] * p["B"])
    optimal = _power(ratio * _power(unique, p["beta"]), 1 / p["alpha"])
    needed = np.where(optimal.real < x["N"], optimal, x["N"])
    return _chinchilla(p, {"N": effective(needed, x["N"], p["R_N"]), "D": tokens})


def _golden(p: Values, x: Values) -> Any:
    human, synthetic = x["w"], 1 - x["w"]
    return p["E"] + p["C"] * (human**2 + p["k"] * synthetic**2) / (1 - synthetic**2)


def adds_to_one(shares: np.ndarray) -> bool:
    """Whether shares [rows, parts] add up to 1 in each row."""
    return bool(np.allclose(shares.sum(axis=1), 1, rtol=0, atol=1e-6))


def mixture(name: str, fields: Sequence[str], shares: np.ndarray) -> Law:
    """A law of shares, float64 [rows, fields]."""
    if name == "mixing":
        return _mixing(fields, shares)
    return _regmix(fields) if name == "regmix" else _quadratic(fields)


def _mixing(fields: Sequence[str], shares: np.ndarray) -> Law:
    """L = c + k·exp(Σ t_j r_j) over shares r (Ye et al. 2024); if they add up to 1, k absorbs the last t [ours]."""
    free = fields[:-1] if len(fields) > 1 and adds_to_one(shares) else fields
    names = tuple(f"t_{name}" for name in free)

    def curve(p: Values, x: Values) -> Any:
        return p["c"] + p["k"] * np.exp(
            sum((p[f"t_{name}"] * x[name] for name in free), np.zeros(1))
        )

    formula = f"L = c + k exp({' + '.join(f't_{name} {name}' for name in free)})"
    starts: dict[str, tuple[float, ...]] = dict.fromkeys(("c", "k", *names), ())
    return Law(formula, tuple(fields), starts, curve, signed=names, shares=True)


def _regmix(fields: Sequence[str]) -> Law:
    """Boosted trees over the shares (Liu et al. 2024)."""
    formula = "L = boosted trees over the shares"
    return Law(formula, tuple(fields), {}, lambda p, x: np.nan, shares=True, trees=True)


def _quadratic(fields: Sequence[str]) -> Law:
    """A polynomial of second degree in the shares."""
    products = list(combinations_with_replacement(fields, 2))
    names = ("constant", *fields, *(f"{left} {right}" for left, right in products))

    def curve(p: Values, x: Values) -> Any:
        terms = [p[name] * x[name] for name in fields]
        terms += [p[f"{left} {right}"] * x[left] * x[right] for left, right in products]
        return sum(terms, p["constant"])

    formula = "L = polynomial of second degree in the shares"
    starts: dict[str, tuple[float, ...]] = dict.fromkeys(names, ())
    return Law(formula, tuple(fields), starts, curve, signed=names, shares=True, ridge=True)


def _times(name: str, variable: str, exponent: str) -> Scale:
    return lambda p, at: p[name] * at[variable] ** p[exponent]


def _root(name: str, variable: str, exponent: str) -> Scale:
    return lambda p, at: p[name] ** (1 / p[exponent]) * at[variable]


_A, _B = _times("A", "N", "alpha"), _times("B", "D", "beta")
_BOTH: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("E", "A", "B"), PARTS),
    "alpha": EXPONENTS,
    "beta": EXPONENTS,
}
_DECAY = (2.0, 8.0, 30.0)

# By name; of several forms, the number of variables selects one.
LAWS: dict[str, tuple[Law, ...]] = {
    "chinchilla": (
        Law(
            "L = E + A/N^alpha + B/D^beta",
            ("N", "D"),
            _BOTH,
            _chinchilla,
            {"A": _A, "B": _B},
            ("N", "D"),
        ),
    ),
    "kaplan": (
        Law(
            "L = ((Nc/N)^(alpha_N/alpha_D) + Dc/D)^alpha_D",
            ("N", "D"),
            {"Nc": PARTS, "Dc": PARTS, "alpha_N": EXPONENTS, "alpha_D": EXPONENTS},
            _kaplan,
            {"Nc": _root("Nc", "N", "alpha_N"), "Dc": _root("Dc", "D", "alpha_D")},
            ("N", "D"),
        ),
    ),
    "power": (
        Law(
            "L = E + A/x^alpha",
            ("x",),
            {"E": PARTS, "A": PARTS, "alpha": EXPONENTS},
            lambda p, x: p["E"] + p["A"] * _power(x["x"], -p["alpha"]),
            {"A": _times("A", "x", "alpha")},
            ("x",),
        ),
    ),
    "rectified": (
        Law(
            "L = B/(D_l + D^beta) + E",
            ("D",),
            {"E": PARTS, "B": PARTS, "D_l": (0.01, 0.1, 1.0, 10.0), "beta": EXPONENTS},
            lambda p, x: p["E"] + p["B"] / (p["D_l"] + _power(x["D"], p["beta"])),
            {"B": _B, "D_l": _times("D_l", "D", "beta")},
            ("D",),
            ("D",),
        ),
    ),
    "repeat": (
        Law(
            "L = E + A/N'^alpha + B/D'^beta, D' = U + U R_D (1 - exp(-(D/U - 1)/R_D)), N' likewise",
            ("N", "D", "U"),
            {**_BOTH, "R_D": _DECAY, "R_N": _DECAY},
            _repeat,
            {"A": _A, "B": _B},
            ("N", "D"),
        ),
        Law(
            "L = E + B/D'^beta, D' = U + U R_D (1 - exp(-(D/U - 1)/R_D))",
            ("D", "U"),
            {"E": PARTS, "B": PARTS, "beta": EXPONENTS, "R_D": _DECAY},
            _repeat,
            {"B": _B},
            ("D",),
        ),
    ),
    "golden": (
        Law(
            "L = E + C (w^2 + k (1-w)^2)/(1 - (1-w)^2)",
            ("w",),
            {"E": PARTS, "C": PARTS, "k": (0.1, 0.3, 1.0, 3.0, 10.0)},
            _golden,
        ),
    ),
}
