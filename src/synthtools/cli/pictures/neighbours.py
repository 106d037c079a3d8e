"""How densely documents lie, and near-duplicates by input."""

from __future__ import annotations

from typing import Any

from synthtools.cli.pictures.chart import Panel, Picture, Series


def density(report: dict[str, Any]) -> Picture:
    """Of a report of ``ngram-hash --density``: the share of documents up to a density."""
    found = report["percentiles"]
    if found is None:
        return Picture("Density")
    marks = [float(mark) for mark in found]
    panel = Panel(
        "Documents by density",
        "density (records in the same bucket)",
        "documents at most so dense (%)",
        [Series("documents", list(found.values()), marks)],
        x_log=min(found.values()) > 0,
        from_zero=True,
    )
    return Picture(
        "Density of vectors",
        [panel],
        "Percentiles of the density sketch: the farther right, the more others lie nearby.",
    )


def duplicates(report: dict[str, Any]) -> Picture:
    """Of a report of ``ngram-hash --duplicates``: pairs within and across the inputs."""
    rows = report["by_input"]
    if not rows:
        return Picture("Near-duplicates")
    names = [
        row["left"] if row["left"] == row["right"] else f"{row['left']} – {row['right']}"
        for row in rows
    ]
    panel = Panel(
        "Pairs of near-duplicates",
        "pairs",
        "",
        [Series("pairs", [row["pairs"] for row in rows], form="named")],
        names=names,
        from_zero=True,
    )
    return Picture(
        "Near-duplicates",
        [panel],
        f"Pairs of documents that share at least {report['threshold']:g} of their shingles, by the "
        "inputs they stand in.",
    )
