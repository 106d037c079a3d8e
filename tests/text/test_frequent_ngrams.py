"""Frequent n-grams of batches: what is kept is exact, what is not is bounded."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel_reference as reference
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.frequent_ngrams import sifted
from synthtools.text.heavy_hitters import TopNgrams
from synthtools.text.ngram_buckets import NgramHasher


def exact(texts, n):
    counts = Counter()
    for text in texts:
        tokens = reference.tokens(text)
        counts.update(" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
    return counts


@given(st.lists(st.text("ab É.ﬁΣ\n_3", max_size=60), max_size=6))
@settings(max_examples=60)
def test_small_batches_lose_nothing(texts):
    packed = TextBuffer.of(texts)
    response, tables = sifted(packed, (1, 2, 3), 997)
    assert np.array_equal(response, NgramHasher((1, 2, 3), 997).counts(packed))
    for n, table in zip((1, 2, 3), tables):
        top = TopNgrams(n)
        top.add(table)
        assert dict(top.top(10_000)) == exact(texts, n)
        assert top.error == 0 and top.total == exact(texts, n).total()


@pytest.fixture(scope="module")
def batches():
    """Words by Zipf's law, enough that rare n-grams are left out."""
    random = np.random.default_rng(0)
    ranks = np.minimum(random.zipf(1.3, 400_000), 30_000)
    words = [f"w{rank}" for rank in ranks]
    documents = [" ".join(words[i : i + 500]) for i in range(0, len(words), 500)]
    return [documents[i : i + 200] for i in range(0, len(documents), 200)]


def test_large_batches_say_what_they_may_lack(batches):
    top = TopNgrams(2)
    for batch in batches:
        _, (table,) = sifted(TextBuffer.of(batch), (2,), 100)
        assert table.missed > 0
        counts = exact(batch, 2)
        pool = table.pool.tobytes()
        starts = [0, *table.ends[:-1]]
        found = {
            pool[a:b].decode(): c for a, b, c in zip(starts, table.ends, table.counts.tolist())
        }
        assert all(counts[gram] == count for gram, count in found.items())
        assert max(counts[gram] for gram in set(counts) - set(found)) <= table.missed
        top.add(table)
    every = exact([text for batch in batches for text in batch], 2)
    ours = dict(top.top(500))
    assert [gram for gram, _ in top.top(10)] == [gram for gram, _ in every.most_common(10)]
    assert all(0 <= every[gram] - count <= top.error_of(500) for gram, count in ours.items())
    assert top.error_of(10) == 0  # in every batch's table, therefore exact
    assert (
        top.error_of(500)
        <= top.error
        == sum(sifted(TextBuffer.of(batch), (2,), 100)[1][0].missed for batch in batches)
    )
