"""Hashed n-gram responses: how full the buckets are, and from the fullest bucket down."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from synthtools.cli.pictures.chart import Panel, Picture, Series, Story, Table, extremes
from synthtools.reports.document import number

_BINS = 30


def picture(report: dict[str, Any]) -> Picture:
    """Of a report of ``ngram-hash``, with or without ``--compare``."""
    inputs = report.get("inputs") or [{"name": "all", "response": report["response"]}]
    relative, by_rank, empty = {}, [], {}
    for found in inputs:
        counts = np.array(found["response"], np.int64)
        shares = counts / max(1, counts.sum())
        relative[found["name"]] = shares[shares > 0] * len(shares)
        if not shares.all():
            empty[found["name"]] = int((shares == 0).sum())
        ranked = np.sort(shares)[::-1]
        there = ranked > 0
        by_rank.append(Series(found["name"], np.arange(1, len(ranked) + 1)[there], ranked[there]))
    share = "share of the n-grams"
    panels = [
        Panel(
            "How full buckets are",
            "n-grams in a bucket / mean of the buckets",
            "filled buckets per bin (%)",
            _densities(relative),
            x_log=True,
            from_zero=True,
            note=_empty(empty, report["buckets"]),
        ),
        Panel("Fullest first", "rank of the bucket", share, by_rank, x_log=True, y_log=True),
    ]
    return Picture(
        "Hashed n-gram response",
        panels,
        "The share of the n-grams in each hash bucket (ToEdit's response). Left: the wider, the less "
        "evenly the n-grams spread. Right: a curve that starts higher and falls sooner is a more "
        "concentrated, more repetitive corpus.",
        corpora=[found["name"] for found in inputs],
        finding=extremes(
            "Effective number of buckets",
            {found["name"]: found.get("effective_buckets") for found in inputs if len(inputs) > 1},
        ),
    )


def _densities(relative: dict[str, np.ndarray]) -> list[Series]:
    """Filled buckets by how full they are, % of a corpus's, over one range."""
    ends = [
        end for values in relative.values() if len(values) for end in (values.min(), values.max())
    ]
    if not ends:
        return []
    low, high = math.log10(min(ends)), math.log10(max(ends))
    edges = np.logspace(low, high, _BINS + 1) if high > low else np.array([0.5, 2]) * min(ends)
    edges[0], edges[-1] = min(edges[0], *ends), max(edges[-1], *ends)
    return [
        Series(name, edges, 100 * np.histogram(v, edges)[0] / max(1, len(v)), "bars")
        for name, v in relative.items()
    ]


def _empty(counts: dict[str, int], buckets: int) -> str:
    if len(counts) > 2:
        ends = f"{min(counts.values()):,} to {max(counts.values()):,}"
    else:
        ends = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f"empty of {buckets:,} buckets: {ends}" if counts else ""


_FIGURES = ("documents", "ngrams", "effective_buckets", "entropy", "gini", "top_1_percent")
_PAIR = ("js", "total_variation", "cosine", "kl_left_right", "kl_right_left")
_SHOWN = 12


def story(report: dict[str, Any]) -> Story:
    """How concentrated each corpus is, how far two are apart, what stands out."""
    inputs = report.get("inputs") or [{**report, "name": "all"}]
    tables = [
        Table(
            "Concentration",
            ["", *(name.replace("_", " ") for name in _FIGURES)],
            [[found["name"], *(number(found[name]) for name in _FIGURES)] for found in inputs],
        )
    ]
    lines = [
        f"{found['name']}: its {number(found['ngrams'])} n-grams spread as if over "
        f"{number(found['effective_buckets'])} of {report['buckets']:,} buckets."
        for found in inputs
    ]
    for pair in report.get("pairs", []):
        sides = [next(f for f in inputs if f["name"] == pair[end]) for end in ("left", "right")]
        wide = [side["effective_buckets"] for side in sides]
        if None not in wide:
            ratio = wide[1] / wide[0]
            lines.append(
                f"{pair['right']} spreads over {100 * ratio:.0f} % as many buckets as {pair['left']} "
                f"(effective number {number(wide[1])} against {number(wide[0])}); Jensen–Shannon "
                f"divergence {number(pair['js'])} nats of at most 0.693."
            )
        tables.append(
            Table(
                f"{pair['left']} against {pair['right']}",
                [name.replace("_", " ") for name in _PAIR],
                [[number(pair[name]) for name in _PAIR]],
            )
        )
        for n, ends in pair["over_represented"].items():
            rows = [
                [pair[end], ", ".join(f"“{row['ngram']}”" for row in ends[end][:_SHOWN])]
                for end in ("left", "right")
                if ends[end]
            ]
            if rows:
                tables.append(Table(f"{n}-grams that stand out", ["corpus", "n-grams"], rows))
    return Story("Hashed n-grams", lines, tables)
