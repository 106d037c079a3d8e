"""Reports of successive generations: measures that drift towards collapse, and tails that have moved.

All of this is [ours]; the effects of collapse follow Shumailov et al. 2024: tails vanish first, then variety.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import numpy as np

from synthtools.evaluate import differences
from synthtools.measure.significance import corrected_by_holm

# Measures by the end of their path: their direction in a collapse (−1 lower, 1 higher), and whether they
# depend on the amount of text.
_MEASURES = (
    (r"vocabulary\.(types|ttr)|ngrams\.\d\.(distinct_share|perplexity)", -1, True),
    (r"effective_buckets|openings\.distinct_share|heaps\.beta", -1, True),
    (r"gini|empty_buckets|top_1_percent|compression\.ratio", 1, True),
    (r"vocabulary\.(mtld|hdd)|lexical_diversity\.(within|pooled)", -1, False),
    (r"semantic_diversity\.mean|overlap|range_covered|coverage\.mauve", -1, False),
    (r"variance_ratio|standard_deviation", -1, False),
    (r"self_bleu\.mean|coverage\.hardly_entered|near_duplicates\.within_other", 1, False),
    (r"documents_in_clusters|pairs_found|removed", 1, True),
    (r"accuracy", -1, False),
    (r"ece|suites\..*perplexity\w*|valid\.[^.]+", 1, False),
)
_SIZES = r"(words|tokens|documents|texts|ngrams)"
# The relative difference up to which sizes of generations count as equal, and the drift per generation,
# relative to the first value, that is worth a warning.
_EVEN, _DRIFT = 0.1, 0.01
_ALPHA = 0.05
_TAILS = (5, 95)
COLLAPSE, SLIGHT, TREND, NONE = "towards collapse", "slight", "trend", "none"


class Trend(TypedDict):
    """A measure by generation.

    Attributes:
        collapse: its direction in a collapse, ``lower`` or ``higher``; None if unknown.
        slope: per generation (Theil and Sen), with its 95 % interval; drift: relative to the first value.
        tau, p: Mann and Kendall's test, one-sided if ``collapse`` is known; p_holm: over all measures.
        state: ``towards collapse``; ``slight`` if that is significant, but perhaps below 1 % per generation;
            ``trend`` if the direction in a collapse is unknown; else ``none``.
    """

    figure: str
    collapse: str | None
    values: list[float]
    slope: float
    interval: list[float]
    drift: float | None
    tau: float
    p: float
    p_holm: float
    state: str


class Tail(TypedDict):
    """A percentile over documents by generation; ``interval``: the range expected of a generation with the
    first one's distribution; ``left``: the first generation outside (from 0); ``side``: above or below."""

    figure: str
    values: list[float]
    interval: list[float]
    left: int | None
    side: str | None


class Generations(TypedDict):
    """``warning``: the first generation in which a tail moved; ``left_out``: measures that depend on the
    amount of text, if that differs."""

    verdict: str
    warning: int | None
    trends: list[Trend]
    tails: list[Tail]
    left_out: list[str]
    notes: list[str]


def followed(reports: Sequence[dict[str, Any]], chosen: Sequence[str]) -> Generations:
    """Trends and tails of generations; the first is the baseline.

    Args:
        chosen: parts of paths; measures without one of them are left out, those of unknown direction are
            tested in both.
    """
    flat = [_canonical(report) for report in reports]
    shared = [path for path in flat[0] if all(path in one for one in flat)]
    uneven = []
    for path in shared:
        if "of_documents" in path or not re.search(rf"(^|\.){_SIZES}$", path):
            continue
        values = [one[path] for one in flat]
        if (max(values) - min(values)) / max(max(values), 1e-300) > _EVEN:
            uneven.append(path)
    trends, left_out = [], []
    for path in shared:
        values = [one[path] for one in flat]
        direction, sized = _known(path)
        if min(values) == max(values) or not (direction or chosen):
            continue
        if chosen and not any(part in path for part in chosen):
            continue
        if sized and uneven:
            left_out.append(path)
            continue
        trends.append(_trend(path, values, direction))
    for row, p in zip(trends, corrected_by_holm(np.array([t["p"] for t in trends])), strict=True):
        row["p_holm"] = float(p)
        row["state"] = _state(row)
    tails = _tails(reports, shared, flat)
    notes = []
    if left_out:
        size, counts = uneven[0].rpartition(".")[2], [one[uneven[0]] for one in flat]
        notes.append(
            f"generations hold {min(counts):,.0f} to {max(counts):,.0f} {size}: what depends on the amount of "
            f"text is left out ({len(left_out)}); measure samples of one size"
        )
    if trends and len(trends) / math.factorial(len(reports)) > _ALPHA:
        notes.append(
            f"{len(reports)} generations are too few for a trend in {len(trends)} measures: the smallest "
            "p after Holm is above 0.05"
        )
    verdict = "no collapse seen" if trends else "nothing to test"
    if any(row["state"] == COLLAPSE for row in trends):
        verdict = "collapsing"
    return {
        "verdict": verdict,
        "warning": min((row["left"] for row in tails if row["left"] is not None), default=None),
        "trends": sorted(trends, key=lambda row: row["p"]),
        "tails": tails,
        "left_out": left_out,
        "notes": notes,
    }


