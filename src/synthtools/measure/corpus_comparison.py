"""Corpora against a reference: every question of ``corpus_questions``, asked of each pair."""

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
    """What models say of a corpus's sample.

    Attributes:
        documents: the sample; scored: its beginning under the language model.
        vectors: float32 [some, width], of the first documents; there: bool, which have one.
    """

    documents: list[SampledDocument]
    scored: ScoredSample = field(default_factory=ScoredSample)
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 1), np.float32))
    there: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))


class CorpusComparison:
    """Corpora, the reference first, and what they have in common: equal lengths and clusters of
    near-duplicates."""

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
        """Documents of the sample that reach the common length, and their text up to it."""
        cut = first_words(TextBuffer.of([d.text for d in sample.documents]), self.words)
        kept = [row for row, text in enumerate(cut) if text is not None]
        return np.array(kept, np.int64), [text for text in cut if text is not None]

    def pair(self, which: int, held_out: HeldOut) -> dict[str, Any]:
        """The answers about one corpus against the first."""
        sides = (0, which)
        nats = [self.samples[i].scored for i in sides]
        asked = {
            "perplexity": [
                questions.perplexity(
                    [one.mean(None) for one in nats],
                    [one.mean(self.tokens) for one in nats],
                    self.alpha,
                )
            ],
            "diversity": [questions.diversity([self._texts[i][1] for i in sides], self.alpha)],
            "keywords": [
                questions.keywords(
                    [self.corpora[i].keywords for i in sides],
                    [[d.text for d in self.samples[i].documents] for i in sides],
                    self.alpha,
                )
            ],
            "duplicates": [
                questions.duplicates(
                    "near_duplicates", self.roots[0], self.roots[which], self.alpha / 2
                ),
                questions.duplicates(
                    "exact_duplicates",
                    self.corpora[0].column(lambda f: f.texts),
                    self.corpora[which].column(lambda f: f.texts),
                    self.alpha / 2,
                ),
            ],
            "coverage": [self._coverage(which)],
            "form": [
                questions.form(
                    [self.corpora[i].column(lambda f: f.form) for i in sides], self.alpha
                )
            ],
            "classifier": [questions.classifier(self._folds(which, held_out), self.alpha)],
        }
        names = {"duplicates": ("near_duplicates", "exact_duplicates")}
        numbers: dict[str, Any] = {}
        for question, answers in asked.items():
            for name, answer in zip(names.get(question, (question,)), answers, strict=True):
                numbers[name] = answer.numbers
        return {
            "reference": self.corpora[0].name,
            "other": self.corpora[which].name,
            "numbers": numbers,
            "answers": [
                {
                    "question": question,
                    "differs": any(e["differs"] for a in answers for e in a.effects),
                    "effects": [e for a in answers for e in a.effects],
                    "further": {k: v for a in answers for k, v in a.further.items()},
                }
                for question, answers in asked.items()
            ],
            "common_words": self._common_words(which),
            "shared_ids": self._shared(which, ComparedCorpus.named),
            "shared_prompts": self._shared(which, ComparedCorpus.prompts),
        }

    def _common_words(self, which: int) -> float:
        """Of the fifty most frequent words of both, the share that is frequent in both."""
        one, other = (
            frequent_words(words_of(document.text) for document in self.samples[i].documents[:500])
            for i in (0, which)
        )
        return len(one & other) / max(1, min(len(one), len(other)))

    def _shared(self, which: int, of: Callable[[ComparedCorpus], np.ndarray]) -> int:
        """Documents of the other whose id, or prompt, the reference has too."""
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
        shared = max(
            self._shared(which, of) for of in (ComparedCorpus.named, ComparedCorpus.prompts)
        )
        answer.further["same_prompts"] = shared / self.corpora[which].documents
        words = [set(_WORD.findall(text[:2000].lower())) for text in texts]
        for entry, effect in zip(answer.further["clusters"], answer.effects, strict=True):
            inside = clusters == entry["cluster"]
            entry["words"] = questions.telling_words(words, inside)
            entry["examples"] = [texts[row][:160] for row in np.flatnonzero(inside)[:2].tolist()]
            effect["label"] = ", ".join(entry["words"][:3]) or effect.get("label", "")
        return answer

    def _folds(self, which: int, held_out: HeldOut) -> list[tuple[np.ndarray, np.ndarray]]:
        """At most so many documents of both sides, equally many, of one length."""
        count = min(_MOST_CLASSIFIED, *(len(self._texts[i][1]) for i in (0, which)))
        if count < 10:
            return []
        groups = [
            self._groups(i, self._texts[i][0][:count], offset)
            for offset, i in enumerate((0, which))
        ]
        joined = _joined(groups)
        return held_out([self._texts[i][1][:count] for i in (0, which)], np.split(joined, 2))

    def _groups(self, which: int, rows: np.ndarray, offset: int) -> list[np.ndarray]:
        """Of the sample's documents: what must not be on both sides of a test where it is equal."""
        corpus = self.corpora[which]
        index = np.array([self.samples[which].documents[i].number for i in rows], np.int64)
        keys = corpus.column(lambda f: f.keys.values)[index]
        groups = [self.roots[which][index].astype(np.uint64), keys]
        prompts = corpus.prompts()
        return [*groups, prompts[index]] if len(prompts) else groups

    def report(
        self, held_out: HeldOut, scored: int, stage: Callable[[str], None]
    ) -> dict[str, Any]:
        """All but the sentences.

        Args:
            held_out: see ``curate.text_classifier``; scored: tokens of a document that were scored at most.
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

        sizes = [len(one) for one in self.vectors]
        starts = np.cumsum([0, *sizes])
        chosen = [
            np.arange(start, start + min(_MOST_ON_MAP, size))
            for start, size in zip(starts[:-1], sizes, strict=True)
        ]
        method = "tsne" if find_spec("sklearn") else "pca"
        rows = np.concatenate(chosen)
        if len(rows) < 3:
            return {"method": method, "points": []}
        coordinates, settings = project(np.concatenate(self.vectors)[rows], method, self.seed)
        ends = np.cumsum([len(one) for one in chosen])[:-1]
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
    """One number for documents that agree in any of their keys, directly or by others: int64."""
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
    """The most frequent first eight words of a sample, and the share of documents that have them."""
    counts = Counter(" ".join(document.text[:400].split()[:8]) for document in documents)
    if not counts:
        return "", 0.0
    words, count = min(counts.items(), key=lambda one: (-one[1], one[0]))
    return words, count / len(documents)
