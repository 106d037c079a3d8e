"""Hashed n-grams: counts in buckets, and sums of weights by bucket, by a fast hash or by SHA-256 as in the
authors' package for DSIR (Xie et al. 2023).

Pure functions of texts that run without the interpreter's lock; as many threads as there are cores
may call them on different texts.

Most n-grams of a text have occurred before. For SHA-256 a table remembers their buckets by their fast
64-bit hash (``kernel_reference.ngram_hash``), each in one slot, later ones overwriting earlier ones.
Two n-grams that share all 64 bits would be taken for one: among a thousand million different n-grams
there is such a pair with a chance of 3 %, and it moves one count.

Memory of SHA-256: 4 MB for the table of each thread, and up to three times the longest token.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.sha import LANES, SHA256_START, blocks_of, put_block, sha256_block
from synthtools.text.tokeniser import (
    CHUNK,
    GOLDEN,
    SLACK,
    bucket_of,
    buffers,
    finalise,
    hash_of_ngram,
    keep_last,
    longest_of,
    scan,
)
from synthtools.text.unicode import unicode

_SLOTS = 1 << 18
_SLOT_MASK = np.uint64(_SLOTS - 1)
_U = np.uint64

_threads = threading.local()


def memo(buckets: int) -> np.ndarray:
    """The calling thread's table, uint64 [slots, 2]: hash, and bucket + 1 (0 where empty)."""
    if getattr(_threads, "buckets", None) != buckets:
        _threads.buckets = buckets
        _threads.table = np.zeros((_SLOTS, 2), np.uint64)
    table: np.ndarray = _threads.table
    return table


@compiled
def _modulo(state, lane, buckets):
    """The 256-bit number in a lane, most significant word first, modulo ``buckets`` (below 2^31)."""
    remainder = _U(0)
    for word in range(8):
        remainder = ((remainder << _U(32)) | _U(state[word * LANES + lane])) % buckets
    return remainder


@compiled
def _flush(text, begins, lengths, keys, places, waiting, state, block, buckets, memo, bucket_of):
    """Hashes the pending messages, one in each lane, and writes their buckets."""
    state[:] = SHA256_START
    short = True
    for lane in range(waiting):
        if blocks_of(lengths[lane]) == 1:
            put_block(text, begins[lane], lengths[lane], 0, block, lane)
        else:
            short = False
    if waiting > 0:
        sha256_block(state, block)
    for lane in range(waiting):
        if blocks_of(lengths[lane]) == 1:
            _remember(_modulo(state, lane, buckets), keys[lane], places[lane], memo, bucket_of)
    if not short:
        for lane in range(waiting):
            if blocks_of(lengths[lane]) > 1:
                state[:] = SHA256_START
                for number in range(blocks_of(lengths[lane])):
                    put_block(text, begins[lane], lengths[lane], number, block, 0)
                    sha256_block(state, block)
                _remember(_modulo(state, 0, buckets), keys[lane], places[lane], memo, bucket_of)


@compiled
def _remember(bucket, key, place, memo, bucket_of):
    slot = key & _SLOT_MASK
    memo[slot, 0] = key
    memo[slot, 1] = bucket + _U(1)
    bucket_of[place] = np.int32(bucket)


@compiled
def sha_buckets(hashes, known, tokens, orders, text, ends, buckets, memo, bucket_of):
    """See ``ngram_buckets.fast_buckets``.

    Args:
        text, ends: of the tokens, as written by ``scan``.
        memo: of this thread, for this number of buckets.
    """
    begins, lengths = np.empty(LANES, np.int64), np.empty(LANES, np.int64)
    keys, places = np.empty(LANES, np.uint64), np.empty(LANES, np.int64)
    state, block = np.empty(8 * LANES, np.uint32), np.zeros(16 * LANES, np.uint32)
    number = 0
    waiting = 0
    for token in range(known, tokens):
        for order in orders:
            first = token + 1 - order
            if first < 0:
                break
            key = hash_of_ngram(hashes, first, order)
            slot = key & _SLOT_MASK
            if memo[slot, 0] == key and memo[slot, 1] > _U(0):
                bucket_of[number] = np.int64(memo[slot, 1]) - 1
            else:
                begins[waiting] = ends[first - 1] + 1 if first > 0 else 0
                lengths[waiting] = ends[token] - begins[waiting]
                keys[waiting] = key
                places[waiting] = number
                waiting += 1
                if waiting == LANES:
                    _flush(
                        text, begins, lengths, keys, places, waiting,
                        state, block, buckets, memo, bucket_of,
                    )  # fmt: skip
                    waiting = 0
            number += 1
    _flush(
        text, begins, lengths, keys, places, waiting, state, block, buckets, memo, bucket_of
    )  # fmt: skip
    return number


@compiled
def fast_buckets(hashes, known, tokens, orders, buckets, buckets_of):
    """Writes the buckets of the n-grams that end at token ``known`` or later, ordered by their
    last token, then from short to long. Returns their number."""
    number = 0
    if orders.size == 2 and orders[0] == 1 and orders[1] == 2 and tokens > known:
        last = hashes[max(known - 1, 0)]
        if known == 0:
            buckets_of[0] = bucket_of(last, buckets)
            number = 1
        for token in range(max(known, 1), tokens):
            this = hashes[token]
            buckets_of[number] = bucket_of(this, buckets)
            buckets_of[number + 1] = bucket_of(finalise(last * GOLDEN + this), buckets)
            last = this
            number += 2
        return number
    for token in range(known, tokens):
        for order in orders:
            if token + 1 >= order:
                value = hash_of_ngram(hashes, token + 1 - order, order)
                buckets_of[number] = bucket_of(value, buckets)
                number += 1
    return number


