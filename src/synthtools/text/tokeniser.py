"""The tokeniser and the fast hash, compiled. ``tests/kernel_reference.py`` is their definition.

English text takes a fast path: eight bytes at a time, tested together in one 64-bit word. All other
characters are looked up one by one in the tables of ``unicode``.
"""

from __future__ import annotations

import numpy as np

from synthtools.compiled import compiled, load, store
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.unicode import CAPITAL, CASED, IGNORABLE, SPACE, WORD

_U = np.uint64
GOLDEN = _U(0x9E3779B97F4A7C15)
_FIRST_FACTOR = _U(0xBF58476D1CE4E5B9)
_SECOND_FACTOR = _U(0x94D049BB133111EB)
_ZERO, _ONE, _TWO, _SEVEN, _EIGHT = _U(0), _U(1), _U(2), _U(7), _U(8)
_27, _30, _31, _32, _56, _64 = _U(27), _U(30), _U(31), _U(32), _U(56), _U(64)
_BYTE = _U(0xFF)

# One byte repeated eight times.
_ONES = _U(0x0101010101010101)
_HIGH = _U(0x8080808080808080)
_LOW = _U(0x7F7F7F7F7F7F7F7F)
_CASE = _U(0x2020202020202020)
_UNDERSCORE = _U(0x5F5F5F5F5F5F5F5F)
# Adding 0x80 − first sets the high bit of a byte at or above first.
_FROM_A, _ABOVE_Z = _U((0x80 - 0x61) * 0x0101010101010101), _U((0x80 - 0x7B) * 0x0101010101010101)
_FROM_0, _ABOVE_9 = _U((0x80 - 0x30) * 0x0101010101010101), _U((0x80 - 0x3A) * 0x0101010101010101)

_BLANK = 0x20
_SIGMA, _FINAL_SIGMA = 0x3A3, 0x3C2
_DOTTED_I, _DOT = 0x130, 0x307
SLACK = 16  # bytes and tokens that ``scan`` may write past what it was asked for
CHUNK = 4096  # tokens at a time: their hashes stay in the first-level cache


def buffers(texts: TextBuffer) -> tuple[np.ndarray, np.ndarray]:
    """The arrays of the texts for the kernels, read-only, so that these compile once."""
    data = np.ascontiguousarray(texts.data, np.uint8).view()
    offsets = np.ascontiguousarray(texts.offsets, np.int64).view()
    data.setflags(write=False)
    offsets.setflags(write=False)
    return data, offsets


@compiled
def finalise(value):
    """The finaliser of splitmix64: a bijection of 64 bits in which each input bit affects all output bits."""
    value = (value ^ (value >> _30)) * _FIRST_FACTOR
    value = (value ^ (value >> _27)) * _SECOND_FACTOR
    return value ^ (value >> _31)


@compiled
def bucket_of(value, buckets):
    """Bucket of a hash among ``buckets`` (uint64, below 2^31) equal ranges of hashes."""
    return np.int64(((value >> _32) * buckets) >> _32)


@compiled
def hash_of_ngram(hashes, first, order):
    """Hash of the n-gram of ``order`` tokens starting at token ``first``."""
    value = hashes[first]
    for index in range(first + 1, first + order):
        value = finalise(value * GOLDEN + hashes[index])
    return value


@compiled
def decode(data, position):
    """The code point at a position of valid UTF-8, and its number of bytes."""
    first = np.int64(data[position])
    if first < 0x80:
        return first, 1
    second = np.int64(data[position + 1]) & 0x3F
    if first < 0xE0:
        return (first & 0x1F) << 6 | second, 2
    third = np.int64(data[position + 2]) & 0x3F
    if first < 0xF0:
        return (first & 0x0F) << 12 | second << 6 | third, 3
    fourth = np.int64(data[position + 3]) & 0x3F
    return (first & 0x07) << 18 | second << 12 | third << 6 | fourth, 4


