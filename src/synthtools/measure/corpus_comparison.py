"""Corpora compared with a reference: every question of ``corpus_questions`` for each pair."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthtools.measure import corpus_questions as questions
from synthtools.measure.compared_corpus import ComparedCorpus, SampledDocument
from synthtools.measure.corpus_questions import QuestionAnswer
from synthtools.measure.effects import ALPHA
from synthtools.measure.projection import project
from synthtools.measure.scored_sample import ScoredSample
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.languages import frequent_words, words_of
from synthtools.text.similar_clusters import similar_clusters
from synthtools.text.words import first_words, word_counts

QUESTIONS = ("perplexity", "diversity", "keywords", "duplicates", "coverage", "form", "classifier")
NEAR = 0.8  # Jaccard index of near-duplicates, as in dedup
_SHORTEST = 10  # words, tokens
_LONGEST = 1000
_MOST_CLASSIFIED = 1000  # documents of a side
_MOST_ON_MAP = 400
_BINS = 30
_WORD = re.compile(r"[^\W\d_]{3,}")

HeldOut = Callable[
    [Sequence[Sequence[str]], Sequence[np.ndarray]], list[tuple[np.ndarray, np.ndarray]]
]


@dataclass
class ModelledSample:
    """Scores and vectors of a corpus's sample.

    Attributes:
        documents: the sample; scored: its first documents under the language model.
        vectors: float32 [some, width], of the first documents; there: bool, which of these have one.
    """

    documents: list[SampledDocument]
    scored: ScoredSample = field(default_factory=ScoredSample)
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 1), np.float32))
    there: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))


class CorpusComparison:
    """Corpora, the reference first, with the common length of texts and joint clusters of near-duplicates."""

    def __init__(
        self, corpora: Sequence[ComparedCorpus], samples: Sequence[ModelledSample], seed: int
    ) -> None:
        self.corpora, self.samples, self.seed = corpora, samples, seed
        self.alpha = ALPHA / len(QUESTIONS) / max(1, len(corpora) - 1)
        signatures = np.concatenate([part for one in corpora for part in one.take_signatures()])
        ends = np.cumsum([one.documents for one in corpora])[:-1]
        self.roots = np.split(similar_clusters(signatures, NEAR)[0], ends)
        self.words = _common_length(
            [word_counts(TextBuffer.of([d.text for d in one.documents])) for one in samples]
        )
        self.tokens = _common_length([one.scored.lengths() for one in samples])
        self._texts = [self._beginnings(one) for one in samples]
        self.vectors = [one.vectors[one.there] for one in samples]

    def _beginnings(self, sample: ModelledSample) -> tuple[np.ndarray, list[str]]:
        """Documents of the sample of at least the common length, and their text up to it."""
        cut = first_words(TextBuffer.of([d.text for d in sample.documents]), self.words)
        kept = [row for row, text in enumerate(cut) if text is not None]
        return np.array(kept, np.int64), [text for text in cut if text is not None]

    def pair(self, which: int, held_out: HeldOut) -> dict[str, Any]:
        """The answers about one corpus against the first."""
        alpha, corpora = self.alpha, (self.corpora[0], self.corpora[which])
        samples = (self.samples[0], self.samples[which])
        nats = [[one.scored.mean(most) for one in samples] for most in (None, self.tokens)]
        equal = [one.column(lambda facts: facts.texts) for one in corpora]
        forms = [one.column(lambda facts: facts.form) for one in corpora]
        counts = [one.keywords for one in corpora]
        texts = [[document.text for document in one.documents] for one in samples]
        near = (self.roots[0], self.roots[which])
        answers = {
            "perplexity": questions.perplexity(nats[0], nats[1], alpha),
            "diversity": questions.diversity([self._texts[i][1] for i in (0, which)], alpha),
            "keywords": questions.keywords(counts, texts, alpha),
            "near_duplicates": questions.duplicates("near_duplicates", *near, alpha / 2),
            "exact_duplicates": questions.duplicates(
                "exact_duplicates", equal[0], equal[1], alpha / 2
            ),
            "coverage": self._coverage(which),
            "form": questions.form(forms, alpha),
            "classifier": questions.classifier(self._folds(which, held_out), alpha),
        }
        # Of the fifty most frequent words of each, the share that is frequent in both.
        one, other = (frequent_words(map(words_of, some[:500])) for some in texts)
        of_question = {name: [answers[name]] for name in QUESTIONS if name in answers}
        of_question["duplicates"] = [answers["near_duplicates"], answers["exact_duplicates"]]
        return {
            "reference": corpora[0].name,
            "other": corpora[1].name,
            "numbers": {name: answer.numbers for name, answer in answers.items()},
            "answers": [
                {
                    "question": question,
                    "differs": any(e["differs"] for a in of_question[question] for e in a.effects),
                    "effects": [e for a in of_question[question] for e in a.effects],
                    "further": {k: v for a in of_question[question] for k, v in a.further.items()},
                }
                for question in QUESTIONS
            ],
            "common_words": len(one & other) / max(1, min(len(one), len(other))),
            "shared_ids": self._shared(which, ComparedCorpus.named),
            "shared_prompts": self._shared(which, ComparedCorpus.prompts),
        }

    def _shared(self, which: int, of: Callable[[ComparedCorpus], np.ndarray]) -> int:
        """The number of documents of the other whose id (or prompt) also occurs in the reference."""
        return int(np.isin(of(self.corpora[which]), of(self.corpora[0])).sum())

    def _coverage(self, which: int) -> QuestionAnswer:
        sides = [self.vectors[0], self.vectors[which]]
        clusters = questions.clustered(np.concatenate(sides), self.seed)
        of = np.split(clusters, [len(sides[0])])
        answer = questions.coverage(of, sides, self.alpha, self.seed)
        texts = [
            document.text
            for sample in (self.samples[0], self.samples[which])
            for document, there in zip(sample.documents, sample.there.tolist(), strict=False)
            if there
        ]
        shared = [self._shared(which, of) for of in (ComparedCorpus.named, ComparedCorpus.prompts)]
        answer.further["same_prompts"] = max(shared) / self.corpora[which].documents
        words = [set(_WORD.findall(text[:2000].lower())) for text in texts]
        for entry, effect in zip(answer.further["clusters"], answer.effects, strict=True):
            inside = clusters == entry["cluster"]
            entry["words"] = questions.telling_words(words, inside)
            entry["examples"] = [texts[row][:160] for row in np.flatnonzero(inside)[:2].tolist()]
            effect["label"] = ", ".join(entry["words"][:3]) or effect.get("label", "")
        return answer

    def _folds(self, which: int, held_out: HeldOut) -> list[tuple[np.ndarray, np.ndarray]]:
        """Held-out scores of equally many documents of both sides, of the common length."""
        count = min(_MOST_CLASSIFIED, *(len(self._texts[i][1]) for i in (0, which)))
        if count < 10:
            return []
        joined = _joined([self._groups(i, self._texts[i][0][:count]) for i in (0, which)])
        return held_out([self._texts[i][1][:count] for i in (0, which)], np.split(joined, 2))

    def _groups(self, which: int, rows: np.ndarray) -> list[np.ndarray]:
        """Keys of documents; those with an equal key must not be split between training and test."""
        corpus = self.corpora[which]
        index = np.array([self.samples[which].documents[i].number for i in rows], np.int64)
        keys = corpus.column(lambda f: f.keys.values)[index]
        groups = [self.roots[which][index].astype(np.uint64), keys]
        prompts = corpus.prompts()
        return [*groups, prompts[index]] if len(prompts) else groups

    def report(
        self, held_out: HeldOut, scored: int, stage: Callable[[str], None]
    ) -> dict[str, Any]:
        """The report without its sentences.

        Args:
            held_out: see ``curate.text_classifier``; scored: tokens scored of a document at most.
            stage: called with the name of each stage.
        """
        pairs = []
        for which in range(1, len(self.corpora)):
            stage(f"comparing {self.corpora[which].name}")
            pairs.append(self.pair(which, held_out))
        return {
            "kind": "compare",
            "reference": self.corpora[0].name,
            "corpora": [_size(*one) for one in zip(self.corpora, self.samples, strict=True)],
            "matched": {"words": self.words, "tokens": self.tokens, "scored": scored},
            "level": 1 - self.alpha,
            "pairs": pairs,
            "histogram": self.histogram(),
            "map": self.map(),
        }

    def histogram(self) -> dict[str, Any]:
        """Perplexities over the common length, in common bins of their logarithm."""
        sides = [one.scored.mean(self.tokens) for one in self.samples]
        sides = [one[np.isfinite(one)] for one in sides]
        every = np.concatenate(sides)
        if not len(every):
            return {"edges": [], "shares": []}
        low, high = np.percentile(every, [0.5, 99.5])
        edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
        shares = [np.histogram(one, edges)[0] / max(1, len(one)) for one in sides]
        return {"edges": np.exp(edges).tolist(), "shares": [one.tolist() for one in shares]}

    def map(self) -> dict[str, Any]:
        """Some documents of each corpus in two dimensions."""
        from importlib.util import find_spec

        shown = [one[:_MOST_ON_MAP] for one in self.vectors]
        method = "tsne" if find_spec("sklearn") else "pca"
        if sum(map(len, shown)) < 3:
            return {"method": method, "points": []}
        coordinates, settings = project(np.concatenate(shown), method, self.seed)
        ends = np.cumsum([len(one) for one in shown])[:-1]
        points = [one.round(3).tolist() for one in np.split(coordinates, ends)]
        return {"method": settings["method"], "points": points}


def _size(corpus: ComparedCorpus, sample: ModelledSample) -> dict[str, Any]:
    words = corpus.column(lambda one: one.words)
    opening, share = _opening(sample.documents)
    return {
        "name": corpus.name,
        "path": corpus.path,
        "documents": corpus.documents,
        "words": int(words.sum(dtype=np.int64)),
        "bytes": corpus.bytes,
        "median_words": float(np.median(words)),
        "sampled": len(sample.documents),
        "scored": len(sample.scored),
        "longer": sample.scored.longer,
        "unscored": sample.scored.failed,
        "opening": opening,
        "opening_share": share,
    }


def _common_length(lengths: Sequence[np.ndarray]) -> int:
    """The smallest of the corpora's lower quartiles, between 10 and 1,000."""
    quartiles = [float(np.percentile(one, 25)) for one in lengths if len(one)]
    return int(np.clip(min(quartiles, default=0), _SHORTEST, _LONGEST))


def _joined(sides: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """int64, equal for documents connected by equal keys, directly or through others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    columns = [np.concatenate(parts) for parts in zip(*sides, strict=True)]
    count = len(columns[0])
    edges, size = [], count
    for column in columns:
        _, number = np.unique(column, return_inverse=True)
        edges.append(np.stack([np.arange(count), size + number]))
        size += int(number.max()) + 1
    row, column = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(row), bool), (row, column)), (size, size))
    return connected_components(graph, directed=False)[1][:count].astype(np.int64)


def _opening(documents: Sequence[SampledDocument]) -> tuple[str, float]:
    """The most frequent first eight words in a sample, and the share of documents with them."""
    counts = Counter(" ".join(document.text[:400].split()[:8]) for document in documents)
    if not counts:
        return "", 0.0
    words, count = min(counts.items(), key=lambda one: (-one[1], one[0]))
    return words, count / len(documents)
