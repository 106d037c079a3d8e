"""Groups of texts by diversity: how the vocabulary grows, and who repeats themselves."""

from __future__ import annotations

from typing import Any

from synthtools.cli.diversity_tables import at, by_diversity, ends
from synthtools.cli.pictures.chart import Panel, Picture, Series, Story, Table, bars, extremes
from synthtools.errors import SynthError
from synthtools.reports.document import number

# Curves that can be told apart without colour; of more groups the most and the least diverse.
_CURVES = 8
_WITHIN, _POOLED = ("lexical_diversity", "within"), ("lexical_diversity", "pooled")
_FIGURES = {
    "documents": ("documents",),
    "words a document": ("lengths", "words", "mean"),
    "Heaps β": ("heaps", "beta"),
    "MTLD": ("vocabulary", "of_documents", "mtld", "mean"),
    "100 − self-BLEU, within": _WITHIN,
    "100 − self-BLEU, pooled": _POOLED,
    "semantic": ("semantic_diversity", "value"),
}


def picture(report: dict[str, Any]) -> Picture:
    """Of a report of ``stats``: growth of the vocabulary, and groups by lexical diversity.

    Raises:
        SynthError: neither has been measured.
    """
    groups = by_diversity(list(report["groups"]))
    curves = [group for group in groups if at(group, ("heaps", "curve"))]
    if len(curves) > _CURVES:
        curves = [*curves[: _CURVES // 2], *curves[-_CURVES // 2 :]]
    scored = [g for g in groups if at(g, _WITHIN) is not None or at(g, _POOLED) is not None]
    # Of more groups than there is room for, the most and the least diverse.
    scored = [group for group in ends(scored) if group is not None]
    if not curves and not scored:
        raise SynthError("no group has a curve of Heaps' law or lexical diversity to draw")
    panels = []
    if curves:
        growth = [
            Series(
                _named(group),
                group["heaps"]["curve"]["words"],
                group["heaps"]["curve"]["distinct"],
                corpus=group["name"],
            )
            for group in curves
        ]
        panels.append(
            Panel(
                "Growth of the vocabulary", "words, n", "distinct words, V(n)", growth, True, True
            )
        )
    if scored:
        names = [group["name"] for group in scored]
        series = [
            Series(word, [_or_zero(at(group, path)) for group in scored], form="named")
            for word, path in (("within a document", _WITHIN), ("documents pooled", _POOLED))
            if any(at(group, path) is not None for group in scored)
        ]
        panels.append(bars("Lexical diversity", "100 − self-BLEU (points)", names, *series))
    return Picture(
        "Diversity",
        panels,
        "Left: distinct words against words read; the slope on these axes is Heaps' β. Right: how "
        "little sentences repeat one another; more is more diverse.",
        corpora=[group["name"] for group in report["groups"]],
        finding=extremes("Heaps' β", {g["name"]: at(g, ("heaps", "beta")) for g in groups}),
    )


def story(report: dict[str, Any]) -> Story:
    """Who is most and least diverse, which tests tell the groups apart, and all in a table."""
    groups = by_diversity(list(report["groups"]))
    columns = {
        word: path
        for word, path in _FIGURES.items()
        if any(at(g, path) is not None for g in groups)
    }
    rows = [
        [
            group["name"],
            *("–" if at(group, p) is None else number(at(group, p)) for p in columns.values()),
        ]
        for group in ends(groups)
        if group is not None
    ]
    lines = []
    if len(groups) > 1:
        lines.append(f"Most diverse: {groups[0]['name']}; least: {groups[-1]['name']}.")
    for name, found in (report.get("tests") or {}).items():
        p = at(found, ("kruskal_wallis", "p"))
        if p is not None:
            lines.append(f"{name.replace('_', ' ')}: Kruskal–Wallis {_p(p)} over the groups.")
    return Story("Diversity", lines, [Table(_title(groups, rows), ["", *columns], rows)])


def _title(groups: list[dict[str, Any]], rows: list[list[str]]) -> str:
    if len(rows) == len(groups):
        return "Groups"
    return f"The first and last {len(rows) // 2} of {len(groups):,} groups"


def _named(group: dict[str, Any]) -> str:
    beta = at(group, ("heaps", "beta"))
    return group["name"] if beta is None else f"{group['name']} (β = {beta:.3f})"


def _p(value: float) -> str:
    """A p-value; below the smallest number that a computer knows it is not 0."""
    return f"p = {number(value)}" if value > 0 else "p < 1e-300"


def _or_zero(value: float | None) -> float:
    return 0.0 if value is None else value
