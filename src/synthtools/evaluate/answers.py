"""Answers under evaluation: a live model's, or out of files, of one model or of several.

A file's records may be ours (``prompt``, ``response``, ``model``), FastChat's (``question_id``,
``model_id``, ``choices[0].turns``), AlpacaEval's (``instruction``, ``output``, ``generator``) or
FollowBench's (``prompt_new``, ``choices[0].message.content``).
"""

from __future__ import annotations

from collections import Counter
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
    """What is asked.

    Attributes:
        id: of the item; turns: what the user says, turn by turn.
        key: another identity that answers may name it by (``question_id``).
    """

    id: str
    turns: tuple[str, ...]
    key: Any = None


@dataclass
class ModelAnswers:
    """A model's answers.

    Attributes:
        model: its name.
        turns: for each item its answers, turn by turn; None where there is none.
        problems: why answers are missing, counted.
        cut: answers that ended because of the limit of tokens.
        live: they were asked for now.
    """

    model: str
    turns: list[tuple[str, ...] | None]
    problems: FailureCounts = field(default_factory=FailureCounts)
    cut: int = 0
    live: bool = False

    def account(self) -> dict[str, Any]:
        """Their part of the report."""
        return {
            "model": self.model,
            "answers": sum(turns is not None for turns in self.turns),
            "empty": sum(not "".join(turns).strip() for turns in self.turns if turns is not None),
            "cut": self.cut,
            "missing": self.problems.table(),
            "from": "model" if self.live else "file",
        }


def answered(evaluator: Evaluator, suite: str, items: Sequence[Item]) -> list[ModelAnswers]:
    """The answers to be evaluated: those of ``answers`` and those of the model.

    Raises:
        SynthError: a file has no answer to any of the items.
    """
    found = (
        from_files(evaluator, evaluator.options.answers, items) if evaluator.options.answers else []
    )
    if evaluator.model_settings is not None:
        found.append(_live(evaluator, suite, items))
    names = Counter(one.model for one in found)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise SynthError(
            f"{twice[0]}: answers of this name are in the files, too; give the model another name"
        )
    return found


def from_files(
    evaluator: Evaluator, paths: Sequence[str], items: Sequence[Item]
) -> list[ModelAnswers]:
    """Answers out of files, by model in the order in which they come; the first counts where a model
    answers an item twice.

    Raises:
        SynthError: there is no answer to any of the items.
    """
    places: dict[Any, list[int]] = {}
    for place, item in enumerate(items):
        names = {("text", item.turns[0]), ("id", item.id)}
        for name in names | ({("key", item.key)} if item.key is not None else set()):
            places.setdefault(name, []).append(place)
    found: dict[str, ModelAnswers] = {}
    for path in paths:
        stem = Path(path).name.split(".")[0]
        for record in evaluator.records(path, wrong, limited=False):
            model = next((str(record[name]) for name in _MODELS if record.get(name)), stem)
            one = found.setdefault(model, ModelAnswers(model, [None] * len(items)))
            for place in _places(record, places):
                if one.turns[place] is None:
                    one.turns[place] = turns_of(record)
    if not any(turns for one in found.values() for turns in one.turns):
        raise SynthError(
            f"{', '.join(paths)}: no answer to any of the {len(items)} prompts of the suite (they are "
            "matched by prompt, else by question_id or id)"
        )
    for one in found.values():
        for place, turns in enumerate(one.turns):
            wanted = len(items[place].turns)
            if turns is not None and len(turns) < wanted:
                one.turns[place] = None
                one.problems.add(f"{len(turns)} of {wanted} turns")
            elif turns is None:
                one.problems.add("not in the file")
    return list(found.values())


def _places(record: dict[str, Any], places: dict[Any, list[int]]) -> list[int]:
    for name in _PROMPTS:
        if isinstance(record.get(name), str):
            return places.get(("text", record[name]), [])
    if "question_id" in record:
        return places.get(("key", record["question_id"]), [])
    return places.get(("id", str(record.get("id"))), [])


def turns_of(record: dict[str, Any]) -> tuple[str, ...] | None:
    """The answers that a record holds, turn by turn; None where it holds none."""
    turns = record.get("turns")
    if isinstance(turns, list) and turns and all(isinstance(t, dict) for t in turns):
        said = [turn.get("assistant") for turn in turns]
        return tuple(said) if all(isinstance(one, str) for one in said) else None
    choices = record.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        choice = choices[0]
        if isinstance(choice.get("turns"), list):
            said = choice["turns"]
            return tuple(said) if said and all(isinstance(one, str) for one in said) else None
        content = (choice.get("message") or {}).get("content")
        return (content,) if isinstance(content, str) else None
    for name in ("response", "output"):
        if isinstance(record.get(name), str):
            return (record[name],)
    return None


def wrong(record: dict[str, Any]) -> str | None:
    """What is wrong with a record of an answer; None if nothing."""
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
    one = ModelAnswers(generator.name, [None] * len(items), live=True)
    said: list[list[str]] = [[] for _ in items]
    for turn in range(max(len(item.turns) for item in items)):
        asked = [
            place
            for place, item in enumerate(items)
            if turn < len(item.turns) and len(said[place]) == turn
        ]
        prompts = []
        for place in asked:
            item = items[place]
            messages = []
            for user, assistant in zip(item.turns, [*said[place], None], strict=False):
                messages.append({"role": "user", "content": user})
                if assistant is not None:
                    messages.append({"role": "assistant", "content": assistant})
            key = f"{suite}\0{item.id}\0{turn}".encode("utf-8", "surrogatepass")
            prompts.append(Prompt(key, messages=tuple(messages)))
        for place, answer in zip(asked, ask(generator, prompts, evaluator.failure), strict=True):
            if answer.error is not None:
                one.problems.add(answer.error)
                continue
            said[place].append(answer.text)
            one.cut += answer.finish_reason == LENGTH
    for place, item in enumerate(items):
        if len(said[place]) == len(item.turns):
            one.turns[place] = tuple(said[place])
    return one
