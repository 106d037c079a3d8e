"""The reports of ``synth train`` and ``synth unlearn``, and the log of a run, a JSON line per step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from synthtools.reports.document import number, table
from synthtools.reports.figures.chart import (
    Figure,
    Panel,
    Series,
    Story,
    bars,
    extremes,
    plain,
    table_of,
)

# Window of the moving average, drawn if there are many more steps.
_SMOOTHED = 50
_KNOWN = frozenset(
    ("step", "tokens", "new_tokens", "seconds", "skip", "skipped", "valid", "learning_rate", "loss")
)

_NUMBERS = (
    *("model", "parameters", "trained", "documents", "corpus_tokens", "steps", "rows_seen"),
    *("rows_repeated", "rows_left", "skipped_steps", "final_loss", "final_weighted_loss", "valid"),
    "valid_unigram",
)


def lines(report: dict[str, Any]) -> list[str]:
    """The main numbers; for a plan (--dry-run), all."""
    plan = [name for name in report if name not in ("kind", "made_by")]
    return table(rows(report, _NUMBERS if "model" in report else plan))


def rows(report: dict[str, Any], names: Iterable[str]) -> list[tuple[str, str]]:
    """Names and values of a report for a table, without nulls."""
    return [(n.replace("_", " "), _text(report[n])) for n in names if report.get(n) is not None]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number(ppl)}" for name, ppl in value.items())
    return value if isinstance(value, str) else number(value)


def figure(report: dict[str, Any]) -> Figure:
    curve, valid = report["curve"], report["valid"] or {}
    panels = []
    if curve["loss"]:
        loss = Series("loss", curve["steps"], curve["loss"])
        panels.append(Panel("Loss", "step", "loss (nats a token)", [loss]))
    if valid:
        panels.append(bars("Validation", "perplexity", list(valid), list(valid.values())))
    return Figure(
        "Training",
        panels,
        "The loss is averaged over equal parts of the run; the log has every step.",
        finding=extremes("Validation perplexity", valid),
    )


def log_figure(report: dict[str, Any]) -> Figure:
    """Loss, validation, learning rate, and other numbers of the steps."""
    steps = report["steps"]
    others = dict.fromkeys(name for step in steps for name in step if _points(step, name))
    names = ("learning_rate", *(name for name in others if name not in _KNOWN))
    panels = [
        _panel("loss", "loss (nats a token)", steps),
        Panel("Validation", "step", "perplexity", _validations(steps)),
        *(_panel(name, plain(name), steps) for name in names),
    ]
    return Figure("Training", [panel for panel in panels if panel.series])


def log_story(report: dict[str, Any]) -> Story:
    steps = report["steps"]
    losses = [loss for step in steps for _, loss in _points(step, "loss")]
    if not losses:
        return Story("Training", ["No step of this log has a loss."])
    recent = losses[-_SMOOTHED:]
    words = (
        f"After {number(steps[-1]['step'])} steps the loss is {number(losses[-1])} nats a token (mean "
        f"of the last {len(recent)}: {number(float(np.mean(recent)))}); it began at "
        f"{number(losses[0])}."
    )
    more = [
        f"Validation perplexity of {series.name}: {number(float(series.y[0]))} at first, "
        f"{number(float(series.y[-1]))} at last."
        for series in _validations(steps)
    ]
    return Story("Training", [words, *more])


def _points(step: dict[str, Any], name: str, of: Any = None) -> list[tuple[int, float]]:
    """Step and value, if the step has a finite number of that name."""
    value: Any = (step if of is None else of).get(name)
    known = type(value) in (int, float) and math.isfinite(value)
    return [(step["step"], value)] if known else []


def _panel(name: str, label: str, steps: list[dict[str, Any]]) -> Panel:
    points = [point for step in steps for point in _points(step, name)]
    x, y = [at for at, _ in points], [value for _, value in points]
    series = [Series(name, x, y)] if points else []
    if name != "learning_rate" and len(points) > 2 * _SMOOTHED:
        mean = np.convolve(y, np.ones(_SMOOTHED) / _SMOOTHED, "valid")
        middle = x[_SMOOTHED // 2 :][: len(mean)]
        series = [
            Series("each step", x, y, reference=True),
            Series(f"mean of {_SMOOTHED} steps", middle, mean),
        ]
    return Panel(plain(name).capitalize(), "step", label, series)


def _validations(steps: list[dict[str, Any]]) -> list[Series]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for step in steps:
        valid = step.get("valid") or {}
        for name in valid:
            if points := _points(step, name, valid):
                curves.setdefault(name, []).extend(points)
    return [
        Series(name, [x for x, _ in points], [y for _, y in points])
        for name, points in curves.items()
    ]


_UNLEARN_NUMBERS = ("method", "model", "steps", "skipped_steps", "final_loss", "ended_by")


def unlearn_lines(report: dict[str, Any]) -> list[str]:
    if "method" not in report:
        return lines(report)  # a plan
    numbers = rows(report, _UNLEARN_NUMBERS)
    sets = report.get("sets") or {}
    for name, result in sets.items():
        numbers.append((f"{name}: perplexity", _change(result["perplexity"])))
        numbers.append((f"{name}: entropy", _change(result["entropy"])))
        numbers.append((f"{name}: KL", number(result["kl"])))
    for name, count in (report.get("shared_documents") or {}).items():
        numbers.append((f"{name}: also to be forgotten", f"{count:,} documents"))
    for result in list(sets.values())[:1]:
        for key, word in (("fallen", "less"), ("risen", "more")):
            tokens = " ".join(repr(entry["token"]) for entry in result[key][:8])
            numbers.append((f"tokens expected {word}", tokens or "–"))
    return table(numbers)


def _change(value: dict[str, float]) -> str:
    return f"{number(value['before'])} → {number(value['after'])}"


def unlearn_figure(report: dict[str, Any]) -> Figure:
    """For each set, the share of documents below a perplexity, under both models."""
    panels = []
    for name, result in (report.get("sets") or {}).items():
        shares = [100 * level for level in result["levels"]]
        documents = result["document_perplexity"]
        series = [
            Series("before", documents["before"], shares, reference=True),
            Series("after", documents["after"], shares),
        ]
        labels = (name.capitalize(), "perplexity of a document", "documents below (%)")
        panels.append(Panel(*labels, series, x_log=True))
    return Figure(f"Unlearning ({report['method']})", panels)


def unlearn_story(report: dict[str, Any]) -> Story:
    sets = report.get("sets") or {}
    early = f"; ended early: {report['ended_by']}" if report.get("ended_by") else ""
    lines = [f"Method {report['method']}, {number(report['steps'])} steps{early}."]
    for name, result in sets.items():
        before, after = result["perplexity"]["before"], result["perplexity"]["after"]
        known = before and after is not None
        change = f"by a factor of {number(after / before)}" if known else "without bound"
        lines.append(f"Perplexity of {name} changed {change}.")
    for name, count in (report.get("shared_documents") or {}).items():
        lines.append(f"{number(count)} documents of {name} were also to be forgotten.")
    columns = (
        ("set", lambda row: row[0]),
        ("perplexity before", lambda row: row[1]["perplexity"]["before"]),
        ("after", lambda row: row[1]["perplexity"]["after"]),
        ("entropy before", lambda row: row[1]["entropy"]["before"]),
        ("after", lambda row: row[1]["entropy"]["after"]),
        ("KL (nats a token)", lambda row: row[1]["kl"]),
    )
    tables = []
    if sets:
        tables.append(table_of("Both models on the same documents", sets.items(), columns))
    for name, result in list(sets.items())[:1]:
        title = f"Tokens whose expected frequency fell most ({name})"
        token = ("token", lambda row: repr(row["token"]))
        tables.append(table_of(title, result["fallen"], (token, "before", "after")))
    return Story(f"Unlearning ({report['method']})", lines, tables)
