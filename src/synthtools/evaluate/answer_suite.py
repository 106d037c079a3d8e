"""What suites of written answers share: verdicts on answers, which items count, the section of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from synthtools.evaluate.answers import ModelAnswers
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.judge import Judge, Question, Verdict
from synthtools.evaluate.tasks import found_in

# The samples of one model's answer to one item; each has ``dropped``.
ItemSamples = list[dict[str, Any]]


class SuiteData(NamedTuple):
    """Where the prompts of a suite are in the data directory.

    Attributes:
        names: of the directory or the file, tried with ``eval_`` before them, too.
        splits: names of the file in the directory.
    """

    suite: str
    names: tuple[str, ...]
    splits: tuple[str, ...]

    def file(self, options: EvaluationOptions) -> str:
        """The file; raises SynthError where it is missing."""
        assert options.data is not None
        return found_in(options.data, self.names, self.splits, self.suite)

    def files(self, name: str, options: EvaluationOptions) -> list[str]:
        """The prompts and the answers."""
        return [self.file(options), *options.answers]


class Counted(NamedTuple):
    """The items that count.

    Attributes:
        rows: of each model its samples of these items, by the item's place.
        n: how many; dropped: how many do not count.
    """

    rows: list[dict[int, ItemSamples]]
    n: int
    dropped: int


def verdicts_on(
    judge: Judge,
    answers: ModelAnswers,
    questions: Callable[[int, tuple[str, ...]], Sequence[Question]],
) -> list[tuple[Verdict, ...]]:
    """The verdicts on each item's answer; none where there is no answer.

    Args:
        questions: (place of the item, turns of the answer) → what the judge is asked.
    """
    asked = [
        () if turns is None else questions(place, turns)
        for place, turns in enumerate(answers.turns)
    ]
    verdicts = iter(judge.ask([question for some in asked for question in some]))
    return [tuple(islice(verdicts, len(some))) for some in asked]


def count_items(
    name: str, evaluator: Evaluator, results: Sequence[Sequence[ItemSamples]]
) -> Counted:
    """Keeps the samples. An item counts where every model has samples of it, none of them dropped; else
    it is dropped for all.

    Args:
        results: of each model, of each item.
    """
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
    found: Sequence[ModelAnswers],
    samples_of: Callable[[ModelAnswers], list[ItemSamples]],
    estimate: Callable[[ModelAnswers, dict[int, ItemSamples]], dict[str, Any]],
    per_item: dict[str, str],
) -> dict[str, Any]:
    """The section of the report.

    Args:
        samples_of: the samples of a model's answer to each item.
        estimate: a model's answers and the samples that count → ``figures``, ``intervals``, and
            whatever else the report has of it.
    """
    counted = count_items(name, evaluator, [samples_of(one) for one in found])
    models = [
        one.account() | estimate(one, samples)
        for one, samples in zip(found, counted.rows, strict=True)
    ]
    return section(name, counted, models, per_item)


def section(
    name: str, counted: Counted, models: Sequence[dict[str, Any]], per_item: dict[str, str]
) -> dict[str, Any]:
    """The section of the report.

    Args:
        models: of each model ``model``, ``figures``, ``intervals``, and whatever else the report has of it.
            In the section's own figures the model's name comes before them where there are several.
    """
    tables: dict[str, dict[str, Any]] = {"figures": {}, "intervals": {}}
    for one in models:
        before = f"{one['model']}: " if len(models) > 1 else ""
        for part, table in tables.items():
            table |= {f"{before}{key}": value for key, value in one[part].items()}
    return {
        "kind": name,
        "n": counted.n,
        **tables,
        "per_item": per_item,
        "models": [{k: v for k, v in one.items() if k != "intervals"} for one in models],
        "dropped": counted.dropped,
    }
