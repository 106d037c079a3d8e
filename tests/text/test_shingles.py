"""Shingles, sets and signatures against plain Python; estimates against the true Jaccard index."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernel_reference as reference
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.minhash import EMPTY
from synthtools.text.shingles import jaccard, shingles

from .conftest import TEXT

MASK = (1 << 64) - 1


def of_words(text: str, size: int) -> list[int]:
    found = reference.tokens(text)
    if 0 < len(found) < size:
        return [reference.ngram_hash(found)]
    return [reference.ngram_hash(found[i : i + size]) for i in range(len(found) - size + 1)]


def of_characters(text: str, size: int) -> list[int]:
    codes = [ord(character) for character in " ".join(reference.tokens(text))]

    def hashed(run: list[int]) -> int:
        value = run[0]
        for code in run[1:]:
            value = reference.finalise((value * 0x9E3779B97F4A7C15 + code) & MASK)
        return value

    if 0 < len(codes) < size:
        return [hashed(codes)]
    return [hashed(codes[i : i + size]) for i in range(len(codes) - size + 1)]


@given(st.lists(TEXT, max_size=3), st.sampled_from([1, 2, 5]))
def test_shingles_are_those_of_plain_python(texts, size):
    buffer = TextBuffer.of(texts)
    for unit, plainly in (("words", of_words), ("characters", of_characters)):
        found = shingles(buffer, size, unit)
        rows = np.split(found.hashes, found.offsets[1:-1])
        for text, row in zip(texts, rows):
            assert row.tolist() == plainly(text, size)
        sets = found.sets()
        for text, row in zip(texts, np.split(sets.hashes, sets.offsets[1:-1])):
            assert row.tolist() == sorted(set(plainly(text, size)))


def test_more_tokens_than_are_held_at_a_time():
    texts = ["a b " * size + end for size in (2047, 2048, 2049, 3000) for end in ("", "c")]
    for size in (1, 5, 5000):
        found = shingles(TextBuffer.of(texts), size)
        for text, row in zip(texts, np.split(found.hashes, found.offsets[1:-1])):
            assert row.tolist() == of_words(text, size)


def test_signatures_are_the_minima_of_their_formula():
    texts = ["the quick brown fox jumps over the lazy dog", "one two", ""]
    generator = np.random.RandomState(1)
    a = generator.randint(0, 1 << 31, 16, dtype=np.uint32).astype(np.uint64) * 2 + 1
    b = generator.randint(0, 1 << 32, 16, dtype=np.uint32).astype(np.uint64)
    for text, row in zip(texts, shingles(TextBuffer.of(texts)).signatures(16)):
        values = [hash_ >> 32 for hash_ in of_words(text, 5)]
        for entry in range(16):
            every = [(int(a[entry]) * v + int(b[entry])) % (1 << 32) for v in values]
            assert row[entry] == min(every, default=EMPTY)


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_estimates_are_as_near_to_the_truth_as_they_must_be(documents, unit):
    texts = [text for text in documents if len(text) > 200][:40]
    halves = [text[: len(text) * (i % 10) // 10] for i, text in enumerate(texts)]
    found = shingles(TextBuffer.of(texts + halves), 3, unit)
    sets, signatures = found.sets(), found.signatures(512)
    errors = []
    for one in range(len(texts)):
        other = one + len(texts)
        left, right = (
            set(sets.hashes[sets.offsets[i] : sets.offsets[i + 1]].tolist()) for i in (one, other)
        )
        truth = len(left & right) / len(left | right)
        assert jaccard(sets.hashes, sets.offsets, one, other) == truth
        estimate = (signatures[one] == signatures[other]).mean()
        errors.append((estimate - truth) / np.sqrt(max(truth * (1 - truth), 1e-3) / 512))
    assert np.mean(np.square(errors)) < 2


def test_a_shingle_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        shingles(TextBuffer.of(["a"]), 0)
