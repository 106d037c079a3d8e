"""A model measured: reliability diagrams, accuracy, domains, preferences."""

from __future__ import annotations

from typing import Any

from synthtools.evaluate.suites import HEADS
from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table, bars, extremes

_MOST_DIAGRAMS = 6
_HEADS_OF_MODELS = {"ifeval": "prompt_strict", "mt_bench": "score", "alpaca_eval": "win_rate"}
_SHARES = ("accuracy", "exact_match", "pass_at_1")


def figure(report: dict[str, Any]) -> Figure:
    """Of a report of ``eval``."""
    suites = report["suites"]
    panels = []
    heads = [
        (name, next(h for h in _SHARES if h in section["figures"]), section)
        for name, section in suites.items()
        if any(h in section["figures"] for h in _SHARES)
    ]
    if heads:
        panels.append(
            _bars(
                "Right answers",
                "share of items, 95 %",
                [(name, section, head) for name, head, section in heads],
            )
        )
    diagrams = [(n, s) for n, s in suites.items() if s.get("reliability")]
    panels += [_reliability(name, section) for name, section in diagrams[:_MOST_DIAGRAMS]]
    for name, section in suites.items():
        if section["kind"] == "perplexity":
            rows = [row for row in section["domains"] if row["perplexity"]]
            values = [row["perplexity"] for row in rows]
            panels.append(bars(name, "perplexity", [row["domain"] for row in rows], values))
        if section["kind"] == "self-preference":
            panels += [_preferences(judge) for judge in section["judges"]]
        if section["kind"] == "danger-zone" and section["cells"]:
            panels.append(_zone(section))
        if section["kind"] == "followbench" and any(_levels(row) for row in section["models"]):
            panels.append(_by_level(section))
        if section["kind"] in _HEADS_OF_MODELS:
            head = _HEADS_OF_MODELS[section["kind"]]
            panels += _models(name, section, head)
    return Figure(
        "Evaluation",
        panels,
        "Reliability: the accuracy of answers by the confidence that the model gave them (ten bins of "
        "equal width); a calibrated model lies on the line. Pies: whose answers have a quality and a "
        "harmfulness; the area is how many.",
        finding=extremes(
            heads[0][1].replace("_", " ").capitalize(),
            {
                name: section["figures"][head]
                for name, head, section in heads
                if head == heads[0][1]
            },
        )
        if heads
        else "",
    )


def _bars(title: str, label: str, found: list[tuple[str, dict[str, Any], str]]) -> Panel:
    values = [section["figures"][head] for _, section, head in found]
    ends = [
        (section.get("intervals") or {}).get(head) or [value, value]
        for (_, section, head), value in zip(found, values, strict=True)
    ]
    series = Series(
        label, values, form="named", low=[low for low, _ in ends], high=[high for _, high in ends]
    )
    return bars(title, label, [name for name, _, _ in found], series)


def _reliability(name: str, section: dict[str, Any]) -> Panel:
    rows = section["reliability"]["equal_width"]
    return Panel(
        f"{name}: ECE {number(section['figures']['ece'], 3)}",
        "confidence",
        "accuracy",
        [
            Series("calibrated", [0, 1], [0, 1], reference=True),
            Series("model", [row["confidence"] for row in rows], [row["accuracy"] for row in rows]),
        ],
        from_zero=True,
    )


def _zone(section: dict[str, Any]) -> Panel:
    """A pie for each quality and harmfulness: whose answers lie there."""
    grid = [(x, y) for y in range(1, 6) for x in range(1, 6)]
    cells = {(cell["quality"], cell["harmfulness"]): cell["models"] for cell in section["cells"]}
    series = [
        Series(
            row["model"],
            [x for x, _ in grid],
            [y for _, y in grid],
            form="pies",
            weights=[cells.get(place, {}).get(row["model"], 0) for place in grid],
        )
        for row in section["models"]
    ]
    title = "Danger zone: quality and harmfulness both 4 or 5"
    return Panel(title, "quality", "harmfulness", series)


def _levels(row: dict[str, Any]) -> list[tuple[int, float]]:
    found = [(level, row["figures"].get(f"hsr_level_{level}")) for level in range(1, 6)]
    return [(level, value) for level, value in found if value is not None]


def _by_level(section: dict[str, Any]) -> Panel:
    series = [
        Series(row["model"], [n for n, _ in _levels(row)], [v for _, v in _levels(row)])
        for row in section["models"]
        if _levels(row)
    ]
    return Panel("FollowBench", "level", "hard satisfaction rate", series, from_zero=True)


def _models(name: str, section: dict[str, Any], head: str) -> list[Panel]:
    """A figure of each model, with its interval."""
    one = len(section["models"]) == 1
    keys = [(row["model"], head if one else f"{row['model']}: {head}") for row in section["models"]]
    found = [(m, section, key) for m, key in keys if section["figures"].get(key) is not None]
    return [_bars(name, f"{head.replace('_', ' ')}, 95 %", found)] if found else []


def _preferences(judge: dict[str, Any]) -> Panel:
    keys = [key for key, v in judge["figures"].items() if key.startswith("S ") and v is not None]
    return _bars(
        f"Preferences of {judge['judge']} (0.5: none)",
        "mean preference, 95 %",
        [(key.removeprefix("S "), judge, key) for key in keys],
    )


def story(report: dict[str, Any]) -> Story:
    """The suites' figures, and the warnings against a baseline."""
    lines = []
    for name, section in report["suites"].items():
        head = next((h for h in HEADS if h in section["figures"]), None)
        if head is not None:
            ends = (section.get("intervals") or {}).get(head)
            reach = f" ({number(ends[0])} … {number(ends[1])})" if ends else ""
            value = number(section["figures"][head])
            lines.append(
                f"{name}: {head.replace('_', ' ')} {value}{reach}, {section['n']:,} items."
            )
    for row in report.get("baseline", []):
        lines.append(f"{row['suite']} against the baseline: {row['state']}.")
    tables = [
        Table(
            name,
            ["figure", "value", "95 %"],
            [
                [key.replace("_", " "), number(value), _reach(section, key)]
                for key, value in section["figures"].items()
            ],
        )
        for name, section in report["suites"].items()
    ]
    return Story("Evaluation", lines, tables)


def _reach(section: dict[str, Any], key: str) -> str:
    ends = (section.get("intervals") or {}).get(key)
    return f"{number(ends[0])} … {number(ends[1])}" if ends else "–"
