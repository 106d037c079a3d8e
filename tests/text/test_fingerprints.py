"""Fingerprints are equal where texts are, and parts are those that plain Python cuts."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from kernel_reference import lower
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.fingerprints import pieces

from .conftest import TEXT

FEW = st.text("ab\n \tÉé.,", max_size=12)


def rows(texts, unit="record", normalized=False):
    return list(map(tuple, pieces(TextBuffer.of(texts), unit).fingerprints(normalized).tolist()))


@given(st.lists(st.one_of(FEW, TEXT), max_size=8))
def test_equal_where_texts_are_equal(texts):
    found = rows(texts)
    for one, left in zip(texts, found):
        for other, right in zip(texts, found):
            assert (left == right) == (one == other)


def words(text):
    """What is compared of a normalized text: its words in lower case, else all of it."""
    code_by_code = "".join(lower(c)[0] for c in text)
    return " ".join(re.findall(r"\w+", code_by_code)) or ("", text)


@given(st.lists(FEW, max_size=8))
def test_normalized_where_words_are_equal(texts):
    found = rows(texts, normalized=True)
    for one, left in zip(texts, found):
        for other, right in zip(texts, found):
            assert (left == right) == (words(one) == words(other))


def test_many_texts_and_every_length_are_told_apart():
    texts = (
        [str(i) for i in range(60_000)]
        + ["x" * i for i in range(200)]
        + ["\0" * i for i in range(20)]
    )
    assert len(set(rows(texts))) == len(set(texts))


def plainly(text, unit):
    """Content and offset of each line, or run of lines, that is not blank."""
    found, at = [], 0
    for line in text.encode().split(b"\n"):
        content = line.strip(bytes(range(0x21)))
        begin = at + line.index(content) if content else None
        if content and unit == "paragraph" and found and found[-1][3] == at:
            found[-1][1], found[-1][3] = begin + len(content), at + len(line) + 1
        elif content:
            found.append([begin, begin + len(content), at, at + len(line) + 1])
        at += len(line) + 1
    return [(begin, end, start) for begin, end, start, _ in found]


@given(st.lists(st.one_of(FEW, TEXT), max_size=4))
def test_parts_are_those_of_plain_python(texts):
    buffer = TextBuffer.of(texts)
    for unit in ("line", "paragraph"):
        found = pieces(buffer, unit)
        lengths = found.lengths()
        for index, text in enumerate(texts):
            own = slice(found.first_of[index], found.first_of[index + 1])
            columns = (found.begins[own], found.ends[own], found.starts[own])
            base = buffer.offsets[index]
            assert list(zip(*[(c - base).tolist() for c in columns])) == plainly(text, unit)
            data = text.encode()
            sizes = [len(data[b:e].decode()) for b, e, _ in plainly(text, unit)]
            assert lengths[own].tolist() == sizes
