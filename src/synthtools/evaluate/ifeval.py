"""IFEval (arXiv 2311.07911): verifiable instructions, checked by rules.

An instruction is followed strictly by the answer as it is, or loosely if one of eight readings of the
answer follows it. Of both: the share of prompts all of whose instructions are followed, and the share
of instructions.
"""

from __future__ import annotations

from typing import Any

from synthtools.evaluate import answers
from synthtools.evaluate.answer_suite import ItemSamples, SuiteData, evaluated
from synthtools.evaluate.estimates import Ratios
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.ifeval_rules import RULES, followed

READINGS = ("strict", "loose")
FIGURES = [f"{level}_{reading}" for level in ("prompt", "instruction") for reading in READINGS]


DATA = SuiteData("ifeval", ("ifeval",), ("all", "test", "train", "input_data"))
files = DATA.files


def items(name: str, options: EvaluationOptions) -> dict[str, Any]:
    """Its prompts, see ``suites.items``."""
    return {DATA.file(options): wrong}


def wrong(record: dict[str, Any]) -> str | None:
    """What is wrong with a record of a prompt; None if nothing."""
    names, given = record.get("instruction_id_list"), record.get("kwargs")
    if not isinstance(record.get("prompt"), str):
        return 'no text in the field "prompt"'
    if not isinstance(names, list) or not isinstance(given, list) or len(names) != len(given):
        return 'fields "instruction_id_list" and "kwargs" must be lists of one length'
    for name in names:
        if name not in RULES:
            return f"unknown instruction {name!r}"
    if not names or not all(isinstance(one, dict) for one in given):
        return 'fields "instruction_id_list" and "kwargs" must hold names and objects'
    try:
        followed("An answer.", names, given)
    except (TypeError, ValueError, AttributeError) as error:
        return f"arguments that do not fit their instruction: {error}"
    return None


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Checks the answers.

    Returns:
        The section: accuracies strict and loose, of prompts and of instructions; ``models``, each with
        its figures and the accuracy of each kind of instruction (``kinds``); ``dropped``, prompts
        without an answer of every model.
    """
    options = evaluator.options
    records = list(evaluator.records(DATA.file(options), wrong))
    items = [
        answers.Item(str(record["id"]), (record["prompt"],), record.get("key"))
        for record in records
    ]
    found = answers.answered(evaluator, name, items)

    def samples_of(one: answers.ModelAnswers) -> list[ItemSamples]:
        return [
            [] if turns is None else [_row(one.model, record, turns[0])]
            for record, turns in zip(records, one.turns, strict=True)
        ]

    def estimate(_: answers.ModelAnswers, samples: dict[int, ItemSamples]) -> dict[str, Any]:
        return _estimates(samples, options, name)

    return evaluated(
        name, evaluator, found, samples_of, estimate, {figure: figure for figure in FIGURES}
    )


def _row(model: str, record: dict[str, Any], answer: str) -> dict[str, Any]:
    row: dict[str, Any] = {"id": str(record["id"]), "model": model, "dropped": False}
    names, given = record["instruction_id_list"], record["kwargs"]
    for reading in READINGS:
        verdicts = followed(answer, names, given, loose=reading == "loose")
        row |= {reading: verdicts, f"prompt_{reading}": int(all(verdicts))}
        row[f"instruction_{reading}"] = sum(verdicts) / len(verdicts)
    return row | {"instructions": names, "response": answer}


def _estimates(
    counted: dict[int, ItemSamples], options: EvaluationOptions, name: str
) -> dict[str, Any]:
    ratios, kinds = Ratios(), {reading: Ratios() for reading in READINGS}
    for place, (row,) in counted.items():
        for reading in READINGS:
            verdicts = row[reading]
            ratios.add(f"prompt_{reading}", place, all(verdicts))
            ratios.add(f"instruction_{reading}", place, sum(verdicts), len(verdicts))
            for kind, verdict in zip(row["instructions"], verdicts, strict=True):
                kinds[reading].add(kind, place, verdict)
    names = sorted(RULES)
    by_kind = {reading: kinds[reading].values(names) for reading in READINGS}
    return {
        **ratios.estimate(FIGURES, options, name),
        "kinds": [
            {"kind": kind, **{reading: by_kind[reading][kind] for reading in READINGS}}
            for kind in names
            if by_kind["strict"][kind] is not None
        ],
    }