@compiled
def run(data, offsets, classes, lower, orders, buckets, memo, counts, weights, sums, numbers):
    """Counts the n-grams of each document if ``counts`` is not empty, otherwise sums their weights.

    Args:
        orders: int64, ascending.
        memo: see ``memo``; empty for the fast hash.
        counts: int64 [buckets], added to, or empty.
        weights: float64 [rows, buckets] with sums float64 [documents, rows], zeros that are added
            to, and numbers int64 [documents], which are filled; or all three empty.
    """
    by_sha = memo.size > 0
    kept = orders[-1] - 1
    room = kept + CHUNK + SLACK
    hashes, ends = np.empty(room, np.uint64), np.empty(room, np.int64)
    text = np.empty(3 * longest_of(offsets) + SLACK if by_sha else 0, np.uint8)
    buckets_of = np.empty(orders.size * (CHUNK + SLACK), np.int32)
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        position = start
        known, written = 0, 0  # tokens from before the chunk, and bytes of their text
        all_of_document = 0
        while position < end:
            tokens, position, written = scan(
                data, start, position, end, classes, lower,
                hashes, known, known + CHUNK, text, ends, written,
            )  # fmt: skip
            if by_sha:
                number = sha_buckets(
                    hashes, known, tokens, orders, text, ends, buckets, memo, buckets_of
                )
            else:
                number = fast_buckets(hashes, known, tokens, orders, buckets, buckets_of)
            if counts.size > 0:
                for index in range(number):
                    counts[buckets_of[index]] += 1
            else:
                for row in range(weights.shape[0]):
                    total = sums[document, row]
                    for index in range(number):
                        total += weights[row, buckets_of[index]]
                    sums[document, row] = total
            all_of_document += number
            known, written = keep_last(hashes, text, ends, tokens, kept)
        if counts.size == 0:
            numbers[document] = all_of_document


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
        nothing = np.empty((0, 0))
        self._run(texts, counts, nothing, nothing, np.empty(0, np.int64))
        return counts

    def weights(self, texts: TextBuffer, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weights of the buckets summed over each text's n-grams.

        The terms are added one by one, by the place of the n-gram's last token and then from short
        to long, so that a text has the same sum in any batch.

        Args:
            weights: float64 [buckets], or several rows of them.

        Returns:
            float64 [texts], the sums, or [texts, rows]; int64 [texts], the number of n-grams.
        """
        rows = np.ascontiguousarray(np.atleast_2d(weights), np.float64)
        if rows.shape[1:] != (self.buckets,):
            raise ValueError(f"{self.buckets} weights, not {weights.shape}")
        sums, numbers = np.zeros((len(texts), len(rows))), np.empty(len(texts), np.int64)
        self._run(texts, np.empty(0, np.int64), rows, sums, numbers)
        return sums if weights.ndim > 1 else sums[:, 0], numbers

    def _run(
        self,
        texts: TextBuffer,
        counts: np.ndarray,
        weights: np.ndarray,
        sums: np.ndarray,
        numbers: np.ndarray,
    ) -> None:
        table = memo(self.buckets) if self.hash == "sha256" else np.empty((0, 2), np.uint64)
        run(
            *buffers(texts), *unicode(), np.array(self.orders), _U(self.buckets), table,
            counts, weights, sums, numbers,
        )  # fmt: skip


def bucket_lists(
    texts: TextBuffer, orders: tuple[int, ...], buckets: int
) -> tuple[np.ndarray, np.ndarray]:
    """The bucket of each n-gram, in the order of ``NgramHasher`` with the fast hash.

    Args:
        orders: lengths of the n-grams, ascending.

    Returns:
        int32, those of text i at ``offsets[i]:offsets[i + 1]``; int64 [texts + 1], the offsets.
    """
    room = len(orders) * (int(texts.offsets[-1] - texts.offsets[0]) + SLACK)
    listed, offsets = np.empty(room, np.int32), np.zeros(len(texts) + 1, np.int64)
    _list(*buffers(texts), *unicode(), np.array(orders), np.uint64(buckets), listed, offsets)
    return listed[: offsets[-1]], offsets


@compiled
def _list(data, offsets, classes, lower, orders, buckets, listed, listed_offsets):
    kept = orders[-1] - 1
    hashes = np.empty(kept + CHUNK + SLACK, np.uint64)
    text, ends = np.empty(0, np.uint8), np.empty(0, np.int64)
    some = np.empty(orders.size * (CHUNK + SLACK), np.int32)
    count = 0
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        position, known = start, 0
        while position < end:
            tokens, position, _ = scan(
                data, start, position, end, classes, lower,
                hashes, known, known + CHUNK, text, ends, 0,
            )  # fmt: skip
            number = fast_buckets(hashes, known, tokens, orders, buckets, some)
            listed[count : count + number] = some[:number]
            count += number
            known = min(kept, tokens)
            for index in range(known):
                hashes[index] = hashes[tokens - known + index]
        listed_offsets[document + 1] = count
