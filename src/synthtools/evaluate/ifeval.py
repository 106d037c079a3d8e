"""IFEval (arXiv 2311.07911): verifiable instructions, checked by rules.

An instruction is followed strictly as the answer stands, or loosely if one of eight readings of the
answer follows it. Of both: the share of prompts all of whose instructions are followed, and the share
of instructions.
"""

from __future__ import annotations

from typing import Any

from synthtools.evaluate import answers
from synthtools.evaluate.data import file_of
from synthtools.evaluate.estimates import Ratios, together
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.ifeval_rules import RULES, followed

READINGS = ("strict", "loose")
FIGURES = [f"{level}_{reading}" for level in ("prompt", "instruction") for reading in READINGS]


def files(name: str, options: EvaluationOptions) -> list[str]:
    """The prompts and the answers."""
    return [_data(options), *options.answers]


def _data(options: EvaluationOptions) -> str:
    return file_of(options, "ifeval", ("ifeval",), ("all", "test", "train", "input_data"))


def wrong(record: dict[str, Any]) -> str | None:
    """Why a record is no prompt of IFEval; None where it is one."""
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
    records = list(evaluator.records(_data(evaluator.options), wrong))
    items = [
        answers.Item(str(record["id"]), (record["prompt"],), record.get("key"))
        for record in records
    ]
    found = answers.answered(evaluator, name, items)
    whole = answers.complete(found)
    options = evaluator.options
    models, figures, ends = [], {}, {}
    for one in found:
        ratios, kinds = Ratios(), {reading: Ratios() for reading in READINGS}
        rows = []
        for record, item, turns, kept in zip(records, items, one.turns, whole, strict=True):
            row: dict[str, Any] = {"id": item.id, "model": one.model, "dropped": not kept}
            names, given = record["instruction_id_list"], record["kwargs"]
            if turns is None:
                continue
            for reading in READINGS:
                verdicts = followed(turns[0], names, given, loose=reading == "loose")
                row |= {reading: verdicts, f"prompt_{reading}": int(all(verdicts))}
                row[f"instruction_{reading}"] = sum(verdicts) / len(verdicts)
                if not kept:
                    continue
                ratios.add(f"prompt_{reading}", item.id, all(verdicts))
                ratios.add(f"instruction_{reading}", item.id, sum(verdicts), len(verdicts))
                for kind, verdict in zip(names, verdicts, strict=True):
                    kinds[reading].add(kind, item.id, verdict)
            rows.append(row | {"instructions": names, "response": turns[0]})
        evaluator.samples(name, rows)
        figures[one.model], ends[one.model] = ratios.estimate(
            FIGURES, {}, options.bootstrap, options.seed, name
        )
        by_kind = {
            reading: kinds[reading].estimate(sorted(RULES), {}, 0, 0, name)[0]
            for reading in READINGS
        }
        models.append(
            {
                **one.account(),
                "figures": figures[one.model],
                "kinds": [
                    {"kind": kind, **{reading: by_kind[reading][kind] for reading in READINGS}}
                    for kind in sorted(RULES)
                    if by_kind["strict"][kind] is not None
                ],
            }
        )
    all_figures, all_ends = together(figures, ends)
    return {
        "kind": name,
        "n": sum(whole),
        "figures": all_figures,
        "intervals": all_ends,
        "per_item": {figure: figure for figure in FIGURES},
        "models": models,
        "dropped": len(whole) - sum(whole),
    }
