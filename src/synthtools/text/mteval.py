"""The tokenisation of mteval-v13a, "13a" in sacreBLEU, compiled: sentences become token hashes.

Four rules, one after the other, each over the whole sentence with a space before and behind it:

    a mark of ASCII, but not ' , - .       stands alone
    . or , after what is not a digit          stands alone
    . or , before what is not a digit         stands alone
    - after a digit                        stands alone

A rule that takes two characters goes on behind both, as a regular expression does.
"""

from __future__ import annotations

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.tokeniser import GOLDEN, buffers, decode, finalise, longest_of
from synthtools.text.unicode import SPACE, unicode

_U = np.uint64
_BLANK, _DASH = 0x20, 0x2D
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))

_ALONE, _POINT, _DIGIT = 1, 2, 4
_KINDS = np.zeros(256, np.uint8)
for _low, _high in ((0x20, 0x26), (0x28, 0x2B), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)):
    _KINDS[_low : _high + 1] = _ALONE
_KINDS[ord("/")] = _ALONE
_KINDS[[ord("."), ord(",")]] = _POINT
_KINDS[ord("0") : ord("9") + 1] = _DIGIT


def cleaned(line: str) -> str:
    """What is done before the rules: a mark of the evaluation taken out, entities read."""
    line = line.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in line:
        for entity, sign in _ENTITIES:
            line = line.replace(entity, sign)
    return line


def token_hashes(lines: TextBuffer) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of cleaned lines.

    Returns:
        (hashes, starts): uint64 [tokens], equal where tokens are equal; int64 [lines + 1].
    """
    return _token_hashes(*buffers(lines), unicode().classes)


@compiled
def _token_hashes(data, offsets, classes):
    size = 3 * (longest_of(offsets) + 2)
    one, other = np.empty(3 * size, np.uint8), np.empty(3 * size, np.uint8)
    hashes = np.empty(offsets[-1] - offsets[0], np.uint64)
    starts = np.empty(offsets.size, np.int64)
    count = 0
    for line in range(offsets.size - 1):
        starts[line] = count
        used = _marks(data, offsets[line], offsets[line + 1], one)
        left = _pairs(one, used, other, True)
        used = _pairs(other, left, one, False)
        left = _dashes(one, used, other)
        count = _split(other, left, classes, hashes, count)
    starts[offsets.size - 1] = count
    return hashes[:count].copy(), starts


@compiled
def _marks(data, start, end, out):
    out[0] = _BLANK
    to = 1
    for at in range(start, end):
        if _KINDS[data[at]] == _ALONE:
            out[to], out[to + 1], out[to + 2] = _BLANK, data[at], _BLANK
            to += 3
        else:
            out[to] = data[at]
            to += 1
    out[to] = _BLANK
    return to + 1


@compiled
def _pairs(text, size, out, behind):
    """A point or comma behind, or before, what is not a digit."""
    at = 0
    to = 0
    while at < size:
        out[to] = text[at]
        if at + 1 < size:
            first, second = _KINDS[text[at]], _KINDS[text[at + 1]]
            if behind and first != _DIGIT and second == _POINT:
                out[to + 1], out[to + 2], out[to + 3] = _BLANK, text[at + 1], _BLANK
                to += 4
                at += 2
                continue
            if not behind and first == _POINT and second != _DIGIT:
                out[to], out[to + 1] = _BLANK, text[at]
                out[to + 2], out[to + 3] = _BLANK, text[at + 1]
                to += 4
                at += 2
                continue
        to += 1
        at += 1
    return to


@compiled
def _dashes(text, size, out):
    to = 0
    for at in range(size):
        if text[at] == _DASH and at > 0 and _KINDS[text[at - 1]] == _DIGIT:
            out[to], out[to + 1], out[to + 2] = _BLANK, _DASH, _BLANK
            to += 3
        else:
            out[to] = text[at]
            to += 1
    return to


@compiled
def _split(text, size, classes, hashes, count):
    """Tokens between white space, hashed byte by byte."""
    at = 0
    length = 0
    value = _U(0)
    while at < size:
        code, width = np.int64(text[at]), 1
        if code >= 0x80:
            code, width = decode(text, at)
        if classes[code] & SPACE:
            if length:
                hashes[count] = finalise(value + _U(length) * GOLDEN)
                count += 1
                value, length = _U(0), 0
        else:
            for index in range(at, at + width):
                value = (value ^ _U(text[index])) * GOLDEN
                value ^= value >> _U(29)
            length += width
        at += width
    return count
