"""Uniform numbers: uniform, unrelated, and the same for ever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from synthtools.draws import uniforms

MASK = (1 << 64) - 1


def plain(seed: int, record: int, generation: int, position: int, lane: int) -> float:
    """The definition once more, with Python's own integers."""

    def mix(x: int) -> int:
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
        x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
        return x ^ x >> 31

    golden = 0x9E3779B97F4A7C15
    state = 0
    for part in (seed, record, generation, lane):
        state = mix((state ^ part & MASK) + golden & MASK)
    return (mix(state + (position + 1) * golden & MASK) >> 11) / 2**53


words = st.integers(0, MASK)


@given(words, words, st.integers(0, 100), st.integers(0, 1 << 40), st.integers(0, 100))
def test_equal_to_the_definition(
    seed: int, record: int, generation: int, position: int, lane: int
) -> None:
    found = uniforms(seed, record, generation, np.array([position, 0]), lane)
    assert found.dtype == np.float64
    assert found[0] == plain(seed, record, generation, position, lane)
    assert found[1] == plain(seed, record, generation, 0, lane)


def test_these_numbers_never_change() -> None:
    # Edits of the past must be repeatable: a change here changes every edited corpus.
    assert uniforms(0, 0, 0, np.arange(3)).tolist() == [
        0.47141042966848024,
        0.7247520786262142,
        0.3030308965844536,
    ]
    assert uniforms(7, 0xDEADBEEF_12345678, 2, np.array([5, 1_000_000]), 3).tolist() == [
        0.6956047704944619,
        0.3974407003847479,
    ]
    assert uniforms(-1, MASK, 0, np.array([0])).tolist() == [0.9707845023659882]


def test_a_negative_seed_is_its_64_bits() -> None:
    places = np.arange(5)
    np.testing.assert_array_equal(uniforms(-3, 1, 0, places), uniforms(MASK - 2, 1, 0, places))


def test_only_the_position_counts() -> None:
    whole = uniforms(1, 2, 3, np.arange(1000))
    picked = np.array([999, 0, 500, 500])
    np.testing.assert_array_equal(uniforms(1, 2, 3, picked), whole[picked])
    np.testing.assert_array_equal(uniforms(1, 2, 3, picked.astype(np.int32)), whole[picked])
    assert uniforms(1, 2, 3, np.zeros(0, np.int64)).shape == (0,)


@pytest.mark.parametrize("axis", ["position", "record", "seed", "generation", "lane"])
def test_uniform_along_every_axis_and_unrelated_to_the_next(axis: str) -> None:
    count = 20_000 if axis == "position" else 6000
    if axis == "position":
        found = uniforms(0, 0, 0, np.arange(count))
    else:
        places = np.array([3])
        found = np.concatenate(
            [
                uniforms(
                    **{"seed": 0, "record": 0, "generation": 0, "positions": places, axis: i}  # type: ignore[arg-type]
                )
                for i in range(count)
            ]
        )
    assert found.min() >= 0
    assert found.max() < 1
    assert len(np.unique(found)) == count
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    for lag in (1, 2, 8):
        # 4 standard deviations of the correlation of unrelated numbers.
        assert abs(np.corrcoef(found[:-lag], found[lag:])[0, 1]) < 4 / np.sqrt(count)
    # Pairs fill the square evenly.
    table, _, _ = np.histogram2d(found[::2], found[1::2], bins=10, range=[[0, 1], [0, 1]])
    assert stats.chisquare(table.ravel()).pvalue > 1e-3


def test_neighbouring_records_have_unrelated_streams() -> None:
    streams = np.stack([uniforms(0, record, 0, np.arange(2000)) for record in range(30)])
    correlation = np.corrcoef(streams)[np.triu_indices(30, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)
    # Nor is one a shifted other.
    assert len(np.unique(streams)) == streams.size
