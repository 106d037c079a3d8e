"""Two models on the same items: paired differences with intervals and tests.

Intervals are from the paired bootstrap, which resamples items with both models' scores. Tests are exact where
possible: McNemar's for figures of 0 and 1, otherwise the sign-flip permutation test of the mean difference.
Figures that are not means over items (calibration errors) have intervals but no test.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from typing import Any, TypedDict

import numpy as np

from synthtools.errors import SynthError
from synthtools.evaluate import calibration
from synthtools.evaluate.calibration import ItemScores
from synthtools.evaluate.estimates import bootstrap, draw_of
from synthtools.measure.significance import corrected_by_holm, detectable_difference

_PERMUTATIONS = 9_999
_CALIBRATION = ("ece", "ece_mass", "mce")
_NEEDED = ("correct", "correct_norm", "confidence", "brier", "nll")

# The samples of each suite (or item), in their order.
Samples = dict[str, list[dict[str, Any]]]
_Pairs = list[tuple[dict[str, Any], dict[str, Any]]]

# The fields that identify an item of a suite, if its samples have them.
_IDENTITY = ("domain", "subject", "id", "turn", "a", "b")
_SHOWN = 3
# How an item was presented and judged: differences here contribute to those of figures.
_CIRCUMSTANCES = ("prompt_hash", "judge", "reference")


class Difference(TypedDict):
    """A figure of two models: their means, other − first with its 95 % interval, and the two-sided p of a
    test, if there is one; ``p_holm`` is corrected over all figures; ``detectable``: the smallest difference
    that the test detects with a power of 80 %."""

    first: float
    other: float
    difference: float
    interval: list[float] | None
    test: str | None
    p: float | None
    p_holm: float | None
    detectable: float | None


class PairedDifference(Difference):
    """A figure of a suite, over the ``n`` items of both models. ``other_text``: items left out because the same
    id has different texts; ``unlike``: number of pairs with different prompt, judge or reference."""

    suite: str
    n: int
    only_first: int
    only_other: int
    other_text: int
    unlike: dict[str, int]
    figure: str


def doc_hash(*parts: str) -> str:
    """A short hash of an item's text, which tells apart samples with equal ids."""
    spelled = "\0".join(parts).encode("utf-8", "surrogatepass")
    return blake2b(spelled, digest_size=8).hexdigest()


def by_suite(records: Iterable[dict[str, Any]]) -> Samples:
    """Samples by suite."""
    return _grouped(records, ["suite"])


def _grouped(samples: Iterable[dict[str, Any]], names: Sequence[str]) -> Samples:
    """Samples by their values of these fields."""
    groups: Samples = {}
    for sample in samples:
        key = "\0".join(str(sample.get(name)) for name in names)
        groups.setdefault(key, []).append(sample)
    return groups


def paired(first: list[dict[str, Any]], other: list[dict[str, Any]]) -> tuple[_Pairs, int]:
    """The pairs of samples about the same item of a suite, in the order of the first; and the number of pairs left
    out because their texts differ (``doc_hash``).

    Items are identified by subject (or domain), id and turn, and by the model if one side has answers of several.
    If these repeat, samples are paired by occurrence, provided that the items' texts agree.

    Raises:
        SynthError: no common items, or repeated ids that cannot be matched.
    """
    sides = (first, other)
    several = any(len({sample.get("model") for sample in side}) > 1 for side in sides)
    names = (*_IDENTITY, "model") if several else _IDENTITY
    left, right = (_grouped(side, names) for side in sides)
    parts = (_of_one_item(samples, right.get(key, [])) for key, samples in left.items())
    pairs_of_items = [*chain.from_iterable(parts)]
    pairs = [pair for pair in pairs_of_items if not _differ(pair, "doc_hash")]
    if pairs_of_items and not pairs:
        raise SynthError(
            "items with the same id have different texts: they come from different data"
        )
    if not pairs:
        ids = (", ".join(str(s.get("id")) for s in side[:_SHOWN]) for side in sides)
        raise SynthError(f"they have no item in common (ids: {', … and '.join(ids)}, …)")
    return pairs, len(pairs_of_items) - len(pairs)


def _differ(pair: tuple[dict[str, Any], dict[str, Any]], name: str) -> bool:
    one, other = (sample.get(name) for sample in pair)
    return None not in (one, other) and one != other


