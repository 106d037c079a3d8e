"""Suites of generated answers: exact match of the extracted answer, and code that is run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from synthtools.environment import cores
from synthtools.errors import SynthError, UsageError, parameter
from synthtools.evaluate import choices, sandbox, tasks
from synthtools.evaluate.estimates import bootstrap, draw_of
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.paired_comparison import doc_hash
from synthtools.lm.generation import ERROR, Answer, Prompt, SamplingSettings


def files(name: str, options: EvaluationOptions) -> list[str]:
    """The files of a task. Raises UsageError: it would run code without permission, or examples are requested
    for it. Raises SynthError: this machine cannot confine the code that it would run."""
    task = choices.task_of(name, options)
    if task.kind == "code":
        if not options.allow_code_execution:
            allow = parameter("allow_code_execution")
            raise UsageError(
                f"suite {name} runs programs that the model wrote: allow it with {allow}"
            )
        if task.shots:
            raise UsageError(f"suite {name} takes no examples: leave out {parameter('shots')}")
        sandbox.chosen(options.sandbox)
    return choices.files(name, options)


items = choices.items


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Generates answers greedily and checks them.

    Returns:
        The section: figures ``exact_match`` (and ``exact_match_loose``) or ``pass_at_1``;
        ``unanswered``: items that could not be answered, which count as wrong.
    """
    options = evaluator.options
    task = choices.task_of(name, options)
    path = tasks.files_of(task, options.data)
    shots = choices.examples(task, evaluator)
    records = list(evaluator.records(path, lambda r: tasks.fault(task, r)))
    if not records:
        raise SynthError(f"{path}: has no item of suite {name}")
    sampling = SamplingSettings(0, 1.0, None, task.max_new_tokens, task.stop)
    prompts = (
        Prompt(str(record["id"]).encode(), shots.before(record) + tasks.filled(task, record))
        for record in records
    )
    answers = list(evaluator.generator(sampling).generate(prompts))
    failed = sum(answer.finish_reason == ERROR for answer in answers)
    if failed == len(answers):
        raise SynthError(f"suite {name}: no item could be answered; {answers[0].error}")
    if failed:
        evaluator.remark(f"{name}: {failed} of {len(answers)} items could not be answered")
    judge = _run_programs if task.kind == "code" else _matched
    rows = judge(task, records, answers, evaluator)
    heads = [key for key in ("exact_match", "exact_match_loose", "pass_at_1") if key in rows[0]]
    evaluator.samples(
        name,
        (
            {
                **({"subject": record.get(task.by)} if task.by else {}),
                "id": record["id"],
                "doc_hash": doc_hash(tasks.filled(task, record)),
                "response": answer.text,
                **row,
                "finish_reason": answer.finish_reason,
                "tokens": answer.tokens,
                "error": answer.error,
            }
            for record, answer, row in zip(records, answers, rows, strict=True)
        ),
    )
    right = np.array([[row[head] for head in heads] for row in rows], np.float64)
    confined = {"sandbox": sandbox.chosen(options.sandbox)} if task.kind == "code" else {}
    return {
        "kind": task.kind.replace("_", "-"),
        "n": len(rows),
        **shots.account(),
        "figures": dict(zip(heads, right.mean(0).tolist(), strict=True)),
        "intervals": bootstrap(
            heads,
            lambda which: right[which].mean(0),
            len(right),
            options.bootstrap,
            draw_of(options.seed, "answers"),
        ),
        "unanswered": failed,
        "cut_off": sum(answer.finish_reason == "length" for answer in answers),
        "per_item": {head: head for head in heads},
        **confined,
    }


def extracted(text: str, patterns: Sequence[str]) -> str | None:
    """The answer in a model's text: the last match of the first expression with a match."""
    for pattern in patterns:
        matches = re.findall(pattern, text)
        if matches:
            last = matches[-1]
            return last if isinstance(last, str) else next((g for g in last if g), "")
    return None


def same(answer: str | None, gold: Any) -> bool:
    """Whether an answer is right: compared as numbers if both are, else as text, ignoring case and surrounding
    white space."""
    if answer is None:
        return False
    left, right = _number(answer), _number(str(gold))
    if left is not None and right is not None:
        return left == right
    return answer.strip().casefold() == str(gold).strip().casefold()


def _number(text: str) -> Decimal | None:
    try:
        value = Decimal(text.strip().replace(",", "").replace("$", "").removesuffix("."))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _matched(
    task: tasks.BenchmarkTask,
    records: list[dict[str, Any]],
    answers: list[Answer],
    evaluator: Evaluator,
) -> list[dict[str, Any]]:
    rows = []
    for record, answer in zip(records, answers, strict=True):
        strict = extracted(answer.text, task.extract) if task.extract else answer.text
        gold = record["answer"]
        row = {"gold": gold, "extracted": strict, "exact_match": int(same(strict, gold))}
        if task.extract_loosely:
            loose = extracted(answer.text, task.extract_loosely)
            row["exact_match_loose"] = int(same(loose, gold))
        rows.append(row)
    return rows


def _run_programs(
    task: tasks.BenchmarkTask,
    records: list[dict[str, Any]],
    answers: list[Answer],
    evaluator: Evaluator,
) -> list[dict[str, Any]]:
    programs = (
        tasks.program(task, record, answer.text)
        for record, answer in zip(records, answers, strict=True)
        if answer.error is None
    )
    settings = evaluator.model_settings
    jobs = (settings.cores if settings else None) or cores()
    outcomes = sandbox.run_all(programs, sandbox.chosen(evaluator.options.sandbox), jobs)
    rows = []
    for answer in answers:
        if answer.error is not None:
            rows.append({"pass_at_1": 0, "reason": answer.error, "output": ""})
            continue
        passed, reason, output = next(outcomes)
        rows.append({"pass_at_1": int(passed), "reason": reason, "output": output})
    return rows
