"""The report of ``synth ppl --compare``: corpora, or models on one corpus, on a common axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np

from synthtools.measure.perplexity_comparison import WITHHELD
from synthtools.reports import document
from synthtools.reports.document import bracketed, number, table
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table, extremes
from synthtools.reports.ppl import Counts, Distribution, TokenProbability, beyond, documents_in


class ComparedSide(Distribution):
    """One corpus of a comparison; its histogram has the comparison's edges, its density the grid."""

    name: str
    scored_by: str
    intervals: dict[str, list[float]]
    histogram: Counts | None
    token_probability: TokenProbability | None
    density: list[float] | None


class LogRatio(TypedDict):
    """The log-ratio of two models on the same documents (ToEdit, equation 9)."""

    kl_per_token: float | None
    kl_per_byte: float | None
    intervals: dict[str, list[float] | None]
    epsilon: float
    verdict: str
    sampling: list[dict[str, Any]]
    documents_above_epsilon: float | None


class PairNumbers(TypedDict, total=False):
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


class PerplexityPair(PairNumbers):
    left: str
    right: str
    log_ratio: NotRequired[LogRatio]


class ComparisonReport(document.BaseReport):
    scale: str
    bootstrap: int
    density_unit: str
    grid: list[float] | None
    edges: list[float] | None
    inputs: list[ComparedSide]
    pairs: list[PerplexityPair]


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


def with_interval(numbers: Mapping[str, Any], key: str) -> str:
    """A figure with its interval, for a table."""
    return number(numbers.get(key)) + bracketed(numbers.get("intervals", {}).get(key), "  ")


def criterion(ratio: LogRatio, left: str, right: str) -> str:
    """ToEdit's criterion (equation 9) for data under two models, in words."""
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


def lines(report: ComparisonReport) -> list[str]:
    lines = []
    for side in report["inputs"]:
        lines += [f"{side['name']}  (scored by {side['scored_by']})"]
        rows = [(name, with_interval(side, key)) for name, key in SIDE_FIGURES]
        if probability := side.get("token_probability"):
            shares = " ".join(f"{100 * share:.1f}" for share in probability["shares"])
            rows.append(("tokens of probability 0–0.1 … 0.9–1 (%)", shares))
        lines += [*table(rows), ""]
    for pair in report["pairs"]:
        lines += [f"left {pair['left']}, right {pair['right']}"]
        lines += table([(name, with_interval(pair, key)) for name, key in PAIR_FIGURES])
        if "log_ratio" in pair:
            ratio = pair["log_ratio"]
            rows = [(name, with_interval(ratio, key)) for name, key in _RATIO]
            lines += [*table(rows), criterion(ratio, "left", "right")]
        lines += [""]
    return lines[:-1]


def figure(report: ComparisonReport) -> Figure:
    """Histograms and densities of several corpora on one axis (ToEdit, figure 3)."""
    inputs, log = report["inputs"], report["scale"] == "log"
    edges, grid = report["edges"] or [], report["grid"] or []
    histograms = {side["name"]: one for side in inputs if (one := side["histogram"])}
    bars = [
        Series(name, edges, 100 * np.array(one["counts"]) / documents_in(one), "bars")
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
        note = beyond(histograms, edges[0], edges[-1])
        panels.append(Panel(*labels, bars, x_log=log, from_zero=True, note=note))
    if curves:
        unit = "density (per nat)" if log else "density (per unit of perplexity)"
        labels = ("Kernel density", "perplexity", unit)
        panels.append(Panel(*labels, curves, x_log=log, from_zero=True))
    sides = "under each model" if report["kind"] == "ppl-models" else "of each input"
    medians = {side["name"]: side.get("median") for side in inputs}
    return Figure(
        "Perplexity, compared",
        panels,
        f"Documents by perplexity {sides}; bins and grid are common. The densities are of "
        f"{'the logarithm of the' if log else 'the'} perplexity. Where one curve ends and the other "
        "continues, the first does not cover the second.",
        corpora=[side["name"] for side in inputs],
        finding=extremes("Median perplexity", medians),
    )


def _visible(grid: list[float], values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """The part of a curve above a thousandth of its maximum."""
    y = np.array(values)
    visible = np.flatnonzero(y > y.max() / 1000)
    part = slice(int(visible[0]), int(visible[-1]) + 1)
    return np.array(grid)[part], y[part]


def story(report: ComparisonReport) -> Story:
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


def _verdict(pair: PerplexityPair, overlap: float) -> str:
    # Coverage is a matter of degree; the thresholds of the words are [ours].
    words = "hardly differ" if overlap >= 0.9 else "differ" if overlap >= 0.6 else "differ strongly"
    return (
        f"The perplexities of {pair['left']} and {pair['right']} {words}: overlap "
        f"{with_interval(pair, 'overlap')}; {100 * pair['left_above_p99']:.1f} % of {pair['left']} is "
        f"above the 99th percentile of {pair['right']}, {100 * pair['left_outside']:.1f} % outside its range."
    )
