"""Frequencies of token ids (Flaws): their density along the vocabulary, and over-represented tokens; and matches of
patterns per 1,000 words."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synthtools.measure.bootstrap import intervals
from synthtools.measure.diversity import entropy
from synthtools.measure.response import log_odds

_GRID = 512
_LIST = 30
# A density takes (grid × distinct tokens) exponentials per group.
_MOST_DENSITIES = 20
# More lists of tokens than this are not readable.
_MOST_LISTS = 200


def add_token_frequencies(
    groups: list[dict[str, Any]],
    counts: dict[int, tuple[np.ndarray, np.ndarray]],
    surfaces: list[bytes],
) -> list[dict[str, Any]] | None:
    """Adds ``tokens``, the frequencies, to the report of each group.

    Args:
        counts: ids and counts of each group with tokens, by its position.
        surfaces: of each id of the vocabulary.

    Returns:
        The over-represented tokens of each group; None for too many groups.
    """
    tokens = {place: (ids.astype(np.int64), n) for place, (ids, n) in counts.items()}
    empty = np.zeros(0, np.int64), np.zeros(0, np.int64)
    few = len(groups) <= _MOST_DENSITIES
    for place, group in enumerate(groups):
        group["tokens"] = frequency(*tokens.get(place, empty), len(surfaces), few)
    if not 1 < len(tokens) <= _MOST_LISTS:
        return None
    return unusually_frequent(tokens, [group["name"] for group in groups], surfaces)


def frequency(ids: np.ndarray, counts: np.ndarray, size: int, density: bool) -> dict[str, Any]:
    """Number, entropy and density along the ids of a group's tokens.

    Args:
        ids: int64, distinct; counts: int64; size: of the vocabulary.
    """
    total = int(counts.sum())
    nats = entropy(counts)
    reason = None if total else "no tokens"
    if total and not density:
        reason = f"density: more than {_MOST_DENSITIES} groups"
    return {
        "total": total,
        "distinct": len(ids),
        "share_of_vocabulary": len(ids) / size if size else None,
        "entropy": nats,
        "perplexity": None if nats is None else math.exp(nats),
        "density": kernel_density(ids, counts, size) if total and density else None,
        "reason": reason,
    }


def kernel_density(ids: np.ndarray, counts: np.ndarray, size: int) -> dict[str, Any] | None:
    """Gaussian kernel density of token ids by frequency, on a grid over the vocabulary.

    The bandwidth is Scott's for all tokens, σ·N^(−1/5), as in ``scipy.stats.gaussian_kde`` of the ids with
    repeats. None if all tokens are the same.
    """
    total = int(counts.sum())
    mean = float(ids @ counts) / total
    squares = float(((ids - mean) ** 2) @ counts)
    if total < 2 or squares == 0:
        return None
    width = math.sqrt(squares / (total - 1)) * total ** (-1 / 5)
    grid = np.linspace(0, max(size - 1, 1), _GRID)
    values = np.array([counts @ np.exp(-(((x - ids) / width) ** 2) / 2) for x in grid])
    values /= total * width * math.sqrt(2 * math.pi)
    return {"token_ids": grid.tolist(), "density": values.tolist(), "bandwidth": width}


def unusually_frequent(
    tokens: dict[int, tuple[np.ndarray, np.ndarray]], names: list[str], surfaces: list[bytes]
) -> list[dict[str, Any]]:
    """The tokens of each group that are over-represented relative to all other groups.

    Args:
        tokens: ids and counts of each group, by its position in ``names``.
        surfaces: of each id.
    """
    pooled = np.zeros(len(surfaces), np.int64)
    for ids, counts in tokens.values():
        pooled[ids] += counts
    seen = np.flatnonzero(pooled)
    total = int(pooled.sum())
    report = []
    for group, (ids, counts) in sorted(tokens.items()):
        own = np.zeros_like(pooled)
        own[ids] = counts
        sides = np.stack([own, pooled - own], axis=1)[seen]
        size = int(counts.sum())
        rows: list[dict[str, Any]] = []
        if size < total:
            odds, z = log_odds(sides, (size, total - size))
            first = np.argsort(-z, kind="stable")[:_LIST]
            rows = [
                {
                    "token": surfaces[seen[index]].decode("utf-8", "replace"),
                    "token_id": int(seen[index]),
                    "count": int(sides[index, 0]),
                    "others": int(sides[index, 1]),
                    "log_odds": float(odds[index]),
                    "z": float(z[index]),
                }
                for index in first[z[first] > 0].tolist()
            ]
        report.append({"group": names[group], "tokens": rows})
    return report


PER_WORDS = 1000
RESAMPLES = 1000
# With more documents than this, as many random blocks of them are resampled.
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
    """The number of non-overlapping matches of each pattern in each text, int64 [texts]."""
    return {
        name: np.array([sum(1 for _ in pattern.finditer(text)) for text in texts], np.int64)
        for name, pattern in patterns.items()
    }


def rate(counts: np.ndarray, words: np.ndarray, seed: int, resamples: int) -> dict[str, Any]:
    """Matches per 1,000 words, with a 95 % bootstrap interval over documents [ours].

    Documents are resampled, not words, as matches are clustered. More than 1,000 documents are assigned at random
    to 1,000 blocks, which are resampled: sums vary as with documents, at constant cost.

    Args:
        counts, words: of each document, float64; resamples: 0 for no interval.

    Returns:
        ``value`` (None without words), ``interval``, ``matches``, ``words``; ``reason``: why value or
        interval is None.
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
