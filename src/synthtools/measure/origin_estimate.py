"""How much of a corpus is synthetic, or why that cannot be estimated.

A share is estimated only if the corpus can be a mixture of the calibration's sources. Otherwise ``why`` gives the reason
and a remedy; the numbers behind it are in the report, the share is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from synthtools.errors import parameter
from synthtools.measure.labelled_sources import (
    Classifier,
    LabelledSource,
    MeasuredDocuments,
    Pool,
    expit,
)
from synthtools.measure.quantification import estimate, misfit
from synthtools.text.languages import of_one_language

# The minimum of documents, of the corpus and of a class of the calibration [ours].
FEWEST = 50
# The level of the test that a sample is a mixture of the sources [ours].
FARTHEST = 0.05
# The level for shifted sources, which are less certain [ours].
FARTHEST_MOVED = 0.25
# Below this area under the ROC curve the features do not separate the classes [ours].
APART = 0.6
# The maximum share of documents in a language that no source has [ours].
FOREIGN = 0.1
_BINS = 24


def anchored(sources: list[LabelledSource], human: LabelledSource) -> list[LabelledSource]:
    """Sources for a corpus whose human text is known.

    Each synthetic source is shifted and scaled as the calibration's own human text must be to agree with that of
    the corpus, in mean and standard deviation of every feature [ours]: the difference between models and humans is
    assumed to be the same in both.
    """
    own = np.concatenate([one.features for one in sources if not one.synthetic])
    scale = human.features.std(0) / (own.std(0) + 1e-12)
    moved = [
        one._replace(features=(one.features - own.mean(0)) * scale + human.features.mean(0))
        for one in sources
        if one.synthetic
    ]
    return [human, *moved]


class OriginEstimator:
    """Estimates the share in corpora with one calibration.

    Args:
        moved: the sources are from ``anchored``.

    Attributes:
        auc: area under the ROC curve of the classifier, on held-out documents.
    """

    def __init__(
        self, sources: list[LabelledSource], resamples: int, seed: int, moved: bool = False
    ) -> None:
        self._moved = moved
        self.sources = sources
        self._pool = Pool.of(sources)
        self._classifier = Classifier(self._pool)
        self._resamples, self._seed = resamples, seed
        self.auc = _auc(self._classifier.held_out, self._pool)

    def judge(self, documents: MeasuredDocuments, weights: np.ndarray) -> dict[str, Any]:
        """Verdict, share and interval, of documents and of their tokens; ``weights``: [n], how many documents
        of the corpus each represents."""
        judged = documents.long_enough & self.of_languages(documents)
        short = int((~documents.long_enough).sum())
        other = int((documents.long_enough & ~judged).sum())
        weights = weights[judged]
        features, tokens = documents.features[judged], documents.tokens[judged]
        judgement: dict[str, Any] = {
            "verdict": "not calibrated",
            **dict.fromkeys(("share", "interval", "token_share", "token_interval")),
            "documents": int(judged.sum()),
            "too_short": short,
            "other_language": other,
            "why": self._unfit(int(judged.sum()), short, other),
        }
        if judgement["why"] is not None:
            return judgement
        more: dict[str, Any] = {"resamples": self._resamples, "seed": self._seed}
        distance, expected, p_value = misfit(self._pool, features, weights, **more)
        judgement["misfit"] = {"distance": distance, "expected": expected, "p_value": p_value}
        if p_value <= (FARTHEST_MOVED if self._moved else FARTHEST):
            anchor = f", or {parameter('assume_human')} with human text of its domain"
            judgement["why"] = (
                "the corpus is unlike any mixture of the calibration's sources: add human and synthetic "
                f"sources of its domain, length and language{'' if self._moved else anchor}"
            )
            return judgement
        more["moved"] = self._moved
        by_document = estimate(self._pool, self._classifier, features, weights, **more)
        by_token = estimate(self._pool, self._classifier, features, weights * tokens, **more)
        return judgement | {
            "verdict": "estimated",
            "share": by_document.share,
            "interval": [by_document.low, by_document.high],
            "token_share": by_token.share,
            "token_interval": [by_token.low, by_token.high],
            "methods": by_document.methods,
            "errors": by_document.errors,
        }

    def of_languages(self, documents: MeasuredDocuments) -> np.ndarray:
        """Bool [n]: documents with frequent words of a source."""
        known = [one.words for one in self.sources]
        return np.array(
            [any(of_one_language(text, words) for words in known) for text in documents.words], bool
        )

    def _unfit(self, judged: int, short: int, other: int) -> str | None:
        """The reason to refuse an estimate before computing one; None to go on."""
        if short > judged + other:
            return (
                f"{short:,} of {judged + short + other:,} documents are too short: take fewer "
                f"{parameter('tokens')}, with sources of the same length"
            )
        if other > FOREIGN * (judged + other):
            return (
                f"{other:,} of {judged + other:,} documents share hardly a frequent word with the sources: "
                "take sources of every language of the corpus, or leave out the others"
            )
        human, synthetic = (
            [s.words for s in self.sources if s.synthetic == of] for of in (False, True)
        )
        if not any(of_one_language(one, other) for one in human for other in synthetic):
            return (
                "the calibration's human and synthetic sources share hardly a frequent word: their "
                "languages would be distinguished"
            )
        if judged < FEWEST:
            return f"{judged:,} documents are too few: give {FEWEST} or more"
        if self.auc < APART:
            return (
                "the calibration's own human and synthetic text cannot be distinguished (AUC "
                f"{self.auc:.2f}): take a larger {parameter('model')}, more {parameter('tokens')} or other "
                "sources"
            )
        return None

    def probabilities(self, documents: MeasuredDocuments, share: float) -> list[float | None]:
        """Of being synthetic, given the share in the corpus; None for a document that is too short."""
        odds = self._classifier.log_odds(documents.features)
        prior = np.log(max(share, 1e-6) / max(1 - share, 1e-6))
        slope, intercept = self._classifier.calibration
        probabilities = expit(slope * odds + intercept + prior)
        probabilities[~self.of_languages(documents)] = np.nan
        return [None if np.isnan(value) else float(value) for value in probabilities]

    def histograms(self, documents: MeasuredDocuments) -> dict[str, Any]:
        """Histograms of the log-odds of both classes and of a corpus, as densities."""
        own, corpus = self._classifier.held_out, documents.features[documents.long_enough]
        given = self._classifier.log_odds(corpus)
        low, high = np.percentile(np.concatenate([own, given]), [0.5, 99.5])
        edges = np.linspace(low, high, _BINS + 1)
        weights, labels = self._pool.weights(), self._pool.labels

        def density(values: np.ndarray, counts: np.ndarray) -> list[float]:
            bars, _ = np.histogram(np.clip(values, low, high), edges, weights=counts)
            heights = bars / max(float(counts.sum()), 1e-300) / np.diff(edges)
            return [float(f"{height:.4g}") for height in heights]

        return {
            "edges": [float(f"{edge:.6g}") for edge in edges],
            "human": density(own[~labels], weights[~labels]),
            "synthetic": density(own[labels], weights[labels]),
            "corpus": density(given, np.ones(len(given))),
        }


def _auc(scores: np.ndarray, pool: Pool) -> float:
    """The probability that a synthetic document scores higher than a human one, with equal weights of sources."""
    order = np.argsort(scores, kind="stable")
    weights, labels = pool.weights()[order], pool.labels[order]
    below = np.cumsum(weights * ~labels)
    return float((below * weights)[labels].sum())
