"""Buckets of n-grams by SHA-256, as in the authors' package for DSIR (Xie et al. 2023).

Most n-grams of a text have come before. A table remembers the buckets of n-grams by their fast
64-bit hash (``kernel_reference.ngram_hash``), each in one place, the latest in place of an earlier one.
Two n-grams that share all 64 bits would be taken for one: among a thousand million different n-grams
there is such a pair with a chance of 3 %, and it moves one count.

Memory: 4 MB for the table of each thread, and up to three times the longest token.
"""

from __future__ import annotations

import threading

import numpy as np

from synthtools.compiled import compiled
from synthtools.text.sha import LANES, SHA256_START, blocks_of, put_block, sha256_block
from synthtools.text.tokeniser import hash_of_ngram

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
    """The 256-bit number in a lane, first word highest, modulo ``buckets`` (below 2^31)."""
    remainder = _U(0)
    for word in range(8):
        remainder = ((remainder << _U(32)) | _U(state[word * LANES + lane])) % buckets
    return remainder


@compiled
def _flush(text, begins, lengths, keys, places, waiting, state, block, buckets, memo, bucket_of):
    """Hashes the messages that wait, one in each lane, and writes their buckets."""
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
        text, ends: of the tokens, as ``scan`` wrote them.
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
