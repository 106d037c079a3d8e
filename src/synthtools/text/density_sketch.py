"""The density sketch: the number of vectors near a vector, in constant memory.

Sachdeva et al., *How to Train Data-Efficient LLMs* (arXiv 2402.09668), after the RACE sketch of
Coleman and Shrivastava (2020). Each of R rows has a p-stable hash (E2LSH, Datar et al. 2004)

    h_r(x) = ⌊(a_r · x + b_r) / w⌋,   a_r ~ N(0, I),   b_r ~ U[0, w)

and a second hash maps the integer h_r(x) to one of B buckets [ours]. Pass 1 counts S[r, h_r(x)] += 1
for each vector, pass 2 reads density(x) = mean_r S[r, h_r(x)].
"""

from __future__ import annotations

import numpy as np

from synthtools.compiled import compiled
from synthtools.text.tokeniser import GOLDEN, bucket_of, finalise

_VECTORS = 16  # multiplied at a time, so that the directions are fetched once for all of them
_TILE = 64  # rows at a time, whose sums stay in registers or next to them
_U = np.uint64
_LARGEST = 1e30  # sums of products stay finite
_FARTHEST = 2.0**62  # beyond this a float32 product says nothing about the cell


@compiled
def _project(vectors, start, stop, tiles, products):
    """a_r · x for vectors ``start`` to ``stop``, in float32, summed in the order of the dimensions.

    Args:
        tiles: float32 [rows / 64, dimensions, 64], the directions a_r.
        products: float32 [16, rows], filled for ``stop − start`` vectors.
    """
    sums = np.empty(_TILE, np.float32)
    for tile in range(tiles.shape[0]):
        for vector in range(start, stop):
            sums[:] = 0
            for dimension in range(tiles.shape[1]):
                factor = vectors[vector, dimension]
                for row in range(_TILE):
                    sums[row] += factor * tiles[tile, dimension, row]
            for row in range(_TILE):
                products[vector - start, tile * _TILE + row] = sums[row]


@compiled
def _bucket(product, shift, width, row, buckets):
    cell = np.floor((np.float64(product) + shift) / width)
    cell = min(max(cell, -_FARTHEST), _FARTHEST)
    return bucket_of(finalise(_U(np.int64(cell)) + _U(row + 1) * GOLDEN), buckets)


@compiled
def _buckets(vectors, tiles, shifts, width, number, places):
    """Writes each vector's bucket in each row to int32 [vectors, rows]."""
    buckets = _U(number)
    products = np.empty((_VECTORS, tiles.shape[0] * _TILE), np.float32)
    for start in range(0, len(vectors), _VECTORS):
        stop = min(start + _VECTORS, len(vectors))
        _project(vectors, start, stop, tiles, products)
        for vector in range(start, stop):
            for row in range(shifts.size):
                product = products[vector - start, row]
                places[vector, row] = _bucket(product, shifts[row], width, row, buckets)


@compiled
def _count(places, counters):
    for vector in range(places.shape[0]):
        for row in range(places.shape[1]):
            counters[row, places[vector, row]] += 1


@compiled
def _mean(places, counters, densities):
    for vector in range(places.shape[0]):
        total = 0
        for row in range(places.shape[1]):
            total += counters[row, places[vector, row]]
        densities[vector] = total / places.shape[1]


class DensitySketch:
    """Counts of vectors by rows of hashes, and densities from them.

    Products are summed in one order, so that a vector's buckets do not depend on its neighbours, on
    the machine or on the number of threads. ``add`` is for one thread at a time.

    Memory: 8 · rows · buckets bytes (160 MB by default), 4 · rows · dimensions, and 4 · rows for each
    vector of a call.

    Attributes:
        counters: int64 [rows, buckets].

    Raises:
        ValueError: dimensions, rows, buckets or width out of range.
    """

    def __init__(
        self,
        dimensions: int,
        rows: int = 1000,
        buckets: int = 20_000,
        width: float = 1.0,
        seed: int = 0,
    ) -> None:
        if min(dimensions, rows, buckets) < 1 or buckets >= 1 << 31:
            raise ValueError(f"dimensions {dimensions}, rows {rows}, buckets {buckets}")
        if not 0 < width < np.inf:
            raise ValueError(f"width is positive, not {width}")
        generator = np.random.Generator(np.random.Philox(seed))
        directions = generator.standard_normal((rows, dimensions), np.float32)
        self._parameters = (dimensions, rows, buckets, float(width), seed)
        self._shifts = generator.random(rows) * width
        tiles = -(-rows // _TILE)
        padded = np.zeros((tiles * _TILE, dimensions), np.float32)
        padded[:rows] = directions
        self._tiles = np.ascontiguousarray(
            padded.reshape(tiles, _TILE, dimensions).transpose(0, 2, 1)
        )
        self.counters = np.zeros((rows, buckets), np.int64)

    def buckets(self, vectors: np.ndarray) -> np.ndarray:
        """The bucket of each vector in each row, int32 [n, rows].

        Args:
            vectors: float32 [n, dimensions].

        Raises:
            ValueError: other dimensions, or a number that is not finite or not below 1e30.
        """
        dimensions, rows, buckets, width, _ = self._parameters
        vectors = np.ascontiguousarray(vectors, np.float32).view()
        vectors.setflags(write=False)
        if vectors.ndim != 2 or vectors.shape[1] != dimensions:
            raise ValueError(f"vectors of {dimensions} numbers, not {vectors.shape}")
        if not (np.abs(vectors) < _LARGEST).all():
            raise ValueError(f"a vector holds a number that is not finite or not below {_LARGEST}")
        places = np.empty((len(vectors), rows), np.int32)
        _buckets(vectors, self._tiles, self._shifts, width, buckets, places)
        return places

    def add(self, vectors: np.ndarray) -> None:
        """Counts the vectors, float32 [n, dimensions]. Raises ValueError as ``buckets`` does."""
        _count(self.buckets(vectors), self.counters)

    def density(self, vectors: np.ndarray) -> np.ndarray:
        """Mean over the rows of the count in each vector's bucket, float64 [n].

        A vector that was added counts itself. Raises ValueError as ``buckets`` does.
        """
        places = self.buckets(vectors)
        densities = np.empty(len(places))
        _mean(places, self.counters, densities)
        return densities
