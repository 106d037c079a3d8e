"""Answers under evaluation: a live model's, or out of files, of one model or of several.

A file's records may be ours (``prompt``, ``response``, ``model``), FastChat's (``question_id``,
``model_id``, ``choices[0].turns``), AlpacaEval's (``instruction``, ``output``, ``generator``) or
FollowBench's (``prompt_new``, ``choices[0].message.content``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from synthtools.errors import SynthError
from synthtools.evaluate.judge import FailureCounts, ask

if TYPE_CHECKING:
    from synthtools.evaluate.evaluator import Evaluator

_PROMPTS = ("prompt", "instruction", "prompt_new")
_MODELS = ("model", "model_id", "generator")


class Item(NamedTuple):
    """What is asked: the user's messages, turn by turn; ``key``: another identity that answers may name it by
    (``question_id``)."""

    id: str
    turns: tuple[str, ...]
    key: Any = None


@dataclass
class ModelAnswers:
    """A model's answers to each item, turn by turn, None where there is none.

    Attributes:
        problems: why answers are missing; cut: answers that ended at the limit of tokens.
        live: generated in this run.
    """

    model: str
    turns: list[tuple[str, ...] | None]
    problems: FailureCounts = field(default_factory=FailureCounts)
    cut: int = 0
    live: bool = False

    def account(self) -> dict[str, Any]:
        """Their part of the report."""
        there = [turns for turns in self.turns if turns is not None]
        return {
            "model": self.model,
            "answers": len(there),
            "empty": sum(not "".join(turns).strip() for turns in there),
            "cut": self.cut,
            "missing": self.problems.table(),
            "from": "model" if self.live else "file",
        }


def of_models(evaluator: Evaluator, suite: str, items: Sequence[Item]) -> list[ModelAnswers]:
    """The answers to be evaluated: those of ``answers`` and those of the model. Raises SynthError: a file has
    no answer to any of the items, or two models share a name."""
    files = evaluator.options.answers
    models = from_files(evaluator, files, items) if files else []
    if evaluator.model_settings is not None:
        live = _live(evaluator, suite, items)
        if any(model.model == live.model for model in models):
            raise SynthError(
                f"{live.model}: answers of this name are in the files, too; give the model another name"
            )
        models.append(live)
    return models


def from_files(
    evaluator: Evaluator, paths: Sequence[str], items: Sequence[Item]
) -> list[ModelAnswers]:
    """Answers out of files, by model in the order in which they come; the first counts where a model answers an
    item twice. Raises SynthError: no item has an answer in the files."""
    places: dict[Any, list[int]] = {}
    for place, item in enumerate(items):
        for identity in (("text", item.turns[0]), ("id", item.id), ("key", item.key)):
            if identity[1] is not None:
                places.setdefault(identity, []).append(place)
    models: dict[str, ModelAnswers] = {}
    for path in paths:
        stem = Path(path).name.split(".")[0]
        for record in evaluator.records(path, fault, limited=False):
            name = next((str(record[field]) for field in _MODELS if record.get(field)), stem)
            model = models.setdefault(name, ModelAnswers(name, [None] * len(items)))
            for place in _places(record, places):
                if model.turns[place] is None:
                    model.turns[place] = turns_of(record)
    if not any(turns for model in models.values() for turns in model.turns):
        raise SynthError(
            f"{', '.join(paths)}: no answer to any of the {len(items)} prompts of the suite (they are "
            "matched by prompt, else by question_id or id)"
        )
    for model in models.values():
        for place, turns in enumerate(model.turns):
            expected = len(items[place].turns)
            if turns is not None and len(turns) < expected:
                model.turns[place] = None
                model.problems.add(f"{len(turns)} of {expected} turns")
            elif turns is None:
                model.problems.add("not in the file")
    return list(models.values())


def _places(record: dict[str, Any], places: dict[Any, list[int]]) -> list[int]:
    for name in _PROMPTS:
        if isinstance(record.get(name), str):
            return places.get(("text", record[name]), [])
    if "question_id" in record:
        return places.get(("key", record["question_id"]), [])
    return places.get(("id", str(record.get("id"))), [])


def turns_of(record: dict[str, Any]) -> tuple[str, ...] | None:
    """The answers that a record holds, turn by turn; None where it holds none."""
    turns, choices = record.get("turns"), record.get("choices")
    if isinstance(turns, list) and turns and all(isinstance(t, dict) for t in turns):
        texts = [turn.get("assistant") for turn in turns]
    elif isinstance(choices, list) and choices and isinstance(choices[0], dict):
        held, message = choices[0].get("turns"), choices[0].get("message") or {}
        texts = held if isinstance(held, list) else [message.get("content")]
    else:
        single = (record.get(name) for name in ("response", "output"))
        texts = [text for text in single if isinstance(text, str)][:1]
    return tuple(texts) if texts and all(isinstance(text, str) for text in texts) else None


def fault(record: dict[str, Any]) -> str | None:
    """Why a record cannot be an answer."""
    if turns_of(record) is None:
        return (
            f"no answer (fields: {', '.join(record)}; it needs response or output, or the choices "
            "of FastChat or FollowBench)"
        )
    if not any(name in record for name in (*_PROMPTS, "question_id", "id")):
        return "does not say what it answers (prompt, instruction, question_id or id)"
    return None


def _live(evaluator: Evaluator, suite: str, items: Sequence[Item]) -> ModelAnswers:
    from synthtools.lm.generation import LENGTH, Prompt

    generator = evaluator.answer_generator()
    model = ModelAnswers(generator.name, [None] * len(items), live=True)
    replies: list[list[str]] = [[] for _ in items]
    for turn in range(max(len(item.turns) for item in items)):
        # Those whose earlier turns were all answered.
        places = [
            place
            for place, item in enumerate(items)
            if turn < len(item.turns) and len(replies[place]) == turn
        ]
        prompts = []
        for place in places:
            item = items[place]
            messages = [{"role": "user", "content": item.turns[0]}]
            for reply, user in zip(replies[place], item.turns[1:], strict=False):
                messages.append({"role": "assistant", "content": reply})
                messages.append({"role": "user", "content": user})
            key = f"{suite}\0{item.id}\0{turn}".encode("utf-8", "surrogatepass")
            prompts.append(Prompt(key, messages=tuple(messages)))
        for place, answer in zip(places, ask(generator, prompts, evaluator.failure), strict=True):
            if answer.error is not None:
                model.problems.add(answer.error)
                continue
            replies[place].append(answer.text)
            model.cut += answer.finish_reason == LENGTH
    for place, item in enumerate(items):
        if len(replies[place]) == len(item.turns):
            model.turns[place] = tuple(replies[place])
    return model
