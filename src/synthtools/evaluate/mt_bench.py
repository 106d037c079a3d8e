"""MT-Bench (arXiv 2306.05685): conversations of two turns, with each answer graded from 1 to 10.

Answers to questions on math, reasoning and coding are graded against references, as in FastChat. The score of
a model is the mean grade over both turns. In FastChat the sampling temperature depends on the category; here it is
the same for all [ours].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from synthtools.errors import SynthError
from synthtools.evaluate import answers, judge_panel, judge_prompts
from synthtools.evaluate.agreement import fastchat_judge
from synthtools.evaluate.answer_suite import (
    Counted,
    ItemSamples,
    SuiteData,
    evaluated,
    fastchat_lines,
    section,
    verdicts_on,
    write_author_file,
)
from synthtools.evaluate.estimates import Ratios
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.judge import Judge, Question, Verdict, rating, verdict_fields
from synthtools.lm.generation import Answer, Prompt

GUIDED = frozenset(("math", "reasoning", "coding"))
TURNS = (1, 2)
PROMPTS = (
    judge_prompts.RATE,
    judge_prompts.RATE_REFERENCE,
    judge_prompts.RATE_SECOND,
    judge_prompts.RATE_SECOND_REFERENCE,
)
# FastChat's grade for an unreadable verdict.
_UNREADABLE = -1


def fault(record: dict[str, Any]) -> str | None:
    """Why a record cannot be a question."""
    turns = record.get("turns")
    if not isinstance(turns, list) or not turns or not all(isinstance(t, str) for t in turns):
        return 'field "turns" must be a list of texts'
    return None if "question_id" in record else 'no field "question_id"'


DATA = SuiteData("mt_bench", ("mt_bench",), ("questions", "question"), fault, or_judgments=True)
items = DATA.items


def files(name: str, options: EvaluationOptions) -> list[str]:
    """The judgments; else the questions, the answers and the references."""
    if options.judgments:
        return [options.judgments]
    return [*DATA.files(name, options), *([options.reference] if options.reference else [])]


def _references(evaluator: Evaluator, questions: Sequence[dict[str, Any]]) -> dict[Any, list[str]]:
    """Reference answers by question, from ``reference`` or else from the questions."""
    if path := evaluator.options.reference:
        records = evaluator.records(path, answers.fault, limited=False)
        return {one.get("question_id"): list(answers.turns_of(one) or ()) for one in records}
    references = {}
    for question in questions:
        for name in ("reference", "gpt4_reference_answer"):  # the last one takes precedence
            turns = question.get(name)
            if isinstance(turns, list) and len(turns) == len(question["turns"]):
                references[question["question_id"]] = [str(turn) for turn in turns]
    return references


def _questions(
    model: str, item: answers.Item, turns: Sequence[str], reference: Sequence[str]
) -> list[Question]:
    questions = []
    for turn in TURNS[: len(item.turns)]:
        # The second answer is judged in the context of the first turn.
        suffixes = [""] if turn == 1 else [" 1", " 2"]
        parts = {f"question{n}": text for n, text in zip(suffixes, item.turns, strict=False)}
        parts |= {f"answer{n}": text for n, text in zip(suffixes, turns, strict=False)}
        parts |= {f"reference{n}": text for n, text in zip(suffixes, reference, strict=False)}
        prompt = PROMPTS[2 * (turn - 1) + bool(reference)]
        key = f"mt_bench\0{model}\0{item.key}\0{turn}"
        questions.append(Question(key, prompt, parts, rating(prompt.low, prompt.high)))
    return questions


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Grades the answers, or reads FastChat's grades (``judgments``).

    Returns:
        The section: ``score`` (mean of all grades), ``turn_1``, ``turn_2``, and each category;
        ``judge``: its account; ``unguided``: questions that should have a reference but do not;
        ``dropped``: questions left out for all models because one of them lacks an answer or a grade.
    """
    options = evaluator.options
    if options.judgments:
        return _read(name, evaluator)
    records = list(DATA.records(evaluator))
    each = ((record["question_id"], tuple(record["turns"][:2])) for record in records)
    items = [answers.Item(str(number), turns, number) for number, turns in each]
    models = answers.of_models(evaluator, name, items)
    for model in models if options.author_files else ():
        rows = fastchat_lines(model, items)
        write_author_file(options, f"model_answer\n{model.model}.jsonl", rows)
    references = _references(evaluator, records)
    judge = evaluator.answer_judge()
    categories = [str(record.get("category", "")) for record in records]
    judgments: dict[str, list[dict[str, Any]]] = {}

    def samples_of(model: answers.ModelAnswers) -> list[ItemSamples]:
        def questions(place: int, turns: tuple[str, ...]) -> list[Question]:
            item, guided = items[place], categories[place] in GUIDED
            reference = references.get(item.key, []) if guided else []
            return _questions(model.model, item, turns, reference)

        verdicts = verdicts_on(judge, model, questions)
        for item, graded in zip(items, verdicts, strict=True):
            for name, own in judge.by_judge(graded).items():
                rows = _judgments(name, model.model, item.key, own)
                judgments.setdefault(name, []).extend(rows)
        each = zip(items, categories, model.turns, verdicts, strict=True)
        return [_samples(model.model, *parts) for parts in each]

    def estimate(model: answers.ModelAnswers, samples: dict[int, ItemSamples]) -> dict[str, Any]:
        rows = ((place, row) for place, of_item in samples.items() for row in of_item)
        grades = [(place, row["category"], row["turn"], row["score"]) for place, row in rows]
        return _estimate(model.model, grades, categories, options, name) | model.account()

    result = evaluated(name, evaluator, models, samples_of, estimate, {"score": "score"})
    for by, rows in judgments.items() if options.author_files else ():
        write_author_file(options, f"model_judgment\n{by}_single.jsonl", rows)
    guided = [item.key for item, kind in zip(items, categories, strict=True) if kind in GUIDED]
    return result | {
        "judge": judge.account(),
        "unguided": sum(number not in references for number in guided),
    }


