"""How often `synth compare` claims a difference between two random halves of one corpus.

COMPARE_DATA names a JSONL file with a field text (Python's documentation where it is not given), of which
COMPARE_DOCUMENTS (600) are taken and halved COMPARE_SPLITS (100) times. At most 5 % of the halvings may have
a claim, all questions together.
"""

import json
import os
from pathlib import Path

import numpy as np

from benchmarks.common import machine, texts
from synthtools.curate.text_classifier import held_out_scores
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_model
from synthtools.lm.scores import ScoreRequest
from synthtools.measure.compared_corpus import ComparedCorpus, batch_facts
from synthtools.measure.corpus_comparison import CorpusComparison, ModelledSample
from synthtools.measure.projection import word_vectors
from synthtools.measure.scored_sample import ScoredSample, scored_samples
from synthtools.records.batch import JsonBatch
from synthtools.records.text_buffer import TextBuffer

TOKENS = 128


class SplitCorpus:
    """Texts, scored and embedded once; only their labels change."""

    def __init__(self, texts: list[str]) -> None:
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


def main() -> None:
    path = os.environ.get("COMPARE_DATA")
    if path:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        documents = [json.loads(line)["text"] for line in lines]
    else:
        documents = texts(2)
    documents = documents[: int(os.environ.get("COMPARE_DOCUMENTS", 600))]
    splits = int(os.environ.get("COMPARE_SPLITS", 100))
    corpus = SplitCorpus(documents)
    claimed = [found for seed in range(splits) if (found := corpus.claims(seed))]
    print(f"{len(documents)} documents of {path or 'the Python documentation'}; {machine()}")
    print(f"{len(claimed)} of {splits} random halvings have a claim: {[*map(list, claimed)]}")
