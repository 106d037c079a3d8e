"""The log of a training run, a JSON line a step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, bars, extremes

# The mean over so many steps is drawn over the single ones where there are more than that.
_SMOOTHED = 50
_KNOWN = frozenset(
    ("step", "tokens", "new_tokens", "seconds", "skip", "skipped", "valid", "learning_rate")
)


def log_figure(report: dict[str, Any]) -> Figure:
    """Of the lines of a log: loss, learning rate, gradient norm, whatever else each step tells."""
    lines = report["steps"]
    panels = [_losses("loss", "loss (nats a token)", lines)]
    valid = _validations(lines)
    if valid:
        panels.append(Panel("Validation", "step", "perplexity", valid))
    others = dict.fromkeys(
        name for line in lines for name, value in line.items() if _is_number(value)
    )
    more = [name for name in others if name not in _KNOWN and name != "loss"]
    for name in ("learning_rate", *more):
        panels.append(_losses(name, name.replace("_", " "), lines))
    return Figure("Training", [panel for panel in panels if panel.series])


def figure(report: dict[str, Any]) -> Figure:
    """Of a report of ``train``: its loss, and the last perplexity of each validation set."""
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
        "The loss is a mean over equal stretches of the run; its log has every step.",
        finding=extremes("Validation perplexity", valid),
    )


def log_story(report: dict[str, Any]) -> Story:
    """Where the run began and where it stands."""
    lines = report["steps"]
    losses = [line["loss"] for line in lines if _is_number(line.get("loss"))]
    if not losses:
        return Story("Training", ["No step of this log has a loss."])
    last = lines[-1]
    words = (
        f"After {number(last['step'])} steps the loss is {number(losses[-1])} nats a token (mean of "
        f"the last {min(len(losses), _SMOOTHED)}: {number(float(np.mean(losses[-_SMOOTHED:])))}); "
        f"it began at {number(losses[0])}."
    )
    more = [
        f"Validation perplexity of {series.name}: {number(float(series.y[0]))} at first, "
        f"{number(float(series.y[-1]))} at last."
        for series in _validations(lines)
    ]
    return Story("Training", [words, *more])


def _losses(name: str, label: str, lines: list[dict[str, Any]]) -> Panel:
    points = [(line["step"], line[name]) for line in lines if _is_number(line.get(name))]
    steps, values = [step for step, _ in points], [value for _, value in points]
    if not points:
        return Panel(label, "step", label, [])
    if name == "learning_rate" or len(points) <= 2 * _SMOOTHED:
        return Panel(
            name.replace("_", " ").capitalize(), "step", label, [Series(name, steps, values)]
        )
    smooth = np.convolve(values, np.ones(_SMOOTHED) / _SMOOTHED, "valid")
    return Panel(
        name.replace("_", " ").capitalize(),
        "step",
        label,
        [
            Series("each step", steps, values, reference=True),
            Series(f"mean of {_SMOOTHED} steps", steps[_SMOOTHED // 2 :][: len(smooth)], smooth),
        ],
    )


def _validations(lines: list[dict[str, Any]]) -> list[Series]:
    found: dict[str, tuple[list[float], list[float]]] = {}
    for line in lines:
        for name, value in (line.get("valid") or {}).items():
            if _is_number(value):
                steps, values = found.setdefault(name, ([], []))
                steps.append(line["step"])
                values.append(value)
    return [Series(name, steps, values) for name, (steps, values) in found.items()]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
