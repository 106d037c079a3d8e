"""A linear classifier of texts on hashed n-grams: logistic regression, stored as safetensors.

A text's feature j is c_j / sqrt(c), with c_j its n-grams in bucket j and c all of them [ours]: vectors of about unit
length, whose products with the weights are one sum over the text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.errors import SynthError, parameter
from synthtools.records.atomic_files import write_whole
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.ngram_buckets import NgramHasher, bucket_lists

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_FORMAT, _VERSION = "synth-classifier", 1
_STEPS = 200


@dataclass(frozen=True)
class TextClassifier:
    """Weights of classes.

    Attributes:
        classes: their names; with two, the weights are for the first.
        weights: float32 [1 for two classes, else classes, buckets]; bias: float32 [the same].
    """

    classes: tuple[str, ...]
    hasher: NgramHasher
    weights: np.ndarray
    bias: np.ndarray

    def probabilities(self, texts: TextBuffer) -> np.ndarray:
        """Of each class for each text, float64 [texts, classes]; safe in any thread."""
        sums, numbers = self.hasher.weights(texts, self._weights)
        return _normal(sums / np.sqrt(np.maximum(numbers, 1))[:, None] + self.bias.astype(float))

    @cached_property
    def _weights(self) -> np.ndarray:
        return self.weights.astype(np.float64)

    def save(self, path: str, about: dict[str, Any]) -> None:
        """Writes the weights as safetensors, with ``about`` in the metadata."""
        from safetensors.numpy import save

        own = {"version": _VERSION, "classes": self.classes, "n": self.hasher.orders}
        tensors = {"weights": self.weights, "bias": self.bias}
        # One entry: safetensors writes several in an order that varies from run to run.
        metadata = {_FORMAT: json.dumps({**own, "about": about})}
        write_whole(Path(path), save(tensors, metadata))

    @classmethod
    def load(cls, path: str) -> TextClassifier:
        """Raises SynthError if the file is not a classifier written by ``save``."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "np") as file:
                about = json.loads((file.metadata() or {}).get(_FORMAT, "{}"))
                if about.get("version") != _VERSION:
                    raise SynthError(
                        f"{path}: not a classifier written by classify ({parameter('save')})"
                    )
                classes, orders = about["classes"], about["n"]
                weights, bias = file.get_tensor("weights"), file.get_tensor("bias")
            rows = 1 if len(classes) == 2 else len(classes)
            if weights.shape[:1] != (rows,) or bias.shape != (rows,) or weights.ndim != 2:
                raise ValueError("its weights do not fit its classes")
            hasher = NgramHasher(tuple(orders), weights.shape[1])
        except OSError as error:
            raise SynthError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (SafetensorError, AttributeError, KeyError, ValueError, TypeError) as error:
            raise SynthError(f"{path}: a damaged classifier ({error}); train it again") from error
        return cls(tuple(classes), hasher, weights.astype(np.float32), bias.astype(np.float32))


def _normal(logits: np.ndarray) -> np.ndarray:
    """Probabilities of classes; a single column of logits is for the first of two."""
    if logits.shape[1] == 1:
        first = 1 / (1 + np.exp(-np.clip(logits[:, 0], -700, 700)))
        return np.stack([first, 1 - first], axis=1)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    normal: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return normal


