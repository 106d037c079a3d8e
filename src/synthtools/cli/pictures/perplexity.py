"""Perplexity of documents: one corpus, or several on one axis (ToEdit, figures 2 and 3)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from synthtools.cli.pictures.chart import Panel, Picture, Series, Story, Table, extremes
from synthtools.cli.summaries import PAIR_FIGURES, SIDE_FIGURES, criterion, with_interval
from synthtools.reports.document import number


def summary(report: dict[str, Any]) -> Picture:
    """Of a report of ``ppl --summary``: documents by perplexity, tokens by probability."""
    panels = []
    found = report["histogram"]
    if found:
        total = sum(found["counts"]) + found["below"] + found["above"]
        # No more bins than Rice's rule gives, all of one width: many would show noise.
        size = len(found["counts"])
        least = size / math.ceil(2 * total ** (1 / 3))
        step = next(k for k in range(1, size + 1) if size % k == 0 and (k >= least or k == size))
        starts = np.arange(0, size, step)
        shares = 100 * np.add.reduceat(np.array(found["counts"]), starts) / total
        edges = [*(found["edges"][start] for start in starts), found["edges"][-1]]
        panels.append(
            Panel(
                "Documents",
                "perplexity",
                "documents per bin (%)",
                [Series("documents", edges, shares, "bars")],
                from_zero=True,
                note=_beyond([("", found)], total, edges[0], edges[-1]),
            )
        )
    tokens = report["token_probability"]
    if tokens:
        shares = 100 * np.array(tokens["shares"])
        panels.append(
            Panel(
                "Tokens",
                "probability of the token",
                "tokens (%)",
                [Series("tokens", tokens["edges"], shares, "bars", corpus="documents")],
                from_zero=True,
            )
        )
    caption = (
        "Left: how the documents' perplexities lie, without outliers beyond 1.5 interquartile "
        "ranges. Right: how probable the model finds the tokens."
    )
    finding = extremes("Median perplexity", {"": report.get("median")})
    return Picture("Perplexity", panels, caption, finding=finding)


def comparison(report: dict[str, Any]) -> Picture:
    """Of a report of ``ppl --compare``: histograms and densities side by side."""
    log = report["scale"] == "log"
    bars, curves, cut, documents = [], [], [], 0
    for side in report["inputs"]:
        found = side["histogram"]
        if not found:
            continue
        total = sum(found["counts"]) + found["below"] + found["above"]
        documents += total
        cut.append((side["name"], found))
        shares = 100 * np.array(found["counts"]) / total
        bars.append(Series(side["name"], report["edges"], shares, "bars"))
        if side["density"]:
            curves.append(Series(side["name"], *_visible(report["grid"], side["density"])))
    panels = []
    if bars:
        panels.append(
            Panel(
                "Histogram",
                "perplexity",
                "documents per bin (%)",
                bars,
                x_log=log,
                from_zero=True,
                note=_beyond(cut, documents, report["edges"][0], report["edges"][-1]),
            )
        )
    if curves:
        unit = "density (per nat)" if log else "density (per unit of perplexity)"
        panels.append(
            Panel("Kernel density", "perplexity", unit, curves, x_log=log, from_zero=True)
        )
    what = "under each model" if report["kind"] == "ppl-models" else "of each input"
    return Picture(
        "Perplexity, compared",
        panels,
        f"Documents by perplexity {what}; bins and grid are common. The densities are of "
        f"{'the logarithm of the' if log else 'the'} perplexity. Where one curve ends and the other "
        "goes on, the one does not cover the other.",
        corpora=[side["name"] for side in report["inputs"]],
        finding=extremes(
            "Median perplexity", {s["name"]: s.get("median") for s in report["inputs"]}
        ),
    )


def _beyond(
    found: list[tuple[str, dict[str, Any]]], documents: int, low: float, high: float
) -> str:
    """How many documents a histogram leaves out, and whose."""
    parts = []
    for word, end, key in (("below", low, "below"), ("above", high, "above")):
        counts = {name: histogram[key] for name, histogram in found if histogram[key]}
        if counts:
            few = len(counts) <= 2
            whose = ", ".join(f"{name} {n:,}" for name, n in counts.items() if name and few)
            count = (
                f"{sum(counts.values()):,} of {documents:,} documents lie {word} {number(end, 3)}"
            )
            parts.append(f"{count} ({whose})" if whose else count)
    return "; ".join(parts)


def _visible(grid: list[float], values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """The part of a curve that is more than a thousandth of its height."""
    y = np.array(values)
    there = np.flatnonzero(y > y.max() / 1000)
    part = slice(int(there[0]), int(there[-1]) + 1)
    return np.array(grid)[part], y[part]


def summary_story(report: dict[str, Any]) -> Story:
    """The middle and the spread of one corpus."""
    names = ("documents", "unscored", "tokens", "perplexity", "bits_per_byte", "median", "mean")
    rows = [[name.replace("_", " "), number(report[name])] for name in (*names, "mean_cleaned")]
    line = (
        f"{number(report['documents'])} documents of {number(report['tokens'])} tokens: perplexity "
        f"{number(report['perplexity'])} by token, median {number(report['median'])} by document."
    )
    return Story("Perplexity", [line], [Table("Distribution", ["", ""], rows)])


def comparison_story(report: dict[str, Any]) -> Story:
    """Whether the sides cover each other, and all figures with their intervals."""
    lines, tables = [], []
    for pair in report["pairs"]:
        if pair.get("overlap") is not None:
            lines.append(_verdict(pair))
        if "log_ratio" in pair:
            ratio = pair["log_ratio"]
            told = criterion(ratio, pair["left"], pair["right"])
            nats = with_interval(ratio, "kl_per_token")
            lines.append(f"{told[0].upper()}{told[1:]}. The estimate is {nats} nats a token.")
    sides = report["inputs"]
    rows = [[name, *(with_interval(side, key) for side in sides)] for name, key in SIDE_FIGURES]
    tables.append(Table("Each side", ["", *(side["name"] for side in sides)], rows))
    for pair in report["pairs"]:
        rows = [[name, with_interval(pair, key)] for name, key in PAIR_FIGURES if key in pair]
        title = f"Left {pair['left']}, right {pair['right']}"
        tables.append(Table(title, ["", "value [95 %]"], rows))
    return Story("Perplexity, compared", lines, tables)


def _verdict(pair: dict[str, Any]) -> str:
    # Where one distribution covers another is a matter of degree; the words' borders are ours.
    share, above = pair["overlap"], pair["left_above_p99"]
    words = "hardly differ" if share >= 0.9 else "differ" if share >= 0.6 else "differ strongly"
    return (
        f"The perplexities of {pair['left']} and {pair['right']} {words}: overlap "
        f"{with_interval(pair, 'overlap')}; {100 * above:.1f} % of {pair['left']} lies above the "
        f"99th percentile of {pair['right']}, {100 * pair['left_outside']:.1f} % outside its range."
    )