def _samples(
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


def _estimate(
    model: str,
    grades: Iterable[tuple[Any, str, int, float]],
    categories: Iterable[str],
    options: EvaluationOptions,
    name: str,
) -> dict[str, Any]:
    """A model's figures from (question, category, turn, score)."""
    ratios = Ratios()
    for question, category, turn, score in grades:
        for figure in ("score", f"turn_{turn}", category):
            ratios.add(figure, question, score)
    names = ["score", "turn_1", "turn_2", *filter(None, dict.fromkeys(categories))]
    return {"model": model, **ratios.estimate(names, options, name)}


def _judgments(
    judge: str, model: str, question: Any, verdicts: Sequence[Verdict]
) -> list[dict[str, Any]]:
    """Lines of FastChat's ``model_judgment/<judge>_single.jsonl``."""
    return [
        {
            "question_id": question,
            "model": model,
            "judge": [judge, verdict.prompt],
            "user_prompt": verdict.asked,
            "judgment": verdict.reply,
            "score": _UNREADABLE if verdict.value is None else verdict.value,
            "turn": turn,
            "tstamp": 0.0,
        }
        for turn, verdict in enumerate(verdicts, 1)
    ]


def _judgment_fault(record: dict[str, Any]) -> str | None:
    for name in ("question_id", "model", "score", "turn"):
        if name not in record:
            return f'no field "{name}": is it FastChat\'s <judge>_single.jsonl?'
    score = record["score"]
    if type(score) not in (int, float) or not (1 <= score <= 10 or score == _UNREADABLE):
        return 'field "score" is not a grade: 1 to 10, or -1 for one that could not be read'
    return None if record["turn"] in TURNS else 'field "turn" must be 1 or 2'


def _read(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """The section from FastChat's judgments; a grade of −1 is unreadable. Several judges are a panel: a grade is
    the mean of theirs, unreadable if one is missing."""
    options = evaluator.options
    by_judge: dict[str, dict[tuple[str, Any, int], float]] = {}
    for record in evaluator.records(options.judgments or "", _judgment_fault, limited=False):
        unit = str(record["model"]), record["question_id"], record["turn"]
        by_judge.setdefault(fastchat_judge(record), {})[unit] = float(record["score"])
    if not by_judge:
        raise SynthError(f"{options.judgments}: contains no judgments")
    readable = {
        judge: {unit: score for unit, score in table.items() if score != _UNREADABLE}
        for judge, table in by_judge.items()
    }
    grades_of, panel = judge_panel.panel_of(readable)
    units: dict[str, dict[tuple[Any, int], None]] = {}  # of each model
    for model, number, turn in (unit for table in by_judge.values() for unit in table):
        units.setdefault(model, {})[number, turn] = None
    graded = dict.fromkeys(unit for of_model in units.values() for unit in of_model)
    unreadable = {
        number
        for number, turn in graded
        if any((model, number, turn) not in grades_of for model in units)
    }
    numbers = list(dict.fromkeys(number for number, _ in graded))
    limited = numbers[evaluator.share(len(numbers))]
    counted = {*limited} - unreadable
    categories: dict[Any, str] = {}
    if options.data is not None:
        for question in DATA.records(evaluator, limited=False):
            categories[question["question_id"]] = str(question.get("category", ""))
    models = []
    for model, own in units.items():
        grades = [
            (number, categories.get(number, ""), turn, grades_of[model, number, turn])
            for number, turn in own
            if number in counted
        ]
        models.append(_estimate(model, grades, categories.values(), options, name))
    items = Counted([], len(counted), len(limited) - len(counted))
    return section(name, items, models, {"score": "score"}) | {
        "judge": None,
        "panel": panel if len(by_judge) > 1 else None,
    }


def ratings_of_answers(
    judge: Judge,
) -> Callable[[Sequence[Prompt], Sequence[Answer]], list[float | None]]:
    """The ratings of a judge, 1 to 10, for answers to prompts; None where its reply has none."""
    asks = judge_prompts.RATE
    form = rating(asks.low, asks.high)

    def question(prompt: Prompt, answer: Answer) -> Question:
        messages = prompt.messages or ({"role": "user", "content": prompt.text or ""},)
        alone = len(messages) == 1
        asked = "\n\n".join(
            one["content"] if alone else f"{one['role']}: {one['content']}" for one in messages
        )
        return Question(prompt.key.hex(), asks, {"question": asked, "answer": answer.text}, form)

    return lambda prompts, answers: [
        verdict.value for verdict in judge.ask(list(map(question, prompts, answers)))
    ]
