"""Hashed n-gram responses: by bucket, as in ToEdit's figure 5, and from the fullest bucket down."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthtools.cli.pictures.chart import Panel, Picture, Series, Story, Table
from synthtools.reports.document import number


def picture(report: dict[str, Any]) -> Picture:
    """Of a report of ``ngram-hash``, with or without ``--compare``."""
    inputs = report.get("inputs") or [{"name": "all", "response": report["response"]}]
    by_bucket, by_rank = [], []
    for found in inputs:
        counts = np.array(found["response"], np.int64)
        shares = counts / max(1, counts.sum())
        by_bucket.append(Series(found["name"], np.arange(len(shares)), shares, "points"))
        ranked = np.sort(shares)[::-1]
        there = ranked > 0
        by_rank.append(Series(found["name"], np.arange(1, len(ranked) + 1)[there], ranked[there]))
    share = "share of the n-grams"
    panels = [
        Panel("Response", "bucket", share, [_seen(s) for s in by_bucket], y_log=True),
        Panel("Fullest first", "rank of the bucket", share, by_rank, x_log=True, y_log=True),
    ]
    return Picture(
        "Hashed n-gram response",
        panels,
        "The share of the uni- and bigrams in each hash bucket. A curve that starts higher and falls "
        "sooner on the right is a more concentrated, more repetitive corpus.",
    )


def _seen(series: Series) -> Series:
    """Without the empty buckets, which a logarithm cannot show."""
    y = np.asarray(series.y)
    return Series(series.name, np.asarray(series.x)[y > 0], y[y > 0], series.form)


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
