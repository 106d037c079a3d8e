"""Counts and weights in buckets: the kernels against the twin, hashlib and themselves in pieces."""

from __future__ import annotations

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernel_reference as reference
from synthtools.records.text_buffer import TextBuffer
from synthtools.text import ngram_buckets
from synthtools.text.ngram_buckets import NgramHasher
from synthtools.text.tokeniser import buffers
from synthtools.text.unicode import unicode

from .conftest import TEXT

ORDERS = st.sampled_from([(1,), (2,), (1, 2), (1, 3), (2, 3, 4), (1, 2, 3)])
HASHES = ("fast", "sha256")


@given(
    st.lists(TEXT, max_size=4), ORDERS, st.sampled_from([1, 97, 10_000]), st.sampled_from(HASHES)
)
def test_counts_agree_with_the_twin(texts, orders, buckets, hashing):
    found = NgramHasher(orders, buckets, hashing).counts(TextBuffer.of(texts))
    assert found.dtype == np.int64
    assert (found == reference.counts(texts, orders, buckets, hashing)).all()


@given(st.lists(TEXT, max_size=4), ORDERS, st.sampled_from(HASHES))
def test_weights_agree_with_the_twin(texts, orders, hashing):
    weights = np.random.default_rng(0).normal(size=97)
    sums, numbers = NgramHasher(orders, 97, hashing).weights(TextBuffer.of(texts), weights)
    expected = [reference.weight(text, weights, orders, hashing) for text in texts]
    assert list(zip(sums, numbers)) == expected


@pytest.mark.parametrize("hashing", HASHES)
@pytest.mark.parametrize("orders", [(1, 2), (3,), (1, 4)])
def test_documents_of_any_length(documents, orders, hashing):
    """Longer, too, than the tokens that are held at a time."""
    hasher = NgramHasher(orders, 1000, hashing)
    expected = reference.counts(documents, orders, 1000, hashing)
    assert (hasher.counts(TextBuffer.of(documents)) == expected).all()
    weights = np.random.default_rng(1).normal(size=1000)
    sums, numbers = hasher.weights(TextBuffer.of(documents), weights)
    assert numbers.sum() == expected.sum()
    assert list(sums) == [reference.weight(t, weights, orders, hashing)[0] for t in documents]


@pytest.mark.parametrize("hashing", HASHES)
def test_batches_and_threads_change_nothing(documents, hashing):
    hasher = NgramHasher(hash=hashing)
    weights = np.random.default_rng(2).normal(size=10_000)
    texts = documents * 3
    whole, (sums, numbers) = (
        hasher.counts(TextBuffer.of(texts)),
        hasher.weights(TextBuffer.of(texts), weights),
    )
    pieces = [TextBuffer.of(texts[start : start + 7]) for start in range(0, len(texts), 7)]
    with ThreadPoolExecutor(4) as pool:
        counted = list(pool.map(hasher.counts, pieces))
        weighed = list(pool.map(lambda piece: hasher.weights(piece, weights), pieces))
    assert (sum(counted) == whole).all()
    assert (np.concatenate([part[0] for part in weighed]) == sums).all()
    assert (np.concatenate([part[1] for part in weighed]) == numbers).all()


# These numbers stay for ever.
@pytest.mark.parametrize(
    ("ngram", "fast", "sha256"),
    [("the", 6582, 8288), ("of the", 3673, 2932), ("synthetic data", 9411, 8267)],
)
def test_buckets_never_change(ngram, fast, sha256):
    orders = (len(ngram.split()),)
    texts = TextBuffer.of([ngram.upper()])
    assert np.flatnonzero(NgramHasher(orders).counts(texts)).tolist() == [fast]
    assert np.flatnonzero(NgramHasher(orders, hash="sha256").counts(texts)).tolist() == [sha256]


def test_sha256_by_hand():
    """The DSIR package's bucket, from hashlib, of tokens split by hand."""
    text = "Data, data and " + "y" * 60
    tokens = ["data", ",", "data", "and", "y" * 60]
    ngrams = tokens + [f"{a} {b}" for a, b in zip(tokens, tokens[1:])]
    expected = Counter(
        int(hashlib.sha256(ngram.encode()).hexdigest(), 16) % 12_345 for ngram in ngrams
    )
    counts = NgramHasher(buckets=12_345, hash="sha256").counts(TextBuffer.of([text]))
    assert {int(b): int(counts[b]) for b in np.flatnonzero(counts)} == expected


def test_rows_of_weights_are_summed_like_each_alone():
    texts = TextBuffer.of(["a b c a b", "", "One. Two, three four"])
    rows = np.random.default_rng(4).normal(size=(3, 97))
    sums, numbers = NgramHasher((1, 2), 97).weights(texts, rows)
    for row, found in zip(rows, sums.T, strict=True):
        alone, count = NgramHasher((1, 2), 97).weights(texts, row)
        assert (found == alone).all() and (numbers == count).all()
    assert numbers.tolist() == [9, 0, 11]


def test_sha256_of_messages_of_all_lengths_in_many_buckets():
    largest = 300_000_007
    table = np.zeros_like(ngram_buckets.memo(1))
    nothing, counts = np.empty((0, 0)), np.zeros(largest, np.int8)
    for size in range(1, 200):
        text = "z" * size
        ngram_buckets.run(
            *buffers(TextBuffer.of([text])), *unicode(), np.array([1]), np.uint64(largest), table,
            counts, nothing, nothing, np.empty(0, np.int64),
        )  # fmt: skip
        bucket = reference.sha256_bucket((text,), largest)
        assert table[reference.token_hash(text) % len(table), 1] == bucket + 1
        assert counts[bucket] == 1


def test_the_memo_changes_nothing(documents):
    texts = TextBuffer.of(documents)
    hasher = NgramHasher(buckets=500, hash="sha256")
    first = hasher.counts(texts)
    assert (hasher.counts(texts) == first).all()
    NgramHasher(buckets=499, hash="sha256").counts(texts)
    assert (hasher.counts(texts) == first).all()


def test_buckets_fill_evenly():
    """Chi-square of 20,000 different unigrams over 100 buckets: within five sigma of its mean."""
    texts = TextBuffer.of([" ".join(f"w{number}" for number in range(20_000))])
    for hashing in HASHES:
        counts = NgramHasher((1,), 100, hashing).counts(texts)
        chi_square = ((counts - 200) ** 2 / 200).sum()
        assert abs(chi_square - 99) < 5 * np.sqrt(2 * 99)


@pytest.mark.parametrize(
    "arguments",
    [{"orders": ()}, {"orders": (0, 1)}, {"buckets": 0}, {"buckets": 1 << 31}, {"hash": "md5"}],
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError):
        NgramHasher(**arguments)


def test_weights_of_another_size_are_refused():
    with pytest.raises(ValueError, match="10000 weights"):
        NgramHasher().weights(TextBuffer.of(["a"]), np.zeros(5))
    assert NgramHasher((2, 1, 2)) == NgramHasher((1, 2))
