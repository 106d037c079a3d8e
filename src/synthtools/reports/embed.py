"""The report of ``synth embed --map``: one point per document, one mark per group."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number, table
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, plain, table_of

_AXES = {"tsne": "t-SNE", "umap": "UMAP", "pca": "principal component"}
_STATISTICS = ("energy_coefficient", "mmd2", "knn_accuracy", "coverage", "density")


_ROWS = (
    ("energy distance", "energy_distance"),
    ("… as a share (0…1)", "energy_coefficient"),
    ("MMD²", "mmd2"),
    ("k-NN accuracy", "knn_accuracy"),
    ("coverage", "coverage"),
    ("density", "density"),
    ("isolated, left", "isolated_left"),
    ("isolated, right", "isolated_right"),
)


def lines(report: dict[str, Any]) -> list[str]:
    rows = []
    for group in report["groups"]:
        missing = group["without_vector"]
        without = f", {missing:,} without a vector" if missing else ""
        rows.append((group["name"], f"{group['points']:,} of {group['records']:,}{without}"))
    lines = table(rows)
    for pair in report["pairs"]:
        lines += ["", f"{pair['left']}  against  {pair['right']}  (k = {pair['neighbours']})"]
        if pair["neighbours"] is None:
            lines.append("too few documents to compare: two of each are needed")
            continue
        lines.append(f"{'':20}{'':>12}{'if equal':>12}{'p':>10}")
        for name, key in _ROWS:
            value, expected, p = (number(pair[key][n]) for n in ("value", "expected", "p_value"))
            lines.append(f"{name:<20}{value:>12}{expected:>12}{p:>10}")
    return lines


def figure(report: dict[str, Any]) -> Figure:
    """The map; the points of a report are ordered by group."""
    series, start = [], 0
    for group in report["groups"]:
        points = report["points"][start : start + group["points"]]
        start += len(points)
        x, y = ([point[axis] for point in points] for axis in "xy")
        name = f"{group['name']} ({len(points):,})"
        series.append(Series(name, x, y, "points", corpus=group["name"]))
    axis = _AXES.get(report["method"], report["method"])
    return Figure(
        "Map of documents",
        [Panel("Documents", f"{axis} 1", f"{axis} 2", series, is_map=True)],
        "Each mark is a document; neighbours have similar vectors. Large distances mean nothing.",
        corpora=[group["name"] for group in report["groups"]],
    )


def story(report: dict[str, Any]) -> Story:
    """How well pairs of groups can be separated, each number with its expectation by chance."""
    pairs = report.get("pairs") or []
    lines = [
        f"{pair['left']} and {pair['right']}: the nearest neighbours give a document's group in "
        f"{number(100 * pair['knn_accuracy']['value'])} % of the cases, chance in "
        f"{number(100 * pair['knn_accuracy']['expected'])} % (p = "
        f"{number(pair['knn_accuracy']['p_value'])})."
        for pair in pairs
    ]
    columns = [
        ("", lambda pair: f"{pair['left']}, {pair['right']}"),
        *((plain(name), lambda pair, name=name: _with_p(pair[name])) for name in _STATISTICS),
    ]
    return Story("Map of documents", lines, [table_of("Pairs", pairs, columns)] if pairs else [])


def _with_p(statistic: dict[str, Any]) -> str:
    p = statistic["p_value"]
    return number(statistic["value"]) + ("" if p is None else f" (p = {number(p)})")
