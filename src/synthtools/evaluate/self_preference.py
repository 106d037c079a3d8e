"""Do judges prefer their own writing? (Baskets)

A judge sees two texts as A and B, in both orders; p_A/(p_A + p_B) from the probabilities of its first token is
how much it prefers the first. The score of a model is the mean over all its appearances, and

    SPB = S_target − mean of S of the other models (human text left out)
    PSB = mean of S of all models − S_human
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from synthtools.errors import SynthError
from synthtools.evaluate.agreement import Pairs
from synthtools.evaluate.calibration import draw_of
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.measure.bootstrap import intervals

# Where the judge puts less on A and B together, its choice between them says little.
LOW_MASS = 0.5
_FIELDS = ("id", "a", "b", "p_a", "p_b")


def wrong(record: dict[str, Any]) -> str | None:
    """What is wrong with a record of a pair; None if nothing."""
    for name in _FIELDS:
        if name not in record:
            return (
                f'no field "{name}" (fields: {", ".join(record)}; it needs: {", ".join(_FIELDS)})'
            )
    if not all(isinstance(record[name], str) and record[name] for name in ("a", "b")):
        return 'fields "a" and "b" must be names of models'
    if record["a"] == record["b"]:
        return 'fields "a" and "b" name one model'
    for name in ("p_a", "p_b"):
        if type(record[name]) not in (int, float) or not 0 <= record[name] <= 1:
            return f'field "{name}" is not a probability'
    return None


def by_judge(records: Iterable[dict[str, Any]], judge: str) -> dict[str, Pairs]:
    """The pairs of each judge.

    Args:
        judge: the name where a record has no field ``judge``.
    """
    found: dict[str, Pairs] = {}
    for record in records:
        name = str(record.get("judge") or judge)
        found.setdefault(name, Pairs(name)).add(record)
    return found


def section_of(
    pairs: Pairs, target: str | None, human: str, resamples: int, seed: int
) -> dict[str, Any]:
    """What a judge prefers.

    Args:
        target: the model whose own texts these are to the judge; None: the judge's name where it
            is one of the models.
        human: the name of human text.

    Raises:
        SynthError: no pair is left.
    """
    if not pairs.ids:
        raise SynthError(f"self-preference: no pair of judge {pairs.judge} has a probability")
    names = list(pairs.models)
    if target is None and pairs.judge in names:
        target = pairs.judge
    sums, counts = _tables(pairs)
    found = _figures(sums.sum(0), counts.sum(0), names, target, human)
    table = []
    draw = draw_of(seed, "self-preference")
    for _ in range(resamples if len(sums) > 1 else 0):
        # Items, not pairs, are drawn: pairs about one item hang together.
        drawn = draw.integers(0, len(sums), len(sums))
        again = _figures(sums[drawn].sum(0), counts[drawn].sum(0), names, target, human)
        table.append([np.nan if value is None else value for value in again.values()])
    keys = [key for key, value in found.items() if value is not None]
    columns = [list(found).index(key) for key in keys]
    ends = {}
    if table:
        estimate = np.array([found[key] for key in keys], np.float64)
        ends = intervals(keys, np.array(table)[:, columns], estimate)
    mass = np.array(pairs.mass)
    return {
        "judge": pairs.judge,
        "target": target,
        "human": human if human in names else None,
        "n": len(pairs.ids),
        "items": len(sums),
        "figures": found,
        "intervals": ends,
        "models": {name: int(n) for name, n in zip(names, counts.sum(0), strict=True)},
        "mass": float(mass.mean()),
        "low_mass": int((mass < LOW_MASS).sum()),
        "empty": pairs.empty,
        **_orders(pairs),
    }


def _tables(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Sums of shares and appearances, [items, models]."""
    shape = (len(pairs.items), len(pairs.models))
    sums, counts = np.zeros(shape), np.zeros(shape)
    share = np.array(pairs.share)
    for models, values in ((pairs.first, share), (pairs.second, 1 - share)):
        np.add.at(sums, (pairs.ids, models), values)
        np.add.at(counts, (pairs.ids, models), 1)
    return sums, counts


