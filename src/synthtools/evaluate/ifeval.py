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
from synthtools.evaluate.evaluator import Evaluator
from synthtools.evaluate.ifeval_rules import RULES, followed

READINGS = ("strict", "loose")
FIGURES = [f"{level}_{reading}" for level in ("prompt", "instruction") for reading in READINGS]


def fault(record: dict[str, Any]) -> str | None:
    """Why a record cannot be a prompt."""
    names, arguments = record.get("instruction_id_list"), record.get("kwargs")
    if not isinstance(record.get("prompt"), str):
        return 'no text in the field "prompt"'
    if (
        not isinstance(names, list)
        or not isinstance(arguments, list)
        or len(names) != len(arguments)
    ):
        return 'fields "instruction_id_list" and "kwargs" must be lists of one length'
    for name in names:
        if name not in RULES:
            return f"unknown instruction {name!r}"
    if not names or not all(isinstance(one, dict) for one in arguments):
        return 'fields "instruction_id_list" and "kwargs" must hold names and objects'
    try:
        followed("An answer.", names, arguments)
    except (TypeError, ValueError, AttributeError) as error:
        reason = str(error).partition("() ")[2] or str(error)  # without our function's name
        return f"arguments that do not fit their instruction: {reason}"
    return None


DATA = SuiteData("ifeval", ("ifeval",), ("all", "test", "train", "input_data"), fault)
files, items = DATA.files, DATA.items


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Checks the answers.

    Returns:
        The section: accuracies strict and loose, of prompts and of instructions; ``models``, each with
        its figures and the accuracy of each kind of instruction (``kinds``); ``dropped``, prompts
        without an answer of every model.
    """
    prompts = list(DATA.records(evaluator))
    questions = [answers.Item(str(p["id"]), (p["prompt"],), p.get("key")) for p in prompts]
    models = answers.of_models(evaluator, name, questions)

    def samples_of(model: answers.ModelAnswers) -> list[ItemSamples]:
        return [
            [] if turns is None else [_sample(model.model, prompt, turns[0])]
            for prompt, turns in zip(prompts, model.turns, strict=True)
        ]

    def estimate(model: answers.ModelAnswers, samples: dict[int, ItemSamples]) -> dict[str, Any]:
        ratios, kinds = Ratios(), {reading: Ratios() for reading in READINGS}
        for place, (row,) in samples.items():
            for reading in READINGS:
                verdicts = row[reading]
                ratios.add(f"prompt_{reading}", place, all(verdicts))
                ratios.add(f"instruction_{reading}", place, sum(verdicts), len(verdicts))
                for kind, verdict in zip(row["instructions"], verdicts, strict=True):
                    kinds[reading].add(kind, place, verdict)
        names = sorted(RULES)
        by_kind = {reading: kinds[reading].values(names) for reading in READINGS}
        return model.account() | {
            **ratios.estimate(FIGURES, evaluator.options, name),
            "kinds": [
                {"kind": kind, **{reading: by_kind[reading][kind] for reading in READINGS}}
                for kind in names
                if by_kind["strict"][kind] is not None
            ],
        }

    per_item = {figure: figure for figure in FIGURES}
    return evaluated(name, evaluator, models, samples_of, estimate, per_item)


def _sample(model: str, prompt: dict[str, Any], answer: str) -> dict[str, Any]:
    row: dict[str, Any] = {"id": str(prompt["id"]), "model": model, "dropped": False}
    names, arguments = prompt["instruction_id_list"], prompt["kwargs"]
    for reading in READINGS:
        verdicts = followed(answer, names, arguments, loose=reading == "loose")
        row |= {reading: verdicts, f"prompt_{reading}": int(all(verdicts))}
        row[f"instruction_{reading}"] = sum(verdicts) / len(verdicts)
    return row | {"instructions": names, "response": answer}
