"""Perplexity of documents and its distribution over a corpus.

    ppl(x) = exp( −(1/N) Σ_i ln P(x_i | x_<i) )

N counts the tokens with a probability: all but the first, which has one only after a begin-of-text token or a prompt.
Corpus perplexity weights documents by their tokens, exp(Σ nll / Σ N). Bits per byte = Σ nll / (ln 2 · UTF-8 bytes of
the scored tokens), comparable between tokenizers.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)

# Ten bins of 0.1 in token probability: the U shape of ToEdit, figure 3 and table 2.
_PROBABILITY_BINS = 10
_HISTOGRAM_BINS = 50


class DocumentScore(NamedTuple):
    """A document under the model; the numbers are None if no token could be scored.

    Attributes:
        ppl: perplexity; nll: nats per token; bits_per_byte: None if the scored
            tokens have no bytes.
        n_tokens: N, the tokens scored.
    """

    ppl: float | None
    nll: float | None
    n_tokens: int
    bits_per_byte: float | None


def document_score(logprobs: np.ndarray, scored_bytes: int) -> DocumentScore:
    """Perplexity of a document.

    Args:
        logprobs: float32 [n], nats; NaN for a first token without probability.
        scored_bytes: UTF-8 bytes of the tokens with a probability.
    """
    scored = logprobs[~np.isnan(logprobs)].astype(np.float64)
    if not len(scored):
        return DocumentScore(None, None, 0, None)
    total = 0.0 - float(scored.sum())  # never a negative zero
    nll = total / len(scored)
    bits = total / (math.log(2) * scored_bytes) if scored_bytes else None
    return DocumentScore(_exp(nll), nll, len(scored), bits)


def _exp(nll: float) -> float:
    # Beyond this the exponential overflows.
    return math.exp(nll) if nll < 709 else math.inf


class Summary:
    """The distribution of perplexity over a corpus, collected document by document.

    Memory: 8 bytes per document.
    """

    def __init__(self) -> None:
        self._ppl: list[np.ndarray] = []
        self._nll = 0.0
        self._tokens = 0
        self._bytes = 0
        self._documents = 0
        self._probabilities = probability_counts([])
        self._with_tokens = True

    def add(
        self,
        scores: list[DocumentScore],
        scored_bytes: list[int],
        logprobs: list[np.ndarray] | None,
    ) -> None:
        """Adds documents.

        Args:
            scored_bytes: of each text (see ``document_score``).
            logprobs: float32 [n] of each; None if only sums are known; the histogram of token
                probabilities is then left out.
        """
        self._documents += len(scores)
        known = [
            (s, size) for s, size in zip(scores, scored_bytes, strict=True) if s.nll is not None
        ]
        self._ppl.append(np.array([s.ppl for s, _ in known], np.float64))
        for score, size in known:
            # One by one, so that the sum does not depend on batches.
            self._nll += (score.nll or 0.0) * score.n_tokens
            self._tokens += score.n_tokens
            self._bytes += size
        if logprobs is None:
            self._with_tokens = False
            return
        self._probabilities += probability_counts(logprobs)

    def result(self) -> dict[str, Any]:
        """The report's numbers, or None. The distribution leaves out documents of infinite perplexity, and counts
        them."""
        ppl = np.concatenate([np.zeros(0), *self._ppl])
        finite = ppl[np.isfinite(ppl)]
        result: dict[str, Any] = {
            "documents": self._documents,
            "unscored": self._documents - len(ppl),
            "infinite": len(ppl) - len(finite),
            "tokens": self._tokens,
            "bytes": self._bytes,
            "perplexity": _exp(self._nll / self._tokens) if self._tokens else None,
            "nll": self._nll / self._tokens if self._tokens else None,
            "bits_per_byte": self._nll / (math.log(2) * self._bytes) if self._bytes else None,
        }
        result |= distribution(finite)
        result["token_probability"] = (
            token_probability(self._probabilities) if self._with_tokens else None
        )
        return result


def probability_counts(logprobs: list[np.ndarray]) -> np.ndarray:
    """Scored tokens by their probability, in ten bins of 0.1: int64 [10].

    Args:
        logprobs: float32 [n] of each document, nats; NaN for a token without probability.
    """
    flat = np.concatenate([np.zeros(0, np.float32), *logprobs])
    flat = flat[~np.isnan(flat)]
    bins = np.minimum((np.exp(flat) * _PROBABILITY_BINS).astype(int), _PROBABILITY_BINS - 1)
    return np.bincount(bins, minlength=_PROBABILITY_BINS)


def token_probability(counts: np.ndarray) -> dict[str, Any] | None:
    """The report's histogram of ``probability_counts``; None without tokens."""
    total = int(counts.sum())
    if not total:
        return None
    return {
        "edges": [i / _PROBABILITY_BINS for i in range(_PROBABILITY_BINS + 1)],
        "counts": counts.tolist(),
        "shares": (counts / total).tolist(),
    }


def without_outliers(values: np.ndarray) -> np.ndarray:
    """Values at most 1.5 interquartile ranges outside the quartiles, in their order."""
    first, third = np.percentile(values, [25, 75])
    reach = 1.5 * (third - first)
    return values[(values >= first - reach) & (values <= third + reach)]


def distribution(ppl: np.ndarray) -> dict[str, Any]:
    """Location, spread and histogram of document perplexities, float64 [documents].

    ``mean_cleaned`` leaves out values more than 1.5 interquartile ranges outside the quartiles (Baskets: one outlier
    can make the plain mean meaningless). The histogram covers the cleaned range; values outside are counted below
    and above it [ours].
    """
    if not len(ppl):
        names = ("median", "mean", "mean_cleaned", "outliers", "standard_deviation", "min", "max")
        return {**dict.fromkeys((*names, "percentiles", "histogram")), "outliers": 0}
    kept = without_outliers(ppl)
    low, high = float(kept.min()), float(kept.max())
    counts, edges = np.histogram(kept, _HISTOGRAM_BINS, (low, high if high > low else low + 1))
    return {
        "median": float(np.median(ppl)),
        "mean": float(ppl.mean()),
        "mean_cleaned": float(kept.mean()),
        "outliers": len(ppl) - len(kept),
        "standard_deviation": float(ppl.std(ddof=1)) if len(ppl) > 1 else None,
        "min": float(ppl.min()),
        "max": float(ppl.max()),
        "percentiles": {
            str(p): float(v)
            for p, v in zip(PERCENTILES, np.percentile(ppl, PERCENTILES), strict=True)
        },
        "histogram": {
            "edges": edges.tolist(),
            "counts": counts.tolist(),
            "below": int((ppl < low).sum()),
            "above": int((ppl > high).sum()),
        },
    }
