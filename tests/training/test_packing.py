"""Rows as a pure function of (seed, step)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthtools.training.packing import IGNORED, Blend, Cut, Rows, Whole

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def corpus(lengths):
    """Documents whose tokens tell where they come from: document · 100 + place."""
    tokens = np.concatenate([np.arange(n) + 100 * d for d, n in enumerate(lengths)])
    return tokens, np.concatenate([[0], np.cumsum(lengths)])


@given(LENGTHS, st.integers(2, 16), st.integers(0, 5))
def test_an_epoch_of_cut_rows_holds_every_token_once(lengths, length, seed):
    tokens, starts = corpus(lengths)
    if len(tokens) < length:
        with pytest.raises(ValueError):
            Cut(tokens, starts, length, seed)
        return
    packer = Cut(tokens, starts, length, seed)
    seen = np.concatenate([packer.row(row)[0] for row in range(packer.rows)])
    assert len(np.unique(seen)) == len(seen) == packer.rows * length
    assert set(seen) <= set(tokens)


@given(LENGTHS, st.integers(2, 16), st.integers(0, 3), st.booleans(), st.booleans())
def test_an_epoch_of_whole_rows_learns_every_token_once(lengths, length, seed, pack, masked):
    tokens, starts = corpus(lengths)
    learned = np.random.default_rng(seed).random(len(tokens)) < 0.5 if masked else None
    packer = Whole(tokens, starts, length, seed, learned, pack)
    labels = np.concatenate([packer.row(row)[2] for row in range(packer.rows)])
    labels = labels[labels != IGNORED]
    # Long documents go in pieces; the first token of each piece has nothing before it.
    expected = [
        token
        for place, token in enumerate(tokens)
        if (token % 100) % length and (learned is None or learned[place])
    ]
    assert sorted(labels) == sorted(expected)
    pieces = sum(-(-n // length) for n in lengths)
    assert packer.rows == pieces if not pack else packer.rows <= pieces


@given(LENGTHS, st.integers(2, 16), st.integers(0, 40))
def test_labels_follow_within_documents_and_positions_begin_with_them(lengths, length, row):
    tokens, starts = corpus(lengths)
    packers = [Whole(tokens, starts, length, 0)]
    if len(tokens) >= length:
        packers.append(Cut(tokens, starts, length, 0))
    for packer in packers:
        of_row, positions, labels = packer.row(row)
        for place in np.flatnonzero(labels != IGNORED):
            assert labels[place] == of_row[place + 1] == of_row[place] + 1
            assert positions[place + 1] == positions[place] + 1
        assert positions[0] == 0


def test_whole_documents_fill_rows_well():
    lengths = np.random.default_rng(0).integers(5, 100, 2000)
    tokens, starts = corpus(lengths)
    packer = Whole(tokens, starts, 128, 0)
    assert len(tokens) / (packer.rows * 128) > 0.97


def test_a_batch_depends_on_seed_and_step_alone():
    tokens, starts = corpus([17, 30, 8, 25, 40, 12])
    for kind in (Cut, Whole):
        forward = Blend([kind(tokens, starts, 8, 3)], [1.0])
        batches = [forward.batch(step, 3) for step in range(12)]  # over several epochs
        backward = Blend([kind(tokens, starts, 8, 3)], [1.0])
        for step in reversed(range(12)):
            for one, other in zip(batches[step], backward.batch(step, 3), strict=True):
                np.testing.assert_array_equal(one, other)
        other = Blend([kind(tokens, starts, 8, 4)], [1.0])
        assert any((other.batch(s, 3).tokens != batches[s].tokens).any() for s in range(12))


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(0, 50))
def test_sources_come_in_their_shares_at_any_time(parts, step):
    shares = np.array(parts) / sum(parts)
    tokens, starts = corpus([20, 30])
    blend = Blend([Cut(tokens, starts, 5, 0) for _ in shares], shares)
    seen = np.concatenate([blend.batch(s, 4).sources for s in range(step + 1)])
    counts = np.bincount(seen, minlength=len(shares))
    assert np.abs(counts - shares * len(seen)).max() < 5


def test_columns_of_padding_are_cut_off():
    tokens, starts = corpus([3, 4])
    rows = Blend([Whole(tokens, starts, 200, 0, pack=False)], [1.0]).batch(0, 2)
    assert rows.tokens.shape == (2, 200)
    assert rows.part(slice(0, 1)).tokens.shape == (1, 64)
    empty = Rows(*(field.copy() for field in rows))
    empty.labels[:] = IGNORED
    assert empty.part(slice(0, 2)).tokens.shape == (2, 1)
