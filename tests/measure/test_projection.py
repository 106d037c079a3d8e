"""Maps against scikit-learn."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from synthtools.errors import SynthError
from synthtools.measure import projection
from synthtools.measure.projection import principal_components, project


@pytest.mark.parametrize("shape", [(60, 12), (9, 40), (5, 1)])
def test_principal_components_are_those_of_scikit_learn(shape):
    vectors = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found, shares = principal_components(vectors)
    kept = min(2, shape[1])
    model = PCA(kept).fit(vectors.astype(np.float64))
    theirs = model.transform(vectors.astype(np.float64))
    for column in range(kept):
        sign = np.sign(found[:, column] @ theirs[:, column])
        assert np.abs(found[:, column] - sign * theirs[:, column]).max() < 1e-6
        assert shares[column] == pytest.approx(model.explained_variance_ratio_[column])


def test_t_sne_is_given_the_vectors_as_they_are():
    vectors = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    found, made = project(vectors, "tsne", seed=3)
    start = principal_components(vectors)[0]
    start = (start / start[:, 0].std() * 1e-4).astype(np.float32)
    theirs = TSNE(perplexity=59 / 3, init=start, random_state=3, n_jobs=1).fit_transform(vectors)
    assert made == {"method": "tsne", "perplexity": 59 / 3}
    assert np.abs(found - theirs).max() < 1e-3 * np.abs(theirs).max()
    again, _ = project(vectors, "tsne", seed=3)
    assert np.array_equal(found, again)


@pytest.mark.parametrize("method", ["tsne", "pca"])
@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_few_and_equal_documents_have_places(method, count):
    for vectors in (np.ones((count, 3)), np.random.default_rng(2).normal(size=(count, 3))):
        found, made = project(vectors.astype(np.float32), method, seed=0)
        assert found.shape == (count, 2) and np.isfinite(found).all()
        assert made["method"] == (method if count >= projection.LEAST else "pca")


def test_umap_keeps_clusters_apart_and_repeats_itself():
    pytest.importorskip("umap")
    r = np.random.default_rng(3)
    vectors = np.concatenate([r.normal(size=(25, 5)), r.normal(size=(25, 5)) + 20]).astype("f4")
    found, made = project(vectors, "umap", seed=0)
    assert made == {"method": "umap", "umap_neighbours": 15}
    middle = found[:25].mean(axis=0), found[25:].mean(axis=0)
    closer = np.linalg.norm(found - middle[0], axis=1) < np.linalg.norm(found - middle[1], axis=1)
    assert (closer == (np.arange(50) < 25)).all()
    assert np.array_equal(found, project(vectors, "umap", seed=0)[0])


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    for method, words in (("tsne", r"synthtools\[map\]"), ("umap", r"synthtools\[umap\]")):
        with pytest.raises(SynthError, match=words):
            project(np.zeros((9, 2), np.float32), method, seed=0)
