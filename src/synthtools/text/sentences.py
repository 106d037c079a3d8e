"""Sentences of texts, and the tokens that texts and sentences begin with: compiled.
``tests/kernel_reference.py`` is their definition.

A sentence ends [ours] after its mark and what closes it, before white space; after a full-width mark; at a line's
end. A token is a run of letters, digits and underscores with their combining marks, or a run of other characters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.tokeniser import GOLDEN, buffers, decode, encode, ends_a_word, finalise
from synthtools.text.unicode import CAPITAL, EXTEND, KIND, SPACE, WORD, unicode, word_breaks

_U = np.uint64
FEWEST_WORDS = 4  # between white space
_ENDING, _CLOSING, _FULL_WIDTH = (
    [ord(c) for c in marks] for marks in (".!?…", "\"'”’)]", "。！？")
)
_ENDS, _CLOSES, _STOPS = 1, 2, 4
_MARKS = np.zeros(0x10000, np.uint8)
_MARKS[_ENDING], _MARKS[_CLOSING], _MARKS[_FULL_WIDTH] = _ENDS, _CLOSES, _STOPS
_NEWLINE, _BLANK = 0x0A, 0x20
_SIGMA, _FINAL_SIGMA = 0x3A3, 0x3C2
_DOTTED_I, _DOT = 0x130, 0x307


class SentenceBounds(NamedTuple):
    """The sentences of four words or more, without the white space around them.

    Attributes:
        begins, ends: int64 [sentences], bytes of the buffer of texts.
        offsets: int64 [texts + 1], the first sentence of each text.
    """

    begins: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray


class Beginnings(NamedTuple):
    """The first tokens of pieces of text, in lower case.

    Attributes:
        hashes: uint64 [pieces, most]; counts: int64 [pieces], how many of them there are.
        pool: uint8, the tokens of each piece, joined by spaces; starts: int64 [pieces]; ends: int64
            [pieces, most], of each token.
    """

    hashes: np.ndarray
    counts: np.ndarray
    pool: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def text(self, piece: int, first: int, last: int) -> str:
        """Tokens ``first`` to ``last`` of a piece."""
        start = self.ends[piece, first - 1] + 1 if first else self.starts[piece]
        return self.pool[start : self.ends[piece, last]].tobytes().decode()


def sentence_bounds(texts: TextBuffer) -> SentenceBounds:
    """Memory: up to 2.3 bytes for each byte of the texts."""
    return SentenceBounds(*_sentences(*buffers(texts), unicode().classes))


def beginnings(
    texts: TextBuffer, begins: np.ndarray, ends: np.ndarray, characters: int, most: int
) -> Beginnings:
    """The first ``most`` tokens of the first so many characters of each piece.

    Args:
        begins, ends: int64 [pieces], bytes of the buffer of texts.

    Memory: 16 bytes for each token sought, and up to twice the pieces.
    """
    data, _ = buffers(texts)
    return Beginnings(*_beginnings(data, begins, ends, characters, most, unicode(), word_breaks()))


def distinct(hashes: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct tokens of pieces.

    Args:
        hashes, counts: as in ``Beginnings``.

    Returns:
        (numbers, times, places): int64 [pieces, most], the number of each token; int64 [distinct],
        how often each occurs, and where first: piece · most + token.
    """
    return _distinct(hashes, counts)


@compiled
def _sentences(data, offsets, classes):
    room = (offsets[-1] - offsets[0]) // (2 * FEWEST_WORDS - 1) + offsets.size
    begins, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    firsts = np.empty(offsets.size, np.int64)
    count = 0
    for text in range(offsets.size - 1):
        firsts[text] = count
        at, stop = offsets[text], offsets[text + 1]
        begin, end, words = at, at, 0
        within, ended = False, False  # a word; a mark that ends the sentence, before white space
        while at <= stop:
            code, size = decode(data, at) if at < stop else (np.int64(_NEWLINE), 1)
            closed = False
            if classes[code] & SPACE:
                closed = ended or code == _NEWLINE
                within, ended = False, False
            else:
                if not within:
                    if words == 0:
                        begin = at
                    words += 1
                    within = True
                end = at + size
                mark = _MARKS[code] if code < _MARKS.size else 0
                ended = mark == _ENDS or (ended and mark == _CLOSES)
                closed = mark == _STOPS
            if closed:
                if words >= FEWEST_WORDS:
                    begins[count], ends[count] = begin, end
                    count += 1
                words, within = 0, False
            at += size
    firsts[offsets.size - 1] = count
    return begins[:count].copy(), ends[:count].copy(), firsts


@compiled
def _behind(data, at, end, characters):
    """The byte behind so many characters, at most ``end``."""
    if end - at <= characters:
        return end
    while at < end and characters > 0:
        _, size = decode(data, at)
        at += size
        characters -= 1
    return at


