"""Differences between two samples of vectors, each with a permutation p-value.

Distances are Euclidean, computed in float64 and stored in float32, in blocks of rows: there is never a full matrix. A
permutation relabels the documents of both samples; the statistics are quadratic forms of the labels (energy distance,
MMD) or counts over nearest neighbours, so that distances are computed once for all permutations.

Memory: for N documents of both samples, 8 bytes for each number of a vector, N bytes per permutation, lists of
neighbours (at most 256 MB) and about 200 MB of blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

# Distances in a block.
_BLOCK = 1 << 22
_COLUMNS = 2048
# Entries, of 8 bytes, in the neighbour lists of all documents.
_NEIGHBOURS = 1 << 25
# Probability that a permutation needs more than the length of a neighbour list.
_RUNS_PAST = 1e-9


class Distances:
    """Distances between all documents of two samples, in blocks of rows.

    Args:
        left, right: vectors, float [n, width] and [m, width].
    """

    def __init__(self, left: np.ndarray, right: np.ndarray) -> None:
        points = np.concatenate([left, right]).astype(np.float64)
        points -= points.mean(axis=0)  # reduces cancellation in a² + b² − 2ab
        self._points = points
        self._squares = np.einsum("ij,ij->i", points, points)
        self.first = len(left)
        self.second = len(right)

    def __len__(self) -> int:
        return len(self._points)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, float32 [rows, all]); a document's distance to itself is 0."""
        size = max(1, _BLOCK // len(self))
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            sums = self._squares[rows, None] + self._squares
            squared = sums - 2 * (self._points[rows] @ self._points.T)
            # The distance of equal vectors is rounding error.
            squared[squared < 1e-13 * sums] = 0
            block = np.sqrt(squared).astype(np.float32)
            own = np.arange(len(block))
            block[own, start + own] = 0
            yield start, block


def compare(
    left: np.ndarray,
    right: np.ndarray,
    *,
    neighbours: int = 5,
    permutations: int = 999,
    seed: int = 0,
) -> dict[str, Any]:
    """All statistics of two samples; the first is the reference.

    Args:
        left, right: vectors, float [n, width] and [m, width].
        neighbours: k for statistics of nearest neighbours; less if a sample is smaller.

    Returns:
        ``neighbours`` (k as used), ``bandwidth`` (σ of the kernel), and, as ``{"value",
        "expected", "p_value"}``:

        - ``energy_distance``: 2 E‖X−Y‖ − E‖X−X′‖ − E‖Y−Y′‖ over all pairs, a document with itself
          included (Székely and Rizzo 2013; scipy's for one dimension is its root), and
          ``energy_coefficient``, its share of 2 E‖X−Y‖ (0…1);
        - ``mmd2``: the unbiased squared maximum mean discrepancy (Gretton et al. 2012, equation 3),
          kernel exp(−d²/2σ²), σ the median distance between two documents of both samples [ours]
          (their mean if the median is 0);
        - ``knn_accuracy``: how often the majority of the k nearest other documents of both samples
          gives a document's sample (leave-one-out, as in Lopez-Paz and Oquab 2017);
        - ``coverage`` and ``density`` of the reference by the other sample (Naeem et al. 2020,
          equations 4 and 3; a distance equal to the radius is outside, as in their code);
        - ``isolated_left``, ``isolated_right``: the share of a sample whose k nearest documents are
          all of that sample [ours]; the first is 1 − coverage except for ties.

        ``expected`` is the mean over permutations; ``p_value`` counts those at least as extreme, including
        the observed one: high for distances, accuracy and isolation, low for coverage, twice the rarer side
        for density. All None if a sample has fewer than two documents.
    """
    n, m = len(left), len(right)
    names = (
        *("energy_distance", "energy_coefficient", "mmd2", "knn_accuracy"),
        *("coverage", "density", "isolated_left", "isolated_right"),
    )
    if min(n, m) < 2:
        return {"neighbours": None, "bandwidth": None, **dict.fromkeys(names)}
    k = min(neighbours, n - 1, m - 1)
    k -= 1 - k % 2  # odd, for majorities
    labels = _labels(n, m, permutations, seed)
    distances = Distances(left, right)
    length = _list_length(n, n + m, k)
    lists = min(length or k, n + m - 1)
    # Ties are broken at random: in the order of the samples, equal texts would seem to separate the samples.
    turns = np.random.default_rng([seed, n + m]).permutation(n + m)
    counts, near, reach = _first_pass(distances, lists, turns)
    bandwidth, coverage, density = _second_pass(distances, counts, k)
    if bandwidth == 0:
        total = sum(float(block.sum(dtype=np.float64)) for _, block in distances.blocks())
        bandwidth = total / (len(distances) * (len(distances) - 1)) or 1.0
    statistics: dict[str, Any] = _quadratic(distances, labels, bandwidth)
    of_first = np.zeros(labels.shape, np.int16)  # how many of a document's k neighbours
    for column in near.T[:k]:
        of_first += labels[column]
    statistics["knn_accuracy"] = (((of_first > k // 2) == labels).mean(axis=0), "high")
    left_alone = ((of_first == k) & labels).sum(axis=0) / labels.sum(axis=0)
    right_alone = ((of_first == 0) & ~labels).sum(axis=0) / (~labels).sum(axis=0)
    balls = _balls(labels, near, reach, k)
    if length is None:  # the lists are too short for density
        balls[1][:] = np.nan
    statistics["coverage"] = (np.concatenate([[coverage], balls[0][1:]]), "low")
    statistics["density"] = (np.concatenate([[density], balls[1][1:]]), "both")
    statistics["isolated_left"] = (left_alone, "high")
    statistics["isolated_right"] = (right_alone, "high")
    tested = {name: permutation_test(*statistics[name]) for name in names}
    return {"neighbours": k, "bandwidth": bandwidth, **tested}


def permutation_test(values: np.ndarray, side: str) -> dict[str, float | None]:
    """The observed value, the mean of the permuted ones, and the p-value (Phipson and Smyth 2010).

    Args:
        values: float64 [1 + permutations], the observed one first.
    """
    observed, permuted = float(values[0]), values[1:]
    if not len(permuted) or not np.isfinite(permuted).all():
        return {"value": observed, "expected": None, "p_value": None}
    slack = 1e-9 * max(abs(observed), float(np.abs(permuted).max()))
    above = (1 + int((permuted >= observed - slack).sum())) / len(values)
    below = (1 + int((permuted <= observed + slack).sum())) / len(values)
    p = {"high": above, "low": below, "both": min(1.0, 2 * min(above, below))}[side]
    return {"value": observed, "expected": float(permuted.mean()), "p_value": p}


def _labels(n: int, m: int, permutations: int, seed: int) -> np.ndarray:
    """Which documents are of the first sample, bool [n + m, 1 + permutations]: observed, then permuted."""
    labels = np.zeros((n + m, 1 + permutations), bool)
    labels[:n, 0] = True
    generator = np.random.default_rng(seed)
    for column in range(1, 1 + permutations):
        order = np.argsort(generator.random(n + m), kind="stable")
        labels[order[:n], column] = True
    return labels


def _list_length(n: int, total: int, k: int) -> int | None:
    """The length of neighbour lists that contain k documents of a permuted first sample; None if memory does not
    suffice."""
    share, length = n / total, k
    while length < total - 1:
        past = sum(math.comb(length, j) * share**j * (1 - share) ** (length - j) for j in range(k))
        if past < _RUNS_PAST:
            break
        length += 1 + length // 8
    length = min(length, total - 1)
    return length if length * total <= _NEIGHBOURS else None


def _first_pass(
    distances: Distances, length: int, turns: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest neighbours, and counts of the upper halves of the distances' bits.

    Args:
        turns: the rank of each document among equally near ones.

    Returns:
        counts int64 [65536] of distances by their upper 16 bits, each pair twice; the ``length``
        nearest others of each document, int32 [all, length]; their distances, float32.
    """
    total = len(distances)
    counts = np.zeros(1 << 16, np.int64)
    near = np.empty((total, length), np.int32)
    reach = np.empty((total, length), np.float32)
    documents = np.argsort(turns).astype(np.int32)
    turns = turns.astype(np.uint64)
    for start, block in distances.blocks():
        own = np.arange(len(block))
        counts += np.bincount((block.view(np.uint32) >> 16).ravel(), minlength=1 << 16)
        counts[0] -= len(block)
        block[own, start + own] = np.inf
        # Distances are not negative, so that their bits sort like the numbers.
        keys = (block.view(np.uint32).astype(np.uint64) << np.uint64(32)) | turns
        keys.partition(length - 1, axis=1)
        first = np.sort(keys[:, :length], axis=1)
        rows = slice(start, start + len(block))
        near[rows] = documents[first & np.uint64(0xFFFFFFFF)]
        reach[rows] = (first >> np.uint64(32)).astype(np.uint32).view(np.float32)
    return counts, near, reach


def _second_pass(distances: Distances, counts: np.ndarray, k: int) -> tuple[float, float, float]:
    """The median distance, and coverage and density by definition."""
    pairs = int(counts.sum())
    ranks = [(pairs - 1) // 2, pairs // 2]
    ends = np.cumsum(counts)
    upper = [int(np.searchsorted(ends, rank, side="right")) for rank in ranks]
    lower = {half: np.zeros(1 << 16, np.int64) for half in upper}
    n, covered, inside = distances.first, 0, 0
    for start, block in distances.blocks():
        bits = block.view(np.uint32)
        halves = bits >> 16
        for half, counted in lower.items():
            counted += np.bincount(bits[halves == half] & 0xFFFF, minlength=1 << 16)
        if 0 in lower:
            lower[0][0] -= len(block)
        rows = block[: max(0, n - start)]
        if not len(rows):
            continue
        own = np.arange(len(rows))
        rows[own, start + own] = np.inf
        radii = np.partition(rows[:, :n], k - 1, axis=1)[:, k - 1]
        within = (rows[:, n:] < radii[:, None]).sum(axis=1)
        covered += int((within > 0).sum())
        inside += int(within.sum())
    middle = []
    for rank, half in zip(ranks, upper, strict=True):
        before = int(ends[half] - counts[half])
        low = int(np.searchsorted(np.cumsum(lower[half]), rank - before, side="right"))
        middle.append(float(np.array([half << 16 | low], np.uint32).view(np.float32)[0]))
    return sum(middle) / 2, covered / n, inside / (k * distances.second)


def _quadratic(
    distances: Distances, labels: np.ndarray, bandwidth: float
) -> dict[str, tuple[np.ndarray, str]]:
    # For distances and kernel: sums over all, first × all, first × first.
    sums = np.zeros((2, 3, labels.shape[1]))
    for start, block in distances.blocks():
        rows = labels[start : start + len(block)].astype(np.float64)
        lengths = block.astype(np.float64)
        kernel = np.exp(-((lengths / bandwidth) ** 2) / 2)
        for of, matrix in enumerate((lengths, kernel)):
            sums[of, 0] += matrix.sum()
            sums[of, 1] += matrix.sum(axis=1) @ rows
            product = np.zeros_like(rows)
            for at in range(0, len(labels), _COLUMNS):
                columns = labels[at : at + _COLUMNS].astype(np.float64)
                product += matrix[:, at : at + _COLUMNS] @ columns
            sums[of, 2] += np.einsum("ij,ij->j", rows, product)
    n, m = distances.first, distances.second

    def parts(of: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        everything, first, inner = sums[of]
        return inner, everything - 2 * first + inner, first - inner

    within, beyond, across = parts(0)
    apart = 2 * across / (n * m)
    energy = np.maximum(0, apart - within / n**2 - beyond / m**2)
    share = np.divide(energy, apart, out=np.zeros_like(energy), where=apart > 0)
    within, beyond, across = parts(1)
    mmd2 = (within - n) / (n * (n - 1)) + (beyond - m) / (m * (m - 1)) - 2 * across / (n * m)
    return {
        "energy_distance": (energy, "high"),
        "energy_coefficient": (share, "high"),
        "mmd2": (mmd2, "high"),
    }


def _balls(
    labels: np.ndarray, near: np.ndarray, reach: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and density for all labels, from neighbour lists."""
    total, permutations = labels.shape
    n = int(labels[:, 0].sum())
    coverage, density = np.empty(permutations), np.empty(permutations)
    for column in range(permutations):
        first = labels[:, column]
        rows = np.flatnonzero(first)
        own = first[near[rows]]
        # The radius of the ball is the distance to the k-th document of the same sample.
        place = (np.cumsum(own, axis=1, dtype=np.int32) < k).sum(axis=1)
        ended = place == own.shape[1]
        radii = np.where(ended, np.inf, reach[rows, np.minimum(place, own.shape[1] - 1)])
        within = (~own & (reach[rows] < radii[:, None])).sum(axis=1)
        coverage[column] = (within > 0).mean()
        density[column] = within.sum() / (k * (total - n))
    return coverage, density
