"""The report of ``synth origin``: how much of a corpus is synthetic, or why that cannot be estimated."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NotRequired, TypedDict

from synthtools.reports import document
from synthtools.reports.document import number, percent, table
from synthtools.reports.figures.chart import (
    Figure,
    Panel,
    Series,
    Story,
    bars,
    named,
    pairs,
    table_of,
)


class Judgement(TypedDict, total=False):
    """``share`` and its derived fields are null if the verdict is ``not calibrated``; then ``why`` gives the reason.
    ``documents``: used for the estimate; those ``too_short`` or in a language that no source has
    (``other_language``) were not."""

    verdict: str
    share: float | None
    interval: list[float] | None
    token_share: float | None
    token_interval: list[float] | None
    documents: int
    too_short: int
    other_language: int
    why: str | None
    misfit: dict[str, float]
    methods: dict[str, float]
    errors: dict[str, float]


class OriginReport(Judgement, document.BaseReport):
    """A ``Judgement`` of the whole corpus and of each group; none if only a calibration was made. ``scores``:
    densities of the log-odds of both classes and of the corpus."""

    tokens_looked_at: int
    sources: list[dict[str, Any]]
    by: NotRequired[dict[str, Judgement]]
    auc: NotRequired[float]
    scores: NotRequired[dict[str, list[float]]]


def share_text(share: float | None, interval: list[float] | None) -> str:
    """A share with its interval, in percent."""
    if share is None or interval is None:
        return "–"
    low, high = (f"{100 * end:.1f}" for end in interval)
    return f"{percent(share, '.1f')} ({low} … {high})"


def lines(report: OriginReport) -> list[str]:
    """The verdict, the shares, the groups, the calibration."""
    groups = [
        (name, share_text(one["share"], one["interval"]) if one["why"] is None else one["verdict"])
        for name, one in report.get("by", {}).items()
    ]
    why = report.get("why")
    return [
        *table(list(_rows(report))),
        *(["", *table(groups)] if groups else []),
        *(["", f"not calibrated for this corpus: {why}"] if why else []),
        *_alone(report),
    ]


def _alone(report: OriginReport) -> list[str]:
    """A caveat on what the interval does not cover."""
    labels = [one["label"] for one in report["sources"]]
    alone = [label for label in ("human", "synthetic") if labels.count(label) == 1]
    if report.get("share") is None or not alone:
        return []
    source = f"One {' and one '.join(alone)} source"
    unknown = "the interval does not cover the choice of sources"
    return [f"{source}: {unknown}. Give several, by domain or model."]


def _rows(report: OriginReport) -> Iterator[tuple[str, str]]:
    if "verdict" in report:
        yield "verdict", report["verdict"]
        yield "synthetic documents, 95 %", share_text(report["share"], report["interval"])
        yield "synthetic tokens, 95 %", share_text(report["token_share"], report["token_interval"])
        yield "documents judged", number(report["documents"])
        yield "too short", number(report["too_short"])
        if report["other_language"]:
            yield "of another language", number(report["other_language"])
        yield "AUC of the calibration", number(report["auc"])
        if "misfit" in report:
            yield "p of the fit", number(report["misfit"]["p_value"])
    for one in report["sources"]:
        yield f"{one['label']}: {one['name']}", number(one["documents"])


def figure(report: OriginReport) -> Figure:
    """The shares by group with their intervals, and the distributions of scores."""
    if "scores" not in report or "by" not in report:
        return Figure("Origin")
    judged = {"corpus": report, **report["by"]}
    known = {name: one for name, one in judged.items() if one["share"] is not None}
    panels = []
    if known:
        shares = [100 * (one["share"] or 0.0) for one in known.values()]
        ends = [[100 * end for end in one["interval"] or ()] for one in known.values()]
        panels.append(bars("Share", "synthetic, %", list(known), named("synthetic", shares, ends)))
    scores = report["scores"]
    edges = scores["edges"]
    middles = [(a + b) / 2 for a, b in pairwise(edges)]
    series = [
        Series("corpus", edges, scores["corpus"], "bars"),
        Series("human sources", middles, scores["human"]),
        Series("synthetic sources", middles, scores["synthetic"]),
    ]
    labels = ("Scores", "log-odds of synthetic", "density")
    panels.append(Panel(*labels, series, from_zero=True))
    return Figure(
        "Origin",
        panels,
        "Bars with 95 % intervals. If the corpus's scores are not a mixture of both curves, no share is "
        "given.",
    )


def story(report: OriginReport) -> Story:
    """The result in sentences."""
    if "verdict" not in report:
        line = f"A calibration with {len(report['sources'])} sources."
    elif report["share"] is None:
        line = f"Not calibrated for this corpus: {report['why']}."
    else:
        line = (
            f"{share_text(report['share'], report['interval'])} of the documents and "
            f"{share_text(report['token_share'], report['token_interval'])} of the tokens are synthetic, if its "
            "synthetic text is like that of the sources."
        )
    tables = [pairs("Origin", _rows(report))]
    if report.get("by"):
        rows = [{"group": name, **one} for name, one in report["by"].items()]
        share = ("share", lambda row: share_text(row["share"], row["interval"]))
        tables.append(table_of("Groups", rows, ("group", "verdict", share, "documents")))
    return Story("Origin", [line, *_alone(report)], tables)
