"""The report of ``synth stats``: groups by diversity, and growth of the vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NotRequired, TypedDict

from synthtools.errors import SynthError, parameter
from synthtools.reports import document, keyword_lists
from synthtools.reports.document import cut, number, reach, table
from synthtools.reports.figures.chart import (
    Figure,
    Panel,
    Series,
    Story,
    bars,
    extremes,
    named,
    plain,
    table_of,
)

_NAME = 30
_WORDS_SHOWN = 8
# A table has at most so many groups; with more, the first and the last.
_MOST = 200
_SHOWN = 25
# (heading, path of the number in a group)
_COLUMNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("documents", ("documents",)),
    ("words", ("lengths", "words", "percentiles", "50")),
    ("TTR", ("vocabulary", "ttr")),
    ("MTLD", ("vocabulary", "of_documents", "mtld", "percentiles", "50")),
    ("HD-D", ("vocabulary", "of_documents", "hdd", "percentiles", "50")),
    ("Heaps β", ("heaps", "beta")),
    ("distinct-2", ("ngrams", "2", "distinct_share")),
    ("zstd ratio", ("compression", "ratio")),
    ("100−BLEU", ("lexical_diversity", "within")),
    ("pooled", ("lexical_diversity", "pooled")),
    ("semantic", ("semantic_diversity", "value")),
    ("token entropy", ("tokens", "entropy")),
)
# Sorted by the first of these that is present, the most diverse group first.
_ORDER = (
    ("lexical_diversity", "pooled"),
    ("heaps", "beta"),
    ("vocabulary", "of_documents", "mtld", "percentiles", "50"),
    ("semantic_diversity", "value"),
)


class Curve(TypedDict):
    words: list[int]
    distinct: list[int]


class Heaps(TypedDict):
    """Heaps' law V(n) = K·n^β; None, with the reason, if there are too few words."""

    k: float | None
    k_interval: list[float] | None
    beta: float | None
    beta_interval: list[float] | None
    r_squared: float | None
    points: int
    curve: Curve | None
    reason: str | None


class Test(TypedDict):
    """Tests of one number of documents over the groups; None, with a reason, if untestable."""

    kruskal_wallis: dict[str, float] | None
    levene: dict[str, float] | None
    pairs: list[dict[str, Any]] | None
    left_out: list[str]
    reason: str | None


class GroupReport(TypedDict):
    """The measures of a group of texts; those not requested are missing."""

    name: str
    documents: int
    lengths: NotRequired[dict[str, Any]]
    vocabulary: NotRequired[dict[str, Any]]
    ngrams: NotRequired[dict[str, Any]]
    heaps: NotRequired[Heaps]
    sample: NotRequired[int]
    compression: NotRequired[dict[str, Any]]
    lexical_diversity: NotRequired[dict[str, Any]]
    openings: NotRequired[dict[str, Any]]
    tokens: NotRequired[dict[str, Any]]
    semantic_diversity: NotRequired[dict[str, Any]]
    rates: NotRequired[dict[str, dict[str, Any]]]


class StatsReport(document.BaseReport):
    by: str
    text_field: str
    measures: list[str]
    sampled_documents: int
    pooled_documents: int
    sampled_vectors: int
    words_taken: int
    matched_words: int | None
    in_full: bool
    groups: list[GroupReport]
    tests: dict[str, Test]
    tokenizer: NotRequired[str]
    over_represented_tokens: NotRequired[list[dict[str, Any]]]
    keywords: NotRequired[list[keyword_lists.KeywordComparison]]


