"""Two random halves of one corpus: no question of ``synth compare`` may claim a difference."""

import json

import numpy as np
import pytest

from synthtools.curate.held_out_scores import held_out_scores
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_model
from synthtools.lm.scores import ScoreRequest
from synthtools.measure.compared_corpus import ComparedCorpus, batch_facts
from synthtools.measure.corpus_comparison import CorpusComparison, ModelledSample
from synthtools.measure.scored_sample import ScoredSample, scored_samples
from synthtools.measure.word_vectors import word_vectors
from synthtools.records.batch import JsonBatch
from synthtools.records.text_buffer import TextBuffer

TOKENS = 128


class SplitCorpus:
    """Texts, scored and embedded once; only their labels change."""

    def __init__(self, texts):
        self.texts = texts
        settings = ModelSettings(ModelName("builtin"))
        with open_model(settings, ScoreRequest()) as model:
            (self.scored,) = scored_samples(
                model, [texts], len(texts), TOKENS, lambda *_: None, lambda _: None
            )
        self.vectors, self.there = word_vectors(texts)

    def side(self, name, rows):
        lines = [json.dumps({"text": self.texts[row]}).encode() for row in rows]
        numbers = np.arange(len(rows), dtype=np.int64)
        batch = JsonBatch(name, numbers + 1, numbers, lines=lines)
        buffer = TextBuffer.of([self.texts[row] for row in rows])
        corpus = ComparedCorpus(name, name, 0)
        corpus.add(batch, buffer, batch_facts(None)(batch, buffer), int(buffer.offsets[-1]))
        documents = corpus.sample()
        own = [rows[document.number] for document in documents]
        scored = ScoredSample(
            [self.scored.ids[row] for row in own], [self.scored.logprobs[row] for row in own]
        )
        return corpus, ModelledSample(documents, scored, self.vectors[own], self.there[own])

    def claims(self, seed):
        """Which questions claim a difference between two random halves."""
        order = np.random.default_rng(seed).permutation(len(self.texts))
        half = len(order) // 2
        corpora, samples = zip(
            self.side("one", order[:half]), self.side("other", order[half:]), strict=True
        )
        pair = CorpusComparison(corpora, samples, seed).pair(1, held_out_scores)
        return {
            a["question"]: [e for e in a["effects"] if e["differs"]]
            for a in pair["answers"]
            if a["differs"]
        }


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
