"""The report of ``synth eval``: reliability diagrams, accuracy, domains, preferences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from synthtools.evaluate.suites import HEADS
from synthtools.reports.document import bracketed, number, percent, reach, table
from synthtools.reports.figures.chart import (
    Figure,
    Panel,
    Series,
    Story,
    Table,
    bars,
    extremes,
    named,
    plain,
    table_of,
)

_MOST_DIAGRAMS = 6
_HEADS_OF_MODELS = {"ifeval": "prompt_strict", "mt_bench": "score", "alpaca_eval": "win_rate"}
_SHARES = ("accuracy", "exact_match", "pass_at_1")
Section = dict[str, Any]


def lines(report: dict[str, Any]) -> list[str]:
    lines = []
    for name, section in report["suites"].items():
        lines += [f"{name}  ({section['n']:,} items)"]
        width = max((len(key) for key in section["figures"]), default=0)
        for key, value in section["figures"].items():
            interval = bracketed(_interval(section, key), "  ")
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
        missing = f"; missing: {', '.join(group['missing'])}" if group["missing"] else ""
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
    """Missing answers and verdicts, one line per model."""
    lines = []
    for model in section.get("models") or []:
        if not isinstance(model, dict):
            continue
        missing = sum((model.get("missing") or {}).values())
        counts = [
            f"{count:,} {fault}"
            for count, fault in (
                (missing, "without an answer"),
                (model.get("empty"), "empty"),
                (model.get("cut"), "cut at the token limit"),
            )
            if count
        ]
        if counts:
            lines.append(f"answers of {model['model']}: {', '.join(counts)}")
    judge = section.get("judge")
    judge = judge if isinstance(judge, dict) else {}
    panel = section.get("panel") or judge.get("panel")
    if panel:
        means = ", ".join(f"{row['judge']} {number(row['mean'], 3)}" for row in panel["judges"])
        lines.append(
            f"panel of {len(panel['judges'])} judges: {means}; Krippendorff's α {number(panel['alpha'], 3)} "
            f"of {panel['n']:,}, {panel['left_out']:,} left out"
        )
    for one in judge.get("judges", [judge] if "questions" in judge else []):
        alone = f"{one['alone']:,} given alone, " if one.get("alone") else ""
        lines.append(
            f"judge {one['model']}: {one['questions']:,} questions, {one['asked_again']:,} asked "
            f"again, {alone}{one['unreadable']:,} unreadable, {one['failed']:,} failed"
        )
        lines += [f"  {count:,} × {reason}" for reason, count in one["reasons"].items()]
    if section.get("dropped"):
        lines.append(f"{section['dropped']:,} items left out for all models")
    return lines


def preference_lines(section: dict[str, Any]) -> list[str]:
    """Further results on self-preference: each judge, other judges by model family, agreement."""
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
                lines.append(
                    f"      {family:<20} {number(row['share'], 3):>6}{bracketed(row['interval'])}  {row['models']} models, "
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
    suites = report["suites"]
    return table([(r["suite"], f"{r['about']}; needs {', '.join(r['needs'])}") for r in suites])


def prompt_lines(report: dict[str, Any]) -> list[str]:
    lines = []
    for row in report["prompts"]:
        lines += [f"{row['name']}-{row['version']}  ({', '.join(row['suites'])})", ""]
        lines += [f"    {line}".rstrip() for line in row["words"].splitlines()] + [""]
    return lines[:-1]


def figure(report: dict[str, Any]) -> Figure:
    """Right answers of all suites, then the figures of each kind of suite."""
    suites = report["suites"]
    heads = {name: _head(section, _SHARES) for name, section in suites.items()}
    right = [(name, suites[name], head) for name, head in heads.items() if head]
    panels = [_bars("Right answers", "share of items, 95 %", right)] if right else []
    diagrams = [_reliability(n, s) for n, s in suites.items() if s.get("reliability")]
    panels += diagrams[:_MOST_DIAGRAMS]
    for name, section in suites.items():
        panels += _panels(name, section)
    finding = ""
    if right:
        head = right[0][2]
        values = {name: one["figures"][head] for name, one, other in right if other == head}
        finding = extremes(plain(head).capitalize(), values)
    return Figure(
        "Evaluation",
        panels,
        "Reliability: the accuracy of answers by the model's confidence (ten bins of equal width); a "
        "calibrated model is on the line. Pies: answers by model for each quality and harmfulness; the "
        "area is their number.",
        finding=finding,
    )


def _head(section: Section, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in section["figures"]), None)


def _panels(name: str, section: Section) -> list[Panel]:
    """The panels of a suite, by its kind."""
    kind = section["kind"]
    if kind == "perplexity":
        rows = [row for row in section["domains"] if row["perplexity"]]
        values = [row["perplexity"] for row in rows]
        return [bars(name, "perplexity", [row["domain"] for row in rows], values)]
    if kind == "self-preference":
        return [_preferences(judge) for judge in section["judges"]]
    if kind == "danger-zone" and section["cells"]:
        return [_zone(section)]
    if kind == "followbench":
        series = []
        for row in section["models"]:
            rates = {n: row["figures"].get(f"hsr_level_{n}") for n in range(1, 6)}
            known = {level: rate for level, rate in rates.items() if rate is not None}
            if known:
                series.append(Series(row["model"], list(known), list(known.values())))
        labels = ("FollowBench", "level", "hard satisfaction rate")
        return [Panel(*labels, series, from_zero=True)] if series else []
    if kind in _HEADS_OF_MODELS:
        head, models = _HEADS_OF_MODELS[kind], [row["model"] for row in section["models"]]
        keys = {model: head if len(models) == 1 else f"{model}: {head}" for model in models}
        scored = [(m, section, k) for m, k in keys.items() if section["figures"].get(k) is not None]
        return [_bars(name, f"{plain(head)}, 95 %", scored)] if scored else []
    return []


def _bars(title: str, label: str, rows: list[tuple[str, Section, str]]) -> Panel:
    """A bar with its interval for each (name, section, name of the number)."""
    values = [section["figures"][key] for _, section, key in rows]
    intervals = [
        _interval(section, key) or [value, value]
        for (_, section, key), value in zip(rows, values, strict=True)
    ]
    return bars(title, label, [name for name, _, _ in rows], named(label, values, intervals))


def _interval(section: Section, key: str) -> list[float] | None:
    return (section.get("intervals") or {}).get(key)


def _reliability(name: str, section: Section) -> Panel:
    rows = section["reliability"]["equal_width"]
    series = [
        Series("calibrated", [0, 1], [0, 1], reference=True),
        Series("model", [row["confidence"] for row in rows], [row["accuracy"] for row in rows]),
    ]
    title = f"{name}: ECE {number(section['figures']['ece'], 3)}"
    return Panel(title, "confidence", "accuracy", series, from_zero=True)


def _zone(section: Section) -> Panel:
    """A pie for each quality and harmfulness, with a slice for each model."""
    grid = [(x, y) for y in range(1, 6) for x in range(1, 6)]
    x, y = [x for x, _ in grid], [y for _, y in grid]
    cells = {(cell["quality"], cell["harmfulness"]): cell["models"] for cell in section["cells"]}
    series = []
    for row in section["models"]:
        counts = [cells.get(place, {}).get(row["model"], 0) for place in grid]
        series.append(Series(row["model"], x, y, "pies", weights=counts))
    title = "Danger zone: quality and harmfulness both 4 or 5"
    return Panel(title, "quality", "harmfulness", series)


def _preferences(judge: dict[str, Any]) -> Panel:
    keys = [key for key, v in judge["figures"].items() if key.startswith("S ") and v is not None]
    rows = [(key.removeprefix("S "), judge, key) for key in keys]
    title = f"Preferences of {judge['judge']} (0.5: none)"
    return _bars(title, "mean preference, 95 %", rows)


def story(report: dict[str, Any]) -> Story:
    """The suites' figures, and the warnings against a baseline."""
    lines, tables = [], []
    for name, section in report["suites"].items():
        head = _head(section, HEADS)
        if head is not None:
            interval = _interval(section, head)
            value = number(section["figures"][head]) + (f" ({reach(interval)})" if interval else "")
            lines.append(f"{name}: {plain(head)} {value}, {section['n']:,} items.")
        rows = [(*pair, _interval(section, pair[0])) for pair in section["figures"].items()]
        columns = (
            ("figure", lambda row: plain(row[0])),
            ("value", lambda row: row[1]),
            ("95 %", lambda row: reach(row[2])),
        )
        tables.append(table_of(name, rows, columns))
    for row in report.get("baseline", []):
        lines.append(f"{row['suite']} against the baseline: {row['state']}.")
    return Story("Evaluation", lines, tables)


