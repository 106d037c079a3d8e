"""Projections of vectors to two dimensions (t-SNE, UMAP, principal components), and vectors of documents from their words
by latent semantic analysis (Deerwester et al. 1990)."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from synthtools.errors import SynthError, parameter
from synthtools.records.text_buffer import TextBuffer

METHODS = ("tsne", "umap", "pca")
# With fewer documents there are no neighbourhoods for t-SNE or UMAP.
LEAST = 6
_PERPLEXITY = 30.0
_UMAP_NEIGHBOURS = 15


# For methods that need a package: the package, the message, our extra that installs it, another method.
_PACKAGES = {
    "tsne": ("sklearn", "t-SNE needs scikit-learn", "map", "pca"),
    "umap": ("umap", "UMAP needs umap-learn", "umap", "tsne"),
}


def require(method: str) -> None:
    """Raises SynthError, with the remedy: the method's package is not installed."""
    if method in _PACKAGES:
        package, need, extra, other = _PACKAGES[method]
        if find_spec(package) is None:
            instead = parameter("method", other)
            raise SynthError(f"{need}: pip install 'synthtools[{extra}]' (or {instead})")


def project(vectors: np.ndarray, method: str, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Coordinates, float64 [documents, 2], and the settings.

    They are computed in one thread: with several, the order of sums, and thus the map, would depend on their number.

    Args:
        vectors: float32 [documents, width], finite; not normalised.
        method: one of ``METHODS``; ``tsne`` is Barnes–Hut t-SNE (van der Maaten 2014) of scikit-learn
            with perplexity 30 (or a third of the documents, if less), initialised with principal
            components; ``umap`` (McInnes et al. 2018) is umap-learn with its defaults.

    Raises:
        SynthError: the method fails, or its package is not installed.
    """
    if len(vectors) < LEAST and method != "pca":
        method = "pca"
    require(method)
    if method == "pca":
        coordinates, shares = principal_components(vectors)
        return coordinates, {"method": "pca", "explained_variance": shares}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coordinates, settings = (_tsne if method == "tsne" else _umap)(vectors, seed)
    coordinates = coordinates.astype(np.float64)
    if not np.isfinite(coordinates).all():
        raise SynthError(
            f"{method}: gives coordinates that are not numbers; try {parameter('method', 'pca')}"
        )
    return coordinates, {"method": method, **settings}


def principal_components(vectors: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """The first two principal components, float64 [documents, 2], and their shares of the variance.

    The largest weight of a component is positive, which settles its sign.
    """
    points = vectors.astype(np.float64)
    points -= points.mean(axis=0)
    if points.shape[1] <= len(points):
        _, axes = np.linalg.eigh(points.T @ points)
        axes = axes[:, ::-1][:, :2]
    else:
        _, scores = np.linalg.eigh(points @ points.T)
        axes = points.T @ scores[:, ::-1][:, :2]
        lengths = np.linalg.norm(axes, axis=0)
        axes = axes / np.where(lengths == 0, 1, lengths)
    signs = np.sign(axes[np.argmax(np.abs(axes), axis=0), np.arange(axes.shape[1])])
    coordinates = np.zeros((len(points), 2))
    coordinates[:, : axes.shape[1]] = points @ (axes * np.where(signs == 0, 1, signs))
    total = float((points**2).sum())
    shares = [float((coordinates[:, i] ** 2).sum()) / total if total else 0.0 for i in range(2)]
    return coordinates, shares


def _tsne(vectors: np.ndarray, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    with threadpool_limits(1):
        start, _ = principal_components(vectors)
        spread = float(start[:, 0].std())
        if spread:
            start = start / spread * 1e-4
        else:  # all points coincide: any start that separates them will do
            start = np.random.default_rng(seed).normal(size=start.shape) * 1e-4
        settings: Any = {"random_state": seed, "method": "barnes_hut", "n_jobs": 1}
        model = TSNE(perplexity=perplexity, init=start.astype(np.float32), **settings)
        coordinates = model.fit_transform(vectors)
    return coordinates, {"perplexity": perplexity}


def _umap(vectors: np.ndarray, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    from umap import UMAP

    neighbours = min(_UMAP_NEIGHBOURS, len(vectors) - 1)
    init = "spectral" if len(vectors) > 4 * neighbours else "random"
    model = UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1, init=init)
    coordinates = model.fit_transform(vectors)
    return coordinates, {"umap_neighbours": neighbours}


_WORDS = 300  # from the beginning of a document
_VOCABULARY = 20_000
_DIMENSIONS = 50
_OVERSAMPLED, _ROUNDS = 20, 4


def word_vectors(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of length 1, float32 [texts, width], and which texts have one, bool.

    From the first 300 words of each text [ours]: the 20,000 words in most documents, of those in at least two and at
    most half of all; (1 + ln count) · ln(documents / documents with the word), rows of length 1; the first 50 left
    singular vectors times their values (Halko, Martinsson and Tropp 2011).
    """
    from scipy.sparse import csr_array
    from threadpoolctl import threadpool_limits

    from synthtools.text.words import word_hashes

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
    present = norms > 0
    matrix = matrix.multiply(1 / np.where(present, norms, 1)[:, None]).tocsr()
    with threadpool_limits(1):  # otherwise the order of sums would depend on the number of cores
        vectors = _scaled_left(matrix, width)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32), present


def _scaled_left(matrix: Any, width: int) -> np.ndarray:
    """The first left singular vectors times their values, by random projections and power iterations."""
    rows = min(width + _OVERSAMPLED, *matrix.shape)
    basis = matrix @ np.random.default_rng(0).normal(size=(matrix.shape[1], rows))
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(basis)
        basis = matrix @ (matrix.T @ basis)
    basis, _ = np.linalg.qr(basis)
    left, values, _ = np.linalg.svd((matrix.T @ basis).T, full_matrices=False)
    return (basis @ left)[:, :width] * values[:width]
