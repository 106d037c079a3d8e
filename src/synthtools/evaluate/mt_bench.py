"""MT-Bench (arXiv 2306.05685): conversations of two turns, each answer graded from 1 to 10.

Answers to questions of math, reasoning and coding are graded against references, as FastChat does. The
score of a model is the mean over all grades of both turns. FastChat draws answers at a temperature that
depends on the category; here one temperature serves all [ours].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthtools.errors import SynthError
from synthtools.evaluate import answers, author_files, judge_prompts
from synthtools.evaluate.data import file_of
from synthtools.evaluate.estimates import Ratios, together
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.judge import Judge, Question, Verdict, rating, said

GUIDED = frozenset(("math", "reasoning", "coding"))
TURNS = (1, 2)
PROMPTS = (
    judge_prompts.RATE,
    judge_prompts.RATE_REFERENCE,
    judge_prompts.RATE_SECOND,
    judge_prompts.RATE_SECOND_REFERENCE,
)
# What FastChat writes where it could not read a grade.
_UNREADABLE = -1


def files(name: str, options: EvaluationOptions) -> list[str]:
    """The questions, the answers, the judgments."""
    found = [*options.answers, *([options.reference] if options.reference else [])]
    if options.judgments:
        return [options.judgments]
    return [_data(options), *found]


def _data(options: EvaluationOptions) -> str:
    return file_of(options, "mt_bench", ("mt_bench",), ("questions", "question"))


def wrong(record: dict[str, Any]) -> str | None:
    """Why a record is no question of MT-Bench; None where it is one."""
    turns = record.get("turns")
    if not isinstance(turns, list) or not turns or not all(isinstance(t, str) for t in turns):
        return 'field "turns" must be a list of texts'
    if "question_id" not in record:
        return 'no field "question_id"'
    return None


def _references(evaluator: Evaluator, questions: Sequence[dict[str, Any]]) -> dict[Any, list[str]]:
    """Reference answers by question: those of ``--reference``, else those in the questions."""
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
    model: str, question: dict[str, Any], turns: Sequence[str], reference: list[str] | None
) -> list[Question]:
    found = []
    for turn in TURNS[: len(turns)]:
        said_by_user = question["turns"]
        parts = {"question": said_by_user[0], "answer": turns[0]}
        if turn == 2:
            parts = {
                **{f"question {n}": said_by_user[n - 1] for n in TURNS},
                **{f"answer {n}": turns[n - 1] for n in TURNS},
            }
        if reference:
            names = ("reference",) if turn == 1 else ("reference 1", "reference 2")
            parts |= dict(zip(names, reference, strict=False))
        prompt = PROMPTS[2 * (turn - 1) + bool(reference)]
        key = f"mt_bench\0{model}\0{question['question_id']}\0{turn}"
        found.append(Question(key, prompt, parts, rating(prompt.low, prompt.high)))
    return found


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Grades the answers, or reads grades of FastChat's (``--judgments``).

    Returns:
        The section: ``score`` (mean of all grades), ``turn_1``, ``turn_2``, and each category;
        ``judge``, its account; ``unguided``, questions of a guided category without a reference;
        ``dropped``, questions left out for all models because one of them lacks an answer or a grade.
    """
    options = evaluator.options
    if options.judgments:
        return _read(name, evaluator)
    questions = list(evaluator.records(_data(options), wrong))
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
    grades: dict[str, dict[Any, list[Verdict]]] = {}
    for one in found:
        grades[one.model] = _graded(judge, one, questions, references)
    held = [
        all(
            len(grades[one.model].get(q["question_id"], ())) == len(item.turns)
            and all(v.value is not None for v in grades[one.model][q["question_id"]])
            for one in found
        )
        for q, item in zip(questions, items, strict=True)
    ]
    kept = {q["question_id"] for q, whole in zip(questions, held, strict=True) if whole}
    categories = {q["question_id"]: str(q.get("category", "")) for q in questions}
    scores = {
        model: [
            (number, turn, verdict.value)
            for number, verdicts in by_question.items()
            if number in kept
            for turn, verdict in enumerate(verdicts, 1)
        ]
        for model, by_question in grades.items()
    }
    for one in found:
        evaluator.samples(name, _rows(one, items, categories, grades[one.model], kept))
    _write_judgments(evaluator, judge, grades)
    section = _section(name, options, scores, categories, len(kept))
    for row, one in zip(section["models"], found, strict=True):
        row |= one.account()
    guided = [n for n, category in categories.items() if category in GUIDED]
    return section | {
        "judge": judge.account(),
        "unguided": sum(number not in references for number in guided),
        "dropped": len(held) - sum(held),
    }


