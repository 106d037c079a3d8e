"""Pairs of near-duplicates by locality-sensitive hashing of MinHash signatures.

Leskovec, Rajaraman and Ullman, *Mining of Massive Datasets*, chapter 3. A signature is cut into bands
of rows; documents that agree in all rows of a band are compared. A pair of Jaccard index s meets in
some band with probability 1 − (1 − s^rows)^bands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthtools.compiled import compiled
from synthtools.text.minhash import EMPTY
from synthtools.text.tokeniser import GOLDEN, finalise

_U = np.uint64


def bands_and_rows(threshold: float, permutations: int = 128) -> tuple[int, int]:
    """The numbers of bands and rows that best separate pairs above the threshold from those below.

    They minimise ∫_0^t p(s) ds + ∫_t^1 (1 − p(s)) ds with p(s) = 1 − (1 − s^rows)^bands, as
    ``datasketch.MinHashLSH`` does. p is a polynomial of a degree up to ``permutations``, so that
    Gauss-Legendre quadrature is exact.

    Raises:
        ValueError: a threshold outside (0, 1], or fewer than one permutation.
    """
    if not 0 < threshold <= 1 or permutations < 1:
        raise ValueError(f"a threshold above 0 and up to 1, not {threshold}; {permutations} minima")
    nodes, weights = np.polynomial.legendre.leggauss(permutations // 2 + 1)
    below, above = threshold * (nodes + 1) / 2, threshold + (1 - threshold) * (nodes + 1) / 2
    best, shape = np.inf, (1, 1)
    for bands in range(1, permutations + 1):
        for rows in range(1, permutations // bands + 1):
            false_positive = weights @ (1 - (1 - below**rows) ** bands) * threshold / 2
            false_negative = weights @ (1 - above**rows) ** bands * (1 - threshold) / 2
            if false_positive + false_negative < best:
                best, shape = float(false_positive + false_negative), (bands, rows)
    return shape


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of documents, left < right, in ascending order, and the clusters that they form.

    Attributes:
        left, right: int64 [pairs], indices of signatures.
        similarity: float64 [pairs], share of equal entries, the estimate of the Jaccard index.
        cluster_of: int64 [documents], each document's connected component,
            numbered from 0 in the order of their first documents; −1 for a document in no pair.
    """

    left: np.ndarray
    right: np.ndarray
    similarity: np.ndarray
    cluster_of: np.ndarray

    def __len__(self) -> int:
        return len(self.left)


@compiled
def hash_rows(signatures, start, stop):
    """64-bit hash of the entries from start to stop of each signature."""
    hashes = np.empty(len(signatures), np.uint64)
    for document in range(len(signatures)):
        value = _U(0)
        for row in range(start, stop):
            value = finalise(value * GOLDEN + _U(signatures[document, row]))
        hashes[document] = value
    return hashes


@compiled
def _agree(signatures, one, other, start, stop):
    row = start
    while row < stop and signatures[one, row] == signatures[other, row]:
        row += 1
    return row == stop


@compiled
def _originals(signatures, hashes, order):
    """For each document the first one with the same signature."""
    originals = np.arange(len(signatures))
    start = 0
    for place in range(1, order.size):
        document, candidate = order[place], order[start]
        if hashes[document] != hashes[candidate]:
            start = place
        elif _agree(signatures, document, candidate, 0, signatures.shape[1]):
            originals[document] = candidate
    return originals


