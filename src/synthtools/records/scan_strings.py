"""Kernels for JSON strings: their end, and their text in UTF-8."""

from __future__ import annotations

import numpy as np

from synthtools.compiled import compiled, load, store

BAD = -1

# The class of a byte inside a string.
_PLAIN, _QUOTE, _ESCAPE, _CONTROL, _MANY = 0, 1, 2, 3, 4
_CLASS = np.zeros(256, np.uint8)
_CLASS[:32] = _CONTROL
_CLASS[ord('"')] = _QUOTE
_CLASS[ord("\\")] = _ESCAPE
_CLASS[128:] = _MANY

_UNESCAPED = np.zeros(256, np.uint8)
for _escape, _byte in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
    _UNESCAPED[_escape] = _byte

# Eight bytes at a time: a word of plain bytes is skipped at once.
_EACH = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_SPACES = np.uint64(0x2020202020202020)
_QUOTES = np.uint64(0x2222222222222222)
_ESCAPES = np.uint64(0x5C5C5C5C5C5C5C5C)
_ZERO, _ONE, _SEVEN, _LAST = np.uint64(0), np.uint64(1), np.uint64(7), np.uint64(56)

_HEX = np.full(256, 255, np.uint8)
for _digit in "0123456789abcdefABCDEF":
    _HEX[ord(_digit)] = int(_digit, 16)


@compiled
def _past_many(data, at, end):
    """The position after a multi-byte character, if it is valid UTF-8."""
    lead = data[at]
    low, high = 0x80, 0xBF
    if 0xC2 <= lead <= 0xDF:
        more = 1
    elif 0xE0 <= lead <= 0xEF:
        more = 2
        if lead == 0xE0:
            low = 0xA0
        elif lead == 0xED:
            high = 0x9F
    elif 0xF0 <= lead <= 0xF4:
        more = 3
        if lead == 0xF0:
            low = 0x90
        elif lead == 0xF4:
            high = 0x8F
    else:
        return BAD
    if at + more >= end or data[at + 1] < low or data[at + 1] > high:
        return BAD
    for index in range(at + 2, at + 1 + more):
        if data[index] & 0xC0 != 0x80:
            return BAD
    return at + 1 + more


@compiled
def _unit(data, at, end):
    """The UTF-16 unit of ``\\uXXXX`` at a backslash, otherwise ``BAD``."""
    if at + 6 > end or data[at] != 92 or data[at + 1] != 117:
        return BAD
    value = 0
    for index in range(at + 2, at + 6):
        digit = _HEX[data[index]]
        if digit == 255:
            return BAD
        value = value * 16 + digit
    return value


@compiled
def _code_point(data, at, end):
    """(code point, end) of ``\\uXXXX`` or a surrogate pair at a backslash."""
    unit = _unit(data, at, end)
    if unit < 0xD800 or unit > 0xDFFF:
        return unit, at + 6
    low = _unit(data, at + 6, end)
    if unit > 0xDBFF or low < 0xDC00 or low > 0xDFFF:
        return BAD, at
    return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00), at + 12


@compiled
def _plain(word):
    """The number of plain bytes at the start of an eight-byte word."""
    quotes, escapes = word ^ _QUOTES, word ^ _ESCAPES
    odd = (word - _SPACES) & ~word | (quotes - _EACH) & ~quotes | (escapes - _EACH) & ~escapes
    odd = (odd | word) & _HIGH
    if odd == _ZERO:
        return np.uint64(8)
    # All bits below the first other byte; the product sums one bit of each byte.
    return ((((odd & (~odd + _ONE)) >> _SEVEN) - _ONE) & _EACH) * _EACH >> _LAST


@compiled
def past_string(data, at, end):
    """The position after the string whose opening quote is at ``at``."""
    return string(data, at, end, None, 0)[0]


@compiled
def string(data, at, end, out, filled):
    """Reads the string whose opening quote is at ``at``, and writes its text unless ``out`` is None:
    (position after it, end of the text in ``out``)."""
    to = filled
    at += 1
    while at < end:
        byte = data[at]
        kind = _CLASS[byte]
        after = at + 1
        if kind == _PLAIN:
            if out is not None:
                out[to] = byte
                to += 1
            while after + 8 <= end:
                word = load(data, np.uint64(after))
                plain = np.int64(_plain(word))
                after += plain
                if out is not None:
                    store(out, np.uint64(to), word)  # surplus bytes are overwritten later
                    to += plain
                if plain < 8:
                    break
        elif kind == _QUOTE:
            return after, to
        elif kind == _MANY:
            after = _past_many(data, at, end)
            if out is not None:
                for index in range(at, after):
                    out[to] = data[index]
                    to += 1
        elif kind == _ESCAPE and after < end and data[after] == 117:
            code, after = _code_point(data, at, end)
            if out is not None and code != BAD:
                to = _encoded(code, out, to)
            after = BAD if code == BAD else after
        elif kind == _ESCAPE and after < end and _UNESCAPED[data[after]]:
            if out is not None:
                out[to] = _UNESCAPED[data[after]]
                to += 1
            after += 1
        else:
            return BAD, BAD
        if after == BAD:
            return BAD, BAD
        at = after
    return BAD, BAD


@compiled
def _encoded(code, out, to):
    """Writes a code point in UTF-8; returns the end."""
    if code < 0x80:
        out[to] = code
        return to + 1
    if code < 0x800:
        out[to] = 0xC0 | code >> 6
        out[to + 1] = 0x80 | code & 63
        return to + 2
    if code < 0x10000:
        out[to] = 0xE0 | code >> 12
        out[to + 1] = 0x80 | code >> 6 & 63
        out[to + 2] = 0x80 | code & 63
        return to + 3
    out[to] = 0xF0 | code >> 18
    out[to + 1] = 0x80 | code >> 12 & 63
    out[to + 2] = 0x80 | code >> 6 & 63
    out[to + 3] = 0x80 | code & 63
    return to + 4
