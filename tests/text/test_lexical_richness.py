"""Words, their figures and counts by group, against lexicalrichness and plain Python."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lexicalrichness import LexicalRichness

import kernel_reference as reference
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.grouped_counts import GroupedCounts
from synthtools.text.lexical_richness import (
    BREAK,
    ENTROPY,
    HDD,
    MTLD,
    TTR,
    TYPES,
    character_counts,
    figures_of,
    ngram_counts,
    sequence_of,
    words_of,
)

from .conftest import TEXT


@given(st.lists(TEXT, max_size=6))
def test_words_and_characters_are_those_of_the_twin(texts):
    found = words_of(TextBuffer.of(texts))
    expected = [[reference.token_hash(word) for word in reference.words(text)] for text in texts]
    assert [
        found.hashes[a:b].tolist() for a, b in zip(found.starts, found.starts[1:], strict=False)
    ] == expected
    assert character_counts(TextBuffer.of(texts)).tolist() == [len(text) for text in texts]


def check_figures(words, figures):
    peer = LexicalRichness([str(w) for w in words], preprocessor=None, tokenizer=None)
    assert figures[TYPES] == peer.terms
    assert figures[TTR] == peer.ttr
    assert figures[MTLD] == pytest.approx(peer.mtld(), rel=1e-12)
    if len(words) >= 42:
        assert figures[HDD] == pytest.approx(peer.hdd(), rel=1e-9)
    else:
        assert np.isnan(figures[HDD])
    shares = np.array(list(Counter(words).values())) / len(words)
    assert figures[ENTROPY] == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-12)


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=150), min_size=1, max_size=4))
def test_figures_equal_lexicalrichness(documents):
    starts = np.cumsum([0, *map(len, documents)])
    found = figures_of(np.array([w for d in documents for w in d], np.uint64), starts)
    for words, figures in zip(documents, found, strict=True):
        check_figures(words, figures)


@pytest.mark.parametrize("words", [[7] * 100, list(range(1, 101)), list(range(1, 43)), [1, 1], [1]])
def test_figures_at_the_edges(words):
    check_figures(words, figures_of(np.array(words, np.uint64), np.array([0, len(words)]))[0])


def test_no_words_have_no_figures():
    figures = figures_of(np.zeros(0, np.uint64), np.array([0, 0]))[0]
    assert figures[TYPES] == 0 and np.isnan(figures[1:]).all()


@given(st.lists(st.lists(st.integers(1, 4), max_size=8), max_size=6), st.integers(1, 4))
def test_ngrams_do_not_cross_documents(documents, n):
    starts = np.cumsum([0, *map(len, documents)])
    hashes = np.array([w for d in documents for w in d], np.uint64)
    sequence, words = sequence_of(hashes, starts, np.arange(len(documents)), 1 << 40)
    expected = Counter(tuple(d[i : i + n]) for d in documents for i in range(len(d) - n + 1))
    assert words == len(hashes)
    assert sorted(ngram_counts(sequence, n).tolist()) == sorted(expected.values())


def test_a_sequence_is_cut_after_its_words():
    hashes, starts = np.arange(1, 8, dtype=np.uint64), np.array([0, 3, 5, 7])
    sequence, words = sequence_of(hashes, starts, np.array([0, 2]), 4)
    assert sequence.tolist() == [1, 2, 3, int(BREAK), 6] and words == 4


BATCHES = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 9), max_size=9)), max_size=5),
    max_size=4,
)


@given(BATCHES)
def test_counts_by_group(batches):
    counts = GroupedCounts(step=3)
    plain, sequences = {}, {}
    for batch in batches:
        values = np.array([v for _, some in batch for v in some], np.uint64)
        starts = np.cumsum([0, *(len(v) for _, v in batch)])
        counts.add(values, starts, np.array([g for g, _ in batch], np.int64), 4)
        for group, some in batch:
            plain.setdefault(group, Counter()).update(some)
            sequences.setdefault(group, []).extend(some)
    found = {g: dict(zip(*(a.tolist() for a in rows))) for g, rows in counts.counts().items()}
    assert found == {g: dict(c) for g, c in plain.items() if c}
    curves = {g: list(zip(*(a.tolist() for a in rows))) for g, rows in counts.curves().items()}
    assert curves == {
        g: [(n, len(set(s[:n]))) for n in range(3, len(s) + 1, 3)]
        for g, s in sequences.items()
        if len(s) >= 3
    }


def test_a_table_grows():
    values = np.arange(20_000, dtype=np.uint64)
    counts = GroupedCounts()
    for _ in range(2):
        counts.add(values, np.array([0, 5000, 20_000]), np.array([1, 0]), 2)
    assert counts.distinct[:2].tolist() == [15_000, 5000]
    assert all((n == 2).all() for _, n in counts.counts().values())
