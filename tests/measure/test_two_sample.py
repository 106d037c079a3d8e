"""Two-sample numbers against their definitions, scipy and scikit-learn; p-values under the null."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance
from sklearn.neighbors import KNeighborsClassifier

from synthtools.measure import two_sample
from synthtools.measure.two_sample import compare

TESTED = (
    *("energy_distance", "energy_coefficient", "mmd2", "knn_accuracy"),
    *("coverage", "density", "isolated_left", "isolated_right"),
)


def slow(left: np.ndarray, right: np.ndarray, k: int) -> dict[str, float]:
    """The numbers as their definitions say them."""
    n, m = len(left), len(right)
    both = np.concatenate([left, right]).astype(np.float64)
    d = cdist(both, both)
    xx, yy, xy = d[:n, :n], d[n:, n:], d[:n, n:]
    width = np.median(d[np.triu_indices(n + m, 1)])
    kernel = np.exp(-(d**2) / (2 * width**2))
    np.fill_diagonal(kernel, 0)
    radii = np.sort(xx, axis=1)[:, k]  # the first is the document itself
    energy = 2 * xy.mean() - xx.mean() - yy.mean()
    correct = apart_left = apart_right = 0
    for i in range(n + m):
        others = [j for j in np.argsort(d[i], kind="stable") if j != i][:k]
        first = sum(j < n for j in others)
        correct += (first > k / 2) == (i < n)
        apart_left += i < n and first == k
        apart_right += i >= n and first == 0
    return {
        "bandwidth": width,
        "energy_distance": energy,
        "energy_coefficient": energy / (2 * xy.mean()),
        "mmd2": kernel[:n, :n].sum() / (n * (n - 1))
        + kernel[n:, n:].sum() / (m * (m - 1))
        - 2 * kernel[:n, n:].mean(),
        "knn_accuracy": correct / (n + m),
        "coverage": np.mean([(xy[i] < radii[i]).any() for i in range(n)]),
        "density": sum((xy[i] < radii[i]).sum() for i in range(n)) / (k * m),
        "isolated_left": apart_left / n,
        "isolated_right": apart_right / m,
    }


def check(left: np.ndarray, right: np.ndarray, **more: int) -> None:
    found = compare(left, right, permutations=0, **more)
    expected = slow(left, right, found["neighbours"])
    assert found["bandwidth"] == pytest.approx(expected.pop("bandwidth"), rel=1e-6)
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, rel=1e-5, abs=1e-6), name
        assert found[name]["p_value"] is None


@given(
    n=st.integers(2, 40),
    m=st.integers(2, 40),
    width=st.integers(1, 6),
    k=st.sampled_from([1, 3, 5]),
    seed=st.integers(0, 1000),
)
def test_numbers_are_those_of_the_definitions(n, m, width, k, seed):
    r = np.random.default_rng(seed)
    left = r.normal(size=(n, width)).astype(np.float32)
    right = (r.normal(size=(m, width)) * 1.3 + 0.4).astype(np.float32)
    check(left, right, neighbours=k)


def test_blocks_change_no_number(monkeypatch):
    r = np.random.default_rng(1)
    left, right = r.normal(size=(90, 7)), r.normal(size=(70, 7)) + 0.2
    whole = compare(left, right, permutations=40)
    monkeypatch.setattr(two_sample, "_BLOCK", 160 * 9)
    monkeypatch.setattr(two_sample, "_COLUMNS", 33)
    parts = compare(left, right, permutations=40)
    assert whole["bandwidth"] == parts["bandwidth"]
    for name in TESTED:
        for key in ("value", "expected", "p_value"):
            assert whole[name][key] == pytest.approx(parts[name][key], rel=1e-9, abs=1e-12)


def test_energy_distance_in_one_dimension_is_scipys():
    r = np.random.default_rng(2)
    left, right = r.normal(size=50), r.normal(size=80) + 0.3
    found = compare(left[:, None], right[:, None], permutations=0)
    assert found["energy_distance"]["value"] ** 0.5 == pytest.approx(
        energy_distance(left, right), rel=1e-6
    )


def test_accuracy_is_that_of_scikit_learn():
    r = np.random.default_rng(3)
    both = np.concatenate([r.normal(size=(40, 5)), r.normal(size=(30, 5)) + 0.5])
    labels = np.arange(70) < 40
    right = 0
    for i in range(70):
        rest = np.arange(70) != i
        model = KNeighborsClassifier(5).fit(both[rest], labels[rest])
        right += model.predict(both[i : i + 1])[0] == labels[i]
    found = compare(both[:40], both[40:], permutations=0)
    assert found["knn_accuracy"]["value"] == pytest.approx(right / 70)


def test_permuted_numbers_are_those_of_permuted_samples():
    r = np.random.default_rng(4)
    both = r.normal(size=(37, 3))
    both[5:12] = both[3]  # ties as well
    n = 22
    labels = two_sample._labels(n, 37 - n, 30, seed=9)
    found: dict[str, list[float]] = {name: [] for name in TESTED}
    for column in range(labels.shape[1]):
        first = labels[:, column]
        assert first.sum() == n
        one = compare(both[first], both[~first], permutations=0)
        for name in TESTED:
            found[name].append(one[name]["value"])
    report = compare(both[:n], both[n:], permutations=30, seed=9)
    for name in (
        "energy_distance",
        "mmd2",
        "coverage",
        "density",
    ):  # the others break ties by chance
        observed, *permuted = found[name]
        assert report[name]["value"] == pytest.approx(observed)
        assert report[name]["expected"] == pytest.approx(np.mean(permuted), rel=1e-6, abs=1e-9)
        if name != "density":
            side = -1 if name == "coverage" else 1
            extreme = sum(side * value >= side * observed - 1e-12 for value in permuted)
            assert report[name]["p_value"] == pytest.approx((1 + extreme) / 31)


@pytest.mark.parametrize("kind", ["continuous", "ties"])
def test_p_values_hold_their_level_where_there_is_no_difference(kind):
    repeats, permutations = 200, 39
    r = np.random.default_rng(5)
    p_values: dict[str, list[float]] = {name: [] for name in TESTED}
    for repeat in range(repeats):
        both = r.normal(size=(36, 4))
        if kind == "ties":  # equal texts in both samples
            both = r.integers(0, 2, size=(36, 3)).astype(float)
        found = compare(both[:20], both[20:], permutations=permutations, seed=repeat)
        for name in TESTED:
            p_values[name].append(found[name]["p_value"])
    for name, values in p_values.items():
        for level in (0.05, 0.1, 0.25, 0.5):
            share = np.mean(np.array(values) <= level + 1e-12)
            # Four standard errors; discrete numbers may stay below their level.
            slack = 4 * np.sqrt(level * (1 - level) / repeats)
            assert share <= level + slack, (name, level, share)
            if kind == "continuous" and name in ("energy_distance", "mmd2"):
                assert share >= level - slack, (name, level, share)


def test_differences_are_seen():
    r = np.random.default_rng(6)
    left, right = r.normal(size=(60, 5)), r.normal(size=(60, 5)) * 0.3 + 1
    found = compare(left, right, permutations=99)
    for name in (*TESTED[:5], "isolated_left"):
        assert found[name]["p_value"] == 0.01, name
    assert found["coverage"]["value"] < found["coverage"]["expected"]


def test_equal_documents_and_few_documents():
    same = np.ones((9, 3), np.float32)
    found = compare(same, same[:5], permutations=19)
    assert found["bandwidth"] == 1.0
    assert found["energy_distance"] == {"value": 0, "expected": 0, "p_value": 1}
    assert found["mmd2"]["p_value"] == 1
    half = np.concatenate([np.zeros((20, 2)), np.ones((2, 2))])
    assert compare(half, half, permutations=5)["bandwidth"] > 0  # the median is 0, the mean is not
    none = compare(same[:1], same, permutations=19)
    assert none["neighbours"] is None and all(none[name] is None for name in TESTED)
    two = compare(same[:2], same[:2] + 1, permutations=19)
    assert two["neighbours"] == 1 and two["knn_accuracy"]["value"] == 1


def test_lists_that_would_be_too_long_give_no_p_value_of_density(monkeypatch):
    r = np.random.default_rng(7)
    left, right = r.normal(size=(12, 2)), r.normal(size=(60, 2))
    monkeypatch.setattr(two_sample, "_NEIGHBOURS", 1)
    cut = compare(left, right, permutations=19)
    monkeypatch.undo()
    whole = compare(left, right, permutations=19)
    assert cut["density"] == {
        "value": whole["density"]["value"],
        "expected": None,
        "p_value": None,
    }
    assert cut["coverage"] == whole["coverage"]
