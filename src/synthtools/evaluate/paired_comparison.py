"""Two models on the same items: paired differences with intervals and tests.

Intervals are those of the paired bootstrap: items are drawn, and both models' parts of an item come together.
Tests are exact where they can be: McNemar's for figures of 0 and 1, else the sign-flip permutation
test of the mean difference. Figures that are no mean of items (calibration errors) have intervals and no test.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import numpy as np

from synthtools.errors import SynthError
from synthtools.evaluate import calibration
from synthtools.evaluate.calibration import ItemScores, draw_of
from synthtools.measure.bootstrap import intervals
from synthtools.measure.significance import corrected_by_holm

_PERMUTATIONS = 9_999
_CALIBRATION = ("ece", "ece_mass", "mce")
_NEEDED = ("correct", "correct_norm", "confidence", "brier", "nll")

# Of each suite (or item), its samples in their order.
Samples = dict[str, list[dict[str, Any]]]
_Pairs = list[tuple[dict[str, Any], dict[str, Any]]]

# What identifies the items of a suite, where samples have it.
_APART = ("domain", "subject", "id", "turn", "a", "b")
_SHOWN = 3


def doc_hash(*parts: str) -> str:
    """A short hash of an item's text, by which samples of equal ids are known."""
    spelled = "\0".join(parts).encode("utf-8", "surrogatepass")
    return blake2b(spelled, digest_size=8).hexdigest()


def by_suite(records: Iterable[dict[str, Any]]) -> Samples:
    """Samples by suite."""
    found: Samples = {}
    for record in records:
        found.setdefault(str(record.get("suite")), []).append(record)
    return found


def paired(first: list[dict[str, Any]], other: list[dict[str, Any]]) -> _Pairs:
    """The samples of one suite that are about the same item, in the order of the first.

    Items are known by subject (or domain), id and turn; where one side holds answers of several
    models, by the model too. Where these repeat, samples are paired by occurrence if the items' texts agree.

    Raises:
        SynthError: no item is common, or it is not known which of equal ids belong together.
    """
    sides = (first, other)
    several = any(len({sample.get("model") for sample in side}) > 1 for side in sides)
    names = (*_APART, "model") if several else _APART
    left, right = (_by_item(side, names) for side in sides)
    pairs: _Pairs = []
    for key, samples in left.items():
        pairs += _of_one_item(samples, right.get(key, []))
    if not pairs:
        told = (", ".join(str(s.get("id")) for s in side[:_SHOWN]) for side in sides)
        raise SynthError(f"they have no item in common (ids: {', … and '.join(told)}, …)")
    return pairs


def _by_item(samples: list[dict[str, Any]], names: Iterable[str]) -> Samples:
    found: Samples = {}
    for sample in samples:
        key = "\0".join(str(sample.get(name)) for name in names)
        found.setdefault(key, []).append(sample)
    return found


