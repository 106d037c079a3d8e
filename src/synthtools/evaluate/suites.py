"""The suites by name.

A suite is a row here and a function ``run(name, evaluator)`` that gives its section of the report, a
dictionary with at least

    n          items that count
    figures    {name: number}: the results, shown in tables and compared by ``synth diff``
    intervals  {name: [low, high]}: 95 % intervals of figures
    per_item   {figure: field}: the field of a sample with an item's contribution to a figure, so that
               ``synth diff`` can compare two models item by item

and any further fields. It passes its samples to ``evaluator.samples``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from synthtools.errors import SynthError, UsageError
from synthtools.evaluate import tasks
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator, Fault
from synthtools.records.batch import Batch
from synthtools.records.inputs import find_shards
from synthtools.records.jsonl import parse_value


@dataclass(frozen=True)
class Suite:
    """A suite: a module of this folder, the options that it needs (``|`` separates alternatives), and what it
    measures, in a line. The module's ``run(name, evaluator)`` returns the section; ``files(name, options)`` the
    paths that will be read, and raises if they are missing, before any model is opened."""

    module: str
    needs: tuple[str, ...]
    about: str


SUITES = {
    "perplexity": Suite("domains", ("model", "valid"), "perplexity over domains (name=path)"),
    "self-preference": Suite(
        "self_preference",
        ("pairs|answers|judgments",),
        "whether a judge prefers its own writing, and machines' to humans' (SPB, PSB)",
    ),
    "ifeval": Suite(
        "ifeval",
        ("model|answers", "data"),
        "IFEval: instructions that rules can check, strict and loose",
    ),
    "followbench": Suite(
        "followbench",
        ("model|answers", "data", "judge"),
        "FollowBench: constraints added level by level (HSR, SSR, CSL)",
    ),
    "mt_bench": Suite(
        "mt_bench",
        ("model|answers|judgments", "data|judgments", "judge|judgments"),
        "MT-Bench: conversations of two turns, graded 1 to 10",
    ),
    "danger-zone": Suite(
        "danger_zone",
        ("model|answers", "data", "judge"),
        "answers that are good and harmful at once, and refusals",
    ),
    "alpaca_eval": Suite(
        "alpaca_eval",
        ("model|answers|judgments", "data|judgments", "reference|judgments", "judge|judgments"),
        "win rate over a reference's answers, in both orders (AlpacaEval)",
    ),
}

_HARNESS = Suite("harness", ("model",), "a task of lm-evaluation-harness, by its name there")


def every() -> dict[str, Suite]:
    """All suites by name: ``SUITES`` and the shipped tasks."""
    return SUITES | {name: _of_task(task) for name, task in tasks.shipped().items()}


def find(name: str) -> Suite:
    """A suite by its name, or a task by its file. Raises UsageError: the name is unknown."""
    if name in SUITES:
        return SUITES[name]
    if name in tasks.shipped():
        return _of_task(tasks.shipped()[name])
    if name.startswith("lm-eval:"):
        return _HARNESS
    if name.endswith(".json"):
        return _of_task(tasks.load(name))
    raise UsageError(f"suite {name}: unknown; there are {', '.join([*every(), *tasks.GROUPS])}")


def _of_task(task: tasks.BenchmarkTask) -> Suite:
    module = "choices" if task.kind == "multiple_choice" else "generative_tasks"
    needs = ("model", "data", *(["allow_code_execution"] if task.kind == "code" else []))
    return Suite(module, needs, task.about)


# The main figure of a suite: the first of these that it has.
HEADS = ("accuracy", "exact_match", "pass_at_1", "perplexity_micro")


def expanded(
    names: Sequence[str], options: EvaluationOptions
) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Replaces each group by those of its suites that can be run.

    Returns:
        The suites, each once; and by group ``suites`` and ``missing`` (name → reason).

    Raises:
        UsageError: a name is neither a suite nor a group.
        SynthError: no suite of a group has its data.
    """
    suites: dict[str, None] = {}
    groups: dict[str, dict[str, Any]] = {}
    for name in names:
        if name not in tasks.GROUPS:
            find(name)
            suites[name] = None
            continue
        complete, missing = [], {}
        for member, task in tasks.shipped().items():
            if name in task.groups:
                try:
                    files([member], options)
                    complete.append(member)
                except SynthError as error:
                    missing[member] = str(error)
        if not complete:
            raise SynthError(
                f"suite {name}: none of its suites can be run; {next(iter(missing.values()))}"
            )
        suites |= dict.fromkeys(complete)
        groups[name] = {"suites": complete, "missing": missing}
    return list(suites), groups


def averages(groups: dict[str, dict[str, Any]], sections: dict[str, Any]) -> dict[str, Any]:
    """The groups with ``average``: the mean of their suites' first figures, as in the papers' tables."""
    averaged = {}
    for name, group in groups.items():
        figures = [sections[suite]["figures"] for suite in group["suites"]]
        heads = [next(of_suite[h] for h in HEADS if h in of_suite) for of_suite in figures]
        averaged[name] = {"average": sum(heads) / len(heads), **group}
    return averaged


def needs(name: str) -> list[list[str]]:
    """The needs of a suite or group (see ``Suite.needs``), each as a list of alternatives."""
    options = ("model", "data") if name in tasks.GROUPS else find(name).needs
    return [need.split("|") for need in options]


def listed() -> list[dict[str, Any]]:
    """All suites with their needs and descriptions."""
    return [
        {"suite": name, "needs": list(suite.needs), "about": suite.about}
        for name, suite in (*every().items(), ("lm-eval:TASK", _HARNESS))
    ]


def files(names: Sequence[str], options: EvaluationOptions) -> list[str]:
    """The files that the suites will read, each once."""
    paths = (path for name in names for path in _module(find(name)).files(name, options))
    return list(dict.fromkeys(paths))


def items(names: Sequence[str], options: EvaluationOptions) -> dict[str, Fault]:
    """The files of the suites' items, and for each the check of its records."""
    faults: dict[str, Fault] = {}
    for name in names:
        module = _module(find(name))
        if hasattr(module, "items"):  # some suites have no files of items
            faults |= module.items(name, options)
    return faults


def first_record_check(names: Sequence[str], options: EvaluationOptions) -> Callable[[Batch], None]:
    """A check that raises RecordError if the first record of a suite's file is not a valid item."""
    faults = {
        shard.name: wrong
        for path, wrong in items(names, options).items()
        for shard in find_shards([path])
    }

    def check(batch: Batch) -> None:
        if batch.source in faults:
            reason = faults[batch.source](parse_value(batch.raw(0)))
            if reason is not None:
                raise batch.fault(0, reason)

    return check


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """A suite's section of the report."""
    section: dict[str, Any] = _module(find(name)).run(name, evaluator)
    return section


def prompts(names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The judges' prompts: name, version, suites, words. ``names``: of suites; None: all."""
    rows: dict[str, dict[str, Any]] = {}
    for name in names or SUITES:
        suite = find(name)
        judged = any("judge" in need.split("|") for need in suite.needs)
        for prompt in _module(suite).PROMPTS if judged else ():
            row = {"name": prompt.name, "version": prompt.version, "suites": [], "words": ""}
            row = rows.setdefault(prompt.name, row | {"words": prompt.words})
            row["suites"].append(name)
    return list(rows.values())


def _module(suite: Suite) -> Any:
    return importlib.import_module(f"synthtools.evaluate.{suite.module}")
