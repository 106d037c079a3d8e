"""Hashed shingles of texts, and MinHash signatures of them at one multiplication per entry.

A text is represented by the set of its shingles: runs of tokens (``tokeniser``), or of characters of its
tokens in lower case, joined by one space. A text shorter than one shingle is a single shingle; an empty
text has none. A shingle's hash is the fast one of ``tokeniser.hash_of_ngram``, of characters over their code
points. Its upper half replaces SHA-1 in the signatures of ``minhash`` [ours].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.minhash import EMPTY, parameters
from synthtools.text.tokeniser import (
    CHUNK,
    SLACK,
    buffers,
    decode,
    hash_of_ngram,
    keep_last,
    longest_of,
    scan,
)
from synthtools.text.unicode import unicode

_U, _U32 = np.uint64, np.uint32


@dataclass(frozen=True)
class Shingles:
    """Hashes of the shingles of texts.

    Attributes:
        hashes: uint64, text i has ``offsets[i]:offsets[i + 1]``, in the order of the text.
        offsets: int64 [texts + 1].
    """

    hashes: np.ndarray
    offsets: np.ndarray

    def sets(self) -> Shingles:
        """Each text's distinct hashes in ascending order."""
        hashes, offsets = self.hashes.copy(), np.zeros_like(self.offsets)
        count = _make_sets(hashes, self.offsets, offsets)
        return Shingles(hashes[:count], offsets)

    def signatures(self, permutations: int) -> np.ndarray:
        """MinHash signatures, uint32 [texts, permutations]; ``EMPTY`` for a text without shingles."""
        signatures = np.full((len(self.offsets) - 1, permutations), EMPTY, np.uint32)
        _lower_minima(self.hashes, self.offsets, *parameters(permutations), signatures)
        return signatures


def shingles(
    texts: TextBuffer, size: int = 5, unit: Literal["words", "characters"] = "words"
) -> Shingles:
    """The shingles of each text.

    Args:
        size: tokens or characters of a shingle.

    Memory: 8 bytes a shingle; for characters also three times the longest text.

    Raises:
        ValueError: a size below 1.
    """
    if size < 1:
        raise ValueError(f"a shingle of at least 1, not {size}")
    room = int(texts.offsets[-1] - texts.offsets[0]) * (1 if unit == "words" else 2)
    hashes, offsets = np.empty(room + 1, np.uint64), np.zeros(len(texts) + 1, np.int64)
    kernel = _of_words if unit == "words" else _of_characters
    kernel(*buffers(texts), *unicode(), size, hashes, offsets)
    return Shingles(hashes[: offsets[-1]], offsets)


@compiled
def _of_words(data, offsets, classes, lower, size, hashes_out, text_offsets):
    kept = size - 1
    hashes = np.empty(kept + CHUNK + SLACK, np.uint64)
    text, ends = np.empty(0, np.uint8), np.empty(0, np.int64)
    count = 0
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        position = start
        known, seen = 0, 0
        while position < end:
            tokens, position, _ = scan(
                data, start, position, end, classes, lower,
                hashes, known, known + CHUNK, text, ends, 0,
            )  # fmt: skip
            for token in range(max(known, kept), tokens):
                hashes_out[count] = hash_of_ngram(hashes, token - kept, size)
                count += 1
            seen += tokens - known
            known, _ = keep_last(hashes, text, ends, tokens, kept)
        if 0 < seen < size:
            hashes_out[count] = hash_of_ngram(hashes, 0, seen)
            count += 1
        text_offsets[document + 1] = count


@compiled
def _of_characters(data, offsets, classes, lower, size, hashes_out, text_offsets):
    longest = longest_of(offsets)
    hashes, ends = np.empty(longest + SLACK, np.uint64), np.empty(longest + SLACK, np.int64)
    text = np.empty(3 * longest + SLACK, np.uint8)
    codes = np.empty(2 * longest + SLACK, np.uint64)
    count = 0
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        tokens, _, _ = scan(
            data, start, start, end, classes, lower, hashes, 0, longest + 1, text, ends, 0
        )
        position, length = 0, 0
        while tokens > 0 and position < ends[tokens - 1]:
            code, width = decode(text, position)
            codes[length] = _U(code)
            position += width
            length += 1
        for first in range(length - size + 1):
            hashes_out[count] = hash_of_ngram(codes, first, size)
            count += 1
        if 0 < length < size:
            hashes_out[count] = hash_of_ngram(codes, 0, length)
            count += 1
        text_offsets[document + 1] = count


@compiled
def _lower_minima(hashes, offsets, a, b, signatures):
    for document in range(offsets.size - 1):
        minima = signatures[document]
        for place in range(offsets[document], offsets[document + 1]):
            value = _U32(hashes[place] >> _U(32))
            for index in range(minima.size):
                minima[index] = min(minima[index], _U32(a[index] * value + b[index]))


@compiled
def _make_sets(hashes, offsets, text_offsets):
    """Moves each text's distinct hashes to the front, ascending; returns how many there are."""
    count = 0
    for document in range(offsets.size - 1):
        own = np.sort(hashes[offsets[document] : offsets[document + 1]])
        for place in range(own.size):
            if place == 0 or own[place] != own[place - 1]:
                hashes[count] = own[place]
                count += 1
        text_offsets[document + 1] = count
    return count


@compiled
def jaccard(hashes, offsets, one, other):
    """The Jaccard index of two sets from ``Shingles.sets``; 0 if both are empty."""
    left, right = offsets[one], offsets[other]
    last_left, last_right = offsets[one + 1], offsets[other + 1]
    union = (last_left - left) + (last_right - right)
    shared = 0
    while left < last_left and right < last_right:
        if hashes[left] == hashes[right]:
            shared += 1
            left += 1
            right += 1
        elif hashes[left] < hashes[right]:
            left += 1
        else:
            right += 1
    return shared / (union - shared) if union > 0 else 0.0
