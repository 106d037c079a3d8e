"""Uniform numbers as a function of (seed, record, generation, position): no order of work, batch
or device can change them.

Each (seed, record, generation, lane) seeds a SplitMix64 generator (Steele, Lea and Flood 2014), and
a position picks one number of its stream.
"""

from __future__ import annotations

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 on uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniforms(
    seed: int, record: int, generation: int, positions: np.ndarray, lane: int = 0
) -> np.ndarray:
    """Numbers in [0, 1), float64, of the shape of ``positions``.

    Args:
        record: the record's key, 64 bits.
        generation: of repeated edits, from 0.
        positions: token positions, integers ≥ 0.
        lane: tells apart several numbers at one position.
    """
    state = _state(seed, record, generation, lane)
    drawn = _mix(state + (positions.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return (drawn >> np.uint64(11)).astype(np.float64) * 2.0**-53


def record_uniforms(seed: int, records: np.ndarray, lane: int = 0) -> np.ndarray:
    """One number in (0, 1) a record, float64.

    Args:
        records: keys, uint64.
        lane: tells apart several numbers of one record.
    """
    drawn = _mix(_mix((_state(seed, lane) ^ records) + _GOLDEN) + _GOLDEN)
    return ((drawn >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def gumbel(seed: int, records: np.ndarray, lane: int = 0) -> np.ndarray:
    """Standard Gumbel noise for each record, float64: −ln(−ln u).

    Added to log-weights, the k largest sums are a draw of k records without replacement with
    probability proportional to the weights (Kool, van Hoof and Welling 2019).
    """
    return -np.log(-np.log(record_uniforms(seed, records, lane)))


def lane_of(*purpose: str) -> int:
    """The lane of a purpose.

    What one tool draws must say nothing about what the next draws with the same seed: records that
    are there because their noise was high would be drawn again for it.
    """
    return int.from_bytes(
        hashlib.blake2b("\0".join(purpose).encode(), digest_size=8).digest(), "little"
    )


def _state(*parts: int) -> np.ndarray:
    state = np.zeros(1, np.uint64)
    for part in parts:
        state = _mix((state ^ np.uint64(part & (1 << 64) - 1)) + _GOLDEN)
    return state
