"""What suites of written answers share: verdicts on answers, which items count, the section of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from synthtools.evaluate.answers import ModelAnswers
from synthtools.evaluate.estimates import together
from synthtools.evaluate.evaluator import Evaluator
from synthtools.evaluate.judge import Judge, Question, Verdict

# The samples of one model's answer to one item; each has ``dropped``.
Rows = list[dict[str, Any]]


class Counted(NamedTuple):
    """The items that count.

    Attributes:
        rows: of each model its samples of these items, by the item's place.
        n: how many; dropped: how many do not count.
    """

    rows: list[dict[int, Rows]]
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


def count_items(name: str, evaluator: Evaluator, results: Sequence[Sequence[Rows]]) -> Counted:
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


def section(
    name: str, counted: Counted, models: Sequence[dict[str, Any]], per_item: dict[str, str]
) -> dict[str, Any]:
    """The section of the report.

    Args:
        models: of each model ``model``, ``figures``, ``intervals``, and whatever else is told of it.
    """
    figures, intervals = together(
        {one["model"]: one["figures"] for one in models},
        {one["model"]: one["intervals"] for one in models},
    )
    return {
        "kind": name,
        "n": counted.n,
        "figures": figures,
        "intervals": intervals,
        "per_item": per_item,
        "models": [{k: v for k, v in one.items() if k != "intervals"} for one in models],
        "dropped": counted.dropped,
    }