def _graded(
    judge: Judge,
    one: answers.ModelAnswers,
    questions: Sequence[dict[str, Any]],
    references: dict[Any, list[str]],
) -> dict[Any, list[Verdict]]:
    asked, owners = [], []
    for question, turns in zip(questions, one.turns, strict=True):
        if turns is None:
            continue
        number = question["question_id"]
        guided = question.get("category") in GUIDED
        reference = references.get(number) if guided else None
        for part in _questions(one.model, question, turns[:2], reference):
            asked.append(part)
            owners.append(number)
    found: dict[Any, list[Verdict]] = {}
    for number, verdict in zip(owners, judge.ask(asked), strict=True):
        found.setdefault(number, []).append(verdict)
    return found


def _rows(
    one: answers.ModelAnswers,
    items: Sequence[answers.Item],
    categories: dict[Any, str],
    grades: dict[Any, list[Verdict]],
    kept: set[Any],
) -> list[dict[str, Any]]:
    rows = []
    for item, turns in zip(items, one.turns, strict=True):
        for turn, verdict in enumerate(grades.get(item.key, ()), 1):
            rows.append(
                {
                    "id": f"{item.id}-{turn}",
                    "model": one.model,
                    "category": categories[item.key],
                    "turn": turn,
                    "score": verdict.value,
                    "dropped": item.key not in kept,
                    "response": turns[turn - 1] if turns else None,
                    **said(verdict),
                }
            )
    return rows


def _section(
    name: str,
    options: EvaluationOptions,
    scores: dict[str, list[tuple[Any, int, float]]],
    categories: dict[Any, str],
    n: int,
) -> dict[str, Any]:
    found, ends = {}, {}
    kinds = [kind for kind in dict.fromkeys(categories.values()) if kind]
    for model, graded in scores.items():
        ratios = Ratios()
        for number, turn, score in graded:
            for figure in ("score", f"turn_{turn}", categories.get(number, "")):
                ratios.add(figure, number, score)
        names = ["score", "turn_1", "turn_2", *kinds]
        found[model], ends[model] = ratios.estimate(
            names, {}, options.bootstrap, options.seed, name
        )
    figures, intervals = together(found, ends)
    return {
        "kind": name,
        "n": n,
        "figures": figures,
        "intervals": intervals,
        "per_item": {"score": "score"},
        "models": [{"model": model, "figures": one} for model, one in found.items()],
    }


def _write_judgments(
    evaluator: Evaluator, judge: Judge, grades: dict[str, dict[Any, list[Verdict]]]
) -> None:
    options = evaluator.options
    if options.author_files is None:
        return
    rows = []
    for model, by_question in grades.items():
        for number, verdicts in by_question.items():
            for turn, verdict in enumerate(verdicts, 1):
                score = _UNREADABLE if verdict.value is None else verdict.value
                rows.append(
                    {
                        "question_id": number,
                        "model": model,
                        "judge": [judge.name, verdict.prompt],
                        "user_prompt": verdict.asked,
                        "judgment": verdict.reply,
                        "score": score,
                        "turn": turn,
                        "tstamp": 0.0,
                    }
                )
    author_files.write(
        options.author_files, f"model_judgment\n{judge.name}_single.jsonl", rows, options.force
    )


def _wrong_judgment(record: dict[str, Any]) -> str | None:
    for name in ("question_id", "model", "score", "turn"):
        if name not in record:
            return f'no field "{name}": is it FastChat\'s <judge>_single.jsonl?'
    if type(record["score"]) not in (int, float):
        return 'field "score" is no number'
    return None if record["turn"] in TURNS else 'field "turn" must be 1 or 2'


def _read(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """The section out of FastChat's judgments; a grade of −1 could not be read."""
    options = evaluator.options
    scores: dict[str, dict[tuple[Any, int], float]] = {}
    for record in evaluator.records(options.judgments or "", _wrong_judgment, limited=False):
        key = record["question_id"], record["turn"]
        scores.setdefault(str(record["model"]), {})[key] = float(record["score"])
    if not scores:
        raise SynthError(f"{options.judgments}: holds no judgments")
    every = dict.fromkeys(key for table in scores.values() for key in table)
    bad = {
        number
        for number, turn in every
        if any(table.get((number, turn), _UNREADABLE) < 0 for table in scores.values())
    }
    numbers = dict.fromkeys(number for number, _ in every)
    left = list(numbers)[: options.limit]
    kept = {number for number in left if number not in bad}
    graded = {
        model: [(n, turn, score) for (n, turn), score in table.items() if n in kept]
        for model, table in scores.items()
    }
    categories: dict[Any, str] = {}
    if options.data is not None:
        for question in evaluator.records(_data(options), wrong, limited=False):
            categories[question["question_id"]] = str(question.get("category", ""))
    section = _section(name, options, graded, categories, len(kept))
    return section | {"judge": None, "dropped": len(left) - len(kept)}
