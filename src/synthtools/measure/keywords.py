"""Words, phrases and openings of sentences that distinguish two corpora (``text.phrases``).

Weighted log-odds with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008) on tokens and on
documents; claims are based on an exact test of the numbers of documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synthtools.measure import response
from synthtools.measure.phrase_counts import KeywordCounts
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.phrases import KINDS, Sentences, sentences_of
from synthtools.text.words import word_hashes

LEVEL = 0.05
_PRIOR = 0.1
_MILLION = 1_000_000
_LEAST_Z = 1.96
_WIDTH = 60
# Texts searched together; each byte takes 13 bytes of memory.
_AT_ONCE = 200


def log_odds(
    reference: KeywordCounts, other: KeywordCounts, top: int = 30, level: float = LEVEL
) -> list[dict[str, Any]]:
    """Phrases that each of two corpora uses more than the other, ``top`` of each kind on each side.

    ``z`` is of the log-odds of tokens, ``z_documents`` of documents with the phrase, above 0 if it is more frequent
    in the other corpus. The prior has the pooled shares and the weight of a tenth of both corpora [ours]. The
    strength of a keyword is the smaller of the two: a phrase repeated in one document has a large z and a small
    ``z_documents``, a phrase of longer documents the reverse.

    ``p`` is from Fisher's two-sided exact test on the number of documents with the phrase, once with the numbers of
    documents and once with these in proportion to words (so that longer documents alone are not evidence); the
    larger counts. It is corrected over all phrases of all kinds by Tarone's form (1990) of Bonferroni's method, in
    which phrases too rare to reach the level do not count. It is 1 if tokens do not agree (z below 1.96). Under
    random labels, any phrase reaches ``level`` in at most that share of cases.

    If counts may be too low (``too_low_by``), the weaker side's are raised first, so that errors cannot make a
    difference.

    Returns:
        By kind, the reference's before the other's; significant phrases first, and the strongest first. Pairs
        are (reference, other): ``per_million`` words, ``tokens``, ``documents``.
    """
    if not reference.documents or not other.documents:
        return []
    rows, least = [], []
    for kind in KINDS:
        one = _Kind(kind, reference, other)
        least.append(one.least_p)
        one.keep(top, level)
        rows.append(one)
    tests = _tests(np.concatenate(least), level)
    keywords = []
    for one in rows:
        one.p = np.minimum(1.0, tests * one.p)
        for more in (-1, 1):
            keywords += one.listed(more, top, level)
    return keywords


class _Kind:
    """All phrases of a kind, and their statistics in two corpora."""

    def __init__(self, kind: str, reference: KeywordCounts, other: KeywordCounts) -> None:
        self.kind, self.sides = kind, (reference, other)
        counts = [side.kinds[kind] for side in self.sides]
        hashes, words = map(np.concatenate, zip(*(one.held() for one in counts), strict=True))
        self.hashes, first = np.unique(hashes, return_index=True)
        self.words = words[first]
        # tokens, documents, error: int64 [phrases, 2]
        numbers = np.stack([one.of(self.hashes) for one in counts], axis=2)
        self.tokens, self.documents, self.errors = numbers.transpose(1, 0, 2)
        self.rates = self.tokens / np.maximum(1, [side.words for side in self.sides])
        more = np.where(self.rates[:, 1] > self.rates[:, 0], 1, -1)
        weaker = np.stack([more > 0, more < 0], axis=1)
        totals = np.maximum(1, [one.total for one in counts])
        tokens = np.minimum(self.tokens + weaker * self.errors, totals)
        sizes = np.array([side.documents for side in self.sides])
        documents = np.minimum(self.documents + weaker * self.errors, sizes)
        self.odds, self.z = response.log_odds(tokens[:, ::-1], totals[::-1].tolist(), _PRIOR)
        self.z_documents = _documents_z(documents, sizes)
        agree = (np.sign(self.z) == more) & (np.sign(self.z_documents) == more)
        self.strength = np.where(agree, np.minimum(abs(self.z), abs(self.z_documents)), 0.0) * more
        lengths = np.array([side.words for side in self.sides])
        self.least_p = least_p(documents.sum(axis=1), sizes)
        self.p = np.ones(len(self.hashes))
        sought = np.flatnonzero(agree & (abs(self.z) >= _LEAST_Z))
        side = (more[sought] + 1) // 2
        drawn, everything = documents[sought].sum(axis=1), int(sizes.sum())
        as_words = np.rint(everything * lengths / lengths.sum()).astype(np.int64)
        ps = [tail(documents[sought, side], drawn, n[side], everything) for n in (sizes, as_words)]
        self.p[sought] = 2 * np.maximum(*ps)

    def keep(self, top: int, level: float) -> None:
        """Drops phrases that cannot be listed whatever the number of tests: they take most of the memory."""
        strong = [np.lexsort((self.hashes, -self.strength * more))[:top] for more in (-1, 1)]
        kept = np.unique(np.concatenate([np.flatnonzero(self.p <= level), *strong]))
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value[kept])

    def listed(self, more: int, top: int, level: float) -> list[dict[str, Any]]:
        """Phrases of the side with more: significant ones, then others, the strongest first."""
        strength = self.strength * more
        order = np.lexsort((self.hashes, -strength, self.p > level))[:top]
        return [self._row(at) for at in order[strength[order] > 0].tolist()]

    def _row(self, at: int) -> dict[str, Any]:
        words = self.words[at].tolist()
        return {
            "kind": self.kind,
            "text": next(filter(None, (side.text(words) for side in self.sides))),
            "z": float(self.z[at]),
            "z_documents": float(self.z_documents[at]),
            "log_odds": float(self.odds[at]),
            "p": float(self.p[at]),
            "per_million": (_MILLION * self.rates[at]).tolist(),
            "tokens": self.tokens[at].tolist(),
            "documents": self.documents[at].tolist(),
            "too_low_by": self.errors[at].tolist(),
        }


def _documents_z(documents: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """z of the log-odds that a document has a phrase, with half a document added to both cases [ours]: phrases of
    all documents would have no variance otherwise.

    Args:
        documents: int64 [phrases, 2]; sizes: int64 [2].
    """
    raised = documents + _PRIOR * documents.sum(axis=1, keepdims=True) + 0.5
    rest = sizes + _PRIOR * sizes.sum() + 1.0 - raised
    odds = np.log(raised / rest)
    return (odds[:, 1] - odds[:, 0]) / np.sqrt((1 / raised + 1 / rest).sum(axis=1))


def tail(among: np.ndarray, drawn: np.ndarray, marked: np.ndarray, everything: int) -> np.ndarray:
    """Probability that at least ``among`` of ``drawn`` out of ``everything`` are ``marked``; 1 if that is not more
    than the expectation.

    All int64 of one shape; the tail of the hypergeometric distribution, summed from ``among`` on.
    """
    from scipy.special import gammaln

    def log_choose(n: Any, k: np.ndarray) -> np.ndarray:
        return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)

    p = np.where(among > np.minimum(drawn, marked), 0.0, 1.0)
    sought = (among * everything > drawn * marked) & (p > 0)
    k, d, m = (array[sought].astype(np.float64) for array in (among, drawn, marked))
    rest = everything - m
    log_term = log_choose(m, k) + log_choose(rest, d - k) - log_choose(everything, d)
    term, total = np.ones(len(k)), np.ones(len(k))
    while (term > 1e-12 * total).any():
        term = term * (m - k) * (d - k) / ((k + 1) * (rest - d + k + 1))
        total += term
        k += 1
    p[sought] = np.exp(log_term + np.log(total))
    return p


def least_p(drawn: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The smallest two-sided p possible for a phrase in ``drawn`` documents, float64."""
    known, place = np.unique(drawn, return_inverse=True)
    everything = int(sizes.sum())
    ends = [tail(np.minimum(known, n), known, np.full_like(known, n), everything) for n in sizes]
    return np.minimum(1.0, 2 * np.minimum(*ends))[place]


