"""The density sketch against a plain numpy twin, and against what it estimates."""

from __future__ import annotations

import numpy as np
import pytest

import kernel_reference as reference
from synthtools.text.density_sketch import DensitySketch

VECTORS = np.random.default_rng(0).normal(size=(150, 24)).astype(np.float32)


class Twin:
    """The sketch in numpy, one vector at a time."""

    def __init__(self, dimensions, rows, buckets, width, seed):
        generator = np.random.Generator(np.random.Philox(seed))
        self.a = generator.standard_normal((rows, dimensions), np.float32)
        self.b = generator.random(rows) * width
        self.width, self.buckets = width, buckets
        self.counters = np.zeros((rows, buckets), np.int64)

    def places(self, x):
        product = np.zeros(len(self.a), np.float32)
        for dimension, factor in enumerate(x):
            product += factor * self.a[:, dimension]
        cells = np.floor((product.astype(float) + self.b) / self.width).astype(int)
        hashes = [
            reference.finalise((int(cell) + (row + 1) * 0x9E3779B97F4A7C15) % (1 << 64))
            for row, cell in enumerate(cells)
        ]
        return [(value >> 32) * self.buckets >> 32 for value in hashes]

    def add(self, vectors):
        for x in vectors:
            self.counters[np.arange(len(self.a)), self.places(x)] += 1

    def density(self, vectors):
        rows = np.arange(len(self.a))
        return [self.counters[rows, self.places(x)].mean() for x in vectors]


@pytest.mark.parametrize("rows", [1, 63, 64, 100])
def test_twin_and_sketch_agree(rows):
    sketch, twin = DensitySketch(24, rows, 50, 2.5, 7), Twin(24, rows, 50, 2.5, 7)
    sketch.add(VECTORS)
    twin.add(VECTORS)
    assert (sketch.counters == twin.counters).all()
    assert sketch.density(VECTORS).tolist() == twin.density(VECTORS)


def test_batches_change_nothing():
    whole = DensitySketch(24, 100, 1000, 1.5, 1)
    whole.add(VECTORS)
    places = whole.buckets(VECTORS)
    densities = whole.density(VECTORS)
    for size in (1, 3, 15, 16, 17, 64):
        sketch = DensitySketch(24, 100, 1000, 1.5, 1)
        pieces = [VECTORS[start : start + size] for start in range(0, len(VECTORS), size)]
        for piece in pieces:
            sketch.add(piece)
        assert (np.concatenate([sketch.buckets(piece) for piece in pieces]) == places).all()
        assert (np.concatenate([sketch.density(piece) for piece in pieces]) == densities).all()


def test_density_is_the_mean_of_the_collision_kernel():
    """Σ over vectors of p(distance), with p of E2LSH (Datar et al. 2004, section 3.2)."""
    from scipy.stats import norm

    width = 2.0
    sketch = DensitySketch(24, 2000, 2000, width)
    sketch.add(VECTORS[:40])
    distances = np.linalg.norm(VECTORS[:40, None] - VECTORS[None, :40], axis=2)
    ratio = width / np.maximum(distances, 1e-12)
    kernel = 1 - 2 * norm.cdf(-ratio)
    kernel -= 2 / (np.sqrt(2 * np.pi) * ratio) * (1 - np.exp(-(ratio**2) / 2))
    assert sketch.density(VECTORS[:40]) == pytest.approx(kernel.sum(axis=1), rel=0.1)


def test_dense_places_are_dense():
    random = np.random.default_rng(4)
    crowd = random.normal(size=(500, 24)) * 0.05 + 1
    spread = random.normal(size=(500, 24)) * 3
    sketch = DensitySketch(24, 200, 20_000, 1.0)
    sketch.add(np.concatenate([crowd, spread]).astype(np.float32))
    assert (
        sketch.density(crowd.astype(np.float32)).min()
        > sketch.density(spread.astype(np.float32)).max()
    )


def test_what_is_refused():
    sketch = DensitySketch(3, 10, 10)
    for vectors in ([[1, 2]], [1, 2, 3], [[1, 2, np.nan]], [[1, np.inf, 3]], [[1, 2, 1e31]]):
        with pytest.raises(ValueError):
            sketch.add(np.array(vectors, np.float32))
    assert sketch.density(np.full((1, 3), 9e29, np.float32)) == [0]
    for arguments in ({"rows": 0}, {"buckets": 0}, {"dimensions": 0}, {"width": 0}):
        with pytest.raises(ValueError):
            DensitySketch(**{"dimensions": 3, "rows": 2, "buckets": 2, **arguments})
