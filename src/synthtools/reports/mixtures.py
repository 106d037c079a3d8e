"""Runs at several synthetic shares: perplexity, accuracy and calibration against the share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from synthtools.reports.document import number, percent
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table

_LABELS = {"ece": "ECE", "perplexity_micro": "perplexity (micro average)"}


def _quantities(report: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each quantity in words, and its curves."""
    for quantity in dict.fromkeys(curve["quantity"] for curve in report["curves"]):
        curves = [curve for curve in report["curves"] if curve["quantity"] == quantity]
        yield _LABELS.get(quantity, quantity.replace("_", " ")), curves


def figure(report: dict[str, Any]) -> Figure:
    panels = []
    for label, curves in _quantities(report):
        series = []
        for curve in curves:
            shares = [100 * share for share in curve["shares"]]
            low, high = (curve["low"], curve["high"]) if max(curve["runs"]) > 1 else (None, None)
            series.append(Series(curve["name"], shares, curve["mean"], low=low, high=high))
        panels.append(Panel(label[0].upper() + label[1:], "synthetic share (%)", label, series))
    return Figure(
        "Mixture curves",
        panels,
        f"{len(report['reports'])} runs by the share of synthetic text that they were trained on. "
        "Where several runs have one share, the line is their mean and the band their range.",
    )


def story(report: dict[str, Any]) -> Story:
    lines, tables = [], []
    for label, curves in _quantities(report):
        for curve in curves:
            shares, mean = curve["shares"], curve["mean"]
            ends = f"{number(mean[0])} at {percent(shares[0])}"
            if len(shares) > 1:
                ends += f", {number(mean[-1])} at {percent(shares[-1])}"
            lowest = mean.index(min(mean))
            if lowest not in (0, len(mean) - 1):
                ends += f"; lowest at {percent(shares[lowest])}: {number(mean[lowest])}"
            lines.append(f"{curve['name']}, {label} by synthetic share: {ends}.")
        rows = [
            [percent(share), str(curves[0]["runs"][place])]
            + [number(curve["mean"][place]) for curve in curves]
            for place, share in enumerate(curves[0]["shares"])
        ]
        head = ["synthetic", "runs", *(curve["name"] for curve in curves)]
        tables.append(Table(f"{label}, mean of the runs", head, rows))
    return Story("Mixtures", lines, tables)
