"""Labelled sources as features of documents (detection scores), stored in a file, and a calibrated classifier of the two
labels.

Features are of the first tokens of a document, as they depend on their number. Much shorter documents are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from synthtools.errors import SynthError, parameter
from synthtools.lm.scorer import LanguageModel, Tokenised
from synthtools.lm.scores import ScoreRequest, Scores
from synthtools.measure.scored_records import detector_score
from synthtools.records.atomic_files import write_whole
from synthtools.records.batch import Batch
from synthtools.records.rejects import Rejects
from synthtools.records.transform import in_calls, without_failing
from synthtools.text.languages import frequent_words, of_one_language, words_of

FEATURES = (
    *("nll", "entropy", "log_rank", "top_1", "fast_detect", "min_k", "min_k_plus", "spread"),
    "entropy_spread",
)
REQUEST = ScoreRequest(distribution=True)
_FORMAT, _VERSION = "synth-origin", 2
# The share of the first tokens that a document must have [ours].
_SHORTEST = 5 / 8
# The share of a source's documents that must have its frequent words for these to identify its language [ours].
_ALIKE = 0.8


def features_of(scores: Scores) -> list[float]:
    """The features of a document, in the order of ``FEATURES``; NaN for missing ones. fast_detect grows with the
    root of the number of tokens, and is divided by it."""
    numbers = detector_score(scores)._asdict()
    known = {name: np.nan if value is None else value for name, value in numbers.items()}
    scored = scores.logprobs[~np.isnan(scores.logprobs)]
    known["nll"] = -float(scored.mean(dtype=np.float64)) if len(scored) else np.nan
    known["fast_detect"] /= np.sqrt(max(1, len(scored)))
    return [known[name] for name in FEATURES]


class MeasuredDocuments(NamedTuple):
    """Features of documents.

    Attributes:
        features: float64 [n, d], NaN for a document that is too short; tokens: int64 [n], of the whole
            documents; words: [n], sets of the words at the beginning of each document.
    """

    features: np.ndarray
    tokens: np.ndarray
    words: np.ndarray

    @classmethod
    def none(cls) -> MeasuredDocuments:
        return cls(np.zeros((0, len(FEATURES))), np.zeros(0, np.int64), np.zeros(0, object))

    @property
    def long_enough(self) -> np.ndarray:
        return np.isfinite(self.features).all(axis=1)


def source_of(name: str, synthetic: bool, documents: MeasuredDocuments) -> LabelledSource:
    """A source of the documents that are long enough."""
    kept = documents.long_enough
    words, texts = frequent_words(documents.words[kept]), documents.words[kept]
    alike = np.mean([of_one_language(text, words) for text in texts]) > _ALIKE
    return LabelledSource(
        name, synthetic, documents.features[kept], frozenset(words if alike else ())
    )


def measured(
    batches: Iterable[Batch], model: LanguageModel, text_field: str, most: int, rejects: Rejects
) -> Iterator[tuple[Batch, MeasuredDocuments]]:
    """Records with their features, from the first ``most`` tokens of each text."""

    def tokens_of(run: list[Batch]) -> list[Tokenised]:
        return model.tokenise([text for batch in run for text in batch.column(text_field)])

    for run in in_calls(batches, lambda batch: batch.sizes(), Batch.take, model.chunk_bytes):
        left, texts = without_failing(run, tokens_of, rejects)
        lengths = np.array([len(text.ids) for text in texts], np.int64)
        kept = np.flatnonzero(lengths >= most * _SHORTEST)
        features = np.full((len(texts), len(FEATURES)), np.nan)
        cut = [texts[i]._replace(ids=texts[i].ids[:most]) for i in kept]
        for row, scores in zip(kept, model.score(cut, REQUEST), strict=True):
            # Rounded to float32, as in the file of a calibration.
            features[row] = np.array(features_of(scores), np.float32)
        start = 0
        for batch in left:
            rows = slice(start, start + len(batch))
            words = [words_of(text) for text in batch.column(text_field)]
            yield batch, MeasuredDocuments(features[rows], lengths[rows], np.array(words, object))
            start += len(batch)


@dataclass(frozen=True)
class Calibration:
    """Labelled sources under a model.

    Attributes:
        tokens: scored of each document; model: its description.
    """

    sources: list[LabelledSource]
    tokens: int
    model: dict[str, Any]

    def save(self, path: str) -> None:
        """Writes it as JSON."""
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "model": self.model,
            "tokens": self.tokens,
            "features": FEATURES,
            "sources": [
                {
                    "name": one.name,
                    "label": "synthetic" if one.synthetic else "human",
                    "words": sorted(one.words),
                    "documents": [[float(str(np.float32(x))) for x in row] for row in one.features],
                }
                for one in self.sources
            ],
        }
        write_whole(Path(path), json.dumps(content).encode() + b"\n")

    @classmethod
    def load(cls, path: str) -> Calibration:
        """Reads a file written by ``save``. Raises SynthError: it is another file, or damaged."""
        try:
            content = json.loads(Path(path).read_bytes())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not JSON"
            raise SynthError(f"{path}: cannot be read as a calibration: {reason}") from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise SynthError(f"{path}: not a calibration written by origin ({parameter('save')})")
        if content.get("version") != _VERSION or content.get("features") != list(FEATURES):
            raise SynthError(
                f"{path}: a calibration of another version ({content.get('version')}); make it again"
            )
        try:
            sources = []
            for one in content["sources"]:
                numbers = np.array(one["documents"], np.float32).astype(np.float64)
                features = numbers.reshape(-1, len(FEATURES))
                synthetic = {"synthetic": True, "human": False}[one["label"]]
                words = frozenset(map(str, one["words"]))
                sources.append(LabelledSource(str(one["name"]), synthetic, features, words))
            calibration = cls(sources, int(content["tokens"]), dict(content["model"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SynthError(
                f"{path}: a damaged calibration ({type(error).__name__}: {error})"
            ) from error
        if not all(np.isfinite(one.features).all() for one in sources):
            raise SynthError(f"{path}: a damaged calibration (numbers are missing)")
        return calibration

    def refuse_other_model(self, path: str, model: dict[str, Any]) -> None:
        """Raises SynthError: the calibration was made with another model."""
        names = ("name", "revision", "architecture")
        if any(self.model.get(name) != model.get(name) for name in names):
            raise SynthError(
                f"{path}: was made with {self.model.get('name')}, not {model.get('name')}: use "
                f"{parameter('model', self.model.get('name'))}"
            )


_FOLDS = 5
_PENALTY = 0.3
# Features are clipped at this distance from the mean, in standard deviations [ours].
_FARTHEST = 3.0
_STEPS = 100


class LabelledSource(NamedTuple):
    """Documents of one label.

    Attributes:
        features: float64 [documents, numbers]; words: the frequent ones of its language, if its documents
            share them.
    """

    name: str
    synthetic: bool
    features: np.ndarray
    words: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Pool:
    """The documents of all sources, concatenated.

    Attributes:
        features: [n, d]; source: int [n]; synthetic: bool [sources].
    """

    features: np.ndarray
    source: np.ndarray
    synthetic: np.ndarray

    @classmethod
    def of(cls, sources: Sequence[LabelledSource]) -> Pool:
        numbers = np.repeat(np.arange(len(sources)), [len(s.features) for s in sources])
        labels = np.array([s.synthetic for s in sources])
        return cls(np.concatenate([s.features for s in sources]), numbers, labels)

    @property
    def labels(self) -> np.ndarray:
        return self.synthetic[self.source]

    def weights(self, counts: np.ndarray | None = None) -> np.ndarray:
        """Weights of documents that give both classes a total of 1, and all sources of a class the same.
        ``counts``: multiplicities of documents, 1 by default."""
        counts = np.ones(len(self.source)) if counts is None else counts
        sizes = np.bincount(self.source, counts, len(self.synthetic))
        of_class = np.where(self.synthetic, self.synthetic.sum(), (~self.synthetic).sum())
        return counts / np.maximum(sizes * of_class, 1e-300)[self.source]

    def whitened(self, features: np.ndarray) -> np.ndarray:
        """Features transformed so that within sources they have variance 1 and are uncorrelated."""
        means = np.array(
            [self.features[self.source == k].mean(0) for k in range(len(self.synthetic))]
        )
        values, vectors = np.linalg.eigh(np.cov((self.features - means[self.source]).T))
        return features @ (vectors / np.sqrt(np.maximum(values, 1e-12)))

    def without(self, source: int) -> Pool:
        kept = np.arange(len(self.synthetic)) != source
        rows = kept[self.source]
        numbers = (np.cumsum(kept) - 1)[self.source[rows]]
        return Pool(self.features[rows], numbers, self.synthetic[kept])


def logistic(x: np.ndarray, y: np.ndarray, weights: np.ndarray, penalty: float) -> np.ndarray:
    """Coefficients and, last, the intercept that minimise Σ w·loss + penalty/2·‖coefficients‖², by Newton's
    method.

    Args:
        x: [n, d]; y: bool [n]; weights: [n].
    """
    x = np.column_stack([x, np.ones(len(x))])
    ridge = np.full(x.shape[1], penalty)
    ridge[-1] = 1e-9
    solution = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = expit(x @ solution)
        gradient = x.T @ (weights * (p - y)) + ridge * solution
        curvature = (x * (weights * p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        solution -= step * min(1.0, 5 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-8:
            break
    return solution


def expit(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -500, 500)))


class Classifier:
    """Log-odds of synthetic against human text, with equal priors.

    Attributes:
        held_out: the log-odds of the pool's own documents, by cross-validation.
        calibration: slope and intercept that calibrate log-odds.
    """

    def __init__(self, pool: Pool) -> None:
        self._mean = pool.features.mean(axis=0)
        self._scale = pool.features.std(axis=0) + 1e-12
        x, y = self._normal(pool.features), pool.labels
        weights = pool.weights() * len(y) / 2
        self._solution = logistic(x, y, weights, _PENALTY)
        self.held_out: np.ndarray = np.zeros(len(y))
        fold = np.arange(len(y)) % _FOLDS
        for number in range(_FOLDS):
            own = fold == number
            solution = logistic(x[~own], y[~own], weights[~own], _PENALTY)
            self.held_out[own] = x[own] @ solution[:-1] + solution[-1]
        self.calibration = calibrated(pool, self.held_out, np.ones(len(y)))

    def _normal(self, features: np.ndarray) -> np.ndarray:
        x = np.clip((features - self._mean) / self._scale, -_FARTHEST, _FARTHEST)
        return np.column_stack([x, x * x])

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Float64 [n], before calibration."""
        return self._normal(features) @ self._solution[:-1] + self._solution[-1]


def calibrated(pool: Pool, log_odds: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the logistic regression on held-out log-odds (Platt); ``counts``: [N],
    multiplicities of the pool's documents."""
    labels, weights = pool.labels, pool.weights(counts) * len(counts) / 2
    slope, intercept = logistic(log_odds[:, None], labels, weights, 1e-3)
    return float(slope), float(intercept)
