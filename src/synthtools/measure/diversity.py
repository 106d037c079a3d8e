"""Diversity of the texts of a group, from a sample or a sequence of words, and the growth of its vocabulary (Heaps'
law)."""

from __future__ import annotations

import heapq
import math
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import zstandard

from synthtools.measure.repetitions import quantile
from synthtools.text.lexical_richness import BREAK, HDD, MTLD, figures_of, ngram_counts
from synthtools.text.self_bleu import self_bleu_of
from synthtools.text.unicode import marks

ORDERS = (1, 2, 3)
_LEVEL = 3
_LIST = 10
_OPENING = 4
_TEMPLATE = 6
_FRAME_WORDS = 100
_OPEN = ("*",) * _TEMPLATE
# Combining marks belong to words; ASCII has none, and matching is twice as fast without them.
_WORDS = {True: r"\w++", False: rf"\w[\w{marks()}]*+"}


def _first_tokens(count: int, word: str) -> re.Pattern[str]:
    """Matches the first tokens of a text, without scanning the rest."""
    token = rf"\s*+({word}|[^\w\s]++)"
    return re.compile(token + f"(?:{token}" * (count - 1) + ")?" * (count - 1))


_BEGINNING = {
    (count, plain): _first_tokens(count, word)
    for count in (_OPENING, _TEMPLATE)
    for plain, word in _WORDS.items()
}


def entropy(counts: np.ndarray) -> float | None:
    """Entropy of a distribution from its counts, in nats; None without counts."""
    total = counts.sum()
    if not total:
        return None
    shares = counts[counts > 0] / total
    return max(0.0, -float((shares * np.log(shares)).sum()))


def sequence_figures(sequence: np.ndarray) -> dict[str, Any]:
    """MTLD and HD-D of a sequence of words; distinct-n and entropy of its n-grams.

    Args:
        sequence: uint64, with a ``BREAK`` after each document; n-grams do not cross it.
    """
    words = sequence[sequence != BREAK]
    figures = figures_of(words, np.array([0, len(words)]))[0]
    ngrams = {}
    for n in ORDERS:
        counts = ngram_counts(sequence, n)
        total = int(counts.sum())
        nats = entropy(counts)
        ngrams[str(n)] = {
            "total": total,
            "distinct": len(counts),
            "distinct_share": len(counts) / total if total else None,
            "entropy": nats,
            "perplexity": None if nats is None else math.exp(nats),
        }
    return {
        "words": len(words),
        "mtld": _number(figures[MTLD]),
        "hdd": _number(figures[HDD]),
        "ngrams": ngrams,
        "reason": None if len(words) else "no words",
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def compression(texts: Sequence[str]) -> dict[str, Any]:
    """Size of the texts, joined by newlines, and its ratio to the size after zstd."""
    data = "\n".join(texts).encode("utf-8")
    if not data:
        return {"bytes": 0, "ratio": None, "reason": "no text"}
    packed = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=False).compress(data)
    return {"bytes": len(data), "ratio": len(data) / len(packed), "reason": None}


def lexical_diversity(
    of_texts: Sequence[list[str]], pooled: int
) -> tuple[dict[str, Any], np.ndarray]:
    """100 − self-BLEU (Baskets): within each text, and of the pooled sentences of some texts.

    Args:
        of_texts: the ``sentences`` of each text of a sample in random order; the first ``pooled`` are
            pooled.

    Returns:
        The numbers, and float64 [texts]: the mean over the sentences of each, NaN with fewer than two
        of at least four words.
    """
    together = [sentence for some in of_texts[:pooled] for sentence in some]
    *each, pool = self_bleu_of([*of_texts, together])
    # BLEU of equal sentences can exceed 100 by rounding.
    per_text = np.array(
        [max(0.0, 100 - s.mean()) if len(s) > 1 else math.nan for s in each], np.float64
    )
    known = per_text[np.isfinite(per_text)]
    return {
        "within": float(known.mean()) if len(known) else None,
        "documents": len(known),
        "pooled": max(0.0, 100 - float(pool.mean())) if len(pool) > 1 else None,
        "pooled_sentences": len(pool),
        "reason": None if len(known) else "no sampled document has two sentences of four words",
    }, per_text


def openings(texts: Sequence[str], of_texts: Sequence[list[str]]) -> dict[str, Any]:
    """Repeated openings and templates [ours].

    An opening is a text's first four tokens. A template is the first six tokens of a sentence, with all but the
    100 most frequent words of such beginnings replaced by ``*``: at least one and at most three.

    Args:
        of_texts: the ``sentences`` of each text.

    Returns:
        ``distinct_share`` of the openings; ``openings`` and ``templates`` of more than one text:
        ``[words, share of the texts]``, the most frequent first.
    """
    firsts = Counter(
        " ".join(first) for text in texts if (first := beginning(text[:400].lower(), _OPENING))
    )
    beginnings = [
        [beginning(s[:120].lower(), _TEMPLATE) for s in sentences] for sentences in of_texts
    ]
    words = Counter(chain.from_iterable(chain.from_iterable(beginnings)))
    frame = {word: word for word, _ in heapq.nsmallest(_FRAME_WORDS, words.items(), _by_count)}
    templates: Counter[str] = Counter()
    for of_text in beginnings:
        own = set()
        for tokens in of_text:
            if len(tokens) == _TEMPLATE:
                kept = list(map(frame.get, tokens, _OPEN))
                if 1 <= kept.count("*") <= _TEMPLATE - 3:
                    own.add(" ".join(kept))
        templates.update(own)
    total = firsts.total()
    return {
        "distinct_share": len(firsts) / total if total else None,
        "openings": _repeated(firsts, len(texts)),
        "templates": _repeated(templates, len(texts)),
        "reason": None if total else "no text",
    }


