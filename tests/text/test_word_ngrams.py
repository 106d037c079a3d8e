"""Words and the n-grams that are looked for, against plain Python."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kernel_reference import lower
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.word_ngrams import NgramSet, ngrams, words

from .conftest import TEXT

FEW = st.text("aB 12,.\n_é", max_size=30)


def plainly(text):
    """(word, begin, end) in bytes; numbers beside each other are one."""
    found = []
    # Characters outside the word classes of the kernels are none here either.
    for match in re.finditer(r"[^\W_]+", text):
        begin, end = (len(text[:at].encode()) for at in match.span())
        word = "".join(lower(c)[0] for c in match[0])
        word = "#" if re.fullmatch("[0-9]+", word) else word
        if word == "#" and found and found[-1][0] == "#":
            found[-1] = ("#", found[-1][1], end)
        else:
            found.append((word, begin, end))
    return found


ASCII = st.text(st.characters(codec="ascii"), max_size=60)


@given(st.lists(st.one_of(FEW, ASCII), max_size=4))
def test_words_are_those_of_plain_python(texts):
    found = words(TextBuffer.of(texts))
    of_word, of_hash = {}, {}
    for index, text in enumerate(texts):
        own = slice(found.offsets[index], found.offsets[index + 1])
        expected = plainly(text)
        places = list(zip(found.starts[own].tolist(), found.ends[own].tolist()))
        assert places == [(begin, end) for _, begin, end in expected]
        for (word, _, _), value in zip(expected, found.hashes[own].tolist()):
            assert of_word.setdefault(word, value) == value
            assert of_hash.setdefault(value, word) == word


@given(st.lists(st.one_of(FEW, TEXT), max_size=4), st.integers(1, 4))
def test_ngrams_are_found_where_they_are(texts, n):
    found = words(TextBuffer.of(texts))
    values, whole = ngrams(found, n)
    runs = {}
    for first in np.flatnonzero(whole).tolist():
        run = tuple(found.hashes[first : first + n].tolist())
        assert runs.setdefault(run, values[first]) == values[first]
    assert len(set(runs.values())) == len(runs)
    ends = np.repeat(found.offsets[1:], np.diff(found.offsets))
    assert (whole == (np.arange(len(found.hashes)) + n <= ends)).all()
    wanted = np.unique(values[whole][::2])
    firsts, numbers = NgramSet(wanted, n).occurrences(found)
    assert firsts.tolist() == np.flatnonzero(whole & np.isin(values, wanted)).tolist()
    assert (wanted[numbers] == values[firsts]).all()


def test_case_punctuation_spacing_and_numbers_do_not_matter():
    one, other = words(
        TextBuffer.of(["It's 1,000 dollars — at 5.5%!", "it S\n2500  DOLLARS at 3"])
    )[0].reshape(2, -1)
    assert (one == other).all()
