"""Answers compared with a reference's, as in AlpacaEval (arXiv 2404.04475).

A judge sees both answers to an instruction, in both orders. The preference is 1 if it prefers the model's
both times, 0 if it prefers the reference's, ½ for a tie or a contradiction; the win rate is its mean.
Preferences of other judges (``judgments``) give the same table without a judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synthtools.draws import lane_of, record_uniforms
from synthtools.errors import SynthError
from synthtools.evaluate import agreement, answers, judge_panel, judge_prompts
from synthtools.evaluate.answer_suite import (
    Counted,
    ItemSamples,
    SuiteData,
    count_items,
    section,
    verdicts_on,
    write_author_file,
)
from synthtools.evaluate.estimates import Ratios
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.judge import CHOICE, Judge, Question, Verdict, verdict_fields
from synthtools.evaluate.judge_panel import JudgePanel
from synthtools.evaluate.length_control import fit
from synthtools.records.record_keys import hashes

FIGURES = ("win_rate", "wins", "losses")
PROMPTS = (judge_prompts.BETTER,)
# If a smaller share of answers is longer (or shorter) than the reference's, φ is poorly determined.
_ONE_SIDED = 0.05


def fault(record: dict[str, Any]) -> str | None:
    """Why a record cannot be an instruction."""
    if any(isinstance(record.get(name), str) for name in ("prompt", "instruction")):
        return None
    return 'no text in the field "prompt" (or "instruction")'


DATA = SuiteData(
    "alpaca_eval", ("alpaca_eval_prompts", "alpaca_eval"), ("prompts",), fault, or_judgments=True
)
items = DATA.items


def files(name: str, options: EvaluationOptions) -> list[str]:
    """The prompts, the reference's answers, the answers; or preferences and answers."""
    if options.judgments:
        return [options.judgments, *options.answers]
    assert options.reference is not None
    return [DATA.file(options), options.reference, *options.answers]


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Compares answers with the reference's.

    Returns:
        The section: ``win_rate``, ``wins`` and ``losses`` (both orders agree), with
        ``length_controlled`` if asked; ``models``, each with ``consistent`` (share of pairs with one
        verdict in both orders), ``first_preferred`` (share of verdicts for the first answer) and
        mean lengths; ``judge``; ``dropped``.
    """
    options = evaluator.options
    if options.judgments:
        return _read(name, evaluator)
    items = [
        answers.Item(str(record["id"]), (record.get("prompt") or record["instruction"],))
        for record in DATA.records(evaluator)
    ]
    reference, *more = answers.from_files(evaluator, [options.reference or ""], items)
    if more:
        names = [model.model for model in (reference, *more)]
        raise SynthError(
            f"{options.reference}: answers of {len(names)} models ({', '.join(names[:3])}, …); the "
            "reference must be one"
        )
    models = answers.of_models(evaluator, name, items)
    judge = evaluator.answer_judge()
    orders = [_orders(items, model.model, options.seed) for model in models]
    results = [
        _samples(judge, model, reference, items, order)
        for model, order in zip(models, orders, strict=True)
    ]
    for model, of_model in zip(models, results, strict=True) if options.author_files else ():
        file = f"alpaca_eval\n{model.model}\n{judge.name}_annotations.jsonl"
        write_author_file(options, file, _annotations(judge.name, reference, items, of_model))
    counted = count_items(name, evaluator, results)
    rows, preferences, lengths = [], {}, {}
    for model, order, samples in zip(models, orders, counted.rows, strict=True):
        preferences[model.model] = {place: row["preference"] for place, (row,) in samples.items()}
        for place, (row,) in samples.items():
            own = (reference.turns[place] or ("",))[0]
            lengths[model.model, place] = row["length"] - len(own)
        rows.append(model.account() | _position_bias(samples, order))
    return _section(name, options, counted, preferences, lengths, rows) | {
        "reference": reference.model,
        "judge": judge.account(),
    }


_Order = tuple[bool, bool]


def _orders(items: Sequence[answers.Item], model: str, seed: int) -> list[_Order]:
    """Whether the model's answer is shown first, for both questions about each item; drawn by (seed, record)."""
    keys = hashes(
        [item.id for item in items],
        [item.turns[0].encode("utf-8", "surrogatepass") for item in items],
    ).values
    first = record_uniforms(seed, keys, lane_of("alpaca_eval", model)) < 0.5
    return [(model_first, not model_first) for model_first in first.tolist()]


def _samples(
    judge: Judge | JudgePanel,
    model: answers.ModelAnswers,
    reference: answers.ModelAnswers,
    items: Sequence[answers.Item],
    orders: Sequence[_Order],
) -> list[ItemSamples]:
    """The sample of each item that both have answered."""

    def questions(place: int, turns: tuple[str, ...]) -> list[Question]:
        item, theirs = items[place], reference.turns[place]
        made = []
        for number, model_first in enumerate(orders[place] if theirs else ()):
            a, b = (turns, theirs) if model_first else (theirs, turns)
            assert a and b
            parts = {"instruction": item.turns[0], "answer A": a[0], "answer B": b[0]}
            key = f"alpaca_eval\0{model.model}\0{item.id}\0{number}"
            made.append(Question(key, judge_prompts.BETTER, parts, CHOICE))
        return made

    def sample(
        item: answers.Item, answer: str, order: _Order, verdicts: tuple[Verdict, ...]
    ) -> dict[str, Any]:
        winners = [_winner(v.value, first) for v, first in zip(verdicts, order, strict=True)]
        row: dict[str, Any] = {"id": item.id, "model": model.model, "reference": reference.model}
        row |= {"preference": _preference(*winners), "dropped": None in winners}
        for number, winner, verdict in zip(("first", "second"), winners, verdicts, strict=True):
            row[f"{number}_verdict"] = winner
            row |= {f"{number}_{key}": value for key, value in verdict_fields(verdict).items()}
        return row | {"response": answer, "length": len(answer)}

    each = zip(items, model.turns, orders, verdicts_on(judge, model, questions), strict=True)
    return [
        [sample(item, turns[0], order, verdicts)] if turns and verdicts else []
        for item, turns, order, verdicts in each
    ]


