"""Maps of documents: one point a document, one mark a group."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table

_NAMES = {"tsne": "t-SNE", "umap": "UMAP", "pca": "principal component"}


def figure(report: dict[str, Any]) -> Figure:
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
                corpus=group["name"],
            )
        )
    word = _NAMES.get(report["method"], report["method"])
    panel = Panel("Documents", f"{word} 1", f"{word} 2", series, is_map=True)
    return Figure(
        "Map of documents",
        [panel],
        "Each mark is a document; neighbours have similar vectors. Distances far apart mean nothing.",
        corpora=[group["name"] for group in report["groups"]],
    )


_FIGURES = ("energy_coefficient", "mmd2", "knn_accuracy", "coverage", "density")


def story(report: dict[str, Any]) -> Story:
    """How well a pair of groups can be told apart, each number with what chance gives."""
    lines, rows = [], []
    for pair in report.get("pairs") or []:
        found = pair["knn_accuracy"]
        lines.append(
            f"{pair['left']} and {pair['right']}: the nearest neighbours tell a document's group in "
            f"{number(100 * found['value'])} % of the cases, chance in "
            f"{number(100 * found['expected'])} % (p = {number(found['p_value'])})."
        )
        cells = []
        for name in _FIGURES:
            value, p = pair[name]["value"], pair[name]["p_value"]
            word = "–" if value is None else number(value)
            cells.append(word if p is None else f"{word} (p = {number(p)})")
        rows.append([f"{pair['left']}, {pair['right']}", *cells])
    head = ["", *(name.replace("_", " ") for name in _FIGURES)]
    return Story("Map of documents", lines, [Table("Pairs", head, rows)] if rows else [])
