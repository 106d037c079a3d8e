"""The unigram floor, against counting one token after the other."""

import math
from collections import Counter

import numpy as np
import pytest

from synthtools.training.corpus import Corpus
from synthtools.training.packers import Blend, WholePacker
from synthtools.training.unigram import TrainedPart, unigram_perplexities


def corpus(documents, learned=None):
    tokens = np.array([token for document in documents for token in document], np.uint16)
    starts = np.cumsum([0, *map(len, documents)])
    return Corpus(tokens, starts, None if learned is None else np.array(learned, np.uint8), {})


def held_out(documents, learned=None, length=4):
    some = corpus(documents, learned)
    packer = WholePacker(some.tokens, some.starts, length, 0, some.learned)
    return Blend([packer]), packer.rows


def expected(counts, predicted, vocabulary):
    total = sum(counts.values()) + vocabulary
    logs = [math.log((counts[token] + 1) / total) for token in predicted]
    return math.exp(-sum(logs) / len(logs))


def test_of_one_source_and_the_tokens_that_are_predicted():
    part = TrainedPart([corpus([[1, 1, 2], [3]]), corpus([[1]])], 1)
    # In pieces of four tokens, of each of which the first is not predicted.
    found = unigram_perplexities([part], {"held": held_out([[1, 2, 0, 1, 3, 4], [2, 1]])}, 5)
    counts = Counter([1, 1, 2, 3, 1])
    assert found == {"held": pytest.approx(expected(counts, [2, 0, 1, 4, 1], 5))}


def test_sources_count_by_their_passes_and_none_twice():
    often, once = [1] * 6 + [2] * 2, [3] * 5 + [2]
    parts = [TrainedPart([corpus([often])], 4), TrainedPart([corpus([once])], 1)]
    found = unigram_perplexities(parts, {"held": held_out([[0, 1, 2, 3]])}, 4)
    counts = Counter({1: 6, 2: 2 + 1 / 4, 3: 5 / 4})
    assert found == {"held": pytest.approx(expected(counts, [1, 2, 3], 4))}


def test_what_is_not_learned_counts_on_neither_side():
    part = TrainedPart([corpus([[1, 1, 2, 2, 3]], [0, 0, 1, 1, 1])], 1)
    sets = {"held": held_out([[0, 1, 2, 3]], [0, 0, 1, 1])}
    found = unigram_perplexities([part], sets, 4)
    assert found == {"held": pytest.approx(expected(Counter([2, 2, 3]), [2, 3], 4))}
