"""Suites of multiple choice: accuracy as in lm-evaluation-harness, and calibration from the same pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np

from synthtools.errors import SynthError, parameter
from synthtools.evaluate import calibration, tasks
from synthtools.evaluate.calibration import ChoiceScores, ItemScores
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator, Fault, tokenizer_failure
from synthtools.evaluate.likelihood import Continuations, likelihoods
from synthtools.evaluate.paired_comparison import doc_hash
from synthtools.evaluate.shots import Shots, split_of
from synthtools.records.record_keys import hashes


def task_of(name: str, options: EvaluationOptions) -> tasks.BenchmarkTask:
    """A suite's task, with the number of examples that the options ask for."""
    task = tasks.shipped().get(name) or tasks.load(name)
    return task if options.shots is None else replace(task, shots=options.shots)


def files(name: str, options: EvaluationOptions) -> list[str]:
    """The files of a task's items and examples."""
    assert options.data is not None
    task = task_of(name, options)
    split = split_of(task, options.data) if task.shots else None
    return [tasks.files_of(task, options.data), *([split] if split else [])]


def items(name: str, options: EvaluationOptions) -> dict[str, Fault]:
    """See ``suites.items``."""
    assert options.data is not None
    task = task_of(name, options)
    return {tasks.files_of(task, options.data): partial(tasks.fault, task)}


def examples(task: tasks.BenchmarkTask, evaluator: Evaluator) -> Shots:
    """The examples of a task."""
    data = evaluator.options.data
    if not task.shots or data is None:
        return Shots(task, [])
    split = split_of(task, data)
    path = split or tasks.files_of(task, data)
    if split is None:
        evaluator.remark(
            f"{task.name}: {data} has no split of examples ({', '.join(task.shots_split)}); the {task.shots} "
            f"examples before each question are other items of {path} ({parameter('shots', 0)} takes none)"
        )
    own = split is None
    fault = partial(tasks.fault, task, solved=True)
    return Shots(task, evaluator.records(path, fault, False, again=own), other_items=own)


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Asks the questions of a task.

    Returns:
        The section: figures accuracy (of the most likely choice), accuracy_norm (by log-likelihood a
        character), ece, ece_mass, mce, brier, nll, confidence; ``temperature``, ``reliability``,
        ``truncated`` (questions whose beginning the context did not hold), ``by`` (accuracy of each
        value of the task's field ``by``), and what ``Shots.account`` says.
    """
    task = task_of(name, evaluator.options)
    assert evaluator.options.data is not None
    path = tasks.files_of(task, evaluator.options.data)
    model = evaluator.model()
    shots = examples(task, evaluator)
    ids: list[Any] = []
    texts: list[str] = []
    groups: list[Any] = []
    gold: list[int] = []
    lengths: list[list[int]] = []

    def fault(record: dict[str, Any]) -> str | None:
        reason = tasks.fault(task, record)
        if reason is not None:
            return reason
        bare = tasks.question(task, record, "")
        return tokenizer_failure(
            model, [p + e for p, e in zip(bare.prompts, bare.endings, strict=True)]
        )

    def questions() -> Iterator[Continuations]:
        for record in evaluator.records(path, fault):
            question = tasks.question(task, record, shots.before(record))
            ids.append(record["id"])
            bare = tasks.question(task, record, "")
            texts.append(doc_hash(*bare.prompts, *bare.endings))
            groups.append(record.get(task.by or ""))
            gold.append(question.gold)
            lengths.append(question.lengths)
            yield Continuations(question.prompts, question.endings)

    scored = list(likelihoods(model, questions()))
    if not scored:
        raise SynthError(f"{path}: has no item of suite {name}")
    answers = answers_of([one.logprobs for one in scored], gold, lengths, ids)
    options = evaluator.options
    result, items = calibration.section(answers, options.bootstrap, options.seed)
    subjects = groups if task.by else None
    evaluator.samples(name, sample_rows(ids, answers, items, texts, subjects))
    cut = sum(one.cut > 0 for one in scored)
    if cut:
        evaluator.remark(
            f"{name}: {cut} of {len(scored)} questions do not fit into the context; their beginnings "
            f"were left out (lower {parameter('shots')} for more room)"
        )
    more = {"by": _by(groups, items)} if task.by else {}
    return {
        "kind": "multiple-choice",
        "n": len(scored),
        **shots.account(),
        **result,
        **more,
        "truncated": cut,
        "per_item": PER_ITEM,
    }


PER_ITEM = {
    "accuracy": "correct",
    "accuracy_norm": "correct_norm",
    "brier": "brier",
    "nll": "nll",
    "confidence": "confidence",
}


def answers_of(
    logprobs: list[np.ndarray], gold: list[int], lengths: list[list[int]], ids: list[Any]
) -> ChoiceScores:
    """Answers in the form that calibration takes."""
    return ChoiceScores(
        logprobs,
        np.array(gold, np.int64),
        [np.array(one, np.float64) for one in lengths],
        hashes(ids, repeat(b"", len(ids))).values,
    )


def sample_rows(
    ids: list[Any],
    answers: ChoiceScores,
    items: ItemScores,
    texts: list[str],
    subjects: list[Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """The samples: the model's numbers for each item.

    Args:
        texts: hashes of the items' texts (see ``paired_comparison.doc_hash``).
    """
    for i, key in enumerate(ids):
        yield {
            **({"subject": subjects[i]} if subjects else {}),
            "id": key,
            "doc_hash": texts[i],
            "gold": int(answers.gold[i]),
            "predicted": int(items.predicted[i]),
            "correct": int(items.right[i]),
            "correct_norm": int(items.right_norm[i]),
            "confidence": float(items.confidence[i]),
            "nll": float(items.nll[i]),
            "brier": float(items.brier[i]),
            "logprobs": answers.logprobs[i].tolist(),
        }


def _by(keys: list[Any], items: ItemScores) -> dict[str, dict[str, float]]:
    groups: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(str(key), []).append(index)
    return {
        key: {"n": len(which), "accuracy": float(items.right[which].mean())}
        for key, which in sorted(groups.items())
    }
