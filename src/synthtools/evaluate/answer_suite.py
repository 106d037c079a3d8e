"""Shared by the suites of written answers: prompts, verdicts, which items count, the section of the report, and
files in the formats of the benchmarks' authors, so that their scripts can read ours and vice versa."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from synthtools.errors import OutputExistsError, parameter
from synthtools.evaluate.answers import Item, ModelAnswers
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator, Fault
from synthtools.evaluate.judge import Judge, Question, Verdict
from synthtools.evaluate.judge_panel import JudgePanel
from synthtools.evaluate.tasks import find_data
from synthtools.records.atomic_files import write_whole
from synthtools.records.jsonl import json_bytes

# The samples of one model's answer to one item; each has ``dropped``.
ItemSamples = list[dict[str, Any]]


class SuiteData(NamedTuple):
    """The prompts of a suite.

    Attributes:
        names: of the directory or file in the data directory, also tried with the prefix ``eval_``;
            splits: names of the file in that directory.
        fault: why a record is not a prompt of the suite; or_judgments: judgments may replace the prompts.
    """

    suite: str
    names: tuple[str, ...]
    splits: tuple[str, ...]
    fault: Fault
    or_judgments: bool = False

    def file(self, options: EvaluationOptions) -> str:
        """The file of the prompts. Raises SynthError: it is missing."""
        assert options.data is not None
        return find_data(options.data, self.names, self.splits, self.suite)

    def files(self, name: str, options: EvaluationOptions) -> list[str]:
        """The prompts and the answers."""
        return [self.file(options), *options.answers]

    def items(self, name: str, options: EvaluationOptions) -> dict[str, Fault]:
        """See ``suites.items``."""
        judged = self.or_judgments and options.judgments
        return {} if judged else {self.file(options): self.fault}

    def records(self, evaluator: Evaluator, limited: bool = True) -> Iterator[dict[str, Any]]:
        """The valid prompts."""
        return evaluator.records(self.file(evaluator.options), self.fault, limited)


class Counted(NamedTuple):
    """The ``n`` items that count: for each model, its samples by the item's position; and how many items were
    dropped."""

    rows: list[dict[int, ItemSamples]]
    n: int
    dropped: int


def verdicts_on(
    judge: Judge | JudgePanel,
    answers: ModelAnswers,
    questions: Callable[[int, tuple[str, ...]], Sequence[Question]],
) -> list[tuple[Verdict, ...]]:
    """The verdicts on each item's answer; an empty tuple for an item without one. ``questions``: (position of the
    item, turns of the answer) → the questions to the judge."""
    by_item = [
        () if turns is None else questions(place, turns)
        for place, turns in enumerate(answers.turns)
    ]
    verdicts = iter(judge.ask([question for of_item in by_item for question in of_item]))
    return [tuple(islice(verdicts, len(of_item))) for of_item in by_item]


def count_items(
    name: str, evaluator: Evaluator, results: Sequence[Sequence[ItemSamples]]
) -> Counted:
    """Keeps the samples. An item counts if every model has samples of it and none is dropped; otherwise it is
    dropped for all models. ``results``: by model, by item."""
    whole = [
        all(rows and not any(row["dropped"] for row in rows) for rows in item)
        for item in zip(*results, strict=True)
    ]
    counted = []
    for items in results:
        for rows, counts in zip(items, whole, strict=True):
            for row in rows:
                row["dropped"] = not counts
        evaluator.samples(name, (row for rows in items for row in rows))
        counted.append({place: rows for place, rows in enumerate(items) if whole[place]})
    return Counted(counted, sum(whole), len(whole) - sum(whole))


def evaluated(
    name: str,
    evaluator: Evaluator,
    models: Sequence[ModelAnswers],
    samples_of: Callable[[ModelAnswers], list[ItemSamples]],
    estimate: Callable[[ModelAnswers, dict[int, ItemSamples]], dict[str, Any]],
    per_item: dict[str, str],
) -> dict[str, Any]:
    """The section of the report. ``samples_of``: the samples of a model's answer to each item. ``estimate``: a
    model's answers and the samples that count → its row (see ``section``)."""
    counted = count_items(name, evaluator, [samples_of(model) for model in models])
    rows = [estimate(model, samples) for model, samples in zip(models, counted.rows, strict=True)]
    return section(name, counted, rows, per_item)


def section(
    name: str, counted: Counted, models: Sequence[dict[str, Any]], per_item: dict[str, str]
) -> dict[str, Any]:
    """The section of the report.

    Args:
        models: for each model ``model``, ``figures``, ``intervals`` and any further fields of the report.
            With several models, the names of the section's figures are prefixed with the model's.
    """
    tables: dict[str, dict[str, Any]] = {"figures": {}, "intervals": {}}
    for model in models:
        prefix = f"{model['model']}: " if len(models) > 1 else ""
        for part, table in tables.items():
            table |= {f"{prefix}{key}": value for key, value in model[part].items()}
    return {
        "kind": name,
        "n": counted.n,
        **tables,
        "per_item": per_item,
        "models": [{k: v for k, v in model.items() if k != "intervals"} for model in models],
        "dropped": counted.dropped,
    }


def write_author_file(
    options: EvaluationOptions, name: str, rows: Sequence[dict[str, Any]]
) -> None:
    """Writes records under the directory ``author_files``. ``name``: folders and file, separated by newlines;
    characters that are not allowed in file names become underscores. Raises OutputExistsError."""
    safe = "/".join(
        "".join(c if c.isalnum() or c in "-_. " else "_" for c in part).lstrip(".") or "_"
        for part in name.split("\n")
    )
    path = Path(options.author_files or "") / safe
    if path.exists() and not options.force:
        raise OutputExistsError(f"{path}: exists; use {parameter('force')} to replace it")
    os.makedirs(path.parent, exist_ok=True)
    write_whole(path, b"".join(json_bytes(row) + b"\n" for row in rows), options.force)


def followbench_line(answer: str, prompt: str) -> dict[str, Any]:
    """A line of FollowBench's ``<model>_<type>_constraint.jsonl``."""
    return {"prompt_new": prompt, "choices": [{"message": {"content": answer}}]}


def fastchat_lines(one: ModelAnswers, items: Sequence[Item]) -> list[dict[str, Any]]:
    """Lines of FastChat's ``model_answer/<model>.jsonl``. Times are 0, so that equal answers give equal bytes."""
    return [
        {
            "question_id": item.key,
            "answer_id": hashlib.blake2b(
                "\0".join((one.model, item.id, *turns)).encode(), digest_size=11
            ).hexdigest(),
            "model_id": one.model,
            "choices": [{"index": 0, "turns": list(turns)}],
            "tstamp": 0.0,
        }
        for item, turns in zip(items, one.turns, strict=True)
        if turns is not None
    ]
