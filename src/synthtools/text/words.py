"""Words by Unicode's rules (UAX 29), compiled. ``tests/kernel_reference.py`` is their definition.

Boundaries are determined in the original text: lower-casing does not move them. Runs of Latin letters, digits and
underscores are read eight bytes at a time, all other characters one by one through
``unicode.word_breaks``.
"""

from __future__ import annotations

import numpy as np

from synthtools.compiled import compiled, load
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.tokeniser import (
    GOLDEN,
    SLACK,
    buffers,
    decode,
    encode,
    ends_a_word,
    finalise,
    latin,
    longest_of,
)  # fmt: skip
from synthtools.text.unicode import (
    CAPITAL,
    COUNTS,
    DOUBLE_QUOTE,
    EXTEND,
    HEBREW,
    JOINER,
    KATAKANA,
    KIND,
    LETTER,
    MID_BOTH,
    MID_LETTER,
    MID_NUMBER,
    NUMBER,
    OTHER,
    QUOTE,
    unicode,
    word_breaks,
)  # fmt: skip

_U = np.uint64
_ZERO, _ONE, _TWO, _SEVEN, _EIGHT, _56 = _U(0), _U(1), _U(2), _U(7), _U(8), _U(56)
_ONES, _HIGH = _U(0x0101010101010101), _U(0x8080808080808080)
_LOW, _BLANKS, _LAST = _U(0x7F7F7F7F7F7F7F7F), _U(0x2020202020202020), _U(0x80 << 56)
_SIGMA, _FINAL_SIGMA = 0x3A3, 0x3C2
_DOTTED_I, _DOT = 0x130, 0x307
_BLANK, _APOSTROPHE = 0x20, 0x27

# Classes that continue a word after each class, as bits: WB5, WB8 to WB10, WB13 to WB13b.
_ALPHANUMERIC = 1 << LETTER | 1 << HEBREW | 1 << NUMBER
_JOINS = np.zeros(16, np.int64)
_JOINS[[LETTER, HEBREW, NUMBER]] = _ALPHANUMERIC | 1 << JOINER
_JOINS[KATAKANA] = 1 << KATAKANA | 1 << JOINER
_JOINS[JOINER] = _ALPHANUMERIC | 1 << JOINER | 1 << KATAKANA
# Classes that a mark joins, by the class before it: WB6 and WB7, WB7b and WB7c, WB11 and WB12.
_LETTERS = 1 << LETTER | 1 << HEBREW
_ACROSS = np.zeros((16, 16), np.int64)
for _mark in (MID_LETTER, MID_BOTH, QUOTE):
    _ACROSS[[LETTER, HEBREW], _mark] = _LETTERS
for _mark in (MID_NUMBER, MID_BOTH, QUOTE):
    _ACROSS[NUMBER, _mark] = 1 << NUMBER
_ACROSS[HEBREW, DOUBLE_QUOTE] = 1 << HEBREW


@compiled
def _skip_marks(data, position, end, breaks):
    """The position after combining marks and format characters (WB4)."""
    while position < end:
        code, size = decode(data, position)
        if breaks[code] & KIND != EXTEND:
            break
        position += size
    return position


@compiled
def _latin_word(data, begin, end, breaks):
    """A word of only Latin letters, digits and underscores, not joined by a mark to what follows.

    Returns:
        Its end, the hash of its lower case, and whether it is a word (it may lack letters and
        digits). The end is ``begin`` if no character there starts a word, and -1 if only
        ``_word_end`` can decide.
    """
    state, some = _ZERO, _ZERO
    at = begin
    while end - at >= 8:
        eight = load(data, _U(at))
        letters, digits, stops = latin(eight)
        first_stop = stops & (~stops + _ONE)
        before = (first_stop >> _SEVEN) - _ONE
        some |= (letters | digits) & before
        lower = (eight | letters >> _TWO) & before
        if stops == _ZERO:
            state = finalise(state ^ lower)
            at += 8
            continue
        run = np.int64(((before & _ONES) * _ONES) >> _56)
        stop = at + run
        if eight & first_stop != _ZERO:
            return -1, state, False
        # A mark joins nothing if no word continues after it.
        beyond = first_stop << _EIGHT
        alone = beyond & stops & ~eight != _ZERO or breaks[data[stop]] & KIND == OTHER
        if not alone and stop > begin:
            return -1, state, False
        return stop, finalise((state ^ lower) + _U(stop - begin) * GOLDEN), some != _ZERO
    return -1, state, False


