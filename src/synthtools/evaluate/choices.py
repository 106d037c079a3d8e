"""Multiple-choice suites: accuracy as in lm-evaluation-harness, and calibration from the same pass.

The examples before a question come from their own split, else from other items, and never include the question.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice, repeat
from typing import Any, NamedTuple

import numpy as np

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.evaluate import calibration, tasks
from synthtools.evaluate.calibration import ChoiceScores, ItemScores
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator, Fault, tokenizer_failure
from synthtools.evaluate.likelihood import Continuations, likelihoods
from synthtools.evaluate.paired_comparison import doc_hash
from synthtools.records.record_keys import hashes


def split_of(task: tasks.BenchmarkTask, data: str) -> str | None:
    """The file of a task's examples, its train or dev split by name; None if the data hold only its items."""
    items = tasks.files_of(task, data)
    for names in (task.shots_data, task.data or (task.name,)):
        try:
            path = tasks.find_data(data, names, task.shots_split, task.name) if names else items
        except SynthError:
            continue
        if not os.path.samefile(path, items):
            return path
    return None


class _Example(NamedTuple):
    """An example: identity and group of its question (see ``Shots``), and the question with its answer."""

    identity: Any
    group: Any
    words: str


class Shots:
    """The examples of a task: the first that share the field ``by`` with a question. Records with the
    question's text and choices are left out; if the examples are other items, so are those of its group.
    """

    def __init__(
        self,
        task: tasks.BenchmarkTask,
        records: Iterable[dict[str, Any]],
        other_items: bool = False,
    ) -> None:
        self._task, self._other_items, self._fewer = task, other_items, 0
        self._by_key: dict[Any, list[_Example]] = {}
        for record in records:
            examples = self._by_key.setdefault(self._key(record), [])
            if not self._enough(examples):
                examples.append(_Example(*self._identity(record), tasks.solved(task, record)))
            elif task.by is None:
                break

    def before(self, record: dict[str, Any]) -> str:
        """The text before a record's question. Raises UsageError: there are not enough examples."""
        task, examples = self._task, self._by_key.get(self._key(record), [])
        others = len(examples) - self._other_items
        if others < task.shots:
            of = f" of {task.by} {self._key(record)!r}" if task.by else ""
            raise UsageError(
                f"suite {task.name}: only {max(0, others)} examples{of}, of {task.shots}: lower {parameter('shots')}"
            )
        identity, group = self._identity(record)
        fit = (
            e for e in examples if e.identity != identity and (group is None or e.group != group)
        )
        words = [example.words for example in islice(fit, task.shots)]
        self._fewer += len(words) < task.shots
        parts = [tasks.described(task, record), *words]
        return "".join(part + "\n\n" for part in parts if part)

    def account(self) -> dict[str, Any]:
        """Their part of the report: ``shots``; ``shots_from``: split, other items or None; ``fewer_shots``:
        questions with fewer, because the others would be the question itself or of its group."""
        source = "other items" if self._other_items else "split"
        return {
            "shots": self._task.shots,
            "shots_from": source if self._task.shots else None,
            "fewer_shots": self._fewer,
        }

    def _key(self, record: dict[str, Any]) -> Any:
        return record.get(self._task.by) if self._task.by else None

    def _identity(self, record: dict[str, Any]) -> tuple[Any, Any]:
        choices = record.get("choices")
        question = tasks.filled(self._task, {**record, "choices": None, "options": ""})
        group = record.get(self._task.group) if self._other_items else None
        return (_plain(question), _plain(choices)), _plain(group)

    def _enough(self, examples: list[_Example]) -> bool:
        """Whether enough are left for any question, however many it excludes."""
        if len(examples) <= self._task.shots:
            return False
        most = Counter(one.identity for one in examples).most_common(1)[0][1]
        groups = Counter(one.group for one in examples if one.group is not None)
        most += max(groups.values(), default=0)
        return len(examples) - most >= self._task.shots


def _plain(value: Any) -> Any:
    """A form that ignores case and white space, and the order of lists."""
    if value is None:
        return None
    if isinstance(value, list):
        return tuple(sorted(map(_plain, value)))
    return " ".join(str(value).split()).casefold()


def task_of(name: str, options: EvaluationOptions) -> tasks.BenchmarkTask:
    """A suite's task, with the number of examples from the options."""
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
        The section: figures accuracy (of the most likely choice), accuracy_norm (by log-likelihood per
        character), ece, ece_mass, mce, brier, nll, confidence; ``temperature``, ``reliability``,
        ``truncated`` (questions whose beginning did not fit into the context), ``by`` (accuracy for each
        value of the task's field ``by``), and the fields of ``Shots.account``.
    """
    task = task_of(name, evaluator.options)
    path = tasks.files_of(task, evaluator.options.data)
    model = evaluator.model()
    shots = examples(task, evaluator)
    ids: list[Any] = []
    texts: list[str] = []
    groups: list[Any] = []
    gold: list[int] = []
    lengths: list[list[int]] = []

    def fault(record: dict[str, Any]) -> str | None:
        if reason := tasks.fault(task, record):
            return reason
        bare = tasks.question(task, record)
        return tokenizer_failure(model, list(map(str.__add__, bare.prompts, bare.endings)))

    def questions() -> Iterator[Continuations]:
        for record in evaluator.records(path, fault):
            question = tasks.question(task, record, shots.before(record))
            ids.append(record["id"])
            bare = tasks.question(task, record)
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
    by: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        by.setdefault(str(group), []).append(place)
    rates = {
        key: {"n": len(which), "accuracy": float(items.right[which].mean())}
        for key, which in sorted(by.items())
    }
    return {
        "kind": "multiple-choice",
        "n": len(scored),
        **shots.account(),
        **result,
        **({"by": rates} if task.by else {}),
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
    """Answers in the form that ``calibration`` takes."""
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
    """The samples: the scores of each item. ``texts``: hashes of the items' texts (see
    ``paired_comparison.doc_hash``)."""
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
