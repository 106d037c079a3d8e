"""Sentences and the tokens that begin them against their twin."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import kernel_reference as reference
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.sentences import beginnings, distinct, sentence_bounds

from .conftest import TEXT

ENDS = st.text(
    st.sampled_from("aBé .!?…\"'”’)] \n\r\t\x1c\u2028\u3000\u0301。！？中İΣ-😀"), max_size=60
)
TEXTS = st.lists(st.one_of(TEXT, ENDS), max_size=5)


def taken_apart(*texts):
    buffer = TextBuffer.of(texts)
    begins, ends, offsets = sentence_bounds(buffer)
    lines = [buffer.data[a:b].tobytes().decode() for a, b in zip(begins, ends, strict=True)]
    return [lines[a:b] for a, b in zip(offsets, offsets[1:], strict=False)]


@given(TEXTS)
def test_sentences_are_those_of_the_twin(texts):
    assert taken_apart(*texts) == [reference.sentences(text) for text in texts]


def test_sentences():
    text = (
        'He said "go on then." And so I did!\nA line without end mark\n3.5 is a number. Too short.'
    )
    assert taken_apart(text, "甲 乙 丙 丁。戊 己 庚 辛！", "") == [
        ['He said "go on then."', "And so I did!", "A line without end mark", "3.5 is a number."],
        ["甲 乙 丙 丁。", "戊 己 庚 辛！"],
        [],
    ]


@given(TEXTS, st.sampled_from([1, 5, 30]), st.sampled_from([1, 4, 6]))
def test_the_beginnings_of_texts_are_those_of_the_twin(texts, characters, most):
    buffer = TextBuffer.of(texts)
    found = beginnings(buffer, buffer.offsets[:-1], buffer.offsets[1:], characters, most)
    expected = [reference.beginning(text, characters, most) for text in texts]
    assert found.counts.tolist() == [len(tokens) for tokens in expected]
    numbers, times, places = distinct(found.hashes, found.counts)
    known: dict[str, int] = {}
    for piece, tokens in enumerate(expected):
        assert [found.text(piece, i, i) for i in range(len(tokens))] == tokens
        if tokens:
            assert found.text(piece, 0, len(tokens) - 1) == " ".join(tokens)
        for index, token in enumerate(tokens):
            first = known.setdefault(token, piece * most + index)
            assert places[numbers[piece, index]] == first
    every = [token for tokens in expected for token in tokens]
    assert len(times) == len(known) and times.tolist() == [every.count(token) for token in known]


def test_a_sigma_is_final_within_the_characters_taken():
    buffer = TextBuffer.of(["ΟΔΟΣΟΣ"])
    found = beginnings(buffer, np.array([0]), np.array([12]), 4, 1)
    assert found.text(0, 0, 0) == "οδος"
