"""Self-BLEU in linear time against sacreBLEU called plainly."""

import re
from pydoc_data.topics import topics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

import kernel_reference as reference
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.self_bleu import self_bleu, token_hashes
from synthtools.text.sentences import SentenceBounds

from .conftest import TEXT

PEER = BLEU(effective_order=True)
MARKS = st.text(st.sampled_from("ab1 .,-'&;/()…é中😀<>~`\t"), max_size=40)
LINE = st.one_of(TEXT, MARKS).map(lambda text: re.sub(r"[\r\n]", " ", text).rstrip())


def plainly(lines):
    return [
        PEER.sentence_score(line, lines[:i] + lines[i + 1 :]).score for i, line in enumerate(lines)
    ]


def hashed(lines):
    buffer = TextBuffer.of(lines)
    return token_hashes(
        buffer, SentenceBounds(buffer.offsets[:-1], buffer.offsets[1:], np.zeros(0))
    )


def self_bleu_of(sets):
    ends = np.cumsum([0, *map(len, sets)])
    scores = self_bleu(*hashed([line for some in sets for line in some]), ends)
    return np.split(scores, ends[1:-1])


@given(st.lists(LINE, max_size=5))
def test_tokens_are_those_of_sacrebleu(lines):
    hashes, starts = hashed(lines)
    known = {}
    for index, line in enumerate(lines):
        tokens = PEER._preprocess_segment(line).split()
        own = hashes[starts[index] : starts[index + 1]].tolist()
        assert len(own) == len(tokens), tokens
        assert all(known.setdefault(token, value) == value for token, value in zip(tokens, own))
    assert len(set(known.values())) == len(known)


@pytest.mark.parametrize(
    "line",
    [
        "a &quot;b&quot; &amp;lt; c",
        "<skipped>a b",
        "1-2 3.4,5 ,6. -7",
        "&amp;quot; &lt;skipped&gt;",
        "a<skipped",
        "&am",
        "&&gt;<<skipped>",
    ],
)
def test_what_is_cleaned(line):
    hashes, _ = hashed([line])
    assert len(hashes) == len(PEER._preprocess_segment(line).split())


WORDS = st.lists(st.sampled_from(list("abcde")), min_size=1, max_size=9).map(" ".join)


@settings(max_examples=150)
@given(st.lists(WORDS, min_size=2, max_size=7))
def test_scores_are_those_of_sacrebleu(lines):
    assert self_bleu_of([lines])[0] == pytest.approx(plainly(lines), abs=1e-9)


def test_sets_are_apart_and_real_text_agrees():
    lines = reference.sentences(topics["lambda"] + topics["strings"])[:25]
    sets = [lines[:4], [], lines[4:5], lines[5:]]
    found = self_bleu_of(sets)
    assert [len(some) for some in found] == [4, 0, 1, len(lines) - 5]
    assert np.isnan(found[2]).all()
    assert found[0] == pytest.approx(plainly(sets[0]), abs=1e-9)
    assert found[3] == pytest.approx(plainly(sets[3]), abs=1e-9)


def test_an_empty_sentence_scores_nothing():
    found = self_bleu(np.array([1, 2], np.int64), np.array([0, 0, 2]), np.array([0, 2]))
    assert found.tolist() == [0, 0]
