"""Scores of texts by classifiers that were trained on others of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthtools.curate.text_classifier import LabelledFeatures, trained
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.ngram_buckets import NgramHasher, bucket_lists

_FOLDS = 5
_BUCKETS = 1 << 16


def held_out_scores(
    sides: Sequence[Sequence[str]], groups: Sequence[np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """How much each text looks like one of the second side, by classifiers that never saw its group.

    Logistic regression on hashed words and pairs of words (see ``text_classifier``), 5 folds; the
    sides weigh the same.

    Args:
        sides: texts of two classes, in an order of chance.
        groups: int64 of each text; texts of one group are in one fold.

    Returns:
        Of each fold the scores of the held-out texts of both sides, float64; a fold without texts
        of one side to train on is left out.
    """
    hasher = NgramHasher((1, 2), _BUCKETS)
    rows, labels = [], []
    for label, texts in enumerate(sides):
        buckets, offsets = bucket_lists(TextBuffer.of(texts), hasher.orders, hasher.buckets)
        rows += np.split(buckets, offsets[1:-1]) if len(texts) else []
        labels += [label] * len(texts)
    of_all = np.concatenate(groups)
    _, first, number = np.unique(of_all, return_index=True, return_inverse=True)
    # Groups as they come, side by side: the folds are of one size.
    turn = np.argsort(np.argsort(np.where(first < len(sides[0]), first, first - len(sides[0]))))
    fold_of = turn[number] % _FOLDS
    folds = []
    for fold in range(_FOLDS):
        train = np.flatnonzero(fold_of != fold)
        held = np.flatnonzero(fold_of == fold)
        side_of = np.array(labels)
        if len(np.unique(side_of[train])) < 2 or len(np.unique(side_of[held])) < 2:
            continue
        classifier = trained(
            LabelledFeatures([rows[i] for i in train], side_of[train].tolist()),
            ("reference", "other"),
            hasher,
            1.0,
            True,
        )
        features = LabelledFeatures([rows[i] for i in held], side_of[held].tolist())
        logits = features.matrix(hasher.buckets) @ classifier.weights[0].astype(np.float64)
        # The weights speak for the first class.
        scores = -(logits + float(classifier.bias[0]))
        folds.append((scores[side_of[held] == 0], scores[side_of[held] == 1]))
    return folds
