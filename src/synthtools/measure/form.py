"""How texts are formed: numbers of each document, and how two corpora differ in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from synthtools.measure.significance import corrected_by_holm, mann_whitney
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.layout import COUNTS, layout_counts

PER_WORDS = 1000
_Z = 1.959963984540054
# Number → what it is a number of, and in how much of what.
_RATES: dict[str, tuple[str, str, int]] = {
    "words": ("words", "", 1),
    "words_per_sentence": ("words", "sentences", 1),
    "paragraphs": ("paragraphs", "", 1),
    "sentences_per_paragraph": ("sentences", "paragraphs", 1),
    "list_items": ("list_items", "lines", 1),
    "headings": ("headings", "lines", 1),
    "questions": ("questions", "sentences", 1),
    **{
        name: (name, "words", PER_WORDS)
        for name in (
            *("bold", "code", "exclamations", "commas", "semicolons", "colons", "dashes"),
            *("parentheses", "quotations", "first_person", "contractions", "numbers"),
        )
    },
}
MEASURES = tuple(_RATES)


def form_of(texts: TextBuffer) -> dict[str, np.ndarray]:
    """Numbers of each text (see ``layout_counts``), float64 [texts] by name; safe in any thread.

    ``words``, ``paragraphs``; ``words_per_sentence``, ``sentences_per_paragraph``; shares of lines that are
    ``list_items`` or ``headings``, of sentences that are ``questions``; all others in 1,000 words. NaN where a
    text has none of what it is a share of.
    """
    counts = dict(zip(COUNTS, layout_counts(texts).T.astype(np.float64), strict=True))
    numbers = {}
    for name, (what, among, scale) in _RATES.items():
        whole = counts[among] if among else np.ones(len(texts))
        share = np.full(len(texts), np.nan)
        numbers[name] = scale * np.divide(counts[what], whole, out=share, where=whole > 0)
    return numbers


def differences(
    reference: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """How the other corpus differs from the reference, number by number; above 0 where it has more.

    ``d``: the difference of means in pooled standard deviations (Cohen), with the interval of Hedges and
    Olkin (1985); ``delta``: how much more often a document of the other has more than one of the reference
    than less (Cliff), with the interval of Feng and Cliff (2004). ``p`` is that of Mann–Whitney, ``p_holm``
    corrected by Holm's method over all numbers: what may be claimed. Intervals are 95 %, each by itself.

    Args:
        reference, other: of each document, by name; what is not finite is left out.

    Returns:
        ``name``, ``means`` and ``documents`` (reference, other), and the above; None where a side has fewer
        than two values or all are equal.
    """
    rows = [
        _difference(name, *(side[name][np.isfinite(side[name])] for side in (reference, other)))
        for name in reference
    ]
    tested = [row for row in rows if row["p"] is not None]
    corrected = corrected_by_holm(np.array([row["p"] for row in tested]))
    for row, p in zip(tested, corrected.tolist(), strict=True):
        row["p_holm"] = p
    return rows


def _difference(name: str, left: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "means": [float(side.mean()) if len(side) else None for side in (left, right)],
        "documents": [len(left), len(right)],
        **dict.fromkeys(("d", "d_interval", "delta", "delta_interval", "p", "p_holm")),
    }
    n, m = len(left), len(right)
    if min(n, m) < 2 or min(left.min(), right.min()) == max(left.max(), right.max()):
        return row
    variance = ((n - 1) * left.var(ddof=1) + (m - 1) * right.var(ddof=1)) / (n + m - 2)
    if variance > 0:
        d = float((right.mean() - left.mean()) / math.sqrt(variance))
        reach = _Z * math.sqrt((n + m) / (n * m) + d * d / (2 * (n + m)))
        row |= {"d": d, "d_interval": [d - reach, d + reach]}
    left, right = np.sort(left), np.sort(right)
    delta, interval = cliffs_delta(left, right)
    return row | {"delta": delta, "delta_interval": interval, "p": mann_whitney(right, left)[1]}


def cliffs_delta(left: np.ndarray, right: np.ndarray) -> tuple[float, list[float]]:
    """P(right > left) − P(right < left) and its 95 % interval (Feng and Cliff 2004).

    Args:
        left, right: float64, ascending, two values or more.
    """
    n, m = len(left), len(right)
    of_right = np.searchsorted(left, right) + np.searchsorted(left, right, side="right") - n
    of_left = m - np.searchsorted(right, left) - np.searchsorted(right, left, side="right")
    ties = int((np.searchsorted(left, right, side="right") - np.searchsorted(left, right)).sum())
    delta = float(of_right.sum()) / (n * m)
    if abs(delta) == 1:  # no variance: Feng and Cliff's bound by the number of documents
        bound = (min(n, m) - _Z**2) / (min(n, m) + _Z**2)
        return delta, sorted([delta, delta * bound])
    between = n * m - ties - n * m * delta**2
    spread = (
        m**2 * ((of_left / m - delta) ** 2).sum()
        + n**2 * ((of_right / n - delta) ** 2).sum()
        - between
    ) / (n * m * (n - 1) * (m - 1))
    # Never below what the estimate can be.
    spread = max(spread, (1 - delta**2) / (n * m - 1))
    reach = _Z * math.sqrt(spread) * math.sqrt((1 - delta**2) ** 2 + _Z**2 * spread)
    whole = 1 - delta**2 + _Z**2 * spread
    middle = delta - delta**3
    return delta, [(middle - reach) / whole, (middle + reach) / whole]