def _of_one_item(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> _Pairs:
    pairs = list(zip(left, right, strict=False))
    if max(len(left), len(right)) == 1 or not pairs:
        return pairs
    times = f"id {left[0].get('id')} comes {len(left)} and {len(right)} times"
    hashed = [(one.get("doc_hash"), another.get("doc_hash")) for one, another in pairs]
    if any(None in both for both in hashed):
        raise SynthError(
            f"{times}, and the samples have no doc_hash to match them by: give "
            "the items ids of their own and evaluate again"
        )
    if any(one != another for one, another in hashed):
        raise SynthError(
            f"{times}, with other texts or in another order: give the items ids of their own"
        )
    return pairs


def compared(
    first: Samples, other: Samples, fields: dict[str, dict[str, str]], resamples: int, seed: int
) -> list[dict[str, Any]]:
    """The paired differences of two models, suite by suite.

    Args:
        fields: by suite: figure → field of a sample.

    Returns:
        Rows of ``suite``, ``figure``, ``n`` (items that both have), ``only_first``, ``only_other``,
        ``first``, ``other`` (means over common items), ``difference`` (other − first), ``interval``,
        ``test``, ``p``, ``p_holm`` (corrected over all rows).

    Raises:
        SynthError: see ``paired``.
    """
    rows = []
    for suite, wanted in fields.items():
        left, right = first.get(suite, []), other.get(suite, [])
        if not left or not right:
            continue
        try:
            pairs = paired(left, right)
        except SynthError as error:
            raise SynthError(f"{suite}: not compared item by item: {error}") from error
        head = {
            "suite": suite,
            "n": len(pairs),
            "only_first": len(left) - len(pairs),
            "only_other": len(right) - len(pairs),
        }
        for figure, name in wanted.items():
            values = [(a.get(name), b.get(name)) for a, b in pairs]
            numbers = np.array([v for v in values if _numbers(v)], np.float64)
            if len(numbers):
                rows.append(
                    {**head, "n": len(numbers), "figure": figure}
                    | _of_means(numbers, resamples, seed, f"{suite} {figure}")
                )
        if "accuracy" in wanted and all(
            _numbers(r.get(k) for k in _NEEDED) for p in pairs for r in p
        ):
            rows += [{**head, **row} for row in _of_calibration(pairs, resamples, seed, suite)]
    tested = [row for row in rows if row["p"] is not None]
    if tested:
        raised = corrected_by_holm(np.array([row["p"] for row in tested]))
        for row, p in zip(tested, raised.tolist(), strict=True):
            row["p_holm"] = p
    return rows


def _numbers(values: Iterable[Any]) -> bool:
    return all(type(v) in (int, float) and math.isfinite(v) for v in values)


def _of_means(values: np.ndarray, resamples: int, seed: int, name: str) -> dict[str, Any]:
    change = values[:, 1] - values[:, 0]
    draw = draw_of(seed, name)
    size = len(change)
    means = [change[draw.integers(0, size, size)].mean() for _ in range(resamples)]
    ends = _interval(np.array(means), float(change.mean()), size)
    first, other = (float(column.mean()) for column in values.T)
    return _row(first, other, float(change.mean()), ends, *tested(change, seed))


def _row(
    first: float,
    other: float,
    difference: float,
    interval: list[float] | None,
    test: str | None = None,
    p: float | None = None,
) -> dict[str, Any]:
    row: dict[str, Any] = {"first": first, "other": other, "difference": difference}
    return row | {"interval": interval, "test": test, "p": p, "p_holm": None}


def _interval(drawn: np.ndarray, estimate: float, size: int) -> list[float] | None:
    if not len(drawn) or size < 2:
        return None
    return intervals(["d"], drawn[:, None], np.array([estimate]))["d"]


def tested(change: np.ndarray, seed: int) -> tuple[str, float]:
    """(name of the test, two-sided p) of paired differences.

    McNemar's exact test where all are −1, 0 or 1; else a permutation test that flips signs.
    """
    there = change[change != 0]
    if not len(there):
        return "none: all pairs are equal", 1.0
    if np.isin(change, (-1.0, 0.0, 1.0)).all():
        from scipy.stats import binomtest

        return "McNemar, exact", float(binomtest(int((there > 0).sum()), len(there)).pvalue)
    draw = draw_of(seed, "sign flips")
    seen = abs(there.sum())
    reached = 0
    for _ in range(_PERMUTATIONS):
        flipped = there.sum() - 2 * there[draw.random(len(there)) < 0.5].sum()
        # Sums in another order round differently.
        reached += abs(flipped) >= seen * (1 - 1e-12)
    return f"sign flips, {_PERMUTATIONS:,}", (reached + 1) / (_PERMUTATIONS + 1)


def _of_calibration(
    pairs: list[tuple[dict[str, Any], dict[str, Any]]], resamples: int, seed: int, suite: str
) -> list[dict[str, Any]]:
    sides = [_judged([pair[k] for pair in pairs]) for k in (0, 1)]

    def change(which: np.ndarray) -> list[float]:
        first, other = (calibration.figures(calibration.chosen(s, which)) for s in sides)
        return [other[name] - first[name] for name in _CALIBRATION]

    size = len(pairs)
    first, other = (calibration.figures(side) for side in sides)
    draw = draw_of(seed, f"{suite} calibration")
    drawn = np.array([change(draw.integers(0, size, size)) for _ in range(resamples)])
    rows = []
    for column, name in enumerate(_CALIBRATION):
        difference = other[name] - first[name]
        ends = _interval(drawn[:, column], difference, size) if len(drawn) else None
        rows.append({"figure": name, **_row(first[name], other[name], difference, ends)})
    return rows


def _judged(rows: list[dict[str, Any]]) -> ItemScores:
    def column(name: str) -> np.ndarray:
        return np.array([row[name] for row in rows], np.float64)

    return ItemScores(*(column(name) for name in _NEEDED), np.zeros(len(rows), np.int64))
