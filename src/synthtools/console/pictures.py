"""Reports as pictures: PNG or SVG by the file's suffix, the same bytes for the same numbers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthtools.errors import SynthError, UsageError
from synthtools.records.files import write_whole

SUFFIXES = (".png", ".svg")


def check_name(path: str) -> None:
    """Refuses a name whose suffix tells no format.

    Raises:
        UsageError
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {path}: name a .png or .svg file")


def figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """A figure of so many inches and its axes.

    Raises:
        SynthError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SynthError("pictures need matplotlib: pip install 'synthtools[plot]'") from error
    mpl.rcParams["svg.hashsalt"] = "synth"
    drawn = Figure(figsize=(width, height), layout="constrained")
    axes = drawn.subplots(1, columns)
    for each in np.atleast_1d(axes):
        each.spines[["top", "right"]].set_visible(False)
    return drawn, axes


def save(drawn: Any, path: str) -> None:
    """Writes a figure under its name, whole or not at all."""
    form = Path(path).suffix.lower()[1:]
    data = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    drawn.savefig(data, format=form, dpi=150, metadata=metadata)
    write_whole(Path(path), data.getvalue())


def responses(path: str, corpora: Sequence[tuple[str, np.ndarray]]) -> None:
    """Hashed n-gram responses: by bucket, as in ToEdit's figure 5, and sorted.

    Args:
        corpora: name and counts by bucket, int64 [buckets].
    """
    drawn, (by_bucket, by_rank) = figure(11, 4, columns=2)
    for name, counts in corpora:
        shares = counts / max(1, counts.sum())
        by_bucket.plot(shares, linewidth=0.4, alpha=0.7, label=name)
        ranked = np.sort(shares)[::-1]
        there = ranked > 0
        by_rank.plot(np.arange(1, len(ranked) + 1)[there], ranked[there], label=name)
    by_bucket.set(xlabel="bucket", ylabel="share of the n-grams", yscale="log")
    by_rank.set(
        xlabel="buckets, fullest first", ylabel="share of the n-grams", xscale="log", yscale="log"
    )
    by_rank.legend(frameon=False)
    save(drawn, path)
