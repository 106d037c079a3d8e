"""Two random halves of one corpus: no question of ``synth compare`` may claim a difference."""

import numpy as np
import pytest
from benchmarks.compare import SplitCorpus


def words(draw, count):
    """A text by Zipf's law, in sentences."""
    drawn = np.minimum(draw.zipf(1.3, count), 3000)
    sizes = draw.integers(5, 15, count)
    parts, at = [], 0
    for size in sizes:
        some = [f"w{n}" for n in drawn[at : at + size]]
        at += size
        if not some:
            break
        parts.append(" ".join(some) + ".")
    return " ".join(parts)


@pytest.fixture(scope="module")
def corpus():
    draw = np.random.default_rng(1)
    return SplitCorpus([words(draw, int(draw.integers(40, 120))) for _ in range(300)])


@pytest.mark.parametrize("seed", range(4))
def test_random_halves_differ_in_nothing(corpus, seed):
    assert corpus.claims(seed) == {}
