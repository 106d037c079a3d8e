"""The form of texts: numbers of each document."""

from __future__ import annotations

import numpy as np

from synthtools.records.text_buffer import TextBuffer
from synthtools.text.layout import COUNTS, layout_counts

PER_WORDS = 1000
# Number → (what is counted, per what, scale).
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
    ``list_items`` or ``headings``, of sentences that are ``questions``; all others per 1,000 words. NaN if the
    denominator is 0.
    """
    counts = dict(zip(COUNTS, layout_counts(texts).T.astype(np.float64), strict=True))
    numbers = {}
    for name, (counted, unit, scale) in _RATES.items():
        whole = counts[unit] if unit else np.ones(len(texts))
        share = np.full(len(texts), np.nan)
        numbers[name] = scale * np.divide(counts[counted], whole, out=share, where=whole > 0)
    return numbers
