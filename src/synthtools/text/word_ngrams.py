"""Word n-grams that survive reformatting, and the occurrences of a list of them in texts [ours].

A word is a run of letters and digits in lower case, code point by code point; everything else
separates words. All runs of digits count as the same word, and adjacent numbers as one, so that
1,000 and 2500 are equal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.tokeniser import GOLDEN, buffers, decode, finalise
from synthtools.text.unicode import CAPITAL, WORD, unicode

_U = np.uint64
_NUMBER = _U(0x452821E638D01377)
_BASE = _U(0xD1342543DE82EF95)  # odd; multiplier of the rolling hash
_UNDERSCORE = 0x5F


class Words(NamedTuple):
    """The words of texts.

    Attributes:
        hashes: uint64 [words]; starts, ends: int64 [words], bytes from the beginning of the text.
        offsets: int64 [texts + 1], the first word of each text.
    """

    hashes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray


def words(texts: TextBuffer) -> Words:
    """Memory: 24 bytes a word."""
    room = (int(texts.offsets[-1] - texts.offsets[0]) + len(texts)) // 2 + 1
    hashes = np.empty(room, np.uint64)
    starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    offsets = np.zeros(len(texts) + 1, np.int64)
    _split(*buffers(texts), *unicode(), hashes, starts, ends, offsets)
    count = offsets[-1]
    return Words(hashes[:count], starts[:count], ends[:count], offsets)


def ngrams(words_of_texts: Words, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash of the n-gram that starts at each word, uint64 [words], and whether the text has n words
    from there, bool."""
    count = len(words_of_texts.hashes)
    values, whole = np.zeros(count, np.uint64), np.zeros(count, np.bool_)
    _roll(words_of_texts.hashes, words_of_texts.offsets, n, values, whole)
    return values, whole


class NgramSet:
    """Distinct n-grams to search for.

    Args:
        values: uint64, their hashes, ascending.

    Memory: 8 bytes an n-gram, and 2 to 4 for a bitmap that rejects most other n-grams.
    """

    def __init__(self, values: np.ndarray, n: int) -> None:
        self._values, self._n = values, n
        bits = max(10, int(16 * max(1, len(values))).bit_length())
        self._shift = _U(64 - bits)
        self._bitmap = np.zeros(1 << bits - 3, np.uint8)
        places = values >> self._shift
        np.bitwise_or.at(self._bitmap, places >> _U(3), np.uint8(1) << (places & _U(7)).astype(np.uint8))  # fmt: skip

    def values(self, numbers: np.ndarray) -> np.ndarray:
        """Hashes of the n-grams with these numbers, uint64."""
        return self._values[numbers]

    def occurrences(self, words_of_texts: Words) -> tuple[np.ndarray, np.ndarray]:
        """Their occurrences: first word of each, int64; number of the n-gram, int64."""
        hashes, offsets = words_of_texts.hashes, words_of_texts.offsets
        return _look_up(hashes, offsets, self._n, self._values, self._bitmap, self._shift)


@compiled
def _split(data, offsets, classes, lower, hashes, starts, ends, text_offsets):
    count = 0
    for text in range(offsets.size - 1):
        start, end = offsets[text], offsets[text + 1]
        at, first = start, count
        while at < end:
            begin = at
            value, digits, length = _U(0), True, 0
            while at < end:
                code, size = decode(data, at)
                bits = classes[code]
                if bits & WORD == 0 or code == _UNDERSCORE:
                    break
                if bits & CAPITAL != 0:
                    code = np.int64(lower[code])
                digits &= 0x30 <= code <= 0x39
                value = (value ^ _U(code)) * GOLDEN
                value ^= value >> _U(32)
                at += size
                length += 1
            if length == 0:
                at += size
                continue
            value = _NUMBER if digits else finalise(value + _U(length))
            if digits and count > first and hashes[count - 1] == _NUMBER:
                ends[count - 1] = at - start
                continue
            hashes[count], starts[count], ends[count] = value, begin - start, at - start
            count += 1
        text_offsets[text + 1] = count


@compiled
def _roll(hashes, offsets, n, values, whole):
    leading = _U(1)
    for _ in range(n):
        leading *= _BASE
    for text in range(offsets.size - 1):
        rolled = _U(0)
        for word in range(offsets[text], offsets[text + 1]):
            rolled = rolled * _BASE + hashes[word]
            first = word - n + 1
            if first > offsets[text]:
                rolled -= leading * hashes[first - 1]
            if first >= offsets[text]:
                values[first] = finalise(rolled)
                whole[first] = True


@compiled
def _look_up(hashes, offsets, n, wanted, bitmap, shift):
    firsts, numbers = np.empty(256, np.int64), np.empty(256, np.int64)
    count = 0
    leading = _U(1)
    for _ in range(n):
        leading *= _BASE
    for text in range(offsets.size - 1):
        rolled = _U(0)
        for word in range(offsets[text], offsets[text + 1]):
            rolled = rolled * _BASE + hashes[word]
            first = word - n + 1
            if first < offsets[text]:
                continue
            if first > offsets[text]:
                rolled -= leading * hashes[first - 1]
            value = finalise(rolled)
            place = value >> shift
            if not (bitmap[place >> _U(3)] >> (place & _U(7))) & _U(1):
                continue
            number = np.searchsorted(wanted, value)
            if number == wanted.size or wanted[number] != value:
                continue
            if count == firsts.size:
                firsts = np.append(firsts, np.empty_like(firsts))
                numbers = np.append(numbers, np.empty_like(numbers))
            firsts[count], numbers[count] = first, number
            count += 1
    return firsts[:count], numbers[:count]
