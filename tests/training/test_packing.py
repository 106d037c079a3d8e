"""Rows as a pure function of (seed, step)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthtools.training.packing import IGNORED, Packing

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def corpus(lengths):
    """Documents whose tokens tell where they come from: document · 100 + place."""
    tokens = np.concatenate([np.arange(n) + 100 * d for d, n in enumerate(lengths)])
    return tokens, np.concatenate([[0], np.cumsum(lengths)])


@given(LENGTHS, st.integers(2, 16), st.integers(0, 5))
def test_an_epoch_holds_every_token_once(lengths, length, seed):
    tokens, starts = corpus(lengths)
    if len(tokens) < length:
        with pytest.raises(ValueError):
            Packing(tokens, starts, length, seed)
        return
    packing = Packing(tokens, starts, length, seed)
    seen = np.concatenate([packing.batch(row, 1).tokens[0] for row in range(packing.rows)])
    assert len(np.unique(seen)) == len(seen) == packing.rows * length
    assert set(seen) <= set(tokens)


@given(LENGTHS, st.integers(2, 16), st.integers(0, 3))
def test_labels_stay_within_documents(lengths, length, step):
    tokens, starts = corpus(lengths)
    if len(tokens) < length:
        return
    rows = Packing(tokens, starts, length, 0).batch(step, 2)
    for row_tokens, positions, labels in zip(*rows, strict=True):
        for place in range(length):
            last = place + 1 == length
            same = not last and row_tokens[place + 1] == row_tokens[place] + 1
            if not last and row_tokens[place] // 100 != row_tokens[place + 1] // 100:
                assert positions[place + 1] == 0
            assert labels[place] == (row_tokens[place + 1] if same else IGNORED)


def test_a_batch_depends_on_seed_and_step_alone():
    tokens, starts = corpus([17, 30, 8, 25, 40, 12])
    forward = Packing(tokens, starts, 8, 3)
    batches = [forward.batch(step, 3) for step in range(12)]  # over several epochs
    backward = Packing(tokens, starts, 8, 3)
    for step in reversed(range(12)):
        for one, other in zip(batches[step], backward.batch(step, 3), strict=True):
            np.testing.assert_array_equal(one, other)
    other = Packing(tokens, starts, 8, 4)
    assert any((other.batch(s, 3).tokens != batches[s].tokens).any() for s in range(12))