def _annotations(
    judge: str,
    reference: answers.ModelAnswers,
    items: Sequence[answers.Item],
    samples: Sequence[ItemSamples],
) -> list[dict[str, Any]]:
    """AlpacaEval's annotations, which ``judgments`` reads; a preference that could not be read is null."""
    return [
        {
            "instruction": item.turns[0],
            "generator_1": row["reference"],
            "output_1": (theirs or ("",))[0],
            "generator_2": row["model"],
            "output_2": row["response"],
            "annotator": judge,
            "preference": None if row["preference"] is None else row["preference"] + 1,
        }
        for item, theirs, rows in zip(items, reference.turns, samples, strict=True)
        for row in rows
    ]


def _winner(verdict: str | None, model_first: bool) -> str | None:
    """``model``, ``reference`` or ``tie``."""
    if verdict is None or verdict == "TIE":
        return None if verdict is None else "tie"
    return "model" if (verdict == "A") == model_first else "reference"


def _preference(first: str | None, second: str | None) -> float | None:
    if first is None or second is None:
        return None
    return float(first == "model") if first == second != "tie" else 0.5


def _position_bias(samples: dict[int, ItemSamples], orders: Sequence[_Order]) -> dict[str, Any]:
    ratios = Ratios()
    for place, (row,) in samples.items():
        verdicts = row["first_verdict"], row["second_verdict"]
        ratios.add("consistent", place, verdicts[0] == verdicts[1])
        for verdict, model_first in zip(verdicts, orders[place], strict=True):
            if verdict != "tie":
                ratios.add("first_preferred", place, (verdict == "model") == model_first)
    return ratios.values(["consistent", "first_preferred"])


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
    """Adds ``length_controlled`` to the figures; returns the effect of length."""
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
    control = fit(*zip(*rows, strict=True))
    one_sided = []
    for number, model in enumerate(names):
        figures[model]["length_controlled"] = float(control.rates[number])
        share = np.mean([row[3] > 0 for row in rows if row[0] == number])
        if min(share, 1 - share) < _ONE_SIDED:
            one_sided.append(model)
    return {"preferences": len(rows), "phi": control.phi, "one_sided": one_sided}


def _read(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """The section from preferences on AlpacaEval's scale: 1 the reference, 2 the model, 0 neither.
    Several judges of one reference are a panel: a preference is their mean."""
    options = evaluator.options
    tables: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    records = evaluator.records(options.judgments or "", _preference_fault, limited=False)
    for record in map(agreement.as_judgment, records):
        table = tables.setdefault((str(record["judge"]), str(record["reference"])), {})
        if record["model"] != record["reference"] and record["preference"] is not None:
            unit = str(record["model"]), str(record["prompt_id"])
            table[unit] = agreement.share_of(record["preference"])
    if not any(tables.values()):
        raise SynthError(f"{options.judgments}: contains no preferences")
    _, reference = max(tables, key=lambda key: len({model for model, _ in tables[key]}))
    judges = {judge: table for (judge, of), table in tables.items() if of == reference}
    judge = ", ".join(judges)
    others = [" over ".join(key) for key in tables if key[1] != reference]
    if others:
        evaluator.remark(
            f"{options.judgments}: used {judge} over {reference}, left out {', '.join(others)}"
        )
    means, panel = judge_panel.panel_of(judges)
    preferences: dict[str, dict[str, float]] = {}
    for (model, prompt), value in means.items():
        preferences.setdefault(model, {})[prompt] = value
    lengths = _lengths(evaluator, reference) if options.length_controlled else {}
    models = [{"model": model} for model in preferences]
    prompts = {prompt for table in preferences.values() for prompt in table}
    counted = Counted([], len(prompts), 0)
    return _section(name, options, counted, preferences, lengths, models) | {
        "reference": reference,
        "judge": {"model": judge, "from": options.judgments},
        "panel": panel if len(judges) > 1 else None,
        "left_out": others,
    }


def _preference_fault(record: dict[str, Any]) -> str | None:
    if "generator_2" in record and record.get("preference", "") is None:
        return None  # AlpacaEval's annotator gave none
    return agreement.fault(record)


def _lengths(evaluator: Evaluator, reference: str) -> dict[tuple[str, str], float]:
    """Characters of each answer minus the reference's, from ``answers``."""
    size: dict[tuple[str, str], int] = {}
    for path in evaluator.options.answers:
        for record in evaluator.records(path, answers.fault, limited=False):
            turns = answers.turns_of(record)
            if turns and "prompt_id" in record and record.get("model"):
                size[str(record["model"]), str(record["prompt_id"])] = len(turns[0])
    return {
        (model, prompt): length - size[reference, prompt]
        for (model, prompt), length in size.items()
        if (reference, prompt) in size
    }