def at(group: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a path of a group, or None."""
    value: Any = group
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def by_diversity(groups: list[GroupReport]) -> list[GroupReport]:
    """Groups, the most diverse first; those without a number last."""
    for path in _ORDER:
        if any(at(group, path) is not None for group in groups):
            values = partial(at, path=path)
            return sorted(groups, key=lambda one: (values(one) is None, -(values(one) or 0.0)))
    return groups


def ends(groups: list[GroupReport]) -> list[GroupReport]:
    """The groups for a table: all, or the first and last if there are too many."""
    return groups if len(groups) <= _MOST else [*groups[:_SHOWN], *groups[-_SHOWN:]]


def lines(report: StatsReport) -> list[str]:
    """A line per group, the most diverse first (medians over documents); tests; characteristic tokens."""
    groups = by_diversity(report["groups"])
    rates = dict.fromkeys(name for group in groups for name in group.get("rates") or {})
    columns = [*_COLUMNS, *((f"{name}/1,000", ("rates", name, "value")) for name in rates)]
    shown = [c for c in columns if any(at(group, c[1]) is not None for group in groups)]
    wide = min(_NAME, max((len(group["name"]) for group in groups), default=0))
    lines = [f"{'':<{wide}}" + "".join(f"  {name:>{_width(name)}}" for name, _ in shown)]
    for place, group in enumerate(ends(groups)):
        if place == _SHOWN and len(groups) > _MOST:
            more = f"… {len(groups) - 2 * _SHOWN:,} more"
            lines.append(f"{more}, all in the report ({parameter('json')})")
        cells = (f"  {number(at(group, path)):>{_width(name)}}" for name, path in shown)
        lines.append(f"{cut(group['name'], wide):<{wide}}" + "".join(cells))
    if len(groups) == 1:
        lines += _only(groups[0])
    if report["tests"]:
        lines += ["", *_tests(report["tests"])]
    for row in report.get("over_represented_tokens") or []:
        tokens = ", ".join(f"“{one['token']}”" for one in row["tokens"][:_WORDS_SHOWN])
        lines += ["", f"tokens of {row['group']}: {tokens}"]
    return lines + keyword_lists.lines(report.get("keywords") or [])


def _width(name: str) -> int:
    return max(9, len(name))


def _only(group: GroupReport) -> list[str]:
    rows = []
    for name, numbers in (group.get("lengths") or {}).items():
        middle = (numbers["percentiles"] or {}).get("50")
        rows.append((f"{name}: total, median", f"{number(numbers['total'])}, {number(middle)}"))
    heaps = group.get("heaps")
    if heaps and heaps["beta"] is not None:
        interval = reach(heaps["beta_interval"])
        rows.append(("Heaps K, β (95 %)", f"{number(heaps['k'])}, {interval}"))
    for name, numbers in (group.get("rates") or {}).items():
        interval = reach(numbers["interval"]) if numbers["interval"] else numbers["reason"]
        rows.append((f"{name} per 1,000 words (95 %)", f"{number(numbers['value'])}, {interval}"))
    for kind in ("openings", "templates"):
        for words, share in (group.get("openings") or {}).get(kind, [])[:3]:
            rows.append((kind, f"{100 * share:.1f} % “{words}”"))
    return ["", *table(rows)] if rows else []


def _tests(tests: dict[str, Test]) -> list[str]:
    rows = []
    for name, test in tests.items():
        if test["kruskal_wallis"] is None:
            rows.append((name, test["reason"] or ""))
            continue
        text = f"Kruskal–Wallis p {number(test['kruskal_wallis']['p'], 3)}"
        if test["levene"]:
            text += f", Levene p {number(test['levene']['p'], 3)}"
        if test["pairs"]:
            apart = sum(pair["p_holm"] < 0.05 for pair in test["pairs"])
            text += f", {apart:,} of {len(test['pairs']):,} pairs differ (Holm, 5 %)"
        rows.append((name, text))
    return table(rows)


# Curves distinguishable without colour; with more groups, the most and the least diverse.
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


def figure(report: StatsReport) -> Figure:
    """Growth of the vocabulary, groups by lexical diversity, keywords. Raises SynthError: none of them was
    measured."""
    groups = by_diversity(list(report["groups"]))
    curves = [group for group in groups if at(group, ("heaps", "curve"))]
    if len(curves) > _CURVES:
        curves = [*curves[: _CURVES // 2], *curves[-_CURVES // 2 :]]
    scored = [g for g in groups if at(g, _WITHIN) is not None or at(g, _POOLED) is not None]
    scored = ends(scored)
    keywords = report.get("keywords") or []
    panels = []
    if curves:
        growth = []
        for group in curves:
            name, curve, beta = group["name"], *(at(group, ("heaps", k)) for k in ("curve", "beta"))
            label = name if beta is None else f"{name} (β = {beta:.3f})"
            growth.append(Series(label, curve["words"], curve["distinct"], corpus=name))
        labels = ("Growth of the vocabulary", "words, n", "distinct words, V(n)")
        panels.append(Panel(*labels, growth, x_log=True, y_log=True))
    if scored:
        series = [
            named(word, [at(group, path) or 0.0 for group in scored])
            for word, path in (("within a document", _WITHIN), ("documents pooled", _POOLED))
            if any(at(group, path) is not None for group in scored)
        ]
        names = [group["name"] for group in scored]
        panels.append(bars("Lexical diversity", "100 − self-BLEU (points)", names, *series))
    caption = (
        "Left: distinct words against words read; the slope on these axes is Heaps' β. Right: how "
        "little sentences repeat each other; higher is more diverse. "
    )
    keyword_panels = keyword_lists.panels(keywords)
    if not panels and not keyword_panels:
        raise SynthError(
            "no group has a curve of Heaps' law, lexical diversity or keywords to draw"
        )
    finding = extremes("Heaps' β", {g["name"]: at(g, ("heaps", "beta")) for g in groups})
    return Figure(
        "Diversity" if panels else "Keywords",
        [*panels, *keyword_panels],
        caption * bool(panels) + "Keywords: more frequent in one corpus." * bool(keyword_panels),
        corpora=[group["name"] for group in report["groups"]],
        finding=finding or keyword_lists.finding(keywords),
    )


def story(report: StatsReport) -> Story:
    """The most and least diverse groups, tests, and a table."""
    groups = by_diversity(list(report["groups"]))
    shown = ends(groups)
    columns = [("", "name")] + [
        (word, partial(at, path=path))
        for word, path in _FIGURES.items()
        if any(at(g, path) is not None for g in groups)
    ]
    lines = []
    if len(groups) > 1:
        lines.append(f"Most diverse: {groups[0]['name']}; least: {groups[-1]['name']}.")
    for name, test in (report.get("tests") or {}).items():
        p = at(test, ("kruskal_wallis", "p"))
        if p is not None:  # it may underflow to 0
            value = f"p = {number(p)}" if p > 0 else "p < 1e-300"
            lines.append(f"{plain(name)}: Kruskal–Wallis {value} over the groups.")
    title = "Groups"
    if len(shown) < len(groups):
        title = f"The first and last {len(shown) // 2} of {len(groups):,} groups"
    keywords = report.get("keywords") or []
    finding = keyword_lists.finding(keywords)
    if finding:
        lines.append(finding[0].upper() + finding[1:] + ".")
    tables = [table_of(title, shown, columns), *keyword_lists.tables(keywords)]
    return Story("Diversity", lines, tables)