def _canonical(report: dict[str, Any]) -> dict[str, float]:
    """The figures by path, with inputs called ``input 1``, ``input 2``, as each generation has another file."""
    made_by = report.get("made_by") or {}
    files = [*(made_by.get("arguments", {}).get("files") or ())]
    names = [str(name) for name in files or [one["name"] for one in made_by.get("inputs") or ()]]
    figures = differences.figures(report)
    for place, name in sorted(enumerate(names, 1), key=lambda one: -len(one[1])):
        called = "" if len(names) == 1 else f"input {place}"
        pattern = re.compile(rf"(?<![^.–]){re.escape(name)}(?![^.–])")
        figures = {pattern.sub(called, path).replace("..", "."): v for path, v in figures.items()}
    return figures


def _known(path: str) -> tuple[int, bool]:
    # Distributions over documents: only their tails are tested.
    if "lengths." in path or "of_documents." in path:
        return 0, False
    for pattern, direction, sized in _MEASURES:
        if re.search(rf"(^|\.)({pattern})$", path):
            return direction, sized
    return 0, False


def _trend(path: str, values: list[float], direction: int) -> Trend:
    from scipy.stats import kendalltau, theilslopes

    order = np.arange(len(values))
    side = {-1: "less", 0: "two-sided", 1: "greater"}[direction]
    test = kendalltau(order, values, alternative=side)
    slope, _, low, high = theilslopes(values, order, 0.95)
    return {
        "figure": path,
        "collapse": {-1: "lower", 0: None, 1: "higher"}[direction],
        "values": values,
        "slope": float(slope),
        "interval": [float(low), float(high)],
        "drift": float(slope) / abs(values[0]) if values[0] else None,
        "tau": float(test.statistic),
        "p": float(test.pvalue),
        "p_holm": 1.0,
        "state": NONE,
    }


def _state(row: Trend) -> str:
    """The state of a trend, from its corrected p and the end of its interval nearer to 0."""
    if row["p_holm"] >= _ALPHA:
        return NONE
    if row["collapse"] is None:
        return TREND
    nearer = min(map(abs, row["interval"])) if row["interval"][0] * row["interval"][1] > 0 else 0.0
    return COLLAPSE if nearer >= _DRIFT * abs(row["values"][0]) else SLIGHT


def _tails(
    reports: Sequence[dict[str, Any]], shared: Sequence[str], flat: Sequence[dict[str, float]]
) -> list[Tail]:
    """The 5th and 95th percentiles over documents that all reports have."""
    ends = [
        path
        for path in shared
        if re.search(rf"(^|\.)percentiles\.({_TAILS[0]}|{_TAILS[1]})$", path)
        and not re.search(r"lengths\.(characters|bytes)", path)
    ]
    rows: list[Tail] = []
    for path in ends:
        base, _, percentile = path.rpartition("percentiles.")
        counts = [one.get(f"{base}documents", 0) for one in flat]
        if min(counts) < 1:
            continue
        compared = len(ends) * (len(flat) - 1)
        sizes = int(counts[0]), int(min(counts[1:]))
        low, high = _interval(flat[0], base, int(percentile) / 100, sizes, compared)
        values = [one[path] for one in flat]
        left = next((g for g, value in enumerate(values) if not low <= value <= high), None)
        side = None if left is None else "below" if values[left] < low else "above"
        rows.append(
            {"figure": path, "values": values, "interval": [low, high], "left": left, "side": side}
        )
    return rows


def _interval(
    figures: dict[str, float], base: str, share: float, sizes: tuple[int, int], compared: int
) -> tuple[float, float]:
    """A 95 % interval, simultaneous over all comparisons, for a quantile of a second sample from the same
    distribution.

    The number of the first sample's values below it is beta-binomial, for any distribution. Between the
    percentiles of the report, quantiles are interpolated linearly over levels or over normal scores, whichever
    gives the wider interval; an end may be infinite.

    Args:
        sizes: of the first sample, and of the smallest other.
    """
    from scipy.special import ndtri
    from scipy.stats import betabinom

    first, other = sizes
    rank = share * (other - 1)
    tail = _ALPHA / 2 / compared
    fewest, most = betabinom.ppf([tail, 1 - tail], first, rank + 1, other - rank)
    edge = 0.5 / first
    known = dict(_points(figures, base))
    levels = np.clip([fewest / first, (most + 1) / first], edge, 1 - edge)
    at, values = np.clip(list(known), edge, 1 - edge), list(known.values())
    ends = [np.interp(levels, at, values), np.interp(ndtri(levels), ndtri(at), values)]
    low, high = np.min(ends, axis=0)[0], np.max(ends, axis=0)[1]
    return float(low) if fewest > 0 else -math.inf, float(high) if most < first else math.inf


def _points(figures: dict[str, float], base: str) -> Iterator[tuple[float, float]]:
    """Levels and quantiles of a distribution, in increasing order."""
    yield 0.0, figures[f"{base}min"]
    for level in (1, 5, 10, 25, 50, 75, 90, 95, 99):
        if f"{base}percentiles.{level}" in figures:
            yield level / 100, figures[f"{base}percentiles.{level}"]
    yield 1.0, figures[f"{base}max"]
