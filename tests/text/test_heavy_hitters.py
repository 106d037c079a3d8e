"""Exact counts of n-grams against the twin, and the bound on the error in little memory."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernel_reference as reference
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.heavy_hitters import TopNgrams, tabulate

from .conftest import TEXT


def merged(pieces: list[list[str]], n: int, capacity: int | None = None) -> TopNgrams:
    found = TopNgrams(n, capacity)
    for piece in pieces:
        found.add(tabulate(TextBuffer.of(piece), n))
    return found


@given(st.lists(st.lists(TEXT, max_size=3), max_size=3), st.integers(1, 3))
def test_exact_counts(pieces, n):
    found = merged(pieces, n)
    texts = [text for piece in pieces for text in piece]
    expected = reference.top(texts, n, 10_000)
    assert found.top(10_000) == expected
    assert found.top(3) == expected[:3]
    assert len(found) == len(expected)
    assert found.total == sum(count for _, count in expected)
    assert found.error == 0


@pytest.mark.parametrize("n", [1, 2, 5])
def test_documents_of_any_length_in_any_batches(documents, n):
    expected = reference.top(documents, n, 200)
    assert merged([documents], n).top(200) == expected
    assert merged([[text] for text in documents], n).top(200) == expected


def test_many_distinct_ngrams_and_equal_counts():
    """Tables grow, and equal counts come in the order of their text."""
    words = [f"w{number:05}" for number in range(30_000)]
    found = merged([[" ".join(reversed(words))], [" ".join(words[:100])]], 1)
    assert found.top(101) == [(word, 2) for word in words[:100]] + [("w00100", 1)]
    assert len(found) == 30_000
    assert found.top(0) == []


def zipf_pieces() -> list[list[str]]:
    random = np.random.default_rng(0)
    return [
        [" ".join(f"t{rank}" for rank in random.zipf(1.3, 3000) if rank < 1 << 40)]
        for _ in range(20)
    ]


@pytest.mark.parametrize("capacity", [2, 50, 500, 5000])
def test_error_in_bounded_memory(capacity):
    pieces = zipf_pieces()
    exact = Counter(dict(merged(pieces, 1).top(1 << 30)))
    found = TopNgrams(1, capacity)
    for piece in pieces:
        found.add(tabulate(TextBuffer.of(piece), 1))
        assert len(found) <= capacity
    assert 0 < found.error <= found.total / (capacity // 2 + 1)
    assert found.total == exact.total()
    held = dict(found.top(1 << 30))
    for token, count in exact.items():
        assert count - found.error <= held.get(token, 0) <= count


def test_threads_change_nothing(documents):
    pieces = [TextBuffer.of(documents[start::5]) for start in range(5)] * 4
    with ThreadPoolExecutor(4) as pool:
        tables = list(pool.map(lambda piece: tabulate(piece, 2), pieces))
    for table, piece in zip(tables, pieces):
        alone = tabulate(piece, 2)
        assert table.total == alone.total
        for name in ("hashes", "counts", "ends", "pool"):
            assert (getattr(table, name) == getattr(alone, name)).all()


def test_arguments_out_of_range():
    with pytest.raises(ValueError, match="n is 1 or more"):
        tabulate(TextBuffer.of(["a"]), 0)
    with pytest.raises(ValueError, match="capacity"):
        TopNgrams(1, 1)
    with pytest.raises(ValueError, match="2-grams among 1-grams"):
        TopNgrams(1).add(tabulate(TextBuffer.of(["a"]), 2))
