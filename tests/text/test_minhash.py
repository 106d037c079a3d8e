"""Signatures against datasketch and the twin; estimates against the true Jaccard index."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

import kernel_reference as reference
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.minhash import EMPTY, signatures

from .conftest import TEXT


def peer(text: str, permutations: int = 128, shingle: int = 5) -> np.ndarray:
    sketch = MinHash(num_perm=permutations)
    shingles = reference.shingles(text, shingle)
    if shingles:
        sketch.update_batch([piece.encode() for piece in shingles])
    return sketch.hashvalues


@given(st.lists(TEXT, max_size=3), st.sampled_from([1, 16, 128]), st.sampled_from([1, 2, 5]))
def test_equal_to_datasketch_and_the_twin(texts, permutations, shingle):
    found = signatures(TextBuffer.of(texts), permutations, shingle)
    assert found.shape == (len(texts), permutations) and found.dtype == np.uint32
    for text, row in zip(texts, found):
        assert (row == peer(text, permutations, shingle)).all()
        assert (row == reference.signature(text, permutations, shingle)).all()


def test_documents_of_any_length(documents):
    """Shingles of one block of SHA-1 and of many, in every order."""
    texts = [*documents, " ".join("y" * size for size in range(120))]
    for text, row in zip(texts, signatures(TextBuffer.of(texts))):
        assert (row == peer(text)).all()


def test_shingles_longer_than_what_is_held_at_a_time():
    texts = ["a b " * size + end for size in (2047, 2048, 2049, 3000) for end in ("", " ", "c")]
    for text, row in zip(texts, signatures(TextBuffer.of(texts), 16, 5000)):
        assert (row == peer(text, 16, 5000)).all()


def test_short_documents():
    found = signatures(TextBuffer.of(["", " \n", "a b c", "a b c", "a b c d e"]))
    assert (found[:2] == EMPTY).all()
    assert (found[2] == found[3]).all() and (found[2] != EMPTY).all()
    assert reference.shingles("a b c") == ["a b c"]
    assert reference.shingles("a b c d e") == ["a b c d e"]
    assert reference.shingles("a b c d e f") == ["a b c d e", "b c d e f"]


def test_signatures_never_change():
    found = signatures(TextBuffer.of(["How to synthesize text data without model collapse?"]))[0]
    assert found[:4].tolist() == [801982235, 2269760572, 483275109, 2355753177]


def test_estimates_lie_within_theory():
    """The share of equal entries is binomial around the Jaccard index: mean and variance agree."""
    random = np.random.default_rng(0)
    deviations = []
    for trial in range(150):
        size, shared = 200, int(random.integers(0, 201))
        common = [f"c{trial}x{number}" for number in range(shared)]
        one = common + [f"a{trial}x{number}" for number in range(size - shared)]
        other = common + [f"b{trial}x{number}" for number in range(size - shared)]
        truth = shared / (2 * size - shared)
        left, right = signatures(TextBuffer.of([" ".join(one), " ".join(other)]), shingle=1)
        sigma = max(np.sqrt(truth * (1 - truth) / 128), 1e-9)
        deviations.append(((left == right).mean() - truth) / sigma)
    assert np.abs(deviations).max() < 4.5
    assert abs(np.mean(deviations)) < 4 / np.sqrt(150)
    assert 0.75 < np.std(deviations) < 1.25


def test_batches_and_threads_change_nothing(documents):
    whole = signatures(TextBuffer.of(documents))
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda text: signatures(TextBuffer.of([text]))[0], documents))
    assert (np.stack(alone) == whole).all()


@pytest.mark.parametrize("arguments", [{"permutations": 0}, {"shingle": 0}])
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError):
        signatures(TextBuffer.of(["a"]), **arguments)
