"""A kernel that extracts fields from JSON lines, without Python objects and without the interpreter lock.

It accepts a line only if it is one valid JSON object (RFC 8259, UTF-8 without surrogates) in which the last
member with the text's name is a string. All other lines, and a few valid ones (an escaped key, a lone
surrogate, nesting beyond 63 levels, NaN), are left to ``jsonl.parse_object``, which decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.scan_strings import BAD, past_string, string
from synthtools.records.text_buffer import newlines

BLANK, LOCATED, ASK = 0, 1, 2

_DEEPEST = 63


@dataclass(frozen=True)
class LineScan:
    """The result of a scan.

    Attributes:
        states: ``BLANK``, ``LOCATED`` or ``ASK`` of each line, uint8 [lines].
        data: the concatenated texts, uint8.
        line_ends: end of each line in the block, int64 [lines].
        ends: end of each line's text in ``data``, int64 [lines]; for a line that is not ``LOCATED``,
            that of the line before.
        spans: start and end of the other fields' values in the block, int64 [lines, fields, 2]; -1 if a
            line lacks the field.
    """

    states: np.ndarray
    data: np.ndarray
    line_ends: np.ndarray
    ends: np.ndarray
    spans: np.ndarray


def scan(
    block: bytes, text_field: str, fields: Sequence[str] = (), lines: int | None = None
) -> LineScan:
    """The text and the spans of other fields of each line.

    Args:
        block: lines; the last may lack its newline.
        lines: how many there are, where that is known.
    """
    data = np.frombuffer(block, np.uint8)
    names = [name.encode("utf-8", "surrogatepass") for name in (text_field, *fields)]
    name_ends = np.cumsum([len(name) for name in names])
    if lines is None:
        lines = newlines(block) + (block[-1:] not in (b"", b"\n"))
    states = np.empty(lines, np.uint8)
    line_ends, ends = np.empty((2, lines), np.int64)
    spans = np.full((lines, len(fields), 2), -1, np.int64)
    out = np.empty(len(block) + 8, np.uint8)
    joined = np.frombuffer(b"".join(names), np.uint8)
    filled = _scan(data, joined, name_ends, states, line_ends, ends, spans, out)
    return LineScan(states, out[:filled], line_ends, ends, spans)


@compiled
def _scan(data, names, name_ends, states, line_ends, ends, spans, out):
    at = 0
    filled = 0
    for line in range(len(states)):
        state, size, after = _object(data, at, names, name_ends, spans[line], out, filled)
        if state == LOCATED:
            filled += size
        while after < len(data) and data[after] != 10:
            after += 1
        states[line] = state
        line_ends[line] = after
        ends[line] = filled
        at = after + 1
    return filled


@compiled
def _after_space(data, at, end):
    while at < end and (data[at] == 32 or data[at] == 9 or data[at] == 13):
        at += 1
    return at


@compiled
def _object(data, start, names, name_ends, spans, out, filled):
    """(state, bytes of the text, position from which to find the line's end) of one line.

    The line's end is not searched first: a newline is neither valid space here nor valid in a string.
    """
    end = len(data)
    at = _after_space(data, start, end)
    if at == end or data[at] == 10:
        return BLANK, 0, at
    if data[at] != 123:  # {
        return ASK, 0, start
    at = _after_space(data, at + 1, end)
    size = BAD
    if at < end and data[at] == 125:  # }
        return ASK, 0, start
    while True:
        if at >= end or data[at] != 34:
            return ASK, 0, start
        key = at + 1
        at = past_string(data, at, end)
        if at == BAD:
            return ASK, 0, start
        for index in range(key, at - 1):
            if data[index] == 92:  # an escaped key may spell any name
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
            at, after = string(data, at, end, out, filled)
            size = after - filled
        else:
            at = _past_value(data, at, end)
        if at == BAD:
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
    if size == BAD or (at < end and data[at] != 10):
        return ASK, 0, start
    return LOCATED, size, at


@compiled
def _which(key, names, name_ends):
    """The index of a key among the names, -1 if it is not one of them."""
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
def _past_digits(data, at, end):
    while at < end and 48 <= data[at] <= 57:
        at += 1
    return at


@compiled
def _past_number(data, at, end):
    if data[at] == 45:  # -
        at += 1
    digits = _past_digits(data, at, end)
    if digits == at or (data[at] == 48 and digits > at + 1):
        return BAD
    at = digits
    if at < end and data[at] == 46:  # .
        digits = _past_digits(data, at + 1, end)
        if digits == at + 1:
            return BAD
        at = digits
    if at < end and data[at] | 32 == 101:  # e
        at += 1
        if at < end and (data[at] == 43 or data[at] == 45):
            at += 1
        digits = _past_digits(data, at, end)
        if digits == at:
            return BAD
        at = digits
    return at


@compiled
def _past_word(data, at, end):
    """The position after ``true``, ``false`` or ``null``."""
    if data[at] == 116:
        word = b"true"
    elif data[at] == 102:
        word = b"false"
    else:
        word = b"null"
    if at + len(word) > end:
        return BAD
    for index in range(len(word)):
        if data[at + index] != word[index]:
            return BAD
    return at + len(word)


@compiled
def _past_scalar(data, at, end):
    byte = data[at]
    if byte == 34:
        return past_string(data, at, end)
    if byte == 45 or 48 <= byte <= 57:
        return _past_number(data, at, end)
    return _past_word(data, at, end)


@compiled
def _past_value(data, at, end):
    """The position after the value at ``at``; nested containers without recursion."""
    depth = 0
    objects = np.uint64(0)  # one bit per level: whether it is an object
    one = np.uint64(1)
    while True:
        # At the start of a value.
        if at >= end:
            return BAD
        byte = data[at]
        if byte == 123 or byte == 91:
            if depth == _DEEPEST:
                return BAD
            depth += 1
            objects = (objects << one) | np.uint64(byte == 123)
            at = _after_space(data, at + 1, end)
            if at >= end:
                return BAD
            if data[at] == 125 if byte == 123 else data[at] == 93:
                at += 1
                depth -= 1
                objects >>= one
            elif byte == 123:
                at = _past_key(data, at, end)
                if at == BAD:
                    return BAD
                continue
            else:
                continue
        else:
            at = _past_scalar(data, at, end)
            if at == BAD:
                return BAD
        # After a value: close containers, or go to the next value.
        while depth:
            at = _after_space(data, at, end)
            if at >= end:
                return BAD
            inside = objects & one
            byte = data[at]
            if byte == 44:
                at = _after_space(data, at + 1, end)
                if inside:
                    at = _past_key(data, at, end)
                    if at == BAD:
                        return BAD
                break
            if byte == 125 if inside else byte == 93:
                at += 1
                depth -= 1
                objects >>= one
            else:
                return BAD
        else:
            return at


@compiled
def _past_key(data, at, end):
    """The position after a key, its colon and the following space."""
    if at >= end or data[at] != 34:
        return BAD
    at = past_string(data, at, end)
    if at == BAD:
        return BAD
    at = _after_space(data, at, end)
    if at >= end or data[at] != 58:
        return BAD
    return _after_space(data, at + 1, end)
