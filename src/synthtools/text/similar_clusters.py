"""Clusters of texts with similar MinHash signatures or sets of shingles.

Like ``near_duplicates``, for many texts: only connected texts are wanted, not every pair, and the cost
of copies must stay linear in their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from synthtools.compiled import compiled
from synthtools.text.near_duplicates import hash_rows, root_of
from synthtools.text.shingles import Shingles, jaccard

# In a bucket with more texts than this, each is compared only with the first so many that founded a
# cluster [ours]; otherwise a million texts of one template would all be compared pairwise.
MOST = 1000


def shape(threshold: float, permutations: int) -> tuple[int, int]:
    """Bands and rows: the most rows at which a pair at the threshold meets in some band with a
    probability of 0.99 or more [ours]; 21 of 6 at 0.8 and 128."""
    for rows in range(permutations, 1, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= 0.99:
            return bands, rows
    return permutations, 1


def similar_clusters(
    signatures: np.ndarray,
    threshold: float,
    sets: Shingles | None = None,
    mapped: Callable[..., Iterable[Any]] = map,
    advance: Callable[[int], None] = lambda done: None,
) -> tuple[np.ndarray, int]:
    """Single-linkage clusters of texts that share a band and are similar.

    Args:
        signatures: uint32 [texts, permutations], or their lowest bytes, uint8 (Li and König 2010: entries
            agree by chance in one of 256); all bits set for a text without shingles, which is similar to none.
        threshold: minimum share of equal entries, the estimated Jaccard index.
        sets: shingles of each text; if given, the true Jaccard index decides.
        mapped: like ``map``, possibly in threads; advance: called after each band.

    Returns:
        int64 [texts], the first text of each text's cluster; the number of texts that were compared
        with only a part of their bucket (see ``MOST``).

    Memory: about 40 bytes a text, and 16 more for each band that ``mapped`` is ahead.
    """
    texts, permutations = signatures.shape
    bands, rows = shape(threshold, permutations)
    least = int(np.ceil(threshold * permutations - 1e-9))
    roots = np.arange(texts)
    none = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    hashes, offsets = none if sets is None else (sets.hashes, sets.offsets)
    partly = np.zeros(texts, np.bool_)

    def link(band_hashes: np.ndarray, order: np.ndarray) -> None:
        _link(
            signatures, hashes, offsets, band_hashes, order, least, threshold, MOST, roots, partly
        )  # fmt: skip

    def ordered(band: tuple[int, int], some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        band_hashes = hash_rows(signatures, *band)
        return band_hashes, some[np.argsort(band_hashes[some], kind="stable")]

    # Exact copies first: only one of each takes part in the bands.
    empty = np.iinfo(signatures.dtype).max
    filled = np.flatnonzero(_filled(signatures, signatures.dtype.type(empty)))
    link(*ordered((0, permutations), filled))
    single = filled[roots[filled] == filled]
    edges = [(band * rows, (band + 1) * rows) for band in range(bands)]
    for band_hashes, order in mapped(lambda band: ordered(band, single), edges):
        link(band_hashes, order)
        advance(1)
    _settle(roots)
    return roots, int(partly.sum())


def estimate(signatures: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Shares of equal entries of pairs, float64."""
    similarities = np.empty(len(left))
    for at in range(0, len(left), 4096):
        some = slice(at, at + 4096)
        similarities[some] = (signatures[left[some]] == signatures[right[some]]).mean(axis=1)
    return similarities


def true_jaccard(sets: Shingles, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Jaccard indices of pairs of sets, float64."""
    return _jaccards(sets.hashes, sets.offsets, left, right)


@compiled
def _jaccards(hashes, offsets, left, right):
    similarities = np.empty(left.size)
    for pair in range(left.size):
        similarities[pair] = jaccard(hashes, offsets, left[pair], right[pair])
    return similarities


@compiled
def _filled(signatures, empty):
    filled = np.zeros(len(signatures), np.bool_)
    for text in range(len(signatures)):
        for entry in range(signatures.shape[1]):
            filled[text] |= signatures[text, entry] != empty
    return filled


@compiled
def _alike(signatures, hashes, offsets, one, other, least, threshold):
    if offsets.size > 0:
        return jaccard(hashes, offsets, one, other) >= threshold
    spare = signatures.shape[1] - least
    for entry in range(signatures.shape[1]):
        if signatures[one, entry] != signatures[other, entry]:
            spare -= 1
            if spare < 0:
                return False
    return True


@compiled
def _link(
    signatures, hashes, offsets, bucket_of, order, least, threshold, most, roots, partly
):  # fmt: skip
    """Links similar texts within a bucket, in ascending order; the root of a cluster is its first text."""
    founders = np.empty(most, np.int64)
    start = 0
    while start < order.size:
        stop = start + 1
        while stop < order.size and bucket_of[order[stop]] == bucket_of[order[start]]:
            stop += 1
        whole = stop - start <= most
        count = 0  # compared with; in a small bucket these are all texts
        for place in range(start, stop):
            text = order[place]
            mine = root_of(roots, text)
            linked = False
            for index in range(count):
                other = root_of(roots, founders[index])
                if other == mine:
                    linked = True
                elif _alike(signatures, hashes, offsets, founders[index], text, least, threshold):
                    linked = True
                    roots[max(mine, other)] = min(mine, other)
                    mine = min(mine, other)
                if linked and not whole:
                    break
            if not whole and not linked and count > 0:
                partly[text] = True
            if (whole or not linked) and count < most:
                founders[count] = text
                count += 1
        start = stop


@compiled
def _settle(roots):
    for text in range(roots.size):
        roots[text] = root_of(roots, text)
