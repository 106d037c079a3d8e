"""The picture of a map of documents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthtools.console.pictures import figure, save

# Shape and lightness tell groups apart without colour (mostly Okabe and Ito's colours).
_MARKS = (
    ("o", "#0A3D62"),
    ("^", "#E69F00"),
    ("s", "#009E73"),
    ("x", "#D55E00"),
    ("D", "#56B4E9"),
    ("+", "#000000"),
    ("v", "#CC79A7"),
    ("*", "#7A7A00"),
    ("P", "#5E3C99"),
    ("<", "#8C510A"),
    ("p", "#35978F"),
    (">", "#999999"),
)
_NAMES = {"tsne": "t-SNE", "umap": "UMAP", "pca": "principal component"}
# Points are drawn in so many rounds, some of each group in each: none lies on top of all others.
_ROUNDS = 25
_LONGEST = 60


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else "…" + name[1 - _LONGEST :]


def scatter(path: str, method: str, groups: Sequence[tuple[str, np.ndarray]]) -> None:
    """Documents on a map, each group with a mark of its own.

    Args:
        method: of the map, as ``analysis.projection`` names it.
        groups: name and coordinates, float [documents, 2].
    """
    drawn, axes = figure(8, 6.5)
    total = sum(len(points) for _, points in groups)
    size = float(np.clip(40_000 / max(1, total), 8, 40))
    for turn in range(_ROUNDS):
        for index, (name, points) in enumerate(groups):
            mark, colour = _MARKS[index % len(_MARKS)]
            some = points[turn::_ROUNDS]
            line = mark in ("x", "+")
            axes.scatter(
                some[:, 0],
                some[:, 1],
                s=size,
                marker=mark,
                c=colour,
                alpha=0.75,
                linewidths=0.8 if line else 0.3,
                edgecolors=None if line else "white",
                zorder=2 + turn * len(groups) + index,
                label=f"{_short(name)} ({len(points):,})" if turn == 0 else None,
            )
    word = _NAMES[method]
    axes.set(xlabel=f"{word} 1", ylabel=f"{word} 2")
    axes.set_aspect("equal", "datalim")
    if method != "pca":
        axes.set_xticks([])  # distances far apart mean nothing in such a map
        axes.set_yticks([])
    handles, names = axes.get_legend_handles_labels()
    longest = max(map(len, names))
    columns = 3 if longest <= 30 else 2 if longest <= 45 else 1
    legend = drawn.legend(handles, names, loc="outside upper center", ncols=columns, frameon=False)
    for handle in legend.legend_handles:
        handle.set_sizes([40])
        handle.set_alpha(1)
    save(drawn, path)
