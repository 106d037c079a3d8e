"""Answers against a reference's, in the manner of AlpacaEval (arXiv 2404.04475).

A judge sees both answers to an instruction, in both orders. The preference is 1 where it takes the model's
both times, 0 where it takes the reference's, ½ where it says neither or contradicts itself; win rate is its
mean. Preferences that others found (``judgments``) give the same table without a judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synthtools.draws import lane_of, record_uniforms
from synthtools.errors import SynthError
from synthtools.evaluate import agreement, answers, judge_prompts
from synthtools.evaluate.answer_suite import (
    Counted,
    ItemSamples,
    SuiteData,
    count_items,
    section,
    verdicts_on,
)
from synthtools.evaluate.estimates import Ratios
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.judge import Judge, Question, choice, verdict_fields
from synthtools.evaluate.length_control import fit
from synthtools.records.record_keys import hashes

FIGURES = ("win_rate", "wins", "losses")
PROMPTS = (judge_prompts.BETTER,)
DATA = SuiteData("alpaca_eval", ("alpaca_eval_prompts", "alpaca_eval"), ("prompts",))
# Where fewer answers than this are longer (or shorter) than the reference's, φ is poorly determined.
_ONE_SIDED = 0.05


def files(name: str, options: EvaluationOptions) -> list[str]:
    """The prompts, the answers, the reference's answers, the preferences."""
    if options.judgments:
        return [options.judgments, *options.answers]
    assert options.reference is not None
    return [DATA.file(options), options.reference, *options.answers]


def items(name: str, options: EvaluationOptions) -> dict[str, Any]:
    """Its prompts, see ``suites.items``."""
    return {} if options.judgments else {DATA.file(options): wrong}


def wrong(record: dict[str, Any]) -> str | None:
    """What is wrong with a record of an instruction; None if nothing."""
    if any(isinstance(record.get(name), str) for name in ("prompt", "instruction")):
        return None
    return 'no text in the field "prompt" (or "instruction")'


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Compares answers with the reference's.

    Returns:
        The section: ``win_rate``, ``wins`` and ``losses`` (both orders agree), with
        ``length_controlled`` if asked; ``models``, each with ``consistent`` (share of pairs with one
        verdict in both orders), ``first_preferred`` (share of verdicts for what stood first) and
        mean lengths; ``judge``; ``dropped``.
    """
    options = evaluator.options
    if options.judgments:
        return _read(name, evaluator)
    items = []
    for record in evaluator.records(DATA.file(options), wrong):
        prompt = record.get("prompt") or record["instruction"]
        items.append(answers.Item(str(record["id"]), (prompt,)))
    references = answers.from_files(evaluator, [options.reference or ""], items)
    if len(references) > 1:
        raise SynthError(
            f"{options.reference}: answers of {len(references)} models "
            f"({', '.join(one.model for one in references[:3])}, …); a reference is one"
        )
    reference = references[0]
    found = answers.answered(evaluator, name, items)
    judge = evaluator.answer_judge()
    orders = [_orders(items, one.model, options.seed) for one in found]
    results = [
        _judged(judge, one, reference, items, order)
        for one, order in zip(found, orders, strict=True)
    ]
    counted = count_items(name, evaluator, results)
    models, preferences, lengths = [], {}, {}
    for one, order, rows in zip(found, orders, counted.rows, strict=True):
        preferences[one.model] = {place: row["preference"] for place, (row,) in rows.items()}
        for place, (row,) in rows.items():
            lengths[one.model, place] = row["length"] - len((reference.turns[place] or ("",))[0])
        models.append(one.account() | _position_bias(rows, order))
    return _section(name, options, counted, preferences, lengths, models) | {
        "reference": reference.model,
        "judge": judge.account(),
    }


_Order = tuple[bool, bool]


def _orders(items: Sequence[answers.Item], model: str, seed: int) -> list[_Order]:
    """Whether the model's answer comes first, in both questions about each item; drawn by (seed, record)."""
    keys = hashes(
        [item.id for item in items],
        [item.turns[0].encode("utf-8", "surrogatepass") for item in items],
    ).values
    drawn = record_uniforms(seed, keys, lane_of("alpaca_eval", model)) < 0.5
    return [(first, not first) for first in drawn.tolist()]


def _judged(
    judge: Judge,
    one: answers.ModelAnswers,
    reference: answers.ModelAnswers,
    items: Sequence[answers.Item],
    orders: Sequence[_Order],
) -> list[ItemSamples]:
    """The sample of each item that both have an answer to."""

    def questions(place: int, turns: tuple[str, ...]) -> list[Question]:
        theirs = reference.turns[place]
        if theirs is None:
            return []
        item = items[place]
        asked = []
        for number, first in enumerate(orders[place]):
            a, b = (turns, theirs) if first else (theirs, turns)
            parts = {"instruction": item.turns[0], "answer A": a[0], "answer B": b[0]}
            key = f"alpaca_eval\0{one.model}\0{item.id}\0{number}"
            asked.append(Question(key, judge_prompts.BETTER, parts, choice))
        return asked

    samples: list[ItemSamples] = []
    verdicts = verdicts_on(judge, one, questions)
    for item, turns, order, pair in zip(items, one.turns, orders, verdicts, strict=True):
        if turns is None or not pair:
            samples.append([])
            continue
        meant = [_meant(v.value, first) for v, first in zip(pair, order, strict=True)]
        row: dict[str, Any] = {"id": item.id, "model": one.model, "reference": reference.model}
        row |= {"preference": _preference(meant), "dropped": None in meant}
        for number, value, verdict in zip(("first", "second"), meant, pair, strict=True):
            row[f"{number}_verdict"] = value
            row |= {f"{number}_{key}": held for key, held in verdict_fields(verdict).items()}
        samples.append([row | {"response": turns[0], "length": len(turns[0])}])
    return samples


