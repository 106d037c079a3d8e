"""A kernel that reads fields out of JSON lines: no Python object a record, no interpreter lock.

It accepts a line only if it is one valid JSON object (RFC 8259, UTF-8 without surrogates) whose
last member of the text's name is a string. Every other line, and a few valid ones (an escaped key,
a lone half of a surrogate pair, nesting beyond 63 levels, NaN), is left to ``jsonl.parse_object``,
whose ruling counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthtools.compiled import compiled, load, store

BLANK, FOUND, ASK = 0, 1, 2

_BAD = -1
_DEEPEST = 63

# What a byte is inside a string.
_PLAIN, _QUOTE, _ESCAPE, _CONTROL, _MANY = 0, 1, 2, 3, 4
_CLASS = np.zeros(256, np.uint8)
_CLASS[:32] = _CONTROL
_CLASS[ord('"')] = _QUOTE
_CLASS[ord("\\")] = _ESCAPE
_CLASS[128:] = _MANY

_UNESCAPED = np.zeros(256, np.uint8)
for _escape, _byte in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
    _UNESCAPED[_escape] = _byte

# Eight bytes at a time: a word whose every byte is plain is passed over as one.
_EACH = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_SPACES = np.uint64(0x2020202020202020)
_QUOTES = np.uint64(0x2222222222222222)
_ESCAPES = np.uint64(0x5C5C5C5C5C5C5C5C)
_ZERO, _ONE, _SEVEN, _LAST = np.uint64(0), np.uint64(1), np.uint64(7), np.uint64(56)

_HEX = np.full(256, 255, np.uint8)
for _digit in "0123456789abcdefABCDEF":
    _HEX[ord(_digit)] = int(_digit, 16)


@dataclass(frozen=True)
class LineScan:
    """What was found in lines.

    Attributes:
        states: ``BLANK``, ``FOUND`` or ``ASK`` of each line, uint8 [lines].
        data: the texts one after the other, uint8.
        ends: where the text of each line ends in ``data``, int64 [lines]; of a line that is not
            ``FOUND``, where the one before ends.
        spans: where the values of the other fields stand in the block, int64 [lines, fields, 2];
            -1 where a line lacks the field.
    """

    states: np.ndarray
    data: np.ndarray
    ends: np.ndarray
    spans: np.ndarray


def scan(block: bytes, text_field: str, fields: Sequence[str] = ()) -> LineScan:
    """The text and the places of other fields of each line.

    Args:
        block: lines; the last may lack its newline.
    """
    data = np.frombuffer(block, np.uint8)
    names = [name.encode("utf-8", "surrogatepass") for name in (text_field, *fields)]
    name_ends = np.cumsum([len(name) for name in names])
    lines = block.count(b"\n") + (not block.endswith(b"\n") and len(block) > 0)
    states = np.empty(lines, np.uint8)
    ends = np.empty(lines, np.int64)
    spans = np.full((lines, len(fields), 2), -1, np.int64)
    out = np.empty(len(block) + 8, np.uint8)
    joined = np.frombuffer(b"".join(names), np.uint8)
    filled = _scan(data, joined, name_ends, states, ends, spans, out)
    return LineScan(states, out[:filled], ends, spans)


@compiled
def _scan(data, names, name_ends, states, ends, spans, out):  # type: ignore[no-untyped-def]
    at = 0
    filled = 0
    for line in range(len(states)):
        state, size, after = _object(data, at, names, name_ends, spans[line], out, filled)
        if state == FOUND:
            filled += size
        while after < len(data) and data[after] != 10:
            after += 1
        states[line] = state
        ends[line] = filled
        at = after + 1
    return filled


@compiled
def _after_space(data, at, end):  # type: ignore[no-untyped-def]
    while at < end and (data[at] == 32 or data[at] == 9 or data[at] == 13):
        at += 1
    return at


@compiled
def _object(data, start, names, name_ends, spans, out, filled):  # type: ignore[no-untyped-def]
    """(state, bytes of the text, where to look for the line's end) of one line.

    No line is sought first: a newline is no space here and may not stand in a string.
    """
    end = len(data)
    at = _after_space(data, start, end)
    if at == end or data[at] == 10:
        return BLANK, 0, at
    if data[at] != 123:  # {
        return ASK, 0, start
    at = _after_space(data, at + 1, end)
    size = _BAD
    if at < end and data[at] == 125:  # }
        return ASK, 0, start
    while True:
        if at >= end or data[at] != 34:
            return ASK, 0, start
        key = at + 1
        at = _past_string(data, at, end)
        if at == _BAD:
            return ASK, 0, start
        for index in range(key, at - 1):
            if data[index] == 92:  # an escaped key may be any name
                return ASK, 0, start
        field = _which(data[key : at - 1], names, name_ends)
        at = _after_space(data, at, end)
        if at >= end or data[at] != 58:  # :
            return ASK, 0, start
        at = _after_space(data, at + 1, end)
        if at >= end:
            return ASK, 0, start
        value = at
        if field == 0:
            if data[at] != 34:
                return ASK, 0, start
            at, size = _copied(data, at, end, out, filled)
        else:
            at = _past_value(data, at, end)
        if at == _BAD:
            return ASK, 0, start
        if field > 0:
            spans[field - 1, 0] = value
            spans[field - 1, 1] = at
        at = _after_space(data, at, end)
        if at >= end:
            return ASK, 0, start
        if data[at] == 125:
            break
        if data[at] != 44:  # ,
            return ASK, 0, start
        at = _after_space(data, at + 1, end)
    at = _after_space(data, at + 1, end)
    if size == _BAD or (at < end and data[at] != 10):
        return ASK, 0, start
    return FOUND, size, at


@compiled
def _which(key, names, name_ends):  # type: ignore[no-untyped-def]
    """The index of a name, -1 where it is none of them."""
    start = 0
    for index in range(len(name_ends)):
        if name_ends[index] - start == len(key):
            same = True
            for at in range(len(key)):
                if key[at] != names[start + at]:
                    same = False
                    break
            if same:
                return index
        start = name_ends[index]
    return -1


@compiled
def _past_many(data, at, end):  # type: ignore[no-untyped-def]
    """After a character of several bytes, if it is valid UTF-8."""
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
        return _BAD
    if at + more >= end or data[at + 1] < low or data[at + 1] > high:
        return _BAD
    for index in range(at + 2, at + 1 + more):
        if data[index] & 0xC0 != 0x80:
            return _BAD
    return at + 1 + more


@compiled
def _unit(data, at, end):  # type: ignore[no-untyped-def]
    """The UTF-16 unit of ``\\uXXXX`` at a backslash, else ``_BAD``."""
    if at + 6 > end or data[at] != 92 or data[at + 1] != 117:
        return _BAD
    value = 0
    for index in range(at + 2, at + 6):
        digit = _HEX[data[index]]
        if digit == 255:
            return _BAD
        value = value * 16 + digit
    return value


@compiled
def _code_point(data, at, end):  # type: ignore[no-untyped-def]
    """(code point, where it ends) of ``\\uXXXX`` or of a pair of them at a backslash."""
    unit = _unit(data, at, end)
    if unit < 0xD800 or unit > 0xDFFF:
        return unit, at + 6
    low = _unit(data, at + 6, end)
    if unit > 0xDBFF or low < 0xDC00 or low > 0xDFFF:
        return _BAD, at
    return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00), at + 12


@compiled
def _plain(word):  # type: ignore[no-untyped-def]
    """How many of a word's eight bytes stand before the first that is not plain."""
    quotes, escapes = word ^ _QUOTES, word ^ _ESCAPES
    odd = (word - _SPACES) & ~word | (quotes - _EACH) & ~quotes | (escapes - _EACH) & ~escapes
    odd = (odd | word) & _HIGH
    if odd == _ZERO:
        return np.uint64(8)
    # All bits below the first odd byte, one of each byte summed up by the product.
    return ((((odd & (~odd + _ONE)) >> _SEVEN) - _ONE) & _EACH) * _EACH >> _LAST


@compiled
def _past_string(data, at, end):  # type: ignore[no-untyped-def]
    """After the string whose quote stands at ``at``."""
    at += 1
    while at < end:
        kind = _CLASS[data[at]]
        if kind == _PLAIN:
            at += 1
            while at + 8 <= end:
                plain = np.int64(_plain(load(data, np.uint64(at))))
                at += plain
                if plain < 8:
                    break
        elif kind == _QUOTE:
            return at + 1
        elif kind == _MANY:
            at = _past_many(data, at, end)
            if at == _BAD:
                return _BAD
        elif kind == _ESCAPE:
            if at + 1 >= end:
                return _BAD
            if data[at + 1] == 117:
                code, at = _code_point(data, at, end)
                if code == _BAD:
                    return _BAD
            elif _UNESCAPED[data[at + 1]]:
                at += 2
            else:
                return _BAD
        else:
            return _BAD
    return _BAD


@compiled
def _copied(data, at, end, out, filled):  # type: ignore[no-untyped-def]
    """Writes the string whose quote stands at ``at``: (after it, bytes written)."""
    to = filled
    at += 1
    while at < end:
        byte = data[at]
        kind = _CLASS[byte]
        if kind == _PLAIN:
            out[to] = byte
            to += 1
            at += 1
            while at + 8 <= end:
                word = load(data, np.uint64(at))
                store(out, np.uint64(to), word)  # what is too much is written over
                plain = np.int64(_plain(word))
                at += plain
                to += plain
                if plain < 8:
                    break
        elif kind == _QUOTE:
            return at + 1, to - filled
        elif kind == _MANY:
            after = _past_many(data, at, end)
            if after == _BAD:
                return _BAD, 0
            for index in range(at, after):
                out[to] = data[index]
                to += 1
            at = after
        elif kind == _ESCAPE:
            if at + 1 >= end:
                return _BAD, 0
            if data[at + 1] == 117:
                code, at = _code_point(data, at, end)
                if code == _BAD:
                    return _BAD, 0
                to = _encoded(code, out, to)
            else:
                byte = _UNESCAPED[data[at + 1]]
                if byte == 0:
                    return _BAD, 0
                out[to] = byte
                to += 1
                at += 2
        else:
            return _BAD, 0
    return _BAD, 0


@compiled
def _encoded(code, out, to):  # type: ignore[no-untyped-def]
    """Writes a code point in UTF-8; returns where it ends."""
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


@compiled
def _past_digits(data, at, end):  # type: ignore[no-untyped-def]
    while at < end and 48 <= data[at] <= 57:
        at += 1
    return at


@compiled
def _past_number(data, at, end):  # type: ignore[no-untyped-def]
    if data[at] == 45:  # -
        at += 1
    digits = _past_digits(data, at, end)
    if digits == at or (data[at] == 48 and digits > at + 1):
        return _BAD
    at = digits
    if at < end and data[at] == 46:  # .
        digits = _past_digits(data, at + 1, end)
        if digits == at + 1:
            return _BAD
        at = digits
    if at < end and data[at] | 32 == 101:  # e
        at += 1
        if at < end and (data[at] == 43 or data[at] == 45):
            at += 1
        digits = _past_digits(data, at, end)
        if digits == at:
            return _BAD
        at = digits
    return at


@compiled
def _past_word(data, at, end):  # type: ignore[no-untyped-def]
    """After ``true``, ``false`` or ``null``."""
    if data[at] == 116:
        word = b"true"
    elif data[at] == 102:
        word = b"false"
    else:
        word = b"null"
    if at + len(word) > end:
        return _BAD
    for index in range(len(word)):
        if data[at + index] != word[index]:
            return _BAD
    return at + len(word)


@compiled
def _past_scalar(data, at, end):  # type: ignore[no-untyped-def]
    byte = data[at]
    if byte == 34:
        return _past_string(data, at, end)
    if byte == 45 or 48 <= byte <= 57:
        return _past_number(data, at, end)
    return _past_word(data, at, end)


@compiled
def _past_value(data, at, end):  # type: ignore[no-untyped-def]
    """After the value that begins at ``at``; containers without recursion."""
    depth = 0
    objects = np.uint64(0)  # a bit for each level: is it an object?
    one = np.uint64(1)
    while True:
        # A value begins at ``at``.
        if at >= end:
            return _BAD
        byte = data[at]
        if byte == 123 or byte == 91:
            if depth == _DEEPEST:
                return _BAD
            depth += 1
            objects = (objects << one) | np.uint64(byte == 123)
            at = _after_space(data, at + 1, end)
            if at >= end:
                return _BAD
            if data[at] == 125 if byte == 123 else data[at] == 93:
                at += 1
                depth -= 1
                objects >>= one
            elif byte == 123:
                at = _past_key(data, at, end)
                if at == _BAD:
                    return _BAD
                continue
            else:
                continue
        else:
            at = _past_scalar(data, at, end)
            if at == _BAD:
                return _BAD
        # A value has ended: close what it ends, or go to the next.
        while depth:
            at = _after_space(data, at, end)
            if at >= end:
                return _BAD
            inside = objects & one
            byte = data[at]
            if byte == 44:
                at = _after_space(data, at + 1, end)
                if inside:
                    at = _past_key(data, at, end)
                    if at == _BAD:
                        return _BAD
                break
            if byte == 125 if inside else byte == 93:
                at += 1
                depth -= 1
                objects >>= one
            else:
                return _BAD
        else:
            return at


@compiled
def _past_key(data, at, end):  # type: ignore[no-untyped-def]
    """After a key, its colon and the space behind it."""
    if at >= end or data[at] != 34:
        return _BAD
    at = _past_string(data, at, end)
    if at == _BAD:
        return _BAD
    at = _after_space(data, at, end)
    if at >= end or data[at] != 58:
        return _BAD
    return _after_space(data, at + 1, end)