@compiled
def _word_end(data, position, end, breaks):
    """The end of the segment at ``position``, and whether it is a word."""
    code, size = decode(data, position)
    bits = np.int64(breaks[code])
    kind, counts = bits & KIND, bits & COUNTS
    position += size
    if _JOINS[kind] | counts == 0:
        return position, False
    while position < end:
        code, size = decode(data, position)
        bits = np.int64(breaks[code])
        following = bits & KIND
        if following == EXTEND:
            position += size
            continue
        if not _JOINS[kind] >> following & 1:
            across = _ACROSS[kind, following]
            if across == 0:
                break
            behind = _skip_marks(data, position + size, end, breaks)
            following = np.int64(OTHER)
            if behind < end:
                code, size = decode(data, behind)
                bits = np.int64(breaks[code])
                following = bits & KIND
            if not across >> following & 1:
                if kind == HEBREW and data[position] == _APOSTROPHE:  # WB7a
                    position = behind
                break
            position = behind
        position += size
        counts |= bits & COUNTS
        kind = following
    return position, counts != 0


@compiled
def next_word(data, position, end, breaks):
    """The first word at or after ``position``.

    Returns:
        Its begin and end, both ``end`` if there is none; the hash of its lower case, and whether that
        is known.
    """
    while position < end:
        if data[position] == _BLANK:
            position += 1
            continue
        begin = position
        stop, value, counts = _latin_word(data, begin, end, breaks)
        if stop < 0:
            position, counts = _word_end(data, begin, end, breaks)
        else:
            position = max(stop, begin + 1)
        if counts:
            return begin, position, value, stop >= 0
    return end, end, _ZERO, False


@compiled
def lowered(data, start, begin, stop, end, tables, text):
    """Writes a word of the document ``data[start:end]`` in lower case to ``text``; returns its length in bytes."""
    written = 0
    position = begin
    while position < stop:
        code, size = decode(data, position)
        dotted = code == _DOTTED_I
        if code == _SIGMA and ends_a_word(data, start, position, end, tables.classes):
            code = np.int64(_FINAL_SIGMA)
        elif tables.classes[code] & CAPITAL:
            code = np.int64(tables.lower[code])
        for _ in range(1 + np.int64(dotted)):
            encoded, added = encode(code)
            for index in range(added):
                text[written + index] = np.uint8(encoded >> _U(8 * index) & _U(0xFF))
            written += added
            code = np.int64(_DOT)
        position += size
    return written


@compiled
def _hash_of_bytes(data, begin, stop):
    """``kernel_reference.token_hash`` of lower-case bytes."""
    state, word, shift = _ZERO, _ZERO, _ZERO
    for index in range(begin, stop):
        word |= _U(data[index]) << shift
        shift += _EIGHT
        if shift == _U(64):
            state = finalise(state ^ word)
            word, shift = _ZERO, _ZERO
    return finalise((state ^ word) + _U(stop - begin) * GOLDEN)


