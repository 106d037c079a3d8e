"""How often patterns come in texts, by 1,000 words."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synthtools.measure.bootstrap import intervals

PER_WORDS = 1000
RESAMPLES = 1000
# Documents of a group beyond this number are resampled in so many blocks of chance.
_BLOCKS = 1000


def named_pattern(text: str) -> tuple[str, re.Pattern[str]]:
    """``NAME=REGEX``.

    Raises:
        ValueError: it has another form.
    """
    name, _, pattern = text.partition("=")
    if not name or not pattern:
        raise ValueError("use NAME=REGEX")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return name, re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression ({error})") from error


def matches(patterns: Mapping[str, re.Pattern[str]], texts: Sequence[str]) -> dict[str, np.ndarray]:
    """How often each pattern is found in each text, int64 [texts]; matches do not overlap."""
    return {
        name: np.array([sum(1 for _ in pattern.finditer(text)) for text in texts], np.int64)
        for name, pattern in patterns.items()
    }


def rate(counts: np.ndarray, words: np.ndarray, seed: int, resamples: int) -> dict[str, Any]:
    """Matches in 1,000 words, with a 95 % bootstrap interval over documents [ours].

    Documents are drawn, not words: a pattern comes in clusters. Of more than 1,000 documents, 1,000
    blocks are drawn, to which documents are given by chance: sums over blocks vary as sums over as
    many documents do, at a cost that does not grow.

    Args:
        counts, words: of each document, float64; resamples: 0 for no interval.

    Returns:
        ``value`` (None without words), ``interval``, ``matches``, ``words``; ``reason`` why value or
        interval are None.
    """
    total, length = int(counts.sum()), int(words.sum())
    value = PER_WORDS * total / length if length else None
    reach, reason = None, None
    if value is None:
        reason = "no words"
    elif not resamples:
        reason = "no intervals of so many groups"
    elif len(counts) < 2:
        reason = "one document has no spread"
    elif not total:
        reason = "no match: resamples have none either"
    else:
        reach = _interval(counts, words, value, seed, resamples)
        reason = None if reach else "some resamples have no words"
    return {"value": value, "interval": reach, "matches": total, "words": length, "reason": reason}


def _interval(
    counts: np.ndarray, words: np.ndarray, value: float, seed: int, resamples: int
) -> list[float] | None:
    draw = np.random.default_rng(np.random.SeedSequence(seed))
    if len(counts) > _BLOCKS:
        block = draw.permutation(len(counts)) % _BLOCKS
        counts, words = np.bincount(block, counts), np.bincount(block, words)
    times = draw.integers(0, len(counts), (resamples, len(counts)))
    length = words[times].sum(axis=1)
    table = np.full(resamples, np.nan)
    np.divide(PER_WORDS * counts[times].sum(axis=1), length, out=table, where=length > 0)
    return intervals(["rate"], table[:, None], np.array([value]))["rate"]