@compiled
def _beginnings(data, begins, ends, characters, most, tables, breaks):
    classes = tables.classes
    hashes, stops = (
        np.zeros((begins.size, most), np.uint64),
        np.empty((begins.size, most), np.int64),
    )
    counts, starts = np.zeros(begins.size, np.int64), np.empty(begins.size, np.int64)
    room = 0
    for piece in range(begins.size):
        room += 2 * min(ends[piece] - begins[piece], 4 * characters) + most
    pool = np.empty(room, np.uint8)
    used = 0
    for piece in range(begins.size):
        starts[piece] = used
        begin = begins[piece]
        end = _behind(data, begin, ends[piece], characters)
        at, count = begin, 0
        kind, length, value = SPACE, 0, _U(0)  # of the open token: WORD, 0 for others
        while at <= end:
            code, size = decode(data, at) if at < end else (np.int64(_BLANK), 1)
            bits = np.int64(classes[code])
            after = bits & (WORD | SPACE)
            if after == 0 and kind == WORD and breaks[code] & KIND == EXTEND:
                after = WORD
            if after != kind:
                if kind != SPACE:
                    hashes[piece, count] = finalise(value + _U(length) * GOLDEN)
                    stops[piece, count] = used
                    count += 1
                    pool[used] = _BLANK
                    used += 1
                    if count == most:
                        break
                kind, length, value = after, 0, _U(0)
            if kind != SPACE:
                dotted = code == _DOTTED_I
                if code == _SIGMA and ends_a_word(data, begin, at, end, classes):
                    code = np.int64(_FINAL_SIGMA)
                elif bits & CAPITAL:
                    code = np.int64(tables.lower[code])
                for part in (code, np.int64(_DOT)):
                    encoded, width = encode(part)
                    for index in range(width):
                        byte = (encoded >> _U(8 * index)) & _U(0xFF)
                        pool[used] = byte
                        used += 1
                        value = (value ^ byte) * GOLDEN
                        value ^= value >> _U(29)
                    length += width
                    if not dotted:
                        break
            at += size
        counts[piece] = count
    return hashes, counts, pool[:used].copy(), starts, stops


@compiled
def _distinct(hashes, counts):
    pieces, most = hashes.shape
    total = counts.sum()
    size = 16
    while size < 2 * total:
        size *= 2
    mask = _U(size - 1)
    slots = np.full(size, -1, np.int64)
    numbers = np.zeros((pieces, most), np.int64)
    times, places = np.zeros(total, np.int64), np.empty(total, np.int64)
    held = 0
    for piece in range(pieces):
        for token in range(counts[piece]):
            value = hashes[piece, token]
            slot = value & mask
            while slots[slot] >= 0:
                place = places[slots[slot]]
                if hashes[place // most, place % most] == value:
                    break
                slot = (slot + _U(1)) & mask
            if slots[slot] < 0:
                slots[slot], places[held] = held, piece * most + token
                held += 1
            numbers[piece, token] = slots[slot]
            times[slots[slot]] += 1
    return numbers, times[:held].copy(), places[:held].copy()


@compiled
def framed(codes, numbers, counts, offsets, fewest):
    """The distinct rows of codes in which some tokens are open, and the number of texts with each.

    Args:
        codes: int64 [distinct], of each distinct token; 0 is open. numbers: as from ``distinct``.
        counts: the tokens of each sentence; only those with all that ``numbers`` holds count.
        offsets: int64 [texts + 1], the first sentence of each text.
        fewest: tokens of a row that are not open.

    Returns:
        (rows, times): int64 [rows, most], int64 [rows].
    """
    pieces, most = numbers.shape
    size = 16
    while size < 2 * pieces:
        size *= 2
    mask = _U(size - 1)
    slots = np.full(size, -1, np.int64)
    rows = np.empty((pieces, most), np.int64)
    times, last = np.zeros(pieces, np.int64), np.full(pieces, -1, np.int64)
    held = 0
    for text in range(offsets.size - 1):
        for piece in range(offsets[text], offsets[text + 1]):
            if counts[piece] < most:
                continue
            fixed, value = 0, _U(0)
            for token in range(most):
                code = codes[numbers[piece, token]]
                rows[held, token] = code
                fixed += code > 0
                value = finalise(value * GOLDEN + _U(code))
            if fixed == most or fixed < fewest:
                continue
            slot = value & mask
            while slots[slot] >= 0 and (rows[slots[slot]] != rows[held]).any():
                slot = (slot + _U(1)) & mask
            if slots[slot] < 0:
                slots[slot] = held
                held += 1
            row = slots[slot]
            times[row] += last[row] != text
            last[row] = text
    return rows[:held].copy(), times[:held].copy()