@compiled
def _pairs_of_band(signatures, band, rows, hashes, order, least):
    """Pairs that agree in the band, in none before it, and in at least ``least`` entries."""
    first, second = np.empty(1024, np.int64), np.empty(1024, np.int64)
    equal = np.empty(1024, np.int64)
    count = 0
    start = 0
    while start < order.size:
        stop = start + 1
        while stop < order.size and hashes[order[stop]] == hashes[order[start]]:
            stop += 1
        for left in range(start, stop):
            for right in range(left + 1, stop):
                one, other = order[left], order[right]
                same = 0
                for row in range(signatures.shape[1]):
                    same += np.int64(signatures[one, row] == signatures[other, row])
                if same < least or not _agree(
                    signatures, one, other, band * rows, (band + 1) * rows
                ):
                    continue
                seen = False
                for before in range(band):
                    seen |= _agree(signatures, one, other, before * rows, (before + 1) * rows)
                if seen:
                    continue
                if count == first.size:
                    first = np.append(first, np.empty_like(first))
                    second = np.append(second, np.empty_like(second))
                    equal = np.append(equal, np.empty_like(equal))
                first[count], second[count], equal[count] = one, other, same
                count += 1
        start = stop
    return first[:count], second[:count], equal[:count]


def near_duplicates(
    signatures: np.ndarray, threshold: float = 0.8, shape: tuple[int, int] | None = None
) -> NearDuplicates:
    """Pairs whose signatures agree in at least a share ``threshold`` of their entries.

    Documents with equal signatures are linked only to the first of them, and only the first is
    compared with others: a thousand copies give 999 pairs, not half a million. Documents without
    tokens have no near-duplicates. Clusters are what they would be with all pairs.

    Args:
        signatures: uint32 [documents, permutations] of ``minhash.signatures``.
        shape: numbers of bands and rows; by default ``bands_and_rows``. For a threshold of 0.8 that
            is 9 of 13, which finds 40 % of the pairs at 0.8 and 93 % of those at 0.9; 25 of 5 finds
            all but one in twenty thousand and compares more.

    Memory: about 60 bytes a document beside the signatures, and 60 a pair.

    Raises:
        ValueError: a threshold outside (0, 1], or more bands and rows than entries.
    """
    signatures = np.ascontiguousarray(signatures, np.uint32)
    documents, permutations = signatures.shape
    bands, rows = bands_and_rows(threshold, permutations) if shape is None else shape
    if not 0 < threshold <= 1 or bands < 1 or rows < 1 or bands * rows > permutations:
        raise ValueError(f"{bands} bands of {rows} in {permutations}, threshold {threshold}")
    least = int(np.ceil(threshold * permutations - 1e-9))
    hashes = hash_rows(signatures, 0, permutations)
    originals = _originals(signatures, hashes, np.argsort(hashes, kind="stable"))
    filled = signatures.min(axis=1, initial=EMPTY) != EMPTY
    copies = np.flatnonzero((originals != np.arange(documents)) & filled)
    different = np.flatnonzero((originals == np.arange(documents)) & filled)
    linked = [(originals[copies], copies, np.full(len(copies), permutations))]
    for band in range(bands):
        hashes = hash_rows(signatures, band * rows, (band + 1) * rows)
        order = different[np.argsort(hashes[different], kind="stable")]
        linked.append(_pairs_of_band(signatures, band, rows, hashes, order, least))
    left, right, equal = (np.concatenate(parts) for parts in zip(*linked, strict=True))
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    return NearDuplicates(
        left, right, equal[order] / permutations, clusters(left, right, documents)
    )


def clusters(left: np.ndarray, right: np.ndarray, documents: int) -> np.ndarray:
    roots = np.arange(documents)
    _join(left, right, roots)
    paired = np.zeros(documents, bool)
    paired[left] = paired[right] = True
    cluster_of = np.full(documents, -1)
    cluster_of[paired] = np.unique(roots[paired], return_inverse=True)[1]
    return cluster_of


@compiled
def _join(left, right, roots):
    """Gives each document the first one of its component."""
    for pair in range(left.size):
        one, other = root_of(roots, left[pair]), root_of(roots, right[pair])
        roots[max(one, other)] = min(one, other)
    for document in range(roots.size):
        roots[document] = root_of(roots, document)


@compiled
def root_of(roots, document):
    while roots[document] != document:
        roots[document] = roots[roots[document]]
        document = roots[document]
    return document
