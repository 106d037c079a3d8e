"""MinHash signatures of documents (Broder 1997), equal to those of datasketch 2.0.

A document is represented by the set of its shingles: runs of five consecutive tokens joined by one
space, or one shingle of all its tokens if it has fewer. With h the first four bytes of a shingle's
SHA-1 (little-endian) after the finaliser of MurmurHash3, entry k of the signature is

    min over the shingles of (a_k · h + b_k) mod 2^32,   a_k odd

with a and b drawn as ``datasketch.MinHash(seed=1)`` draws them for its scheme "affine32". Two
documents agree in an entry with a probability equal to the Jaccard index of their sets.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.sha import LANES, SHA1_START, blocks_of, put_block, sha1_block
from synthtools.text.tokeniser import CHUNK, SLACK, buffers, keep_last, longest_of, scan
from synthtools.text.unicode import unicode

EMPTY = np.uint32(0xFFFFFFFF)  # every entry for a document without tokens
_U32 = np.uint32


@cache
def parameters(permutations: int) -> tuple[np.ndarray, np.ndarray]:
    """The factors a and the terms b of the permutations, uint32."""
    generator = np.random.RandomState(1)
    a = generator.randint(0, 1 << 31, permutations, dtype=np.uint32) * _U32(2) + _U32(1)
    b = generator.randint(0, 1 << 32, permutations, dtype=np.uint32)
    return a, b


@compiled
def _lower_minima(first_word, a, b, minima):
    """Updates a signature with one shingle, given the first word of its SHA-1."""
    value = _U32(  # numba computes in 64 bits
        (first_word >> _U32(24))
        | ((first_word >> _U32(8)) & _U32(0xFF00))
        | ((first_word << _U32(8)) & _U32(0xFF0000))
        | (first_word << _U32(24))
    )
    value = _U32((value ^ (value >> _U32(16))) * _U32(0x85EBCA6B))
    value = _U32((value ^ (value >> _U32(13))) * _U32(0xC2B2AE35))
    value = _U32(value ^ (value >> _U32(16)))
    for index in range(minima.size):
        minima[index] = min(minima[index], _U32(a[index] * value + b[index]))


@compiled
def _sign(data, offsets, classes, lower, shingle, a, b, signatures):
    kept = shingle - 1
    hashes = np.empty(kept + CHUNK + SLACK, np.uint64)
    ends = np.empty(kept + CHUNK + SLACK, np.int64)
    text = np.empty(3 * longest_of(offsets) + SLACK, np.uint8)
    state, block = np.empty(5 * LANES, np.uint32), np.zeros(16 * LANES, np.uint32)
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        position = start
        known, written = 0, 0
        seen = 0
        minima = signatures[document]
        waiting = 0
        while position < end:
            tokens, position, written = scan(
                data, start, position, end, classes, lower,
                hashes, known, known + CHUNK, text, ends, written,
            )  # fmt: skip
            for token in range(max(known, kept), tokens):
                first = token - kept
                begin = ends[first - 1] + 1 if first > 0 else 0
                length = ends[token] - begin
                waiting = _absorb(text, begin, length, state, block, waiting, a, b, minima)
            seen += tokens - known
            known, written = keep_last(hashes, text, ends, tokens, kept)
        if 0 < seen < shingle:
            waiting = _absorb(text, 0, ends[seen - 1], state, block, waiting, a, b, minima)
        _flush(state, block, waiting, a, b, minima)


@compiled
def _absorb(text, begin, length, state, block, waiting, a, b, minima):
    """Updates a signature with a shingle, immediately or once all lanes of the block are filled."""
    if blocks_of(length) > 1:
        _absorb_long(text, begin, length, state, block, a, b, minima)
        return waiting
    put_block(text, begin, length, 0, block, waiting)
    if waiting + 1 < LANES:
        return waiting + 1
    _flush(state, block, LANES, a, b, minima)
    return 0


@compiled
def _flush(state, block, waiting, a, b, minima):
    """Updates a signature with the shingles in the first lanes of a block."""
    if waiting > 0:
        state[:] = SHA1_START
        sha1_block(state, block)
    for lane in range(waiting):
        _lower_minima(state[lane], a, b, minima)


@compiled
def _absorb_long(text, begin, length, state, block, a, b, minima):
    """Updates a signature with a shingle of several blocks, and leaves the block unchanged."""
    state[:] = SHA1_START
    kept = block.copy()
    for number in range(blocks_of(length)):
        put_block(text, begin, length, number, block, 0)
        sha1_block(state, block)
    _lower_minima(state[0], a, b, minima)
    block[:] = kept


def signatures(texts: TextBuffer, permutations: int = 128, shingle: int = 5) -> np.ndarray:
    """The MinHash signature of each text.

    Args:
        permutations: entries of a signature.
        shingle: tokens of a shingle.

    Returns:
        uint32 [texts, permutations]; every entry 2^32 − 1 for a text without tokens.

    Raises:
        ValueError: permutations or shingle below 1.

    Memory: the signatures, and up to three times the longest token.
    """
    if permutations < 1 or shingle < 1:
        raise ValueError(f"at least 1 permutation and shingle, not {permutations} and {shingle}")
    minima = np.full((len(texts), permutations), EMPTY, np.uint32)
    _sign(*buffers(texts), *unicode(), shingle, *parameters(permutations), minima)
    return minima