def _of_one_item(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> _Pairs:
    pairs = list(zip(left, right, strict=False))
    if max(len(left), len(right)) == 1 or not pairs:
        return pairs
    times = f"id {left[0].get('id')} comes {len(left)} and {len(right)} times"
    hashed = [(one.get("doc_hash"), another.get("doc_hash")) for one, another in pairs]
    if any(None in both for both in hashed):
        raise SynthError(
            f"{times}, and the samples have no doc_hash to match them by: give "
            "each item an id and evaluate again"
        )
    if any(one != another for one, another in hashed):
        raise SynthError(f"{times}, with other texts or in another order: give each item an id")
    return pairs


def compared(
    first: Samples, other: Samples, fields: dict[str, dict[str, str]], resamples: int, seed: int
) -> list[PairedDifference]:
    """The paired differences of two models, by suite. ``fields``: by suite, figure → field of a sample. Raises
    SynthError: see ``paired``."""
    rows: list[PairedDifference] = []
    for suite, wanted in fields.items():
        left, right = first.get(suite, []), other.get(suite, [])
        if not left or not right:
            continue
        try:
            pairs, other_text = paired(left, right)
        except SynthError as error:
            raise SynthError(f"{suite}: not compared item by item: {error}") from error
        unlike = {name: sum(_differ(pair, name) for pair in pairs) for name in _CIRCUMSTANCES}
        unlike = {name: count for name, count in unlike.items() if count}
        for figure, n, difference in _differences(suite, pairs, wanted, resamples, seed):
            rows.append(
                {
                    "suite": suite,
                    "n": n,
                    "only_first": len(left) - len(pairs) - other_text,
                    "only_other": len(right) - len(pairs) - other_text,
                    "other_text": other_text,
                    "unlike": unlike,
                    "figure": figure,
                    **difference,
                }
            )
    tested_rows = [row for row in rows if row["p"] is not None]
    p = np.array([row["p"] for row in tested_rows], np.float64)
    for row, value in zip(tested_rows, corrected_by_holm(p).tolist(), strict=True):
        row["p_holm"] = value
    return rows


def _differences(
    suite: str, pairs: _Pairs, wanted: dict[str, str], resamples: int, seed: int
) -> Iterator[tuple[str, int, Difference]]:
    """(figure, number of items with it on both sides, difference)."""
    for figure, name in wanted.items():
        values = [(a.get(name), b.get(name)) for a, b in pairs]
        numbers = np.array([v for v in values if _numbers(v)], np.float64)
        if len(numbers):
            yield figure, len(numbers), _of_means(numbers, resamples, seed, f"{suite} {figure}")
    both = (sample for pair in pairs for sample in pair)
    if "accuracy" in wanted and all(_numbers(s.get(k) for k in _NEEDED) for s in both):
        for figure, difference in _of_calibration(pairs, resamples, seed, suite):
            yield figure, len(pairs), difference


def _numbers(values: Iterable[Any]) -> bool:
    return all(type(v) in (int, float) and math.isfinite(v) for v in values)


def _of_means(values: np.ndarray, resamples: int, seed: int, name: str) -> Difference:
    change = values[:, 1] - values[:, 0]
    ends = bootstrap(
        ["d"], lambda which: [change[which].mean()], len(change), resamples, draw_of(seed, name)
    )
    test, p = tested(change, seed)
    first, other = (float(column.mean()) for column in values.T)
    return {
        "first": first,
        "other": other,
        "difference": float(change.mean()),
        "interval": ends.get("d"),
        "test": test,
        "p": p,
        "p_holm": None,
        "detectable": detectable_difference(change, bool(np.isin(values, (0, 1)).all())),
    }


def tested(change: np.ndarray, seed: int) -> tuple[str, float]:
    """(name of the test, two-sided p) for paired differences: McNemar's exact test if all are −1, 0 or 1,
    otherwise a permutation test that flips signs."""
    unequal = change[change != 0]
    if not len(unequal):
        return "none: all pairs are equal", 1.0
    if np.isin(change, (-1.0, 0.0, 1.0)).all():
        from scipy.stats import binomtest

        return "McNemar, exact", float(binomtest(int((unequal > 0).sum()), len(unequal)).pvalue)
    draw = draw_of(seed, "sign flips")
    observed = abs(unequal.sum())
    reached = 0
    for _ in range(_PERMUTATIONS):
        flipped = unequal.sum() - 2 * unequal[draw.random(len(unequal)) < 0.5].sum()
        # Allows for rounding: the order of the sum differs.
        reached += abs(flipped) >= observed * (1 - 1e-12)
    return f"sign flips, {_PERMUTATIONS:,}", (reached + 1) / (_PERMUTATIONS + 1)


def _of_calibration(
    pairs: _Pairs, resamples: int, seed: int, suite: str
) -> Iterator[tuple[str, Difference]]:
    sides = [_item_scores([pair[k] for pair in pairs]) for k in (0, 1)]

    def change(which: np.ndarray) -> list[float]:
        first, other = (calibration.figures(calibration.chosen(s, which)) for s in sides)
        return [other[name] - first[name] for name in _CALIBRATION]

    first, other = (calibration.figures(side) for side in sides)
    draw = draw_of(seed, f"{suite} calibration")
    ends = bootstrap(_CALIBRATION, change, len(pairs), resamples, draw)
    for name in _CALIBRATION:
        row: Difference = {
            "first": first[name],
            "other": other[name],
            "difference": other[name] - first[name],
            "interval": ends.get(name),
            "test": None,
            "p": None,
            "p_holm": None,
            "detectable": None,
        }
        yield name, row


def _item_scores(samples: list[dict[str, Any]]) -> ItemScores:
    right, right_norm, confidence, brier, nll = (
        np.array([sample[name] for sample in samples], np.float64) for name in _NEEDED
    )
    return ItemScores(right, right_norm, confidence, brier, nll, np.zeros(len(right), np.int64))
