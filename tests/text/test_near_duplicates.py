"""Pairs against all comparisons; bands and rows against datasketch."""

from __future__ import annotations

import numpy as np
import pytest
from datasketch import MinHashLSH

from synthtools.records.text_buffer import TextBuffer
from synthtools.text.minhash import EMPTY, signatures
from synthtools.text.near_duplicates import bands_and_rows, clusters, near_duplicates


@pytest.mark.parametrize(
    ("threshold", "permutations"),
    [(t / 20, 128) for t in range(1, 19)] + [(0.5, 64), (0.8, 64), (0.8, 256), (0.9, 100)],
)
def test_bands_and_rows_are_those_of_datasketch(threshold, permutations):
    peer = MinHashLSH(threshold=threshold, num_perm=permutations)
    assert bands_and_rows(threshold, permutations) == (peer.b, peer.r)


def unrelated(documents: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 1 << 32, (documents, 128), dtype=np.uint32)


def related(documents: int) -> np.ndarray:
    """Signatures that agree in shares from 0 to 1."""
    random = np.random.default_rng(0)
    found = unrelated(documents)
    for _ in range(documents):
        one, other = random.integers(0, documents, 2)
        mask = random.random(128) < random.uniform(0.6, 1.05)
        found[one, mask] = found[other, mask]
    return found


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_pairs_against_all_comparisons(threshold):
    """Every pair found is one; of those there are, as many are missed as the bands must miss."""
    rows = np.unique(related(600), axis=0)  # different documents only
    np.random.default_rng(2).shuffle(rows)
    agreement = (rows[:, None] == rows[None]).mean(axis=2)
    first, second = np.nonzero(np.triu(agreement >= threshold, 1))
    found = near_duplicates(rows, threshold)
    bands, height = bands_and_rows(threshold)
    shared = (rows[first] == rows[second])[:, : bands * height].reshape(len(first), bands, height)
    meet = shared.all(axis=2).any(axis=1)
    assert (found.left == first[meet]).all() and (found.right == second[meet]).all()
    assert (found.similarity == agreement[found.left, found.right]).all()
    chance = 1 - (1 - agreement[first, second] ** height) ** bands
    sigma = np.sqrt((chance * (1 - chance)).sum())
    assert len(found) > 10 and abs(len(found) - chance.sum()) < 4 * sigma


def test_more_bands_miss_less():
    rows = np.unique(related(600), axis=0)
    agreement = (rows[:, None] == rows[None]).mean(axis=2)
    every = np.argwhere(np.triu(agreement >= 0.8, 1))
    found = near_duplicates(rows, 0.8, (64, 2))
    assert np.stack([found.left, found.right], axis=1).tolist() == every.tolist()
    with pytest.raises(ValueError, match="65 bands of 2"):
        near_duplicates(rows, 0.8, (65, 2))


def test_copies_are_linked_to_the_first():
    rows = unrelated(3)[[0, 1, 0, 0, 2, 1]]
    found = near_duplicates(rows)
    assert list(zip(found.left, found.right)) == [(0, 2), (0, 3), (1, 5)]
    assert (found.similarity == 1).all()
    assert found.cluster_of.tolist() == [0, 1, 0, 0, -1, 1]


def test_documents_without_tokens_pair_with_nothing():
    found = near_duplicates(signatures(TextBuffer.of(["", "a b", " ", "a  b", "\n"])))
    assert list(zip(found.left, found.right)) == [(1, 3)]
    assert len(near_duplicates(np.full((3, 128), EMPTY, np.uint32))) == 0
    assert len(near_duplicates(np.empty((0, 128), np.uint32))) == 0


def test_many_copies_cost_no_square():
    """Half a million million comparisons if every copy met every other."""
    rows = np.repeat(unrelated(2), 100_000, axis=0)
    near_duplicates(rows[:10])
    found = near_duplicates(rows)
    assert len(found) == 2 * 99_999 and set(found.left) == {0, 100_000}


def test_texts_that_differ_in_a_word():
    random = np.random.default_rng(3)
    text = [f"w{number}" for number in random.integers(0, 5000, 400)]
    changed = [*text[:200], "other", *text[201:]]
    unrelated = [f"w{number}" for number in random.integers(0, 5000, 400)]
    rows = signatures(TextBuffer.of([" ".join(words) for words in (unrelated, text, changed)]))
    found = near_duplicates(rows)
    assert list(zip(found.left, found.right)) == [(1, 2)]
    assert 0.85 < found.similarity[0] < 1


def test_clusters_are_the_connected_components():
    left, right = np.array([0, 2, 3, 5]), np.array([4, 3, 4, 6])
    assert clusters(left, right, 8).tolist() == [0, -1, 0, 0, 0, 1, 1, -1]


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1])
def test_thresholds_out_of_range(threshold):
    with pytest.raises(ValueError):
        near_duplicates(unrelated(2), threshold)