class LabelledTexts:
    """Texts of classes, as sparse features; at most ``most`` of each class, those with the smallest keys. Memory: 4 bytes
    for each n-gram of the texts, temporarily twice that."""

    def __init__(self, classes: tuple[str, ...], hasher: NgramHasher, most: int) -> None:
        self.classes, self.hasher, self._most = classes, hasher, most
        self._keys: list[list[int]] = [[] for _ in classes]
        self._rows: list[list[np.ndarray]] = [[] for _ in classes]
        self.there = [0] * len(classes)

    def features(self, texts: TextBuffer) -> tuple[np.ndarray, np.ndarray]:
        """The buckets of each text's n-grams; safe in any thread."""
        return bucket_lists(texts, self.hasher.orders, self.hasher.buckets)

    def add(self, which: int, keys: np.ndarray, features: tuple[np.ndarray, np.ndarray]) -> None:
        """Takes texts of a class. ``keys``: uint64, one per text, equal for equal texts; ``features``: from
        ``features``."""
        buckets, offsets = features
        self.there[which] += len(keys)
        own_keys, own_rows = self._keys[which], self._rows[which]
        own_keys += keys.tolist()
        own_rows += [row.copy() for row in np.split(buckets, offsets[1:-1])] if len(keys) else []
        if len(own_keys) > 2 * self._most:
            self._prune(which)

    def _prune(self, which: int) -> None:
        keys = self._keys[which]
        order = sorted(range(len(keys)), key=keys.__getitem__)[: self._most]
        self._keys[which] = [keys[i] for i in order]
        self._rows[which] = [self._rows[which][i] for i in order]

    def split(self, share: float) -> tuple[LabelledFeatures, LabelledFeatures]:
        """Training and held-out texts: the latter are the ``share`` of each class with the smallest keys. Raises
        SynthError: a class has no text to train on."""
        train, held_out = LabelledFeatures([], []), LabelledFeatures([], [])
        for which, name in enumerate(self.classes):
            self._prune(which)
            keys = self._keys[which]
            count = int(share * len(keys))
            last = keys[count - 1] if count else -1
            for key, row in zip(keys, self._rows[which], strict=True):
                part = held_out if key <= last else train
                part.rows.append(row)
                part.labels.append(which)
            if which not in train.labels:
                raise SynthError(f"class {name}: no text to train on; give more or hold out less")
        return train, held_out


@dataclass(frozen=True)
class LabelledFeatures:
    """Buckets of the n-grams of texts, and the class of each."""

    rows: list[np.ndarray]
    labels: list[int]

    def matrix(self, buckets: int) -> csr_array:
        """c_j / sqrt(c), float64 [texts, buckets]."""
        from scipy.sparse import csr_array

        sizes = np.array([len(row) for row in self.rows], np.int64)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        columns = np.concatenate([np.zeros(0, np.int32), *self.rows])
        values = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes)
        matrix = csr_array((values, columns, starts), (len(self.rows), buckets))
        matrix.sum_duplicates()
        return matrix


def trained(
    train: LabelledFeatures, classes: tuple[str, ...], hasher: NgramHasher, l2: float, balance: bool
) -> TextClassifier:
    """Weights W and biases b that minimise Σ_i v_i·loss_i + l2/2·‖W‖², by L-BFGS. The loss is the cross-entropy; v_i is
    1, or with ``balance`` texts / (classes · texts of the class)."""
    from scipy.optimize import minimize

    features, labels = train.matrix(hasher.buckets), np.array(train.labels)
    rows = 1 if len(classes) == 2 else len(classes)
    weights = np.ones(len(labels))
    if balance:
        weights = (len(labels) / len(classes) / np.bincount(labels, minlength=len(classes)))[labels]
    own = np.arange(len(labels))
    transposed = features.T.tocsr()

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        solution = flat.reshape(rows, -1)
        normal = _normal(features @ solution[:, :-1].T + solution[:, -1])
        cost = -float(weights @ np.log(np.maximum(normal[own, labels], 1e-300)))
        error = normal
        error[own, labels] -= 1
        error = (error * weights[:, None])[:, :rows]
        gradient = np.empty_like(solution)
        gradient[:, :-1] = (transposed @ error).T + l2 * solution[:, :-1]
        gradient[:, -1] = error.sum(axis=0)
        return cost + l2 / 2 * float((solution[:, :-1] ** 2).sum()), gradient.ravel()

    start = np.zeros(rows * (hasher.buckets + 1))
    optimum = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    solution = optimum.x.reshape(rows, -1).astype(np.float32)
    return TextClassifier(classes, hasher, np.ascontiguousarray(solution[:, :-1]), solution[:, -1].copy())  # fmt: skip


