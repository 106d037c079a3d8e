"""How densely documents lie, and near-duplicates by input."""

from __future__ import annotations

from typing import Any

from synthtools.cli.pictures.chart import Panel, Picture, Series, bars, extremes


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
        finding=extremes("Median density", {"": found.get("50")}),
    )


def duplicates(report: dict[str, Any]) -> Picture:
    """Of a report of ``ngram-hash --duplicates``: documents by cluster, pairs by input."""
    rows, documents = report["by_input"], report.get("documents", 0)
    panels = []
    if documents:
        held = {"alone": documents - report["documents_in_clusters"]}
        for size, clusters in report.get("cluster_sizes", []):
            least = 1 << size.bit_length() - 1
            name = f"{least} to {2 * least - 1}" if least > 2 else f"{size}"
            held[name] = held.get(name, 0) + size * clusters
        panels.append(
            bars("Documents by size of cluster", "documents", list(held), [*held.values()])
        )
    if rows:
        names = [
            row["left"] if row["left"] == row["right"] else f"{row['left']} – {row['right']}"
            for row in rows
        ]
        pairs = [row["pairs"] for row in rows]
        panels.append(bars("Pairs of near-duplicates", "pairs", names, pairs))
    return Picture(
        "Near-duplicates",
        panels,
        f"Documents that share at least {report['threshold']:g} of their shingles are a pair; those "
        "that pairs link are a cluster.",
        finding=_finding(report) if documents else "",
    )


def _finding(report: dict[str, Any]) -> str:
    documents, doubled = report["documents"], report["documents_in_clusters"]
    if not doubled:
        return f"No near-duplicates among {documents:,} documents"
    return (
        f"{100 * doubled / documents:.3g} % of {documents:,} documents are in "
        f"{report['clusters']:,} clusters of near-duplicates, the largest of "
        f"{report['largest_cluster']:,}"
    )
