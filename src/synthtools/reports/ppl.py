"""The reports of ``synth ppl``: perplexity of one corpus, or of several on one axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np

from synthtools.measure.two_models import WITHHELD
from synthtools.reports import document
from synthtools.reports.document import number, shares_in_bars, table
from synthtools.reports.figures.chart import (
    Figure,
    Panel,
    Series,
    Story,
    Table,
    extremes,
    pairs,
    plain,
)

# The report keeps 50 bins; so many fit a screen.
_SHOWN_BINS = 20


class Counts(TypedDict):
    """Documents by bin, and how many lie outside."""

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
    """Perplexities of documents; None where no document has one."""

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


class Summary(Distribution, document.Report):
    bytes: int
    histogram: Histogram | None
    token_probability: TokenProbability | None


class Side(Distribution):
    """One corpus of a comparison; its histogram has the comparison's edges, its density the grid."""

    name: str
    scored_by: str
    intervals: dict[str, list[float]]
    histogram: Counts | None
    density: list[float] | None


class LogRatio(TypedDict):
    """What two models say of the same documents (ToEdit, equation 9)."""

    kl_per_token: float | None
    kl_per_byte: float | None
    intervals: dict[str, list[float] | None]
    epsilon: float
    verdict: str
    sampling: list[dict[str, Any]]
    documents_above_epsilon: float | None


class Distances(TypedDict, total=False):
    """The numbers of ``PAIR_FIGURES``, as far as both sides have documents."""

    left_outside: float
    left_above_maximum: float
    left_above_p99: float
    right_outside: float
    right_above_maximum: float
    right_above_p99: float
    range_covered: float
    wasserstein: float
    ks: float
    wasserstein_log: float
    variance_ratio: float | None
    variance_ratio_cleaned: float | None
    mean_shift: float
    mean_shift_cleaned: float
    median_shift: float
    overlap: float | None
    js: float | None
    intervals: dict[str, list[float] | None]


class Pair(Distances):
    left: str
    right: str
    log_ratio: NotRequired[LogRatio]


class Comparison(document.Report):
    scale: str
    bootstrap: int
    density_unit: str
    grid: list[float] | None
    edges: list[float] | None
    inputs: list[Side]
    pairs: list[Pair]


def summary_lines(report: Summary) -> list[str]:
    """The distribution of perplexity as a table and two histograms."""
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
        found = report["token_probability"]
        labels = [f"{a:.1f}–{a + 0.1:.1f}" for a in found["edges"][:-1]]
        lines += ["", "tokens by probability", *shares_in_bars(labels, found["shares"])]
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


SIDE_FIGURES = (
    ("documents", "documents"),
    ("unscored", "unscored"),
    ("perplexity (token-weighted)", "perplexity"),
    ("bits per byte", "bits_per_byte"),
    ("median", "median"),
    ("mean", "mean"),
    ("mean without outliers", "mean_cleaned"),
    ("standard deviation", "standard_deviation"),
    ("smallest", "min"),
    ("largest", "max"),
)
PAIR_FIGURES = (
    ("left outside the right's range", "left_outside"),
    ("left above the right's maximum", "left_above_maximum"),
    ("left above the right's 99th percentile", "left_above_p99"),
    ("right outside the left's range", "right_outside"),
    ("right above the left's maximum", "right_above_maximum"),
    ("right above the left's 99th percentile", "right_above_p99"),
    ("of left's 1–99 % range covered by right's", "range_covered"),
    ("overlap ∫min(f, g)", "overlap"),
    ("Jensen–Shannon (nats)", "js"),
    ("Wasserstein-1 (perplexity)", "wasserstein"),
    ("Wasserstein-1 of ln ppl (nats a token)", "wasserstein_log"),
    ("Kolmogorov–Smirnov", "ks"),
    ("variance ratio right/left", "variance_ratio"),
    ("variance ratio without outliers", "variance_ratio_cleaned"),
    ("mean shift right − left", "mean_shift"),
    ("mean shift without outliers", "mean_shift_cleaned"),
    ("median shift", "median_shift"),
)
_RATIO = (
    ("KL estimate (nats a token)", "kl_per_token"),
    ("KL estimate (nats a byte)", "kl_per_byte"),
)