def _meant(verdict: str | None, model_first: bool) -> str | None:
    """``model``, ``reference`` or ``tie``."""
    if verdict is None or verdict == "TIE":
        return None if verdict is None else "tie"
    return "model" if (verdict == "A") == model_first else "reference"


def _preference(meant: Sequence[str | None]) -> float | None:
    if None in meant:
        return None
    if meant[0] == meant[1] != "tie":
        return float(meant[0] == "model")
    return 0.5


def _position_bias(counted: dict[int, ItemSamples], orders: Sequence[_Order]) -> dict[str, Any]:
    same, first = [], []
    for place, (row,) in counted.items():
        verdicts = row["first_verdict"], row["second_verdict"]
        same.append(verdicts[0] == verdicts[1])
        for verdict, model_first in zip(verdicts, orders[place], strict=True):
            if verdict != "tie":
                first.append((verdict == "model") == model_first)
    return {
        "consistent": sum(same) / len(same) if same else None,
        "first_preferred": sum(first) / len(first) if first else None,
    }


def _section(
    name: str,
    options: EvaluationOptions,
    counted: Counted,
    preferences: dict[str, dict[Any, float]],
    lengths: dict[tuple[str, Any], float],
    models: list[dict[str, Any]],
) -> dict[str, Any]:
    figures: dict[str, dict[str, float | None]] = {}
    for row in models:
        ratios = Ratios()
        for prompt, value in preferences[row["model"]].items():
            ratios.add("win_rate", prompt, value)
            ratios.add("wins", prompt, value > 0.5)
            ratios.add("losses", prompt, value < 0.5)
        estimate = ratios.estimate(FIGURES, options, name)
        # In this order in the report.
        row |= {"intervals": estimate["intervals"], "figures": estimate["figures"]}
        figures[row["model"]] = row["figures"]
    control = _controlled(preferences, lengths, figures) if options.length_controlled else None
    return section(name, counted, models, {"win_rate": "preference"}) | {"length_control": control}


def _controlled(
    preferences: dict[str, dict[Any, float]],
    lengths: dict[tuple[str, Any], float],
    figures: dict[str, dict[str, float | None]],
) -> dict[str, Any]:
    """Adds ``length_controlled`` to the figures; says what length is worth."""
    names = [
        model for model, table in preferences.items() if any((model, p) in lengths for p in table)
    ]
    prompts: dict[Any, int] = {}
    rows = [
        (number, prompts.setdefault(prompt, len(prompts)), value, lengths[model, prompt])
        for number, model in enumerate(names)
        for prompt, value in preferences[model].items()
        if (model, prompt) in lengths
    ]
    for table in figures.values():
        table["length_controlled"] = None
    if not rows:
        return {"preferences": 0}
    found = fit(*zip(*rows, strict=True))
    sided = []
    numbers, longer = np.array([r[0] for r in rows]), np.array([r[3] for r in rows]) > 0
    for number, model in enumerate(names):
        figures[model]["length_controlled"] = float(found.rates[number])
        share = longer[numbers == number].mean()
        if min(share, 1 - share) < _ONE_SIDED:
            sided.append(model)
    return {"preferences": len(rows), "phi": found.phi, "one_sided": sided}


def _read(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """The section out of preferences in AlpacaEval's scale: 1 the reference's, 2 the model's, 0 neither."""
    options = evaluator.options
    tables: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for record in evaluator.records(options.judgments or "", agreement.wrong, limited=False):
        key = str(record["judge"]), str(record["reference"])
        if record["model"] != record["reference"]:
            table = tables.setdefault(key, {}).setdefault(str(record["model"]), {})
            table[str(record["prompt_id"])] = (record["preference"] or 1.5) - 1
    if not tables:
        raise SynthError(f"{options.judgments}: contains no preferences")
    (judge, reference), preferences = max(tables.items(), key=lambda item: len(item[1]))
    others = [" over ".join(key) for key in tables if key != (judge, reference)]
    if others:
        evaluator.remark(
            f"{options.judgments}: took {judge} over {reference}, left out {', '.join(others)}"
        )
    lengths: dict[tuple[str, str], float] = {}
    if options.length_controlled:
        lengths = _lengths(evaluator, reference)
    models = [{"model": model} for model in preferences]
    prompts = {prompt for table in preferences.values() for prompt in table}
    counted = Counted([], len(prompts), 0)
    return _section(name, options, counted, preferences, lengths, models) | {
        "reference": reference,
        "judge": {"model": judge, "from": options.judgments},
        "left_out": others,
    }


def _lengths(evaluator: Evaluator, reference: str) -> dict[tuple[str, str], float]:
    """Characters of each answer minus the reference's, out of ``answers``."""
    size: dict[tuple[str, str], int] = {}
    for path in evaluator.options.answers:
        for record in evaluator.records(path, answers.wrong, limited=False):
            turns = answers.turns_of(record)
            if turns and "prompt_id" in record and record.get("model"):
                size[str(record["model"]), str(record["prompt_id"])] = len(turns[0])
    return {
        (model, prompt): length - size[reference, prompt]
        for (model, prompt), length in size.items()
        if (reference, prompt) in size
    }
