"""128-bit fingerprints of texts and their parts, to find equal ones [ours].

Among 10^12 different texts, two share one with a probability below 10^-14. They do not protect against
texts constructed to collide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from synthtools.compiled import compiled, load
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.tokeniser import GOLDEN, buffers, decode, finalise
from synthtools.text.unicode import CAPITAL, WORD, unicode

_U = np.uint64
_FIRST, _SECOND = _U(0x243F6A8885A308D3), _U(0x13198A2E03707344)  # digits of pi
_LINE = 0x0A


@dataclass(frozen=True)
class Pieces:
    """Parts of texts: whole texts, paragraphs or lines.

    Attributes:
        data: uint8, the bytes of all texts.
        begins, ends: int64 [pieces], the span of the content without surrounding white space (with
            it for whole texts).
        starts: int64 [pieces], where the bytes that are removed with the piece begin; they end
            where the text's next piece begins.
        first_of: int64 [texts + 1], the first piece of each text.
    """

    data: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    starts: np.ndarray
    first_of: np.ndarray

    def lengths(self) -> np.ndarray:
        """Number of characters of each piece, int64."""
        lengths = np.empty(len(self.begins), np.int64)
        _characters(self.data, self.begins, self.ends, lengths)
        return lengths

    def fingerprints(self, normalized: bool = False) -> np.ndarray:
        """Fingerprint of each, uint64 [pieces, 2].

        Args:
            normalized: of only the words (letters, digits, underscores) in lower case; a piece without
                words is taken unchanged.
        """
        fingerprints = np.empty((len(self.begins), 2), np.uint64)
        _exact(self.data, self.begins, self.ends, fingerprints)
        if normalized:
            _of_words(self.data, self.begins, self.ends, *unicode(), fingerprints)
        return fingerprints


def pieces(texts: TextBuffer, unit: Literal["record", "paragraph", "line"] = "record") -> Pieces:
    """The pieces of texts. Paragraphs are runs of non-blank lines; blank lines do not count as pieces."""
    data, offsets = buffers(texts)
    if unit == "record":
        return Pieces(data, offsets[:-1], offsets[1:], offsets[:-1], np.arange(len(offsets)))
    room = int(np.count_nonzero(data == _LINE)) + len(texts)
    begins, ends, starts = (np.empty(room, np.int64) for _ in range(3))
    first_of = np.zeros(len(offsets), np.int64)
    count = _part(data, offsets, unit == "paragraph", begins, ends, starts, first_of)
    return Pieces(data, begins[:count], ends[:count], starts[:count], first_of)


@compiled
def _part(data, offsets, paragraphs, begins, ends, starts, first_of):
    count = 0
    for document in range(offsets.size - 1):
        position, end = offsets[document], offsets[document + 1]
        is_open = False
        while position < end:
            start = position
            begin, last = end, start  # characters other than white space
            while position < end and data[position] != _LINE:
                if data[position] > 0x20:
                    begin = min(begin, position)
                    last = position + 1
                position += 1
            position += 1
            if begin == end:
                is_open = False
            elif paragraphs and is_open:
                ends[count - 1] = last
            else:
                starts[count], begins[count], ends[count] = start, begin, last
                count += 1
                is_open = True
        first_of[document + 1] = count
    return count


@compiled
def _exact(data, begins, ends, fingerprints):
    for piece in range(begins.size):
        at, end = begins[piece], ends[piece]
        length = _U(end - at)
        one, other = _FIRST + length, _SECOND ^ length
        while end - at >= 8:
            word = load(data, _U(at))
            one = finalise(one ^ word)
            other = finalise(other * GOLDEN + word)
            at += 8
        word = _U(0)
        for index in range(end - at):
            word |= _U(data[at + index]) << _U(8 * index)
        fingerprints[piece, 0] = finalise(one ^ word)
        fingerprints[piece, 1] = finalise(other * GOLDEN + word)


@compiled
def _of_words(data, begins, ends, classes, lower, fingerprints):
    for piece in range(begins.size):
        at, end = begins[piece], ends[piece]
        one, other = _FIRST, _SECOND
        words, inside = 0, False
        while at < end:
            code, size = decode(data, at)
            at += size
            bits = classes[code]
            if bits & WORD == 0:
                inside = False
                continue
            if not inside:
                words += 1
                one = (one ^ _U(0x20)) * GOLDEN
                inside = True
            if bits & CAPITAL != 0:
                code = np.int64(lower[code])
            one = (one ^ _U(code)) * GOLDEN
            one ^= one >> _U(32)
            other = finalise(other + one)
        if words > 0:
            fingerprints[piece, 0], fingerprints[piece, 1] = finalise(one), other


@compiled
def _characters(data, begins, ends, lengths):
    for piece in range(begins.size):
        count = 0
        for at in range(begins[piece], ends[piece]):
            count += np.int64(data[at] & 0xC0 != 0x80)
        lengths[piece] = count
