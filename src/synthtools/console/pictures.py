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


# Groups whose curves can be told apart without colour.
_CURVES = 8
_DASHES = ("-", "--", ":", "-.")


def diversity(path: str, groups: Sequence[dict[str, Any]]) -> None:
    """Vocabulary growth with Heaps' law, and beside it groups by lexical diversity.

    Args:
        groups: of the report of ``synth stats``.

    Raises:
        SynthError: neither has been measured.
    """
    from synthtools.console.diversity_tables import at, by_diversity

    curves = [group for group in groups if at(group, ("heaps", "curve"))]
    scored = [g for g in by_diversity(list(groups)) if at(g, ("lexical_diversity", "within"))]
    if not curves and not scored:
        raise SynthError("--plot: no group has a curve of Heaps' law or lexical diversity to draw")
    many = len(groups) > _CURVES
    drawn, axes = figure(11, max(4.0, 0.16 * len(scored) + 1.2), columns=2)
    growth, ranked = axes
    for number, group in enumerate(curves):
        curve = group["heaps"]["curve"]
        style = {"color": "0.6", "linewidth": 0.7} if many else {
            "color": str(0.7 * number / max(1, len(curves))),
            "linestyle": _DASHES[number % len(_DASHES)],
        }  # fmt: skip
        beta = group["heaps"]["beta"]
        label = None if many else group["name"] + ("" if beta is None else f" (β = {beta:.3f})")
        growth.plot(curve["words"], curve["distinct"], label=label, **style)
    growth.set(xlabel="words, n", ylabel="distinct words, V(n)", xscale="log", yscale="log")
    if curves and not many:
        growth.legend(frameon=False)
    if many:
        growth.set_box_aspect(0.8)
        growth.set_anchor("N")
    places = range(len(scored), 0, -1)
    for name, marker, fill in (("within", "o", "black"), ("pooled", "D", "white")):
        values = [at(group, ("lexical_diversity", name)) for group in scored]
        known = [(v, y) for v, y in zip(values, places, strict=True) if v is not None]
        ranked.plot(
            *(zip(*known, strict=True) if known else ((), ())),
            marker, color="black", markerfacecolor=fill, markersize=4,
            label={"within": "within a document", "pooled": "documents pooled"}[name],
        )  # fmt: skip
    ranked.set_yticks(list(places), [g["name"] for g in scored], fontsize=6 if many else 9)
    ranked.grid(axis="y", color="0.9", linewidth=0.5)
    ranked.set(xlabel="lexical diversity, 100 − self-BLEU (points)", ylim=(0, len(scored) + 1))
    if scored:
        ranked.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    save(drawn, path)
