"""A model measured: reliability diagrams, accuracy, domains, preferences."""

from __future__ import annotations

from typing import Any

from synthtools.evaluate.suites import HEADS
from synthtools.reports.document import number, table
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table, bars, extremes

_MOST_DIAGRAMS = 6
_HEADS_OF_MODELS = {"ifeval": "prompt_strict", "mt_bench": "score", "alpaca_eval": "win_rate"}
_SHARES = ("accuracy", "exact_match", "pass_at_1")


def lines(report: dict[str, Any]) -> list[str]:
    """A line a figure, with its interval."""
    lines = []
    for name, section in report["suites"].items():
        lines += [f"{name}  ({section['n']:,} items)"]
        width = max((len(key) for key in section["figures"]), default=0)
        for key, value in section["figures"].items():
            ends = (section.get("intervals") or {}).get(key)
            interval = f"  [{number(ends[0], 3)}, {number(ends[1], 3)}]" if ends else ""
            lines.append(f"  {key:<{width}}  {number(value)}{interval}")
        lines += [f"    {line}" for line in _losses(section)]
        for row in section.get("domains", []):
            lines.append(
                f"    {row['domain']:<24} ppl {number(row['perplexity']):>10}  "
                f"{number(row['bits_per_byte'])} bits/byte  {row['tokens']:,} tokens"
            )
        lines += preference_lines(section)
        lines.append("")
    for name, group in report["groups"].items():
        missing = f"; not there: {', '.join(group['missing'])}" if group["missing"] else ""
        of = ", ".join(group["suites"])
        lines += [f"{name}: {number(group['average'])}, the mean of {of}{missing}", ""]
    for row in report.get("baseline", []):
        ece, accuracy = row["ece"], row["accuracy"]
        lines.append(
            f"{row['suite']} against the baseline: {row['state']} (ECE {number(ece[0])} → "
            f"{number(ece[1])}, accuracy {number(accuracy[0])} → {number(accuracy[1])})"
        )
    return lines if report.get("baseline") else lines[:-1]


def _losses(section: dict[str, Any]) -> list[str]:
    """Answers and verdicts that are missing, a line for each model."""
    lines = []
    for model in section.get("models") or []:
        if not isinstance(model, dict):
            continue
        missing = sum((model.get("missing") or {}).values())
        counts = [
            f"{count:,} {what}"
            for count, what in (
                (missing, "without an answer"),
                (model.get("empty"), "empty"),
                (model.get("cut"), "cut at the limit of tokens"),
            )
            if count
        ]
        if counts:
            lines.append(f"answers of {model['model']}: {', '.join(counts)}")
    judge = section.get("judge")
    if isinstance(judge, dict) and "questions" in judge:
        lines.append(
            f"judge {judge['model']}: {judge['questions']:,} questions, {judge['asked_again']:,} asked "
            f"again, {judge['unreadable']:,} unreadable, {judge['failed']:,} failed"
        )
        lines += [f"  {count:,} × {reason}" for reason, count in judge["reasons"].items()]
    if section.get("dropped"):
        lines.append(f"{section['dropped']:,} items left out for all models")
    return lines


def preference_lines(section: dict[str, Any]) -> list[str]:
    """Self-preference beside its figures: how each judge judged, other judges by family of models,
    agreement."""
    lines = []
    for judge in section.get("judges", []):
        lines.append(
            f"  {judge['judge']}: {judge['n']:,} pairs about {judge['items']:,} items, mass on A and B "
            f"{number(judge['mass'], 3)}, first preferred {number(judge['first_preferred'], 3)}, one "
            f"winner in both orders {number(judge['consistent'], 3)}"
        )
    judgments = section.get("judgments")
    if judgments:
        lines += ["  other judges: mean preference for each family, 95 %"]
        for judge in judgments["judges"]:
            of = ", ".join(judge["references"])
            lines.append(f"    {judge['judge']} (against {of}): {number(judge['share'], 3)}")
            for family, row in sorted(judge["families"].items(), key=lambda f: -f[1]["share"]):
                ends = row["interval"]
                interval = f" [{number(ends[0], 3)}, {number(ends[1], 3)}]" if ends else ""
                lines.append(
                    f"      {family:<20} {number(row['share'], 3):>6}{interval}  {row['models']} models, "
                    f"{row['n']:,} judgments"
                )
        for row in judgments["between"]:
            note = "" if row["same_reference"] else ", against different references"
            lines.append(
                f"    {row['left']} and {row['right']}: agree in {number(row['agreement'], 3)} of "
                f"{row['n']:,}{note} (κ {number(row['kappa'], 2)})"
            )
    for one in section.get("agreement", []):
        for row in one["with"]:
            lines.append(
                f"  {one['judge']} agrees with {row['judge']} on {row['family']} in "
                f"{number(row['agreement'], 3)} of {row['n']:,} (κ {number(row['kappa'], 2)})"
            )
    return lines


def suite_lines(report: dict[str, Any]) -> list[str]:
    """The suites, each with what it needs."""
    rows = [
        (row["suite"], f"{row['about']}; needs {', '.join(row['needs'])}")
        for row in report["suites"]
    ]
    return table(rows)


def prompt_lines(report: dict[str, Any]) -> list[str]:
    """What judges are asked."""
    lines = []
    for row in report["prompts"]:
        lines += [f"{row['name']}-{row['version']}  ({', '.join(row['suites'])})", ""]
        lines += [f"    {line}".rstrip() for line in row["words"].splitlines()] + [""]
    return lines[:-1]


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
