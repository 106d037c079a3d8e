"""Whether judges prefer their own writing (Baskets).

A judge sees two texts as A and B, in both orders; its preference for the first is p_A/(p_A + p_B), from the
probabilities of its first token. The score S of a model is the mean over all its appearances, and

    SPB = S_target − mean of S of the other models (human text left out)
    PSB = mean of S of all models − S_human
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.evaluate import agreement
from synthtools.evaluate.agreement import Pair, Pairs
from synthtools.evaluate.estimates import bootstrap, draw_of
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator

# If the judge gives A and B together less probability, its choice between them means little.
LOW_MASS = 0.5
_FIELDS = ("id", "a", "b", "p_a", "p_b")


def fault(record: dict[str, Any]) -> str | None:
    """Why a record cannot be a pair."""
    if missing := [name for name in _FIELDS if name not in record]:
        known = f"fields: {', '.join(record)}; it needs: {', '.join(_FIELDS)}"
        return f'no field "{missing[0]}" ({known})'
    if not all(isinstance(record[name], str) and record[name] for name in ("a", "b")):
        return 'fields "a" and "b" must be names of models'
    if record["a"] == record["b"]:
        return 'fields "a" and "b" name one model'
    for name in ("p_a", "p_b"):
        if type(record[name]) not in (int, float) or not 0 <= record[name] <= 1:
            return f'field "{name}" is not a probability'
    return None


def by_judge(records: Iterable[dict[str, Any]], judge: str) -> dict[str, Pairs]:
    """The pairs of each judge. ``judge``: the name for records without a field ``judge``."""
    judges: dict[str, Pairs] = {}
    for record in records:
        name = str(record.get("judge") or judge)
        judges.setdefault(name, Pairs(name)).add(record)
    return judges


def section_of(
    own: Pairs, target: str | None, human: str, resamples: int, seed: int
) -> dict[str, Any]:
    """The preferences of a judge.

    Args:
        target: the model whose texts are the judge's own; None: the model with the judge's name, if any.
        human: the name of human text.

    Raises:
        SynthError: no pair is left.
    """
    pairs = own.pairs
    if not pairs:
        raise SynthError(f"self-preference: no pair of judge {own.judge} has a probability")
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    if target is None and own.judge in names:
        target = own.judge
    sums, counts = _tables(pairs, names)
    figures = _figures(sums.sum(0), counts.sum(0), names, target, human)
    keys = [key for key, value in figures.items() if value is not None]

    def drawn(which: np.ndarray) -> list[float]:
        again = _figures(sums[which].sum(0), counts[which].sum(0), names, target, human)
        return [np.nan if (value := again[key]) is None else value for key in keys]

    # Resamples items, not pairs: pairs about one item are not independent.
    draw = draw_of(seed, "self-preference")
    ends = bootstrap(keys, drawn, len(sums), resamples, draw)
    mass = np.array([pair.mass for pair in pairs])
    return {
        "judge": own.judge,
        "target": target,
        "human": human if human in names else None,
        "n": len(pairs),
        "items": len(sums),
        "figures": figures,
        "intervals": ends,
        "models": {name: int(n) for name, n in zip(names, counts.sum(0), strict=True)},
        "mass": float(mass.mean()),
        "low_mass": int((mass < LOW_MASS).sum()),
        "empty": own.empty,
        **_orders(pairs),
    }


def _tables(pairs: Sequence[Pair], names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sums of shares and appearances, [items, models]."""
    items: dict[str, int] = {}
    rows = [items.setdefault(pair.item, len(items)) for pair in pairs]
    sums, counts = np.zeros((2, len(items), len(names)))
    share = np.array([pair.share for pair in pairs])
    for side, values in (("first", share), ("second", 1 - share)):
        models = [names.index(getattr(pair, side)) for pair in pairs]
        np.add.at(sums, (rows, models), values)
        np.add.at(counts, (rows, models), 1)
    return sums, counts


def _figures(
    sums: np.ndarray, counts: np.ndarray, names: list[str], target: str | None, human: str
) -> dict[str, float | None]:
    each = zip(names, sums, counts, strict=True)
    scores = {name: float(s / n) if n else None for name, s, n in each}
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


def _orders(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The effect of the order: ``first_preferred``: the mean share of the text shown first; ``consistent``: the
    share of pairs seen in both orders with the same winner; ``one_order``: pairs seen in only one order."""
    shares = {(pair.item, pair.first, pair.second): pair.share for pair in pairs}
    both = [
        (share, shares[item, b, a])
        for (item, a, b), share in shares.items()
        if a < b and (item, b, a) in shares
    ]
    same = sum((s - 0.5) * (0.5 - t) > 0 for s, t in both)
    return {
        "first_preferred": float(np.mean([pair.share for pair in pairs])),
        "consistent": same / len(both) if both else None,
        "one_order": len(shares) - 2 * len(both),
    }


def files(name: str, options: EvaluationOptions) -> list[str]:
    """The files of pairs, answers and judgments."""
    return list(filter(None, [options.pairs, *options.answers, options.judgments]))


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Self-preference of the judge, from a file of pairs or by asking it.

    Returns:
        The section: ``judges``: the preferences of each; figures of the judge (with several, prefixed with
        its name); ``judgments``: other judges' preferences; ``agreement`` with them.
    """
    from synthtools.evaluate import pairwise_judge

    options = evaluator.options
    judges: dict[str, Pairs] = {}
    account: dict[str, Any] = {}
    if options.pairs:
        judges = by_judge(evaluator.records(options.pairs, fault), "judge")
        if not judges:
            raise SynthError(f"{options.pairs}: contains no pairs")
    if options.answers:
        model = evaluator.model_settings
        settings = evaluator.judge_settings or ([model] if model is not None else [])
        if not settings:
            named = parameter("judge")
            raise UsageError(f"{parameter('answers')} needs a judge: name it with {named}")
        long = 0
        for one in settings:
            judge, rows, account = pairwise_judge.judged(evaluator, one)
            evaluator.samples(name, rows)
            judges |= by_judge(rows, judge)
            long += account["too_long"]
        account["too_long"] = long
    how = options.target, options.human, options.bootstrap, options.seed
    parts = [section_of(own, *how) for own in judges.values()]
    result: dict[str, Any] = {
        "kind": "self-preference",
        "n": sum(part["n"] for part in parts),
        "figures": {},
        "intervals": {},
    }
    for part in parts:
        if part["target"] is None:
            evaluator.remark(
                f"{part['judge']}: no SPB, as it is not known which model is its own ({parameter('target')} "
                "names it)"
            )
        if part["low_mass"]:
            evaluator.remark(
                f"{part['judge']}: gives A and B together a probability below {LOW_MASS:g} in "
                f"{part['low_mass']} of {part['n']} pairs; its choice there means little"
            )
        prefix = "" if len(parts) == 1 else f"{part['judge']}: "
        for table in ("figures", "intervals"):
            result[table] |= {f"{prefix}{key}": value for key, value in part[table].items()}
    result |= {"judges": parts, **account}
    if options.judgments:
        others = agreement.judgments(evaluator, options.judgments)
        result["judgments"] = agreement.tables(others, options.bootstrap, options.seed)
        result["agreement"] = [agreement.with_judgments(own, others) for own in judges.values()]
        result["n"] = result["n"] or len(others)
    return result
