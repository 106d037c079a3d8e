"""The report of ``synth ppl --summary``: the distribution of perplexity over one corpus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np

from synthtools.reports import document
from synthtools.reports.document import number, shares_in_bars, table
from synthtools.reports.figures.chart import (
    Figure,
    Panel,
    Series,
    Story,
    extremes,
    pairs,
    plain,
)

# The report has 50 bins; at most so many are shown on a screen.
_SHOWN_BINS = 20


class Counts(TypedDict):
    """Documents by bin, and the numbers outside."""

    counts: list[int]
    below: int
    above: int


class Histogram(Counts):
    edges: list[float]


class TokenProbability(TypedDict):
    edges: list[float]
    counts: list[int]
    shares: list[float]


class Distribution(TypedDict):
    """Perplexities of documents; None if no document has one."""

    documents: int
    unscored: int
    infinite: int
    tokens: int
    perplexity: float | None
    nll: float | None
    bits_per_byte: float | None
    median: float | None
    mean: float | None
    mean_cleaned: float | None
    outliers: int
    standard_deviation: float | None
    min: float | None
    max: float | None
    percentiles: dict[str, float] | None


class PerplexityReport(Distribution, document.BaseReport):
    bytes: int
    histogram: Histogram | None
    token_probability: TokenProbability | None


def lines(report: PerplexityReport) -> list[str]:
    percentiles = report["percentiles"] or {}
    rows = [
        ("documents", number(report["documents"])),
        ("unscored", number(report["unscored"])),
        ("tokens", number(report["tokens"])),
        ("perplexity (token-weighted)", number(report["perplexity"])),
        ("bits per byte", number(report["bits_per_byte"])),
        ("median", number(report["median"])),
        ("mean", number(report["mean"])),
        (f"mean without {report['outliers']:,} outliers", number(report["mean_cleaned"])),
        ("range", f"{number(report['min'])} … {number(report['max'])}"),
        (
            "percentiles " + " ".join(percentiles),
            " ".join(number(value, 3) for value in percentiles.values()),
        ),
    ]
    lines = table(rows)
    if report["histogram"]:
        lines += ["", "documents by perplexity", *_perplexity_bars(report["histogram"])]
    if report["token_probability"]:
        tokens = report["token_probability"]
        labels = [f"{a:.1f}–{a + 0.1:.1f}" for a in tokens["edges"][:-1]]
        lines += ["", "tokens by probability", *shares_in_bars(labels, tokens["shares"])]
    return lines


def _perplexity_bars(histogram: Histogram) -> list[str]:
    counts, edges = histogram["counts"], histogram["edges"]
    step = -(-len(counts) // _SHOWN_BINS)
    merged = [sum(counts[i : i + step]) for i in range(0, len(counts), step)]
    total = sum(counts) + histogram["below"] + histogram["above"]
    labels = [number(edges[i], 3) for i in range(0, len(counts), step)]
    lines = shares_in_bars(labels, [count / total for count in merged])
    if histogram["above"]:
        lines.append(f"{histogram['above']:,} above {number(edges[-1], 3)}")
    if histogram["below"]:
        lines.insert(0, f"{histogram['below']:,} below {number(edges[0], 3)}")
    return lines


def figure(report: PerplexityReport) -> Figure:
    """Documents by perplexity, tokens by probability (ToEdit, figure 2)."""
    panels = []
    histogram, tokens = report["histogram"], report["token_probability"]
    if histogram:
        total = documents_in(histogram)
        # At most the number of bins by Rice's rule, of equal width: more would show noise.
        size = len(histogram["counts"])
        least = size / math.ceil(2 * total ** (1 / 3))
        step = next(k for k in range(1, size + 1) if size % k == 0 and (k >= least or k == size))
        starts = np.arange(0, size, step)
        shares = 100 * np.add.reduceat(np.array(histogram["counts"]), starts) / total
        edges = [*(histogram["edges"][start] for start in starts), histogram["edges"][-1]]
        series = Series("documents", edges, shares, "bars")
        note = beyond({"": histogram}, edges[0], edges[-1])
        labels = ("Documents", "perplexity", "documents per bin (%)")
        panels.append(Panel(*labels, [series], from_zero=True, note=note))
    if tokens:
        shares = 100 * np.array(tokens["shares"])
        series = Series("tokens", tokens["edges"], shares, "bars", corpus="documents")
        labels = ("Tokens", "probability of the token", "tokens (%)")
        panels.append(Panel(*labels, [series], from_zero=True))
    return Figure(
        "Perplexity",
        panels,
        "Left: the distribution of the documents' perplexities, without outliers beyond 1.5 interquartile "
        "ranges. Right: the model's probabilities of tokens.",
        finding=extremes("Median perplexity", {"": report.get("median")}),
    )


def documents_in(histogram: Mapping[str, Any]) -> int:
    return int(sum(histogram["counts"]) + histogram["below"] + histogram["above"])


def beyond(histograms: Mapping[str, Mapping[str, Any]], low: float, high: float) -> str:
    """The number of documents outside the histograms, by corpus."""
    parts = []
    documents = sum(map(documents_in, histograms.values()))
    for side, end in (("below", low), ("above", high)):
        counts = {name: one[side] for name, one in histograms.items() if one[side]}
        if counts:
            few = len(counts) <= 2
            whose = ", ".join(f"{name} {n:,}" for name, n in counts.items() if name and few)
            total = f"{sum(counts.values()):,} of {documents:,}"
            part = f"{total} documents are {side} {number(end, 3)}"
            parts.append(f"{part} ({whose})" if whose else part)
    return "; ".join(parts)


def story(report: PerplexityReport) -> Story:
    names = ("documents", "unscored", "tokens", "perplexity", "bits_per_byte", "median", "mean")
    values: Mapping[str, Any] = report
    rows = [(plain(name), values[name]) for name in (*names, "mean_cleaned")]
    line = (
        f"{number(report['documents'])} documents of {number(report['tokens'])} tokens: perplexity "
        f"{number(report['perplexity'])} by token, median {number(report['median'])} by document."
    )
    return Story("Perplexity", [line], [pairs("Distribution", rows)])
