"""Perplexity of documents: one corpus, or several on one axis (ToEdit, figures 2 and 3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthtools.console.pictures.chart import Panel, Picture, Series


def summary(report: dict[str, Any]) -> Picture:
    """Of a report of ``ppl --summary``: documents by perplexity, tokens by probability."""
    panels = []
    found = report["histogram"]
    if found:
        total = sum(found["counts"]) + found["below"] + found["above"]
        shares = 100 * np.array(found["counts"]) / total
        panels.append(
            Panel(
                "Documents",
                "perplexity",
                "documents per bin (%)",
                [Series("documents", found["edges"], shares, "bars")],
                from_zero=True,
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
                [Series("tokens", tokens["edges"], shares, "bars")],
                from_zero=True,
            )
        )
    caption = (
        "Left: how the documents' perplexities lie, without outliers beyond 1.5 interquartile "
        "ranges. Right: how probable the model finds the tokens."
    )
    return Picture("Perplexity", panels, caption)


def comparison(report: dict[str, Any]) -> Picture:
    """Of a report of ``ppl --compare``: histograms and densities side by side."""
    log = report["scale"] == "log"
    bars, curves = [], []
    for side in report["inputs"]:
        found = side["histogram"]
        if not found:
            continue
        total = sum(found["counts"]) + found["below"] + found["above"]
        shares = 100 * np.array(found["counts"]) / total
        bars.append(Series(side["name"], report["edges"], shares, "bars"))
        if side["density"]:
            curves.append(Series(side["name"], *_visible(report["grid"], side["density"])))
    panels = []
    if bars:
        panels.append(
            Panel(
                "Histogram", "perplexity", "documents per bin (%)", bars, x_log=log, from_zero=True
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
    )


def _visible(grid: list[float], values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """The part of a curve that is more than a thousandth of its height."""
    y = np.array(values)
    there = np.flatnonzero(y > y.max() / 1000)
    part = slice(int(there[0]), int(there[-1]) + 1)
    return np.array(grid)[part], y[part]