def with_interval(found: Mapping[str, Any], key: str) -> str:
    """A figure with its interval, for a table."""
    ends = found.get("intervals", {}).get(key)
    more = f"  [{number(ends[0], 3)}, {number(ends[1], 3)}]" if ends else ""
    return number(found.get(key)) + more


def criterion(ratio: LogRatio, left: str, right: str) -> str:
    """What ToEdit's equation 9 says of data under two models, in words."""
    if ratio["verdict"] == WITHHELD:
        drawn = "; ".join(
            f"{one['documents']:,} at temperature {one['temperature']:g} and top-p {one['top_p']:g}"
            + (f" from the {one['top_k']} most probable" if one["top_k"] else "")
            for one in ratio["sampling"]
            if one["temperature"] is not None
        )
        return (
            "pure or semi-synthetic: withheld, the criterion is for text sampled at temperature 1 and "
            f"top-p 1 (documents: {drawn})"
        )
    return (
        f"if {left} wrote the data, it is {ratio['verdict']} to {right} (ε = {ratio['epsilon']:g} "
        "nats a token)"
    )


def comparison_lines(report: Comparison) -> list[str]:
    """What ``ppl --compare`` found: each side, then each pair."""
    lines = []
    for side in report["inputs"]:
        lines += [f"{side['name']}  (scored by {side['scored_by']})"]
        lines += [*table([(name, with_interval(side, key)) for name, key in SIDE_FIGURES]), ""]
    for pair in report["pairs"]:
        lines += [f"left {pair['left']}, right {pair['right']}"]
        lines += table([(name, with_interval(pair, key)) for name, key in PAIR_FIGURES])
        if "log_ratio" in pair:
            ratio = pair["log_ratio"]
            rows = [(name, with_interval(ratio, key)) for name, key in _RATIO]
            lines += [*table(rows), criterion(ratio, "left", "right")]
        lines += [""]
    return lines[:-1]


def summary_figure(report: Summary) -> Figure:
    """Documents by perplexity, tokens by probability (ToEdit, figure 2)."""
    panels = []
    histogram, tokens = report["histogram"], report["token_probability"]
    if histogram:
        total = _documents(histogram)
        # No more bins than Rice's rule gives, all of one width: many would show noise.
        size = len(histogram["counts"])
        least = size / math.ceil(2 * total ** (1 / 3))
        step = next(k for k in range(1, size + 1) if size % k == 0 and (k >= least or k == size))
        starts = np.arange(0, size, step)
        shares = 100 * np.add.reduceat(np.array(histogram["counts"]), starts) / total
        edges = [*(histogram["edges"][start] for start in starts), histogram["edges"][-1]]
        panels.append(
            Panel(
                "Documents",
                "perplexity",
                "documents per bin (%)",
                [Series("documents", edges, shares, "bars")],
                from_zero=True,
                note=_beyond({"": histogram}, edges[0], edges[-1]),
            )
        )
    if tokens:
        shares = 100 * np.array(tokens["shares"])
        series = Series("tokens", tokens["edges"], shares, "bars", corpus="documents")
        labels = ("Tokens", "probability of the token", "tokens (%)")
        panels.append(Panel(*labels, [series], from_zero=True))
    return Figure(
        "Perplexity",
        panels,
        "Left: how the documents' perplexities lie, without outliers beyond 1.5 interquartile "
        "ranges. Right: how probable the model finds the tokens.",
        finding=extremes("Median perplexity", {"": report.get("median")}),
    )


def comparison_figure(report: Comparison) -> Figure:
    """Histograms and densities of several corpora on one axis (ToEdit, figure 3)."""
    inputs, log = report["inputs"], report["scale"] == "log"
    edges, grid = report["edges"] or [], report["grid"] or []
    histograms = {side["name"]: one for side in inputs if (one := side["histogram"])}
    bars = [
        Series(name, edges, 100 * np.array(one["counts"]) / _documents(one), "bars")
        for name, one in histograms.items()
    ]
    curves = [
        Series(side["name"], *_visible(grid, density))
        for side in inputs
        if side["histogram"] and (density := side["density"])
    ]
    panels = []
    if bars:
        labels = ("Histogram", "perplexity", "documents per bin (%)")
        note = _beyond(histograms, edges[0], edges[-1])
        panels.append(Panel(*labels, bars, x_log=log, from_zero=True, note=note))
    if curves:
        unit = "density (per nat)" if log else "density (per unit of perplexity)"
        labels = ("Kernel density", "perplexity", unit)
        panels.append(Panel(*labels, curves, x_log=log, from_zero=True))
    what = "under each model" if report["kind"] == "ppl-models" else "of each input"
    medians = {side["name"]: side.get("median") for side in inputs}
    return Figure(
        "Perplexity, compared",
        panels,
        f"Documents by perplexity {what}; bins and grid are common. The densities are of "
        f"{'the logarithm of the' if log else 'the'} perplexity. Where one curve ends and the other "
        "goes on, the one does not cover the other.",
        corpora=[side["name"] for side in inputs],
        finding=extremes("Median perplexity", medians),
    )