def beginning(text: str, most: int) -> tuple[str, ...]:
    """The first ``most`` tokens of a text, or fewer."""
    match = _BEGINNING[most, text.isascii()].match(text)
    return match.groups()[: match.lastindex] if match else ()


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _repeated(counts: Counter[str], texts: int) -> list[list[Any]]:
    rows = sorted(((name, n) for name, n in counts.items() if n > 1), key=_by_count)[:_LIST]
    return [[name, n / texts] for name, n in rows]


def semantic_diversity(vectors: np.ndarray) -> dict[str, Any]:
    """Mean over i ≠ j of 1 − cos(x_i, x_j) (Baskets), without the pairs: the cosines of n unit vectors
    sum to |Σ x|² − n.

    Args:
        vectors: float [n, dimensions]; zero vectors have no direction and are counted separately.
    """
    rows = np.asarray(vectors, np.float64)
    norms = np.sqrt((rows * rows).sum(axis=1)) if len(rows) else np.zeros(0)
    rows = rows[norms > 0] / norms[norms > 0, None] if len(rows) else rows
    n = len(rows)
    counts = {"vectors": n, "without_direction": len(norms) - n}
    if n < 2:
        return {**counts, "value": None, "reason": "fewer than two vectors with a direction"}
    total = rows.sum(axis=0)
    cosine = (float(total @ total) - n) / (n * (n - 1))
    return {**counts, "value": min(2.0, max(0.0, 1 - cosine)), "reason": None}


STEP = 1000
_FEWEST_POINTS = 4
FEWEST_WORDS = _FEWEST_POINTS * STEP
_SHOWN = 200


def heaps(words: np.ndarray, distinct: np.ndarray) -> dict[str, Any]:
    """Fits V(n) = K·n^β by non-linear least squares.

    The 95 % intervals are those of least squares, by Student's t. The points of a curve are dependent, so that
    they are too narrow.

    Args:
        words: n, int64 [points], one every 1,000 words; distinct: V at each.

    Returns:
        ``k``, ``beta``, their ``*_interval``, ``r_squared``, ``points`` and the ``curve`` (at most
        200 points of it); the numbers are None, with a ``reason``, if there is no fit.
    """
    names = ("k", "k_interval", "beta", "beta_interval", "r_squared")
    if len(words) < _FEWEST_POINTS:
        reason = f"fewer than {FEWEST_WORDS:,} words: too few points for a fit"
        return {**dict.fromkeys(names), "points": len(words), "curve": None, "reason": reason}
    shown = np.unique(np.linspace(0, len(words) - 1, _SHOWN).astype(np.int64))
    curve = {"words": words[shown].tolist(), "distinct": distinct[shown].tolist()}
    from scipy.optimize import OptimizeWarning, curve_fit

    n, v = words.astype(np.float64), distinct.astype(np.float64)
    # The start: a line through the logarithms.
    slope, height = np.polyfit(np.log(n), np.log(v), 1)
    unfitted: dict[str, Any] = {**dict.fromkeys(names), "points": len(words), "curve": curve}
    with warnings.catch_warnings():
        warnings.simplefilter("error", OptimizeWarning)
        try:
            (k, beta), covariance = curve_fit(law, n, v, p0=(np.exp(height), slope))
        except (RuntimeError, OptimizeWarning):
            return {**unfitted, "reason": "least squares found no minimum"}
    reach = quantile(len(n) - 2) * np.sqrt(np.diag(covariance))
    spread = float(((v - v.mean()) ** 2).sum())
    rest = float(((v - law(n, k, beta)) ** 2).sum())
    return {
        **unfitted,
        "k": float(k),
        "k_interval": [float(k - reach[0]), float(k + reach[0])],
        "beta": float(beta),
        "beta_interval": [float(beta - reach[1]), float(beta + reach[1])],
        "r_squared": 1 - rest / spread if spread else None,
        "reason": None,
    }


def matched(
    words: np.ndarray, distinct: np.ndarray, most: int, total: int
) -> tuple[tuple[np.ndarray, np.ndarray], str | None]:
    """The beginning of a curve, up to ``most`` of ``total`` words; if there are fewer, none, with the reason.

    β decreases along every curve, so that a small corpus has a larger β than a large one of the same kind:
    only curves of the same length can be compared.
    """
    if total < most:
        return (words[:0], distinct[:0]), f"{total:,} words, fewer than the {most:,} to be matched"
    kept = words <= most
    return (words[kept], distinct[kept]), None


def law(n: np.ndarray, k: float, beta: float) -> np.ndarray:
    """K·n^β."""
    return k * n**beta
