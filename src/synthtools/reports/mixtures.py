"""Runs at several synthetic shares: perplexity, accuracy and calibration against the share."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table

_LABELS = {"ece": "ECE", "perplexity_micro": "perplexity (micro average)"}


def _label(quantity: str) -> str:
    return _LABELS.get(quantity, quantity.replace("_", " "))


def figure(report: dict[str, Any]) -> Figure:
    """Of runs put together by ``synth plot --shares``: a panel for each quantity."""
    panels = []
    for quantity in dict.fromkeys(curve["quantity"] for curve in report["curves"]):
        curves = [curve for curve in report["curves"] if curve["quantity"] == quantity]
        series = [
            Series(
                curve["name"],
                [100 * share for share in curve["shares"]],
                curve["mean"],
                low=curve["low"] if max(curve["runs"]) > 1 else None,
                high=curve["high"] if max(curve["runs"]) > 1 else None,
            )
            for curve in curves
        ]
        label = _label(quantity)
        panels.append(Panel(label[0].upper() + label[1:], "synthetic share (%)", label, series))
    return Figure(
        "Mixture curves",
        panels,
        f"{len(report['reports'])} runs by the share of synthetic text that they were trained on. "
        "Where several runs have one share, the line is their mean and the band their range.",
    )


def story(report: dict[str, Any]) -> Story:
    """Each curve's ends and lowest point."""
    lines, tables = [], []
    for quantity in dict.fromkeys(curve["quantity"] for curve in report["curves"]):
        curves = [curve for curve in report["curves"] if curve["quantity"] == quantity]
        for curve in curves:
            shares, mean = curve["shares"], curve["mean"]
            ends = f"{number(mean[0])} at {100 * shares[0]:g} %"
            if len(shares) > 1:
                ends += f", {number(mean[-1])} at {100 * shares[-1]:g} %"
            lowest = mean.index(min(mean))
            if lowest not in (0, len(mean) - 1):
                ends += f"; lowest at {100 * shares[lowest]:g} %: {number(mean[lowest])}"
            lines.append(f"{curve['name']}, {_label(quantity)} by synthetic share: {ends}.")
        rows = [
            [f"{100 * share:g} %", str(curves[0]["runs"][place])]
            + [number(curve["mean"][place]) for curve in curves]
            for place, share in enumerate(curves[0]["shares"])
        ]
        head = ["synthetic", "runs", *(curve["name"] for curve in curves)]
        tables.append(Table(f"{_label(quantity)}, mean of the runs", head, rows))
    return Story("Mixtures", lines, tables)