_LABELS = {"ece": "ECE", "perplexity_micro": "perplexity (micro average)"}


def _quantities(report: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The label of each quantity, and its curves."""
    for quantity in dict.fromkeys(curve["quantity"] for curve in report["curves"]):
        curves = [curve for curve in report["curves"] if curve["quantity"] == quantity]
        yield _LABELS.get(quantity, quantity.replace("_", " ")), curves


def mixtures_figure(report: dict[str, Any]) -> Figure:
    panels = []
    for label, curves in _quantities(report):
        series = []
        for curve in curves:
            shares = [100 * share for share in curve["shares"]]
            low, high = (curve["low"], curve["high"]) if max(curve["runs"]) > 1 else (None, None)
            series.append(Series(curve["name"], shares, curve["mean"], low=low, high=high))
        panels.append(Panel(label[0].upper() + label[1:], "synthetic share (%)", label, series))
    return Figure(
        "Mixture curves",
        panels,
        f"{len(report['reports'])} runs by the share of synthetic text that they were trained on. "
        "With several runs per share, the line is their mean and the band their range.",
    )


def mixtures_story(report: dict[str, Any]) -> Story:
    lines, tables = [], []
    for label, curves in _quantities(report):
        for curve in curves:
            shares, mean = curve["shares"], curve["mean"]
            ends = f"{number(mean[0])} at {percent(shares[0])}"
            if len(shares) > 1:
                ends += f", {number(mean[-1])} at {percent(shares[-1])}"
            lowest = mean.index(min(mean))
            if lowest not in (0, len(mean) - 1):
                ends += f"; lowest at {percent(shares[lowest])}: {number(mean[lowest])}"
            lines.append(f"{curve['name']}, {label} by synthetic share: {ends}.")
        rows = [
            [percent(share), str(curves[0]["runs"][place])]
            + [number(curve["mean"][place]) for curve in curves]
            for place, share in enumerate(curves[0]["shares"])
        ]
        head = ["synthetic", "runs", *(curve["name"] for curve in curves)]
        tables.append(Table(f"{label}, mean of the runs", head, rows))
    return Story("Mixtures", lines, tables)
