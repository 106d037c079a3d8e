"""Hashed n-gram responses: by bucket, as in ToEdit's figure 5, and from the fullest bucket down."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthtools.console.pictures.chart import Panel, Picture, Series


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
