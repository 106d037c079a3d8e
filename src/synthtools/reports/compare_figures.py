"""The figures and tables of ``synth compare``."""

from __future__ import annotations

from typing import Any

from synthtools.reports import compare_sentences as words
from synthtools.reports.document import bracketed, number
from synthtools.reports.figures.chart import Figure, Panel, Series, Table, bars, named, table_of

SERIES = (
    ("perplexity ratio", "perplexity", "ratio"),
    ("distinct words, ratio", "diversity", "distinct_words"),
    ("near duplicates within", "near_duplicates", "within_other"),
    ("near duplicates of the reference", "near_duplicates", "between"),
    ("reference hardly entered", "coverage", "hardly_entered"),
    ("AUC of a classifier", "classifier", "auc"),
)


def series_table(report: Any) -> Table:
    """The main numbers of every corpus, in the order of the inputs; ≠ marks questions with a difference."""
    pairs = report["pairs"]
    rows = [
        [title, *(number(pair["numbers"][group].get(name), 3) for pair in pairs)]
        for title, group, name in SERIES
    ]
    for index, answer in enumerate(pairs[0]["answers"]):
        marks = ["≠" if pair["answers"][index]["differs"] else "=" for pair in pairs]
        rows.append([words.TITLES[answer["question"]], *marks])
    title = f"Each corpus against {report['reference']}"
    return Table(title, ["", *(pair["other"] for pair in pairs)], rows)


def pictures(report: Any, pair: Any) -> dict[str, Figure]:
    """A figure for each question that has one."""
    names = [pair["reference"], pair["other"]]
    known = [one["name"] for one in report["corpora"]]
    figures: dict[str, Figure] = {}
    if report["histogram"]["edges"]:
        panel = histogram(report, names)
        figures["perplexity"] = Figure(
            "Perplexity", [panel], "Documents by perplexity over equally many tokens.", known
        )
    for question, title, label in (
        ("diversity", "Diversity", "difference from the reference (%)"),
        ("form", "Form", "difference in standard deviations"),
    ):
        answer = next((a for a in pair["answers"] if a["question"] == question), None)
        drawn = [e for e in answer["effects"] if e["value"] is not None] if answer else []
        if drawn:
            figures[question] = Figure(
                title, [_effects(title, label, drawn)], f"{pair['other']} against {names[0]}."
            )
    points = report["map"]["points"]
    if points:
        series = [
            Series(name, [x for x, _ in some], [y for _, y in some], "points", corpus=name)
            for name, some in zip(known, points, strict=True)
            if name in names
        ]
        panel = Panel("Documents", "", "", series, is_map=True)
        figures["coverage"] = Figure(
            "Map of documents", [panel], "Each mark is a document; nearby ones are similar.", known
        )
    return figures


def histogram(report: Any, names: list[str]) -> Panel:
    shown = report["histogram"]
    known = [one["name"] for one in report["corpora"]]
    series = [
        Series(name, shown["edges"], [100 * s for s in shares], "bars", corpus=name)
        for name, shares in zip(known, shown["shares"], strict=True)
        if name in names
    ]
    return Panel("Perplexity", "perplexity", "documents (%)", series, x_log=True, from_zero=True)


def _effects(title: str, label: str, effects: Any) -> Panel:
    """Differences with their intervals; ratios as differences in per cent."""
    names = [words.effect_name(e).removesuffix(", ratio") for e in effects]
    drawn = [[e["value"], *(e["interval"] or [e["value"]] * 2)] for e in effects]
    if label.endswith("(%)"):
        drawn = [[100 * (one - 1) for one in row] for row in drawn]
    values = [value for value, _, _ in drawn]
    series = named(label, values, [row[1:] for row in drawn])
    return bars(title, label, names, series, from_zero=False)


def effects_table(pair: Any, answer: Any) -> Table:
    columns = (
        ("effect", words.effect_name),
        "value",
        ("interval", lambda effect: bracketed(effect["interval"], "") or "–"),
        ("no difference", "none"),
        ("differs", lambda effect: "yes" if effect["differs"] else "no"),
    )
    title = f"{words.TITLES[answer['question']]} {pair['other']} against {pair['reference']}"
    return table_of(title, answer["effects"], columns)