def _tests(least: np.ndarray, level: float) -> int:
    """Tarone's number of tests: the smallest k such that at most k phrases can reach level/k."""
    ordered = np.sort(least)
    low, high = 1, max(1, len(ordered))
    while low < high:
        k = (low + high) // 2
        if np.searchsorted(ordered, level / k, side="right") <= k:
            high = k
        else:
            low = k + 1
    return low


def compared_keywords(
    reference: tuple[str, KeywordCounts, Sequence[str]],
    other: tuple[str, KeywordCounts, Sequence[str]],
) -> dict[str, Any]:
    """``log_odds`` of two corpora with ``snippets`` from the side with more.

    Args:
        reference, other: name, counts and some texts of each.
    """
    keywords = log_odds(reference[1], other[1])
    add_examples(keywords, (reference[2], other[2]))
    return {
        "reference": reference[0],
        "other": other[0],
        "documents": [reference[1].documents, other[1].documents],
        "words": [reference[1].words, other[1].words],
        "level": LEVEL,
        "keywords": keywords,
    }


def add_examples(keywords: list[dict[str, Any]], sides: Sequence[Sequence[str]]) -> None:
    """Adds ``examples``: ``snippets`` from texts of the side with more. ``sides``: the reference's, the other's."""
    for texts, sign in zip(sides, (-1, 1), strict=True):
        own = [one for one in keywords if sign * one["z"] > 0]
        places = snippets(texts, [(one["kind"], one["text"]) for one in own])
        for one, examples in zip(own, places, strict=True):
            one["examples"] = examples


