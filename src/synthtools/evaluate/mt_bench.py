"""MT-Bench (arXiv 2306.05685): conversations of two turns, each answer graded from 1 to 10.

Answers to questions of math, reasoning and coding are graded against references, as FastChat does. The
score of a model is the mean over all grades of both turns. FastChat draws answers at a temperature that
depends on the category; here one temperature serves all [ours].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from synthtools.errors import SynthError
from synthtools.evaluate import answers, author_files, judge_prompts
from synthtools.evaluate.answer_suite import (
    Counted,
    ItemSamples,
    SuiteData,
    count_items,
    section,
    verdicts_on,
)
from synthtools.evaluate.estimates import Ratios
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.judge import Judge, Question, Verdict, rating, verdict_fields

GUIDED = frozenset(("math", "reasoning", "coding"))
TURNS = (1, 2)
PROMPTS = (
    judge_prompts.RATE,
    judge_prompts.RATE_REFERENCE,
    judge_prompts.RATE_SECOND,
    judge_prompts.RATE_SECOND_REFERENCE,
)
DATA = SuiteData("mt_bench", ("mt_bench",), ("questions", "question"))
# What FastChat writes where it could not read a grade.
_UNREADABLE = -1


def files(name: str, options: EvaluationOptions) -> list[str]:
    """The questions, the answers, the judgments."""
    if options.judgments:
        return [options.judgments]
    reference = [options.reference] if options.reference else []
    return [DATA.file(options), *options.answers, *reference]


def items(name: str, options: EvaluationOptions) -> dict[str, Any]:
    """Its prompts, see ``suites.items``."""
    return {} if options.judgments else {DATA.file(options): wrong}


def wrong(record: dict[str, Any]) -> str | None:
    """What is wrong with a record of a question; None if nothing."""
    turns = record.get("turns")
    if not isinstance(turns, list) or not turns or not all(isinstance(t, str) for t in turns):
        return 'field "turns" must be a list of texts'
    if "question_id" not in record:
        return 'no field "question_id"'
    return None


def _references(evaluator: Evaluator, questions: Sequence[dict[str, Any]]) -> dict[Any, list[str]]:
    """Reference answers by question: those of ``reference``, else those in the questions."""
    path = evaluator.options.reference
    if path:
        found = {}
        for record in evaluator.records(path, answers.wrong, limited=False):
            found[record.get("question_id")] = list(answers.turns_of(record) or ())
        return found
    kept = {}
    for question in questions:
        for name in ("gpt4_reference_answer", "reference"):
            given = question.get(name)
            if isinstance(given, list) and len(given) == len(question["turns"]):
                kept[question["question_id"]] = [str(one) for one in given]
                break
    return kept


def _questions(
    model: str, item: answers.Item, turns: Sequence[str], reference: list[str] | None
) -> list[Question]:
    found = []
    for turn in TURNS[: len(item.turns)]:
        parts = {"question": item.turns[0], "answer": turns[0]}
        if turn == 2:
            parts = {
                **{f"question {n}": item.turns[n - 1] for n in TURNS},
                **{f"answer {n}": turns[n - 1] for n in TURNS},
            }
        if reference:
            names = ("reference",) if turn == 1 else ("reference 1", "reference 2")
            parts |= dict(zip(names, reference, strict=False))
        prompt = PROMPTS[2 * (turn - 1) + bool(reference)]
        key = f"mt_bench\0{model}\0{item.key}\0{turn}"
        found.append(Question(key, prompt, parts, rating(prompt.low, prompt.high)))
    return found


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Grades the answers, or reads grades of FastChat's (``judgments``).

    Returns:
        The section: ``score`` (mean of all grades), ``turn_1``, ``turn_2``, and each category;
        ``judge``, its account; ``unguided``, questions of a guided category without a reference;
        ``dropped``, questions left out for all models because one of them lacks an answer or a grade.
    """
    options = evaluator.options
    if options.judgments:
        return _read(name, evaluator)
    questions = list(evaluator.records(DATA.file(options), wrong))
    items = [
        answers.Item(str(q["question_id"]), tuple(q["turns"][:2]), q["question_id"])
        for q in questions
    ]
    found = answers.answered(evaluator, name, items)
    if options.author_files:
        for one in found:
            rows = author_files.fastchat_answers(one, items)
            file = f"model_answer\n{one.model}.jsonl"
            author_files.write(options.author_files, file, rows, options.force)
    references = _references(evaluator, questions)
    judge = evaluator.answer_judge()
    categories = [str(question.get("category", "")) for question in questions]
    results, judgments = [], []
    for one in found:

        def asked(place: int, turns: tuple[str, ...], model: str = one.model) -> list[Question]:
            number, guided = items[place].key, categories[place] in GUIDED
            reference = references.get(number) if guided else None
            return _questions(model, items[place], turns, reference)

        verdicts = verdicts_on(judge, one, asked)
        each = zip(items, categories, one.turns, verdicts, strict=True)
        results.append([_rows(one.model, *parts) for parts in each])
        for item, graded in zip(items, verdicts, strict=True):
            judgments += _judgments(judge, one.model, item.key, graded)
    counted = count_items(name, evaluator, results)
    if options.author_files:
        file = f"model_judgment\n{judge.name}_single.jsonl"
        author_files.write(options.author_files, file, judgments, options.force)
    scores = {
        one.model: [
            (place, row["category"], row["turn"], row["score"])
            for place, samples in rows.items()
            for row in samples
        ]
        for one, rows in zip(found, counted.rows, strict=True)
    }
    models = _estimates(scores, dict.fromkeys(categories), options, name)
    models = [model | one.account() for model, one in zip(models, found, strict=True)]
    guided = [item.key for item, kind in zip(items, categories, strict=True) if kind in GUIDED]
    return section(name, counted, models, {"score": "score"}) | {
        "judge": judge.account(),
        "unguided": sum(number not in references for number in guided),
    }