def _documents(histogram: Mapping[str, Any]) -> int:
    return int(sum(histogram["counts"]) + histogram["below"] + histogram["above"])


def _beyond(histograms: Mapping[str, Mapping[str, Any]], low: float, high: float) -> str:
    """How many documents the histograms leave out, and whose."""
    parts = []
    documents = sum(map(_documents, histograms.values()))
    for side, end in (("below", low), ("above", high)):
        counts = {name: one[side] for name, one in histograms.items() if one[side]}
        if counts:
            few = len(counts) <= 2
            whose = ", ".join(f"{name} {n:,}" for name, n in counts.items() if name and few)
            part = (
                f"{sum(counts.values()):,} of {documents:,} documents lie {side} {number(end, 3)}"
            )
            parts.append(f"{part} ({whose})" if whose else part)
    return "; ".join(parts)


def _visible(grid: list[float], values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """The part of a curve that is more than a thousandth of its height."""
    y = np.array(values)
    there = np.flatnonzero(y > y.max() / 1000)
    part = slice(int(there[0]), int(there[-1]) + 1)
    return np.array(grid)[part], y[part]


def summary_story(report: Summary) -> Story:
    """The middle and the spread of one corpus."""
    names = ("documents", "unscored", "tokens", "perplexity", "bits_per_byte", "median", "mean")
    values: Mapping[str, Any] = report
    rows = [(plain(name), values[name]) for name in (*names, "mean_cleaned")]
    line = (
        f"{number(report['documents'])} documents of {number(report['tokens'])} tokens: perplexity "
        f"{number(report['perplexity'])} by token, median {number(report['median'])} by document."
    )
    return Story("Perplexity", [line], [pairs("Distribution", rows)])


def comparison_story(report: Comparison) -> Story:
    """Whether the sides cover each other, and all figures with their intervals."""
    lines = []
    for pair in report["pairs"]:
        overlap = pair.get("overlap")
        if overlap is not None:
            lines.append(_verdict(pair, overlap))
        if "log_ratio" in pair:
            ratio = pair["log_ratio"]
            sentence = criterion(ratio, pair["left"], pair["right"])
            nats = with_interval(ratio, "kl_per_token")
            lines.append(
                f"{sentence[0].upper()}{sentence[1:]}. The estimate is {nats} nats a token."
            )
    sides = report["inputs"]
    rows = [[name, *(with_interval(side, key) for side in sides)] for name, key in SIDE_FIGURES]
    tables = [Table("Each side", ["", *(side["name"] for side in sides)], rows)]
    for pair in report["pairs"]:
        rows = [[name, with_interval(pair, key)] for name, key in PAIR_FIGURES if key in pair]
        title = f"Left {pair['left']}, right {pair['right']}"
        tables.append(Table(title, ["", "value [95 %]"], rows))
    return Story("Perplexity, compared", lines, tables)


def _verdict(pair: Pair, overlap: float) -> str:
    # Where one distribution covers another is a matter of degree; the words' borders are ours.
    words = "hardly differ" if overlap >= 0.9 else "differ" if overlap >= 0.6 else "differ strongly"
    return (
        f"The perplexities of {pair['left']} and {pair['right']} {words}: overlap "
        f"{with_interval(pair, 'overlap')}; {100 * pair['left_above_p99']:.1f} % of {pair['left']} lies "
        f"above the 99th percentile of {pair['right']}, {100 * pair['left_outside']:.1f} % outside its range."
    )