@compiled
def hash_of_word(data, start, begin, stop, end, tables, text):
    """``kernel_reference.token_hash`` of a word in lower case; ``text`` is a buffer for it."""
    state = _ZERO
    at = begin
    while at + 8 <= data.size:
        eight = load(data, _U(at))
        left = stop - at
        if left < 8:
            eight &= (_ONE << _U(8 * left)) - _ONE
        if eight & _HIGH:
            break
        letters, _, _ = latin(eight)
        eight |= letters >> _TWO
        if left < 8:
            return finalise((state ^ eight) + _U(stop - begin) * GOLDEN)
        state = finalise(state ^ eight)
        at += 8
    return _hash_of_bytes(text, 0, lowered(data, start, begin, stop, end, tables, text))


@compiled
def _count(data, offsets, breaks, numbers):
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        position = start
        number = 0
        open_word = _ZERO  # 0x80 if the previous byte belongs to a counted word
        while position < end:
            if end - position >= 8:
                eight = load(data, _U(position))
                letters, digits, stops = latin(eight)
                word = (letters | digits) & ~stops
                before = word << _EIGHT | open_word
                blanks = ~((eight ^ _BLANKS) + _LOW)
                # Marks between two words may join them, and underscores alone may not be a word.
                unclear = stops & ~blanks & before & (word >> _EIGHT) | ~(word | stops) | eight
                if unclear & _HIGH == _ZERO:
                    number += np.int64((((word & ~before) >> _SEVEN) * _ONES) >> _56)
                    # Whether the last byte joins the next one is decided from there.
                    open_word = word >> _56
                    position += 8
                    if stops & ~blanks & before & _LAST != _ZERO:
                        open_word = _LAST >> _56
                        position -= 1
                    continue
            if open_word != _ZERO:
                number -= 1
                open_word = _ZERO
                while (
                    position > start
                    and data[position - 1] < 0x80
                    and breaks[data[position - 1]] & COUNTS
                ):
                    position -= 1
            begin, position, _, _ = next_word(data, position, end, breaks)
            number += begin < position
        numbers[document] = number


@compiled
def _hashes(data, offsets, tables, breaks):
    text = np.empty(3 * longest_of(offsets) + SLACK, np.uint8)
    hashes = np.empty((offsets[-1] - offsets[0]) // 2 + offsets.size, np.uint64)
    starts = np.empty(offsets.size, np.int64)
    count = 0
    for document in range(offsets.size - 1):
        starts[document] = count
        start, end = offsets[document], offsets[document + 1]
        position = start
        while True:
            begin, position, value, known = next_word(data, position, end, breaks)
            if begin == position:
                break
            if not known:
                value = hash_of_word(data, start, begin, position, end, tables, text)
            hashes[count] = value
            count += 1
    starts[offsets.size - 1] = count
    return hashes[:count].copy(), starts


def word_counts(texts: TextBuffer) -> np.ndarray:
    """Number of words of each text, int64 [texts]."""
    numbers = np.empty(len(texts), np.int64)
    _count(*buffers(texts), word_breaks(), numbers)
    return numbers


def word_hashes(texts: TextBuffer) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the words of texts, uint64 [words], and the start of each text's, int64 [texts + 1].

    The hash is ``kernel_reference.token_hash`` of the word in lower case.
    """
    return _hashes(*buffers(texts), unicode(), word_breaks())


@compiled
def _ends(data, offsets, breaks, most, ends):
    for document in range(offsets.size - 1):
        position, end = offsets[document], offsets[document + 1]
        words = 0
        while words < most:
            begin, position, _, _ = next_word(data, position, end, breaks)
            if begin == position:
                break
            words += 1
        ends[document] = position - offsets[document] if words == most else -1


def first_words(texts: TextBuffer, most: int) -> list[str | None]:
    """The prefix of each text that holds a number of words; None for a text with fewer."""
    ends = np.empty(len(texts), np.int64)
    data, offsets = buffers(texts)
    _ends(data, offsets, word_breaks(), most, ends)
    return [
        None if end < 0 else data[start : start + end].tobytes().decode("utf-8")
        for start, end in zip(offsets[:-1].tolist(), ends.tolist(), strict=True)
    ]
