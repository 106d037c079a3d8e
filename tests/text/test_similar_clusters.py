"""Clusters against the comparison of each with each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from synthtools.records.text_buffer import TextBuffer
from synthtools.text import similar_clusters as module
from synthtools.text.shingles import shingles
from synthtools.text.similar_clusters import estimate, shape, similar_clusters, true_jaccard


def variants(count: int, seed: int = 0) -> list[str]:
    """Random texts, and versions of them with more or fewer of their words changed."""
    random = np.random.default_rng(seed)
    found: list[list[str]] = []
    for _ in range(count):
        if found and random.random() < 0.6:
            words = list(found[random.integers(len(found))])
            for _ in range(random.integers(0, 12)):
                words[random.integers(len(words))] = f"w{random.integers(10**6)}"
        else:
            words = [f"w{random.integers(10**6)}" for _ in range(random.integers(3, 200))]
        found.append(words)
    return [" ".join(words) for words in found]


def components(alike: np.ndarray) -> list[int]:
    """The first text that each hangs together with."""
    roots = list(range(len(alike)))
    changed = True
    while changed:
        changed = False
        for one, other in np.argwhere(alike):
            low = min(roots[one], roots[other])
            changed |= roots[one] != low or roots[other] != low
            roots[one] = roots[other] = low
    return roots


def sets_of(texts: list[str]) -> list[set[tuple[str, ...]]]:
    found = []
    for text in texts:
        words = text.split()
        found.append({tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))})
    return found


def test_verified_clusters_are_those_of_the_true_jaccard_index():
    texts = variants(400)
    sets = sets_of(texts)
    truth = np.array([[len(a & b) / len(a | b) for b in sets] for a in sets])
    found = shingles(TextBuffer.of(texts))
    # With so many bands no pair at the threshold is missed: 1 - (1 - 0.5^2)^64 > 1 - 10^-7.
    roots, partly = similar_clusters(found.signatures(512), 0.5, found.sets())
    assert roots.tolist() == components(truth >= 0.5)
    assert partly == 0 and len(set(roots.tolist())) < 300
    pairs = np.argwhere(truth > 0.2)
    assert np.allclose(true_jaccard(found.sets(), *pairs.T), truth[truth > 0.2])


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_estimated_clusters_are_those_of_the_signatures(threshold):
    """The pairs that are missed are as many as the bands must miss: one in a hundred at most."""
    signatures = shingles(TextBuffer.of(variants(500, 1))).signatures(128)
    agreement = (signatures[:, None] == signatures[None]).mean(axis=2)
    roots, _ = similar_clusters(signatures, threshold)
    for one, other in enumerate(roots):
        assert other <= one and roots[other] == other
    every = np.array(components(agreement >= threshold))
    assert (every[roots] == every).all()  # nothing is linked that is not alike
    pairs = np.argwhere(np.triu(agreement >= threshold, 1))
    missed = (roots[pairs[:, 0]] != roots[pairs[:, 1]]).mean()
    assert len(pairs) > 50 and missed <= 0.01
    assert (estimate(signatures, *pairs.T) == agreement[pairs[:, 0], pairs[:, 1]]).all()


def test_jobs_change_nothing():
    signatures = shingles(TextBuffer.of(variants(300, 2))).signatures(128)
    with ThreadPoolExecutor(3) as pool:
        threads = similar_clusters(signatures, 0.7, mapped=pool.map)[0]
    assert (threads == similar_clusters(signatures, 0.7)[0]).all()


def test_texts_without_shingles_are_like_nothing():
    found = shingles(TextBuffer.of(["", "a b", " ", "a  b", "\n"])).signatures(64)
    assert similar_clusters(found, 0.8)[0].tolist() == [0, 1, 2, 1, 4]
    assert similar_clusters(np.empty((0, 64), np.uint32), 0.8)[0].tolist() == []


def test_a_huge_cluster_is_compared_once_a_text():
    """Of copies each is compared with the first alone: with every other it would be 2·10^11 pairs."""
    signatures = np.repeat(shingles(TextBuffer.of(["a b c d e f"])).signatures(16), 600_000, axis=0)
    roots, partly = similar_clusters(signatures, 0.8)
    assert (roots == 0).all() and partly == 0


def test_what_a_bucket_holds_in_excess_is_told(monkeypatch):
    monkeypatch.setattr(module, "MOST", 10)
    random = np.random.default_rng(3)
    signatures = random.integers(0, 1 << 32, (50, 128), dtype=np.uint32)
    _, rows = shape(0.8, 128)
    signatures[:, :rows] = 7
    roots, partly = similar_clusters(signatures, 0.8)
    assert (roots == np.arange(50)).all() and partly == 49


def test_the_shape_meets_its_promise():
    for threshold in (0.1, 0.5, 0.7, 0.8, 0.9, 1.0):
        bands, rows = shape(threshold, 128)
        assert bands * rows <= 128
        assert 1 - (1 - threshold**rows) ** bands >= 0.99 or rows == 1
    assert shape(0.8, 128) == (21, 6)


def test_lowest_bytes_find_the_same_clusters():
    draw = np.random.default_rng(9)
    signatures = draw.integers(0, 2**32 - 1, (40, 128), np.uint32)
    signatures[20:30] = signatures[:10]
    signatures[20:30, :20] = draw.integers(0, 2**32 - 1, (10, 20), np.uint32)  # 108 of 128 agree
    signatures[35:] = 2**32 - 1  # no shingles
    roots = similar_clusters(signatures, 0.8)[0]
    assert roots.tolist() == [*range(20), *range(10), *range(30, 40)]
    assert (similar_clusters(signatures.astype(np.uint8), 0.8)[0] == roots).all()
