"""Frequencies of token ids (Flaws): their density along the vocabulary, tokens that stand out; and how often patterns
come in texts, by 1,000 words."""

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
# Density takes (grid × distinct tokens) exponentials a group.
_MOST_DENSITIES = 20
# Beyond this, lists of tokens are more than a reader can look at.
_MOST_LISTS = 200


def add_token_frequencies(
    groups: list[dict[str, Any]],
    counts: dict[int, tuple[np.ndarray, np.ndarray]],
    surfaces: list[bytes],
) -> list[dict[str, Any]] | None:
    """Adds ``tokens``, its frequencies, to the report of each group.

    Args:
        counts: of each group that has tokens, by its place: ids and counts.
        surfaces: of each id of the vocabulary.

    Returns:
        The tokens that stand out in each group, None for too many groups.
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
    """Of a group's tokens: how many, entropy, and their density along the ids.

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

    The bandwidth is Scott's for all tokens, σ·N^(−1/5), as ``scipy.stats.gaussian_kde`` has it for the
    ids with repeats. None where all tokens are one.
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
    """The tokens of each group that stand out against all others (of two: against the other).

    Args:
        tokens: of each group by its place in ``names``, ids and counts.
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