def _rows(
    model: str,
    item: answers.Item,
    category: str,
    turns: tuple[str, ...] | None,
    verdicts: Sequence[Verdict],
) -> ItemSamples:
    return [
        {
            "id": f"{item.id}-{turn}",
            "model": model,
            "category": category,
            "turn": turn,
            "score": verdict.value,
            "dropped": verdict.value is None,
            "response": turns[turn - 1] if turns else None,
            **verdict_fields(verdict),
        }
        for turn, verdict in enumerate(verdicts, 1)
    ]


def _estimates(
    scores: dict[str, list[tuple[Any, str, int, float]]],
    categories: Iterable[str],
    options: EvaluationOptions,
    name: str,
) -> list[dict[str, Any]]:
    """Of each model its figures.

    Args:
        scores: by model: (question, category, turn, score).
    """
    models = []
    names = ["score", "turn_1", "turn_2", *filter(None, categories)]
    for model, graded in scores.items():
        ratios = Ratios()
        for question, category, turn, score in graded:
            for figure in ("score", f"turn_{turn}", category):
                ratios.add(figure, question, score)
        models.append({"model": model, **ratios.estimate(names, options, name)})
    return models


def _judgments(
    judge: Judge, model: str, question: Any, verdicts: Sequence[Verdict]
) -> list[dict[str, Any]]:
    """Lines of FastChat's ``model_judgment/<judge>_single.jsonl``."""
    return [
        {
            "question_id": question,
            "model": model,
            "judge": [judge.name, verdict.prompt],
            "user_prompt": verdict.asked,
            "judgment": verdict.reply,
            "score": _UNREADABLE if verdict.value is None else verdict.value,
            "turn": turn,
            "tstamp": 0.0,
        }
        for turn, verdict in enumerate(verdicts, 1)
    ]


def _wrong_judgment(record: dict[str, Any]) -> str | None:
    for name in ("question_id", "model", "score", "turn"):
        if name not in record:
            return f'no field "{name}": is it FastChat\'s <judge>_single.jsonl?'
    if not _is_grade(record["score"]):
        return 'field "score" is not a grade: 1 to 10, or -1 for one that could not be read'
    return None if record["turn"] in TURNS else 'field "turn" must be 1 or 2'


def _is_grade(value: Any) -> bool:
    return type(value) in (int, float) and (1 <= value <= 10 or value == _UNREADABLE)


def _read(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """The section out of FastChat's judgments; a grade of −1 could not be read."""
    options = evaluator.options
    scores: dict[str, dict[tuple[Any, int], float]] = {}
    for record in evaluator.records(options.judgments or "", _wrong_judgment, limited=False):
        key = record["question_id"], record["turn"]
        scores.setdefault(str(record["model"]), {})[key] = float(record["score"])
    if not scores:
        raise SynthError(f"{options.judgments}: contains no judgments")
    every = dict.fromkeys(key for table in scores.values() for key in table)
    bad = {
        number
        for number, turn in every
        if any(table.get((number, turn), _UNREADABLE) < 0 for table in scores.values())
    }
    numbers = dict.fromkeys(number for number, _ in every)
    left = list(numbers)[: options.limit]
    kept = {number for number in left if number not in bad}
    categories: dict[Any, str] = {}
    if options.data is not None:
        for question in evaluator.records(DATA.file(options), wrong, limited=False):
            categories[question["question_id"]] = str(question.get("category", ""))
    graded = {
        model: [
            (number, categories.get(number, ""), turn, score)
            for (number, turn), score in table.items()
            if number in kept
        ]
        for model, table in scores.items()
    }
    models = _estimates(graded, dict.fromkeys(categories.values()), options, name)
    counted = Counted([], len(kept), len(left) - len(kept))
    return section(name, counted, models, {"score": "score"}) | {"judge": None}
