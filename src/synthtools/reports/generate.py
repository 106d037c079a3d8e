"""The reports of ``synth generate``: estimated costs (``--dry-run``), files of requests."""

from __future__ import annotations

from typing import Any, TypedDict

from synthtools.reports import document
from synthtools.reports.document import number, table


class ModelPlan(TypedDict):
    """One model's part; ``tokens_low`` and ``tokens_high`` are a 95 % interval."""

    model: str
    requests: int
    prompt_tokens: int
    tokens: int
    tokens_low: int
    tokens_high: int
    seconds: float
    cost: float
    sampled: int
    failed: int


class PlanNumbers(TypedDict):
    prompts: int
    requests: int
    prompt_tokens: int
    tokens: int
    seconds: float
    cost: float
    models: list[ModelPlan]


class GeneratePlan(document.BaseReport, PlanNumbers):
    """All models together; ``cost`` in the currency of the prices."""


def plan_lines(report: GeneratePlan) -> list[str]:
    rows = [("prompts", number(report["prompts"])), ("answers", number(report["requests"]))]
    for one in report["models"]:
        name = f"{one['model']}: " if len(report["models"]) > 1 else ""
        rows += [
            (f"{name}tokens of prompts", f"about {one['prompt_tokens']:,}"),
            (
                f"{name}tokens of answers",
                f"about {one['tokens']:,} [{one['tokens_low']:,}, {one['tokens_high']:,}]",
            ),
            (f"{name}time", f"about {_duration(one['seconds'])} at the speed of {one['sampled']}"),
        ]
        if one["failed"]:
            rows.append((f"{name}without an answer", f"{one['failed']} of {one['sampled']}"))
        if report["cost"]:
            rows.append((f"{name}cost", f"about {number(one['cost'], 2)}"))
    return table(rows)


def batch_lines(report: dict[str, Any]) -> list[str]:
    files = [(one["file"], f"{one['requests']:,} requests") for one in report["files"]]
    return table(files) if files else ["no requests"]


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
