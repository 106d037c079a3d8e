"""Hashed n-grams: counts in buckets, and sums of weights by bucket.

Pure functions of texts that run without the interpreter's lock; as many threads as there are cores
may call them on different texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text import sha_ngrams
from synthtools.text.tokeniser import (
    CHUNK,
    GOLDEN,
    SLACK,
    bucket_of,
    buffers,
    finalise,
    hash_of_ngram,
    scan,
)
from synthtools.text.unicode import unicode

_U = np.uint64


@compiled
def _count(data, offsets, classes, lower, orders, counts):
    """Adds each n-gram of each document to its bucket."""
    buckets = _U(counts.size)
    kept = orders[-1] - 1
    hashes = np.empty(kept + CHUNK + SLACK, np.uint64)
    text, ends = np.empty(0, np.uint8), np.empty(0, np.int64)
    unigrams_and_bigrams = orders.size == 2 and orders[0] == 1 and orders[1] == 2
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        position = start
        known = 0  # tokens from before the chunk
        while position < end:
            found, position, _ = scan(
                data, start, position, end, classes, lower,
                hashes, known, known + CHUNK, text, ends, 0,
            )  # fmt: skip
            if unigrams_and_bigrams:
                last = hashes[0]
                if known == 0 and found > 0:
                    counts[bucket_of(last, buckets)] += 1
                for token in range(1, found):
                    this = hashes[token]
                    counts[bucket_of(this, buckets)] += 1
                    counts[bucket_of(finalise(last * GOLDEN + this), buckets)] += 1
                    last = this
            else:
                for token in range(known, found):
                    for order in orders:
                        if token + 1 >= order:
                            value = hash_of_ngram(hashes, token + 1 - order, order)
                            counts[bucket_of(value, buckets)] += 1
            known = min(kept, found)
            for index in range(known):
                hashes[index] = hashes[found - known + index]


@compiled
def _weigh(data, offsets, classes, lower, orders, weights, sums, numbers):
    """Sum of the weights of each document's n-grams, and how many there are."""
    buckets = _U(weights.size)
    kept = orders[-1] - 1
    hashes = np.empty(kept + CHUNK + SLACK, np.uint64)
    text, ends = np.empty(0, np.uint8), np.empty(0, np.int64)
    unigrams_and_bigrams = orders.size == 2 and orders[0] == 1 and orders[1] == 2
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        position = start
        known = 0
        total = 0.0
        number = 0
        while position < end:
            found, position, _ = scan(
                data, start, position, end, classes, lower,
                hashes, known, known + CHUNK, text, ends, 0,
            )  # fmt: skip
            if unigrams_and_bigrams:
                last = hashes[0]
                if known == 0 and found > 0:
                    total += weights[bucket_of(last, buckets)]
                for token in range(1, found):
                    this = hashes[token]
                    total += weights[bucket_of(this, buckets)]
                    total += weights[bucket_of(finalise(last * GOLDEN + this), buckets)]
                    last = this
                number += max(0, 2 * (found - known) - (known == 0))
            else:
                for token in range(known, found):
                    for order in orders:
                        if token + 1 >= order:
                            value = hash_of_ngram(hashes, token + 1 - order, order)
                            total += weights[bucket_of(value, buckets)]
                            number += 1
            known = min(kept, found)
            for index in range(known):
                hashes[index] = hashes[found - known + index]
        sums[document] = total
        numbers[document] = number


@compiled
def _count_tokens(data, offsets, classes, lower, numbers):
    hashes = np.empty(CHUNK + SLACK, np.uint64)
    text, ends = np.empty(0, np.uint8), np.empty(0, np.int64)
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        position = start
        number = 0
        while position < end:
            found, position, _ = scan(
                data, start, position, end, classes, lower, hashes, 0, CHUNK, text, ends, 0
            )
            number += found
        numbers[document] = number


@dataclass(frozen=True)
class NgramHasher:
    """Puts the n-grams of lower-cased texts into buckets by a hash.

    N-grams never cross documents; a document of fewer than n tokens has no n-gram of order n.

    Attributes:
        orders: lengths n of the n-grams; kept ascending, each once.
        buckets: how many, below 2^31.
        hash: "fast", the 64-bit hash of ``kernel_reference.ngram_hash``; or "sha256", the hash of the
            authors' package for DSIR (Xie et al. 2023).

    Raises:
        ValueError: no orders, an order below 1, buckets out of range, an unknown hash.
    """

    orders: tuple[int, ...] = (1, 2)
    buckets: int = 10_000
    hash: Literal["fast", "sha256"] = "fast"

    def __post_init__(self) -> None:
        object.__setattr__(self, "orders", tuple(sorted(set(self.orders))))
        if not self.orders or self.orders[0] < 1:
            raise ValueError(f"orders of n-grams are 1 or more, not {self.orders}")
        if not 1 <= self.buckets < 1 << 31:
            raise ValueError(f"between 1 and 2^31 − 1 buckets, not {self.buckets}")
        if self.hash not in ("fast", "sha256"):
            raise ValueError(f'hash is "fast" or "sha256", not {self.hash!r}')

    def counts(self, texts: TextBuffer) -> np.ndarray:
        """How many n-grams of all texts fall into each bucket, int64 [buckets]."""
        counts = np.zeros(self.buckets, np.int64)
        if self.hash == "fast":
            _count(*buffers(texts), *unicode(), np.array(self.orders), counts)
        else:
            nothing = np.empty(0)
            self._run_sha256(texts, counts, nothing, nothing, np.empty(0, np.int64))
        return counts

    def weights(self, texts: TextBuffer, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weights of the buckets summed over each text's n-grams.

        The terms are added one by one, by the place of the n-gram's last token and then from short
        to long, so that a text has the same sum in any batch.

        Args:
            weights: float64 [buckets].

        Returns:
            float64 [texts], the sums; int64 [texts], the number of n-grams.
        """
        weights = np.ascontiguousarray(weights, np.float64)
        if weights.shape != (self.buckets,):
            raise ValueError(f"{self.buckets} weights, not {weights.shape}")
        sums, numbers = np.empty(len(texts)), np.empty(len(texts), np.int64)
        if self.hash == "fast":
            _weigh(*buffers(texts), *unicode(), np.array(self.orders), weights, sums, numbers)
        else:
            self._run_sha256(texts, np.empty(0, np.int64), weights, sums, numbers)
        return sums, numbers

    def _run_sha256(
        self,
        texts: TextBuffer,
        counts: np.ndarray,
        weights: np.ndarray,
        sums: np.ndarray,
        numbers: np.ndarray,
    ) -> None:
        sha_ngrams.run(
            *buffers(texts), *unicode(), np.array(self.orders), self.buckets,
            sha_ngrams.memo(self.buckets), counts, weights, sums, numbers,
        )  # fmt: skip


def token_counts(texts: TextBuffer) -> np.ndarray:
    """Number of tokens of each text, int64 [texts]."""
    numbers = np.empty(len(texts), np.int64)
    _count_tokens(*buffers(texts), *unicode(), numbers)
    return numbers