@compiled
def encode(code):
    """UTF-8 of a code point as a uint64 (first byte lowest), and its number of bytes."""
    if code < 0x80:
        return _U(code), 1
    last = 0x80 | (code & 0x3F)
    if code < 0x800:
        return _U(0xC0 | code >> 6 | last << 8), 2
    middle = 0x80 | (code >> 6 & 0x3F)
    if code < 0x10000:
        return _U(0xE0 | code >> 12 | middle << 8 | last << 16), 3
    return _U(0xF0 | code >> 18 | (0x80 | (code >> 12 & 0x3F)) << 8 | middle << 16 | last << 24), 4


@compiled
def ends_a_word(data, start, position, end, classes):
    """Whether the capital sigma at ``position`` has the final form: cased before, none after."""
    before = position
    bits = IGNORABLE
    while bits & IGNORABLE:
        if before == start:
            return False
        before -= 1
        while data[before] & 0xC0 == 0x80:
            before -= 1
        code, _ = decode(data, before)
        bits = np.int64(classes[code])
    if not bits & CASED:
        return False
    after = position + 2
    while after < end:
        code, size = decode(data, after)
        bits = np.int64(classes[code])
        if not bits & IGNORABLE:
            return not bits & CASED
        after += size
    return True


@compiled
def latin(eight):
    """The high bits of the bytes that are Latin letters, of those that are digits, and of those that are neither nor "_".

    The first two are wrong for bytes above 0x7F.
    """
    seven_bits = eight & _LOW
    letters = seven_bits | _CASE
    letters = (letters + _FROM_A) & ~(letters + _ABOVE_Z)
    digits = (seven_bits + _FROM_0) & ~(seven_bits + _ABOVE_9)
    underscores = ~((seven_bits ^ _UNDERSCORE) + _LOW)
    return letters & _HIGH, digits & _HIGH, ~((letters | digits | underscores) & ~eight) & _HIGH


