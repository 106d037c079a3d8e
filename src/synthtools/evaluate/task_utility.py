"""What a model is still good for: suites of tasks, and the difference to another model item by item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from synthtools.evaluate import suites
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.paired_comparison import PairedDifference, Samples, by_suite, compared
from synthtools.lm.model_settings import ModelSettings
from synthtools.records.rejects import Rejects


class TaskResults(NamedTuple):
    """One model's sections by suite (see ``suites``), and its samples."""

    sections: dict[str, dict[str, Any]]
    samples: Samples


def task_results(
    settings: ModelSettings,
    names: Sequence[str],
    options: EvaluationOptions,
    rejects: Rejects,
    remark: Callable[[str], None],
) -> TaskResults:
    """Runs suites that need a model and data alone."""
    rows: list[dict[str, Any]] = []
    with Evaluator(
        options, settings, keep=rows.extend, rejects=rejects, remark=remark
    ) as evaluator:
        sections = {name: suites.run(name, evaluator) for name in names}
    return TaskResults(sections, by_suite(rows))


def head(section: dict[str, Any]) -> str:
    """The main figure of a suite's section."""
    return str(next(iter(section.get("per_item") or section["figures"])))


def changes(
    base: TaskResults, own: TaskResults, resamples: int, seed: int
) -> list[PairedDifference]:
    """The main figure of each suite against the base's, with Holm's correction over the suites."""
    fields = {}
    for name, section in own.sections.items():
        if section.get("per_item") and base.samples.get(name) and own.samples.get(name):
            fields[name] = {head(section): section["per_item"][head(section)]}
    rows = compared(base.samples, own.samples, fields, resamples, seed)
    return [row for row in rows if row["figure"] in fields[row["suite"]]]
