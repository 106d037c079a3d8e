"""Diversity of the texts of a group, from a sample or a sequence of words, and the growth of its vocabulary (Heaps'
law)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import zstandard

from synthtools.measure.repetitions import quantile
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.lexical_richness import BREAK, HDD, MTLD, figures_of, ngram_counts
from synthtools.text.self_bleu import self_bleu, token_hashes
from synthtools.text.sentences import SentenceBounds, beginnings, distinct, framed
from synthtools.text.tokeniser import GOLDEN

ORDERS = (1, 2, 3)
_LEVEL = 3
_LIST = 10
_OPENING = 4
_TEMPLATE, _FIXED = 6, 3  # tokens; the fewest that are not replaced
_FRAME_WORDS = 100
_OPEN = "*"
# Characters of a text, and of a sentence, that are looked at.
_OF_TEXT, _OF_SENTENCE = 400, 120


def entropy(counts: np.ndarray) -> float | None:
    """Entropy of a distribution from its counts, in nats; None without counts."""
    total = counts.sum()
    if not total:
        return None
    counts = counts[counts > 0]
    # Where most counts are small, each logarithm is computed once.
    several = np.arange(1, counts.max() + 1) if counts.max() < len(counts) else counts
    shares = several / total
    terms = shares * np.log(shares)
    return max(0.0, -float((terms if several is counts else terms[counts - 1]).sum()))


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


def compression(texts: Sequence[bytes]) -> dict[str, Any]:
    """Size of the texts, joined by newlines, and its ratio to the size after zstd."""
    data = b"\n".join(texts)
    if not data:
        return {"bytes": 0, "ratio": None, "reason": "no text"}
    packed = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=False).compress(data)
    return {"bytes": len(data), "ratio": len(data) / len(packed), "reason": None}


def lexical_diversity(
    texts: TextBuffer, sentences: SentenceBounds, pooled: int
) -> tuple[dict[str, Any], np.ndarray]:
    """100 − self-BLEU (Baskets): within each text, and of the pooled sentences of some texts.

    Args:
        texts: a sample in random order, the first ``pooled`` of which are pooled; sentences: theirs.

    Returns:
        The numbers, and float64 [texts]: the mean over the sentences of each, NaN with fewer than two
        of at least four words.
    """
    tokens, starts = token_hashes(texts, sentences)
    together = int(sentences.offsets[: pooled + 1][-1])
    pool = self_bleu(tokens, starts[: together + 1], np.array([0, together]))
    scores, sizes = self_bleu(tokens, starts, sentences.offsets), np.diff(sentences.offsets)
    per_text = np.full(len(texts), np.nan)
    for size in np.unique(sizes[sizes > 1]).tolist():
        alike = np.flatnonzero(sizes == size)
        rows = scores[sentences.offsets[alike][:, None] + np.arange(size)]
        # BLEU of equal sentences is above 100 by rounding.
        per_text[alike] = np.maximum(0.0, 100 - rows.sum(axis=1) / size)
    known = per_text[np.isfinite(per_text)]
    return {
        "within": float(known.mean()) if len(known) else None,
        "documents": len(known),
        "pooled": max(0.0, 100 - float(pool.mean())) if len(pool) > 1 else None,
        "pooled_sentences": len(pool),
        "reason": None if len(known) else "no sampled document has two sentences of four words",
    }, per_text


def openings(texts: TextBuffer, sentences: SentenceBounds) -> dict[str, Any]:
    """What texts begin with again and again [ours].

    An opening is a text's first four tokens. A template is the first six tokens of a sentence, with all but the
    100 most frequent words of such beginnings replaced by ``*``: at least one and at most three.

    Args:
        sentences: those of the texts.

    Returns:
        ``distinct_share`` of the openings; ``openings`` and ``templates`` of more than one text:
        ``[words, share of the texts]``, the most frequent first.
    """
    firsts = beginnings(texts, texts.offsets[:-1], texts.offsets[1:], _OF_TEXT, _OPENING)
    keys = firsts.hashes[:, 0]
    for column in range(1, _OPENING):
        keys = keys * GOLDEN + firsts.hashes[:, column]
    there = np.flatnonzero(firsts.counts)
    _, places, counts = np.unique(keys[there], return_index=True, return_counts=True)

    def opening(number: int) -> str:
        piece = there[places[number]]
        return firsts.text(piece, 0, firsts.counts[piece] - 1)

    total = len(there)
    return {
        "distinct_share": len(counts) / total if total else None,
        "openings": _repeated(counts, opening, len(texts)),
        "templates": _templates(texts, sentences),
        "reason": None if total else "no text",
    }


def _templates(texts: TextBuffer, sentences: SentenceBounds) -> list[list[Any]]:
    found = beginnings(texts, sentences.begins, sentences.ends, _OF_SENTENCE, _TEMPLATE)
    numbers, times, places = distinct(found.hashes, found.counts)

    def word(number: int) -> str:
        sentence, token = divmod(int(places[number]), _TEMPLATE)
        return found.text(sentence, token, token)

    frame = _most_frequent(times, word, _FRAME_WORDS)
    words = [_OPEN, *(name for _, name, _ in frame)]
    codes = np.zeros(len(times), np.int64)
    for code, (number, name, _) in enumerate(frame, 1):
        codes[number] = code if name != _OPEN else 0
    templates, counts = framed(codes, numbers, found.counts, sentences.offsets, _FIXED)

    def template(number: int) -> str:
        return " ".join(words[code] for code in templates[number].tolist())

    return _repeated(counts, template, len(texts))


def _most_frequent(
    counts: np.ndarray, name: Callable[[int], str], most: int, fewest: int = 1
) -> list[tuple[int, str, int]]:
    """Number, name and count of what is most frequent; of equally frequent ones the first names."""
    if len(counts) > most:
        fewest = max(fewest, int(np.partition(counts, -most)[-most]))
    rows = [(i, name(i), int(counts[i])) for i in np.flatnonzero(counts >= fewest).tolist()]
    return sorted(rows, key=lambda row: (-row[2], row[1]))[:most]


def _repeated(counts: np.ndarray, name: Callable[[int], str], texts: int) -> list[list[Any]]:
    return [[words, count / texts] for _, words, count in _most_frequent(counts, name, _LIST, 2)]


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
_MOST_STEPS, _LAST_STEP = 100, 1e-13


def heaps(words: np.ndarray, distinct: np.ndarray) -> dict[str, Any]:
    """Fits V(n) = K·n^β by non-linear least squares.

    The 95 % intervals are those of least squares, by Student's t. The points of a curve are dependent, so that
    they are too narrow.

    Args:
        words: n, int64 [points], one every 1,000 words; distinct: V at each.

    Returns:
        ``k``, ``beta``, their ``*_interval``, ``r_squared``, ``points`` and the ``curve`` (at most
        200 points of it); without a fit the numbers are None, and ``reason`` says why.
    """
    names = ("k", "k_interval", "beta", "beta_interval", "r_squared")
    if len(words) < _FEWEST_POINTS:
        reason = f"fewer than {FEWEST_WORDS:,} words: too few points for a fit"
        return {**dict.fromkeys(names), "points": len(words), "curve": None, "reason": reason}
    shown = np.unique(np.linspace(0, len(words) - 1, _SHOWN).astype(np.int64))
    curve = {"words": words[shown].tolist(), "distinct": distinct[shown].tolist()}
    n, v = words.astype(np.float64), distinct.astype(np.float64)
    unfitted: dict[str, Any] = {**dict.fromkeys(names), "points": len(words), "curve": curve}
    fit = _least_squares(n, v)
    if fit is None:
        return {**unfitted, "reason": "least squares found no minimum"}
    k, beta, *errors = fit
    reach = [quantile(len(n) - 2) * error for error in errors]
    spread = float(((v - v.mean()) ** 2).sum())
    rest = float(((v - k * n**beta) ** 2).sum())
    return {
        **unfitted,
        "k": k,
        "k_interval": [k - reach[0], k + reach[0]],
        "beta": beta,
        "beta_interval": [beta - reach[1], beta + reach[1]],
        "r_squared": 1 - rest / spread if spread else None,
        "reason": None,
    }


def _least_squares(n: np.ndarray, v: np.ndarray) -> tuple[float, float, float, float] | None:
    """K, β and their standard errors; None if the steps do not converge.

    K follows from β, which alone is sought, by Gauss–Newton steps with K eliminated (Kaufman 1975).
    """
    logarithms = np.log(n)
    x = logarithms - logarithms.mean()
    y = np.log(v)
    beta = np.sum(x * (y - y.mean())) / np.sum(x * x)  # a line through the logarithms
    for _ in range(_MOST_STEPS):
        power = np.exp(beta * x)
        square = np.sum(power**2)
        height, middle = np.sum(v * power) / square, np.sum(x * power**2) / square
        across = (x - middle) * power
        off, bend = v - height * power, height * np.sum(across**2)
        step = np.sum(off * across) / bend
        beta += step
        if abs(step) <= _LAST_STEP:
            break
    else:
        return None
    variance = np.sum(off**2) / (len(n) - 2)
    of_beta = variance / (height * bend)
    of_log_k = variance / (height**2 * square) + (middle + logarithms.mean()) ** 2 * of_beta
    k = height * np.exp(-beta * logarithms.mean())
    return float(k), float(beta), float(k * np.sqrt(of_log_k)), float(np.sqrt(of_beta))


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
