"""Maps of documents: one point a document, one mark a group."""

from __future__ import annotations

from typing import Any

from synthtools.console.pictures.chart import Panel, Picture, Series

_NAMES = {"tsne": "t-SNE", "umap": "UMAP", "pca": "principal component"}


def picture(report: dict[str, Any]) -> Picture:
    """Of a report of ``embed --map``: its points stand group by group."""
    series, start = [], 0
    for group in report["groups"]:
        points = report["points"][start : start + group["points"]]
        start += len(points)
        series.append(
            Series(
                f"{group['name']} ({len(points):,})",
                [point["x"] for point in points],
                [point["y"] for point in points],
                "points",
            )
        )
    word = _NAMES.get(report["method"], report["method"])
    panel = Panel("Documents", f"{word} 1", f"{word} 2", series, is_map=True)
    return Picture(
        "Map of documents",
        [panel],
        "Each mark is a document; neighbours have similar vectors. Distances far apart mean nothing.",
    )