def snippets(
    texts: Sequence[str], phrases: Sequence[tuple[str, str]], most: int = 2
) -> list[list[list[str]]]:
    """Occurrences of phrases in context: up to ``most`` of each, in different texts, in their order.

    Args:
        phrases: kind and text of each, as from ``log_odds``.

    Returns:
        For each occurrence the text before it, the phrase, and the text after it: up to 60 bytes on either side,
        whole words, white space collapsed.
    """
    sought = [word_hashes(TextBuffer.of([phrase]))[0] for _, phrase in phrases]
    places: list[list[list[str]]] = [[] for _ in phrases]
    for start in range(0, len(texts), _AT_ONCE):
        lacking = [row for row, documents in enumerate(places) if len(documents) < most]
        if not lacking:
            break
        buffer = TextBuffer.of(texts[start : start + _AT_ONCE])
        sentences = sentences_of(buffer)
        for row in lacking:
            opening = phrases[row][0] == "opening"
            firsts, documents = _occurrences(sentences, sought[row], opening)
            last = len(sought[row]) - 1
            for first, document in zip(firsts.tolist(), documents.tolist(), strict=True):
                if len(places[row]) < most:
                    places[row].append(_snippet(buffer, sentences, first, first + last, document))
    return places


def _occurrences(
    sentences: Sentences, words: np.ndarray, opening: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The first position of a phrase in each text that contains it, and the text: int64 both."""
    last = max(0, len(sentences.hashes) - len(words) + 1)
    matches = sentences.opens[:last] | (not opening)
    for offset, word in enumerate(words):
        matches = matches & (sentences.hashes[offset : offset + last] == word)
        if offset:
            matches &= ~sentences.opens[offset : offset + last]
    firsts = np.flatnonzero(matches)
    documents, once = np.unique(
        np.searchsorted(sentences.starts, firsts, side="right") - 1, return_index=True
    )
    return firsts[once], documents


def _snippet(
    buffer: TextBuffer, sentences: Sentences, first: int, last: int, document: int
) -> list[str]:
    begin, end = int(sentences.begins[first]), int(sentences.ends[last])
    words = slice(*sentences.starts[document : document + 2].tolist())
    begins, ends = sentences.begins[words].tolist(), sentences.ends[words].tolist()
    left = next(at for at in begins if at >= begin - _WIDTH)
    right = next(at for at in reversed(ends) if at <= end + _WIDTH)
    start, stop = buffer.offsets[document : document + 2].tolist()
    before, phrase, after = (
        " ".join(f".{buffer.data[a:b].tobytes().decode()}.".split())[1:-1]
        for a, b in (
            (start if left == begins[0] else left, begin),
            (begin, end),
            (end, stop if right == ends[-1] else right),
        )
    )
    return ["…" * (left > begins[0]) + before, phrase, after + "…" * (right < ends[-1])]
