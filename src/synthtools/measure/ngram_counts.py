"""Hashed n-grams of corpora: responses and the most frequent n-grams, counted batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from synthtools.measure.response import (
    concentration,
    divergence,
    largest_differences,
    over_represented,
)
from synthtools.records.map_threads import BlockResult
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.frequent_ngrams import sifted
from synthtools.text.heavy_hitters import NgramTable, TopNgrams, tabulate
from synthtools.text.ngram_buckets import NgramHasher

# n-grams of each corpus considered for over-representation.
_CANDIDATES = 20_000
_STANDING_OUT = 40
# Distinct n-grams of a length kept at most.
_HELD = 4_000_000
_BUCKETS_SHOWN = 40


@dataclass
class CorpusNgrams:
    """Counts of one corpus.

    Attributes:
        response: n-grams in each bucket, int64 [buckets].
        top: by length, the most frequent n-grams.
    """

    name: str
    response: np.ndarray
    top: dict[int, TopNgrams]
    documents: int = 0
    utf8_bytes: int = 0

    def report(self, top: int) -> dict[str, Any]:
        """The corpus's part of a report, with its ``top`` most frequent n-grams."""
        return {
            "name": self.name,
            "documents": self.documents,
            "bytes": self.utf8_bytes,
            "ngrams": int(self.response.sum()),
            **concentration(self.response),
            "top": {
                str(n): {
                    "total": ngrams.total,
                    "count_too_low_by_at_most": ngrams.error_of(top),
                    "ngrams": [list(row) for row in ngrams.top(top)],
                }
                for n, ngrams in self.top.items()
            },
            "response": self.response.tolist(),
        }


@dataclass(frozen=True)
class NgramCounter:
    """Counts the n-grams of corpora.

    Attributes:
        top: whether to count the most frequent n-grams.
        exact: count every n-gram, with memory that grows with their number; otherwise each batch counts
            those frequent in it, and counts can be slightly too low.
    """

    hasher: NgramHasher
    top: bool
    exact: bool = False

    def work(self, _: Any, texts: TextBuffer) -> tuple[np.ndarray, list[NgramTable]]:
        """Counts one batch; safe in any thread."""
        hasher = self.hasher
        if not self.top:
            return hasher.counts(texts), []
        if self.exact:
            return hasher.counts(texts), [tabulate(texts, n) for n in hasher.orders]
        response, tables = sifted(texts, hasher.orders, hasher.buckets)
        return response if hasher.hash == "fast" else hasher.counts(texts), tables

    def corpus(
        self,
        name: str,
        counted: Iterable[BlockResult[tuple[np.ndarray, list[NgramTable]]]],
        seen: Callable[[int], None],
    ) -> CorpusNgrams:
        """Adds up the counts of a corpus's batches. ``seen``: called with the number of records of each."""
        orders = self.hasher.orders if self.top else ()
        corpus = CorpusNgrams(
            name,
            np.zeros(self.hasher.buckets, np.int64),
            {n: TopNgrams(n, None if self.exact else _HELD) for n in orders},
        )
        for batch in counted:
            counts, tables = batch.result
            corpus.response += counts
            for top, table in zip(corpus.top.values(), tables, strict=True):
                top.add(table)
            corpus.documents += len(batch.batch)
            corpus.utf8_bytes += batch.text_bytes
            seen(len(batch.batch))
        return corpus


def comparisons(corpora: list[CorpusNgrams], top: int) -> list[dict[str, Any]]:
    """Each pair of corpora: divergences, and the buckets and n-grams that differ most."""
    pairs = []
    for left, right in combinations(corpora, 2):
        unusually_frequent = {}
        for n in left.top:
            a, b = left.top[n], right.top[n]
            tables = dict(a.top(_CANDIDATES)), dict(b.top(_CANDIDATES))
            more, less = over_represented(*tables, (a.total, b.total), min(top, _STANDING_OUT))
            unusually_frequent[str(n)] = {"left": more, "right": less}
        pairs.append(
            {
                "left": left.name,
                "right": right.name,
                **divergence(left.response, right.response),
                "buckets": largest_differences(left.response, right.response, _BUCKETS_SHOWN),
                "over_represented": unusually_frequent,
            }
        )
    return pairs
