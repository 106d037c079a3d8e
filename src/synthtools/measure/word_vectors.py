"""Vectors of documents by their words: latent semantic analysis (Deerwester et al. 1990)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from synthtools.records.text_buffer import TextBuffer
from synthtools.text.words import word_hashes

_WORDS = 300  # of a document, from its beginning
_VOCABULARY = 20_000
_DIMENSIONS = 50
_OVERSAMPLED, _ROUNDS = 20, 4


def word_vectors(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of length 1, float32 [texts, width], and which texts have one, bool.

    The first 300 words of each text [ours]; of the words that two documents or more and at most half of all
    have the 20,000 that most documents have; (1 + ln count) · ln(documents / documents with the word), rows
    of length 1; the first 50 left singular vectors times their values (Halko, Martinsson and Tropp 2011).
    """
    from scipy.sparse import csr_array
    from threadpoolctl import threadpool_limits

    hashes, starts = word_hashes(TextBuffer.of(list(texts)))
    parts = [hashes[a : min(a + _WORDS, b)] for a, b in itertools.pairwise(starts)]
    rows = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    vocabulary, columns = np.unique(np.concatenate([hashes[:0], *parts]), return_inverse=True)
    counts = csr_array((np.ones(len(rows)), (rows, columns)), (len(parts), len(vocabulary)))
    counts.sum_duplicates()
    frequency = np.bincount(counts.indices, minlength=len(vocabulary))
    fitting = np.flatnonzero((frequency >= 2) & (frequency <= max(2, len(parts) / 2)))
    kept = np.sort(fitting[np.argsort(-frequency[fitting], kind="stable")[:_VOCABULARY]])
    width = min(_DIMENSIONS, len(kept) - 1, len(parts) - 1)
    if width < 1:
        return np.zeros((len(parts), 1), np.float32), np.zeros(len(parts), bool)
    matrix = counts[:, kept]
    matrix.data = 1 + np.log(matrix.data)
    matrix = matrix.multiply(np.log(len(parts) / frequency[kept])[None]).tocsr()
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    there = norms > 0
    matrix = matrix.multiply(1 / np.where(there, norms, 1)[:, None]).tocsr()
    with threadpool_limits(1):  # else the order of sums would depend on the number of cores
        vectors = _scaled_left(matrix, width)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32), there


def _scaled_left(matrix: Any, width: int) -> np.ndarray:
    """The first left singular vectors times their values, by random projections and power iterations."""
    rows = min(width + _OVERSAMPLED, *matrix.shape)
    basis = matrix @ np.random.default_rng(0).normal(size=(matrix.shape[1], rows))
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(basis)
        basis = matrix @ (matrix.T @ basis)
    basis, _ = np.linalg.qr(basis)
    left, values, _ = np.linalg.svd((matrix.T @ basis).T, full_matrices=False)
    scaled: np.ndarray = (basis @ left)[:, :width] * values[:width]
    return scaled