@compiled
def scan(data, start, position, end, classes, lower, hashes, count, limit, text, ends, written):
    """Scans one document from ``position`` until there are ``limit`` tokens.

    Args:
        data: uint8, UTF-8; the document is ``data[start:end]``. ``position`` is its start, or the
            place where an earlier call stopped.
        classes, lower: the tables of ``unicode``.
        hashes: uint64 [at least limit + SLACK]; filled from index ``count``.
        text: uint8, empty, or [at least three times the document + SLACK]: receives the lower-cased
            tokens, each followed by one space, from index ``written``.
        ends: int64 [like hashes], if ``text`` is not empty: end of each token in ``text``.

    Returns:
        Number of tokens in ``hashes``, the position to continue from (``end`` when done), and the
        number of bytes in ``text``.
    """
    writes = text.size > 0
    at = _U(written)
    kind = SPACE  # class of the open token: WORD, 0 for anything else, SPACE if none is open
    state, word, filled, length = _ZERO, _ZERO, _ZERO, _ZERO
    after_dotted_i = False
    while True:
        if kind == SPACE and count >= limit and not after_dotted_i:
            break
        if filled == _ZERO and kind != 0 and end - position >= 8 and not after_dotted_i:
            eight = load(data, _U(position))
            letters, _, stops = latin(eight)
            first_stop = stops & (~stops + _ONE)
            before = (first_stop >> _SEVEN) - _ONE  # all bits of the bytes before it
            run = ((before & _ONES) * _ONES) >> _56
            if run > _ZERO:
                word = (eight | (letters >> _TWO)) & before
                position += np.int64(run)
                length += run
                if writes:
                    store(text, at, word)
                    at += run
                if run == _EIGHT:
                    state = finalise(state ^ word)
                    kind = WORD
                    word = _ZERO
                    continue
                if eight & first_stop == _ZERO:
                    hashes[count] = finalise((state ^ word) + length * GOLDEN)
                    if writes:
                        ends[count] = np.int64(at)
                        text[at] = _BLANK
                        at += _ONE
                    count += 1
                    blanks = ~(((eight & _LOW) ^ _CASE) + _LOW)
                    position += np.int64(blanks & first_stop != _ZERO)
                    kind = SPACE
                    state, word, length = _ZERO, _ZERO, _ZERO
                    continue
                kind = WORD
                filled = _EIGHT * run
                if writes:
                    at -= run  # overwritten with the rest of its eight bytes
            elif kind == SPACE:
                # Usually one punctuation mark, followed by a word or a space.
                first, second = eight & _BYTE, (eight >> _EIGHT) & _BYTE
                if (
                    (first | second) < _U(0x80)
                    and classes[first] & (WORD | SPACE) == 0
                    and classes[second] & (WORD | SPACE) != 0
                ):
                    hashes[count] = finalise(first + GOLDEN)
                    if writes:
                        ends[count] = np.int64(at) + 1
                        store(text, at, first | _U(_BLANK << 8))
                        at += _TWO
                    count += 1
                    position += 1 + np.int64(second == _U(_BLANK))
                    continue
        if position >= end:
            break

        code, size = decode(data, position)
        bits = np.int64(classes[code])
        second_half = after_dotted_i
        after_dotted_i = False
        if bits & CAPITAL:
            if second_half:
                code, bits = np.int64(_DOT), np.int64(0)
            elif code == _DOTTED_I:
                code, size = np.int64(lower[code]), 0
                after_dotted_i = True
            elif code == _SIGMA and ends_a_word(data, start, position, end, classes):
                code = np.int64(_FINAL_SIGMA)
            else:
                code = np.int64(lower[code])
        if bits & (WORD | SPACE) != kind:
            if kind != SPACE:
                hashes[count] = finalise((state ^ word) + length * GOLDEN)
                if writes:
                    store(text, at, word)
                    at += filled >> _U(3)
                    ends[count] = np.int64(at)
                    text[at] = _BLANK
                    at += _ONE
                count += 1
                kind = SPACE
                state, word, filled, length = _ZERO, _ZERO, _ZERO, _ZERO
                if count >= limit and not second_half:
                    break
            kind = bits & (WORD | SPACE)
        position += size
        if kind != SPACE:
            encoded, added = encode(code)
            word |= encoded << filled
            filled += _EIGHT * _U(added)
            length += _U(added)
            if filled >= _64:
                if writes:
                    store(text, at, word)
                    at += _EIGHT
                state = finalise(state ^ word)
                filled -= _64
                # A shift by all 64 bits is undefined; nothing remains in that case.
                word = encoded >> (_EIGHT * _U(added) - filled) if filled > _ZERO else _ZERO
    if kind != SPACE:
        hashes[count] = finalise((state ^ word) + length * GOLDEN)
        if writes:
            store(text, at, word)
            at += filled >> _U(3)
            ends[count] = np.int64(at)
            text[at] = _BLANK
            at += _ONE
        count += 1
    return count, position, np.int64(at)


@compiled
def keep_last(hashes, text, ends, count, kept):
    """Moves the last tokens of ``scan``, at most ``kept``, to the front of their arrays;
    ``text`` may be empty.

    Returns:
        Their number and their bytes in ``text``: ``count`` and ``written`` for ``scan``.
    """
    kept = min(kept, count)
    dropped = count - kept
    if text.size == 0:
        for token in range(kept):
            hashes[token] = hashes[dropped + token]
        return kept, 0
    begin = ends[dropped - 1] + 1 if dropped > 0 else 0
    written = 0
    for token in range(kept):
        hashes[token] = hashes[dropped + token]
        ends[token] = ends[dropped + token] - begin
    if kept > 0:
        written = ends[kept - 1] + 1
        for index in range(written):
            text[index] = text[begin + index]
    return kept, written


@compiled
def longest_of(offsets):
    longest = 0
    for document in range(offsets.size - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    return longest
