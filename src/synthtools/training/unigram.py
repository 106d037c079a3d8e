"""The floor of a language model: a unigram model of its training tokens [ours]."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from synthtools.training.corpus import Corpus
from synthtools.training.packers import IGNORED, Blend

_CHUNK = 1 << 24  # tokens counted at once


class TrainedPart(NamedTuple):
    """The tokens of a source that a run used, and the number of passes over them."""

    corpora: Sequence[Corpus]
    passes: float


def unigram_perplexities(
    parts: Sequence[TrainedPart], sets: Mapping[str, tuple[Blend, int]], vocabulary: int
) -> dict[str, float]:
    """Perplexity of each validation set under the unigram model of what was trained on.

    Sources are weighted by their passes, at most 1 each, with add-one smoothing. All tokens of a partly used
    source count, since the used part is random. Tokens that are not learned are ignored on both sides.

    Args:
        sets: name → rows and their number.

    Memory: 128 MB for counting, and 16 bytes per token of the vocabulary.
    """
    most = max(1.0, *(part.passes for part in parts))
    counts = np.ones(vocabulary)
    for part in parts:
        for corpus in part.corpora:
            counts += part.passes / most * _counts(corpus, vocabulary)
    logs = np.log(counts) - math.log(counts.sum())
    perplexities = {}
    for name, (blend, rows) in sets.items():
        labels = np.concatenate([blend.batch(n, 1).labels.ravel() for n in range(rows)])
        perplexities[name] = math.exp(-float(logs[labels[labels != IGNORED]].mean()))
    return perplexities


def _counts(corpus: Corpus, vocabulary: int) -> np.ndarray:
    """Number of learned occurrences of each token, int64 [vocabulary]."""
    counts = np.zeros(vocabulary, np.int64)
    for first in range(0, len(corpus.tokens), _CHUNK):
        some = np.asarray(corpus.tokens[first : first + _CHUNK])
        if corpus.learned is not None:
            some = some[corpus.learned[first : first + _CHUNK] == 1]
        counts += np.bincount(some, minlength=vocabulary)
    return counts