def _figures(
    sums: np.ndarray, counts: np.ndarray, names: list[str], target: str | None, human: str
) -> dict[str, float | None]:
    scores = {
        name: float(s / n) if n else None for name, s, n in zip(names, sums, counts, strict=True)
    }
    scored = {name: score for name, score in scores.items() if score is not None}
    models = {name: score for name, score in scored.items() if name != human}
    others = [score for name, score in models.items() if name != target]
    spb = psb = None
    if not scores.keys() - scored.keys() - {human}:  # each model has a score
        if target in models and others:
            spb = models[target] - sum(others) / len(others)
        if human in scored and models:
            psb = sum(models.values()) / len(models) - scored[human]
    return {"spb": spb, "psb": psb, **{f"S {name}": score for name, score in scores.items()}}


def _orders(pairs: Pairs) -> dict[str, Any]:
    """What the order does: ``first_preferred``, the mean share of whatever stands first;
    ``consistent``, of the pairs seen in both orders, how many have one winner in both;
    ``one_order``, pairs that were seen in one order alone."""
    seen: dict[tuple[int, int, int], float] = {}
    for item, a, b, share in zip(pairs.ids, pairs.first, pairs.second, pairs.share, strict=True):
        seen[item, a, b] = share
    both = [(s, seen[i, b, a]) for (i, a, b), s in seen.items() if a < b and (i, b, a) in seen]
    same = sum((s - 0.5) * (0.5 - t) > 0 for s, t in both)
    return {
        "first_preferred": float(np.mean(pairs.share)),
        "consistent": same / len(both) if both else None,
        "one_order": len(seen) - 2 * len(both),
    }


def files(name: str, options: EvaluationOptions) -> list[str]:
    """The files of pairs, answers and judgments."""
    return [
        *([options.pairs] if options.pairs else []),
        *options.answers,
        *([options.judgments] if options.judgments else []),
    ]


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Self-preference of the judge, from a file of pairs or by asking it.

    Returns:
        The section: ``judges``, what each prefers; figures of the first judge (of all, under its
        name, where there are several); ``judgments``: other judges' preferences, and how far the
        judge agrees with them.
    """
    from synthtools.evaluate import agreement, pairwise_judge

    options = evaluator.options
    parts: dict[str, Pairs] = {}
    extra: dict[str, Any] = {}
    if options.pairs:
        parts = by_judge(evaluator.records(options.pairs, wrong), "judge")
        if not parts:
            raise SynthError(f"{options.pairs}: contains no pairs")
    if options.answers:
        judge, rows, extra = pairwise_judge.judged(evaluator)
        evaluator.samples(name, rows)
        parts |= by_judge(rows, judge)
    found = [
        section_of(one, options.target, options.human, options.bootstrap, options.seed)
        for one in parts.values()
    ]
    for one in found:
        if one["target"] is None:
            evaluator.remark(
                f"{one['judge']}: no SPB, as no model is known to be its own (target names one)"
            )
        if one["low_mass"]:
            evaluator.remark(
                f"{one['judge']}: puts less than {LOW_MASS:g} on A and B together in "
                f"{one['low_mass']} of {one['n']} pairs; its choice there means little"
            )
    result: dict[str, Any] = {
        "kind": "self-preference",
        "n": sum(one["n"] for one in found),
        "figures": {},
        "intervals": {},
    }
    for one in found:
        before = "" if len(found) == 1 else f"{one['judge']}: "
        for part in ("figures", "intervals"):
            result[part] |= {f"{before}{key}": value for key, value in one[part].items()}
    result |= {"judges": found, **extra}
    if options.judgments:
        judgments = agreement.judgments(evaluator, options.judgments)
        result["judgments"] = judgments.tables(options.bootstrap, options.seed)
        result["agreement"] = [judgments.agreement(one) for one in parts.values()]
        result["n"] = result["n"] or len(judgments)
    return result