def evaluated(
    classifier: TextClassifier, held_out: LabelledFeatures, positive: int
) -> dict[str, Any]:
    """How well the classifier separates held-out texts.

    Args:
        positive: the class of the curves.

    Returns:
        accuracy, majority (the share of the most frequent class), per class precision and recall,
        auc (ties count half), calibration_error (10 bins, weighted by texts), reliability, roc.
    """
    if not held_out.rows:
        return {"held_out": 0}
    logits = held_out.matrix(classifier.hasher.buckets) @ classifier.weights.T.astype(np.float64)
    normal = _normal(logits + classifier.bias)
    labels, predicted = np.array(held_out.labels), normal.argmax(axis=1)
    right = labels == predicted
    score, is_positive = normal[:, positive], labels == positive
    bins = np.minimum((10 * score).astype(int), 9)
    reliability = [
        {
            "texts": int((bins == i).sum()),
            "score": float(score[bins == i].mean()),
            "share": float(is_positive[bins == i].mean()),
        }
        for i in range(10)
        if (bins == i).any()
    ]

    def share(which: np.ndarray) -> float | None:
        return float(right[which].mean()) if which.any() else None

    gaps = (one["texts"] * abs(one["score"] - one["share"]) for one in reliability)
    return {
        "held_out": len(labels),
        "accuracy": float(right.mean()),
        "majority": float(np.bincount(labels).max() / len(labels)),
        "classes": [
            {
                "class": name,
                "held_out": int((labels == i).sum()),
                "recall": share(labels == i),
                "precision": share(predicted == i),
            }
            for i, name in enumerate(classifier.classes)
        ],
        "auc": _auc(score, is_positive),
        "calibration_error": sum(gaps) / len(labels),
        "reliability": reliability,
        "roc": _roc(score, is_positive),
    }


def _auc(score: np.ndarray, is_positive: np.ndarray) -> float | None:
    """The probability that a text of the class scores higher than another (Mann and Whitney)."""
    others = np.sort(score[~is_positive])
    own = score[is_positive]
    if not len(own) or not len(others):
        return None
    below = np.searchsorted(others, own) + np.searchsorted(others, own, side="right")
    return float(below.sum() / 2 / len(own) / len(others))


def _roc(score: np.ndarray, is_positive: np.ndarray) -> list[list[float]]:
    """Shares of other texts and of the class's at or above a score, in decreasing order; 100 points or so."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.diff(score[order], append=-1.0))
    hits = np.cumsum(is_positive[order])[last]
    false = last + 1 - hits
    own = is_positive.sum()
    points = np.stack([false / max(1, len(score) - own), hits / max(1, own)], axis=1)
    step = max(1, -(-len(points) // 100))
    shown = np.unique([*range(0, len(points), step), len(points) - 1]).astype(int)
    return [[0.0, 0.0], *points[shown].tolist()]


_FOLDS = 5
_BUCKETS = 1 << 16


def held_out_scores(
    sides: Sequence[Sequence[str]], groups: Sequence[np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cross-validated scores of texts for the second side, by logistic regression on hashed words and pairs of words,
    with 5 folds and equal weights of the sides.

    Args:
        sides: texts of two classes, in random order.
        groups: int64 of each text; texts of one group are in the same fold.

    Returns:
        For each fold the scores of the held-out texts of both sides, float64; folds with only one side in training
        or held out are omitted.
    """
    hasher = NgramHasher((1, 2), _BUCKETS)
    rows, labels = [], []
    for label, texts in enumerate(sides):
        buckets, offsets = bucket_lists(TextBuffer.of(texts), hasher.orders, hasher.buckets)
        rows += np.split(buckets, offsets[1:-1]) if len(texts) else []
        labels += [label] * len(texts)
    of_all = np.concatenate(groups)
    _, first, number = np.unique(of_all, return_index=True, return_inverse=True)
    # Groups of both sides in turn, so that folds have the same size.
    turn = np.argsort(np.argsort(np.where(first < len(sides[0]), first, first - len(sides[0]))))
    fold_of = turn[number] % _FOLDS
    folds = []
    side_of = np.array(labels)
    for fold in range(_FOLDS):
        train, test = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        if len(np.unique(side_of[train])) < 2 or len(np.unique(side_of[test])) < 2:
            continue
        learned, features = (
            LabelledFeatures([rows[i] for i in some], side_of[some].tolist())
            for some in (train, test)
        )
        classifier = trained(learned, ("reference", "other"), hasher, 1.0, True)
        logits = features.matrix(hasher.buckets) @ classifier.weights[0].astype(np.float64)
        # The weights are for the first class.
        scores = -(logits + float(classifier.bias[0]))
        folds.append((scores[side_of[test] == 0], scores[side_of[test] == 1]))
    return folds
