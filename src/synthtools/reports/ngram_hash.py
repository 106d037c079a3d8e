"""The reports of ``synth ngram-hash``: responses, their comparison, near-duplicates, density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

import numpy as np

from synthtools.reports import document
from synthtools.reports.document import cut, number, table
from synthtools.reports.figures.chart import (
    Figure,
    Panel,
    Series,
    Story,
    Table,
    bars,
    extremes,
    table_of,
)

_SHOWN = 10
_NAME = 20
_FIGURES = (
    ("documents", "documents"),
    ("n-grams", "ngrams"),
    ("entropy (nats)", "entropy"),
    ("effective buckets", "effective_buckets"),
    ("Gini", "gini"),
    ("share of the fullest 1 %", "top_1_percent"),
    ("share of the fullest 10 %", "top_10_percent"),
    ("empty buckets", "empty_buckets"),
)
_DIVERGENCES = (
    ("Jensen–Shannon (nats)", "js"),
    ("KL left‖right", "kl_left_right"),
    ("KL right‖left", "kl_right_left"),
    ("total variation", "total_variation"),
    ("cosine", "cosine"),
)
_DUPLICATES = (
    ("documents", "documents"),
    ("pairs", "pairs_found"),
    ("clusters", "clusters"),
    ("documents in clusters", "documents_in_clusters"),
    ("largest cluster", "largest_cluster"),
)


class Top(TypedDict):
    total: int
    count_too_low_by_at_most: int
    ngrams: list[tuple[str, int]]


class Response(TypedDict):
    """A corpus by hash bucket; numbers are None without n-grams."""

    documents: int
    bytes: int
    ngrams: int
    entropy: float | None
    effective_buckets: float | None
    gini: float | None
    top_1_percent: float | None
    top_10_percent: float | None
    empty_buckets: int
    top: dict[str, Top]
    response: list[int]


class Input(Response):
    name: str


class ResponsePair(TypedDict):
    """Divergences of two responses, in nats; over-represented n-grams of each side by length."""

    left: str
    right: str
    kl_left_right: float | None
    kl_right_left: float | None
    js: float | None
    total_variation: float | None
    cosine: float | None
    buckets: list[dict[str, Any]]
    over_represented: dict[str, dict[str, list[dict[str, Any]]]]


class ResponseReport(Response, document.BaseReport):
    n: list[int]
    buckets: int
    hash: str


class ResponseComparison(document.BaseReport):
    n: list[int]
    buckets: int
    hash: str
    inputs: list[Input]
    pairs: list[ResponsePair]


class PairsByInput(TypedDict):
    left: str
    right: str
    pairs: int


class Duplicates(document.BaseReport):
    threshold: float
    permutations: int
    shingle: int
    documents: int
    pairs_found: int
    clusters: int
    documents_in_clusters: int
    largest_cluster: int
    cluster_sizes: list[tuple[int, int]]
    by_input: list[PairsByInput]
    pairs: NotRequired[list[dict[str, Any]]]


class Density(document.BaseReport):
    documents: int
    mean: float | None
    median: float | None
    percentiles: dict[str, float] | None


def lines(report: ResponseReport) -> list[str]:
    lines = _table(report, _FIGURES)
    for n, top in report["top"].items():
        ngrams = ", ".join(f"“{ngram}” {count:,}" for ngram, count in top["ngrams"][:_SHOWN])
        lines += ["", f"{n}-grams: {ngrams}"]
    return lines


def comparison_lines(report: ResponseComparison) -> list[str]:
    inputs: Sequence[Mapping[str, Any]] = report["inputs"]
    wide = max(len(name) for name, _ in _FIGURES)
    lines = [" " * wide + "".join(f"  {cut(one['name'], _NAME):>{_NAME}}" for one in inputs)]
    for name, key in _FIGURES:
        cells = (f"  {number(one[key]):>{_NAME}}" for one in inputs)
        lines.append(f"{name:<{wide}}" + "".join(cells))
    for pair in report["pairs"]:
        lines += ["", f"{pair['left']}  against  {pair['right']}", *_table(pair, _DIVERGENCES)]
        for n, sides in pair["over_represented"].items():
            for side in ("left", "right"):
                ngrams = ", ".join(f"“{row['ngram']}”" for row in sides[side][:_SHOWN])
                lines.append(f"{n}-grams of {pair[side]}: {ngrams}")
    return lines


def duplicates_lines(report: Duplicates) -> list[str]:
    pairs = [
        (f"pairs {cut(row['left'], _NAME)} – {cut(row['right'], _NAME)}", number(row["pairs"]))
        for row in report["by_input"]
    ]
    values: Mapping[str, Any] = report
    rows = [(name, number(values[key])) for name, key in _DUPLICATES]
    return table(rows + pairs)


def density_lines(report: Density) -> list[str]:
    return _table(report, [(name, name) for name in ("documents", "mean", "median")])


def _table(report: Mapping[str, Any], figures: Sequence[tuple[str, str]]) -> list[str]:
    return table([(name, number(report[key])) for name, key in figures])


_BINS = 30


def figure(report: ResponseReport | ResponseComparison) -> Figure:
    """The distribution of n-grams per bucket, and buckets by rank."""
    inputs = _inputs(report)
    relative, by_rank, empty = {}, [], {}
    for one in inputs:
        counts = np.array(one["response"], np.int64)
        shares = counts / max(1, counts.sum())
        filled = np.sort(shares[shares > 0])[::-1]
        relative[one["name"]] = shares[shares > 0] * len(shares)
        if len(filled) < len(shares):
            empty[one["name"]] = len(shares) - len(filled)
        by_rank.append(Series(one["name"], np.arange(1, len(filled) + 1), filled))
    note = ""
    if empty:
        numbers = ", ".join(f"{name} {count:,}" for name, count in empty.items())
        if len(empty) > 2:
            numbers = f"{min(empty.values()):,} to {max(empty.values()):,}"
        note = f"empty of {report['buckets']:,} buckets: {numbers}"
    label = "n-grams in a bucket / mean of the buckets"
    full = ("How full buckets are", label, "filled buckets per bin (%)", _densities(relative))
    panels = [
        Panel(*full, x_log=True, from_zero=True, note=note),
        Panel("Fullest first", "rank of the bucket", "share of the n-grams", by_rank, True, True),
    ]
    effective = {one["name"]: one.get("effective_buckets") for one in inputs if len(inputs) > 1}
    return Figure(
        "Hashed n-gram response",
        panels,
        "The share of the n-grams in each hash bucket (ToEdit's response). Left: the wider, the less "
        "even the distribution. Right: a curve that starts higher and falls sooner means a more "
        "concentrated, more repetitive corpus.",
        corpora=[one["name"] for one in inputs],
        finding=extremes("Effective number of buckets", effective),
    )


def _inputs(report: ResponseReport | ResponseComparison) -> list[Input]:
    """The corpora of a comparison, or the one corpus of a report."""
    values: Mapping[str, Any] = report
    return values.get("inputs") or [cast(Input, {**report, "name": "all"})]


def _densities(relative: dict[str, np.ndarray]) -> list[Series]:
    """Filled buckets by number of n-grams, in percent of each corpus, over a common range."""
    every = np.concatenate(list(relative.values()))
    if not len(every):
        return []
    ends = (every.min(), every.max())
    low, high = np.log10(ends)
    edges = np.logspace(low, high, _BINS + 1) if high > low else np.array([0.5, 2]) * ends[0]
    edges[0], edges[-1] = min(edges[0], *ends), max(edges[-1], *ends)
    return [
        Series(name, edges, 100 * np.histogram(v, edges)[0] / max(1, len(v)), "bars")
        for name, v in relative.items()
    ]


_CONCENTRATION = ("documents", "ngrams", "effective_buckets", "entropy", "gini", "top_1_percent")
_PAIR = ("js", "total_variation", "cosine", "kl_left_right", "kl_right_left")
_SHOWN_ON_A_PAGE = 12


def story(report: ResponseReport | ResponseComparison) -> Story:
    """Concentration of each corpus, divergences, over-represented n-grams."""
    inputs = _inputs(report)
    tables = [table_of("Concentration", inputs, [("", "name"), *_CONCENTRATION])]
    lines = [
        f"{one['name']}: its {number(one['ngrams'])} n-grams spread as if over "
        f"{number(one['effective_buckets'])} of {report['buckets']:,} buckets."
        for one in inputs
    ]
    compared: Mapping[str, Any] = report
    effective = {one["name"]: one["effective_buckets"] for one in reversed(inputs)}
    for pair in compared.get("pairs", []):
        names = (pair["left"], pair["right"])
        left, right = (effective[name] for name in names)
        if left is not None and right is not None:
            lines.append(
                f"{names[1]} spreads over {100 * right / left:.0f} % as many buckets as {names[0]} "
                f"(effective number {number(right)} against {number(left)}); Jensen–Shannon "
                f"divergence {number(pair['js'])} nats of at most 0.693."
            )
        tables.append(table_of(f"{names[0]} against {names[1]}", [pair], _PAIR))
        for n, sides in pair["over_represented"].items():
            rows = [
                [pair[side], ", ".join(f"“{row['ngram']}”" for row in ngrams[:_SHOWN_ON_A_PAGE])]
                for side, ngrams in sides.items()
                if ngrams
            ]
            if rows:
                tables.append(Table(f"Over-represented {n}-grams", ["corpus", "n-grams"], rows))
    return Story("Hashed n-grams", lines, tables)


def density_figure(report: Density) -> Figure:
    percentiles = report["percentiles"]
    if percentiles is None:
        return Figure("Density")
    marks, values = [float(mark) for mark in percentiles], list(percentiles.values())
    labels = ("density (records in the same bucket)", "documents up to this density (%)")
    series = [Series("documents", values, marks)]
    panel = Panel("Documents by density", *labels, series, x_log=min(values) > 0, from_zero=True)
    return Figure(
        "Density of vectors",
        [panel],
        "Percentiles of the density sketch: farther right means more neighbours.",
        finding=extremes("Median density", {"": percentiles.get("50")}),
    )


def duplicates_figure(report: Duplicates) -> Figure:
    rows, documents = report["by_input"], report.get("documents", 0)
    panels, finding = [], ""
    if documents:
        finding = f"No near-duplicates among {documents:,} documents"
        if doubled := report["documents_in_clusters"]:
            finding = (
                f"{100 * doubled / documents:.3g} % of {documents:,} documents are in "
                f"{report['clusters']:,} clusters of near-duplicates, the largest of "
                f"{report['largest_cluster']:,}"
            )
        sizes = {"alone": documents - report["documents_in_clusters"]}
        for size, clusters in report.get("cluster_sizes", []):
            least = 1 << size.bit_length() - 1
            name = f"{least} to {2 * least - 1}" if least > 2 else f"{size}"
            sizes[name] = sizes.get(name, 0) + size * clusters
        title = "Documents by size of cluster"
        panels.append(bars(title, "documents", list(sizes), list(sizes.values())))
    if rows:
        names = [" – ".join(dict.fromkeys((row["left"], row["right"]))) for row in rows]
        counts = [row["pairs"] for row in rows]
        panels.append(bars("Pairs of near-duplicates", "pairs", names, counts))
    return Figure(
        "Near-duplicates",
        panels,
        f"Documents that share at least {report['threshold']:g} of their shingles are a pair; documents "
        "linked by pairs form a cluster.",
        finding=finding,
    )


comparison_figure, comparison_story = figure, story
