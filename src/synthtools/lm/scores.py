"""Scoring: requests, results and the interface of engines."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

# Engines compare in float32 on their device; callers apply the exact threshold in float64. The margin makes
# sure that positions close to it have candidates.
_MARGIN = 1e-5


@dataclass(frozen=True)
class ScoreRequest:
    """What to compute besides the log-probability of each token.

    Attributes:
        candidates: k, for the k most probable tokens; 0 for none.
        at_least: candidates only where the token's probability is at least this …
        at_most: … or at most this. Without both, everywhere.
        distribution: whether to summarise the whole distribution at each token (``TokenDistribution``).
    """

    candidates: int = 0
    at_least: float | None = None
    at_most: float | None = None
    distribution: bool = False

    @property
    def everywhere(self) -> bool:
        return self.at_least is None and self.at_most is None

    def log_bounds(self) -> tuple[float, float]:
        """(a, b): candidates are wanted where the log-probability is ≥ a or ≤ b."""
        if self.everywhere:
            return -math.inf, math.inf
        low = math.inf if self.at_least is None else _log(self.at_least) - _MARGIN
        high = -math.inf if self.at_most is None else _log(self.at_most) + _MARGIN
        return low, high


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf


class Candidates(NamedTuple):
    """The most probable tokens at some of a text's tokens.

    Attributes:
        present: bool [n], which tokens have candidates.
        ids: int32 [tokens present, k], by descending probability, ties by id.
        logprobs: float32 [tokens present, k], nats.
    """

    present: np.ndarray
    ids: np.ndarray
    logprobs: np.ndarray


class TokenDistribution(NamedTuple):
    """Statistics of the model's distribution p at each token; float32 [n], NaN where there is none or the
    backend does not report it.

    Attributes:
        entropy: −Σ p ln p, nats; variance: of ln p under p.
        rank: of the observed token, 1 for the most probable.
        cross_entropy: −Σ q ln p, nats, with q of another model (``ModelSettings.observer``).
    """

    entropy: np.ndarray
    variance: np.ndarray
    rank: np.ndarray
    cross_entropy: np.ndarray

    @classmethod
    def of_ranks(cls, rank: np.ndarray) -> TokenDistribution:
        """For a backend that reports only ranks."""
        unknown = np.full(len(rank), np.nan, np.float32)
        return cls(unknown, unknown, rank.astype(np.float32), unknown)


class Scores(NamedTuple):
    """Scores of one text.

    Attributes:
        ids: int32 [n], its tokens.
        logprobs: float32 [n], ln P(token | the tokens before it); NaN for a first token with nothing before it.
        candidates, distribution: None if not requested.
    """

    ids: np.ndarray
    logprobs: np.ndarray
    candidates: Candidates | None
    distribution: TokenDistribution | None = None


class Sequence(NamedTuple):
    """One forward pass: tokens, of which those from ``first`` (≥ 1) on are scored.

    Attributes:
        tokens: int32 [length ≤ context].
        first: index of the first scored token.
    """

    tokens: np.ndarray
    first: int


class SequenceScores(NamedTuple):
    """An engine's result for a sequence: float32 [scored], and candidates and statistics of the same tokens."""

    logprobs: np.ndarray
    candidates: Candidates | None
    distribution: TokenDistribution | None = None


class ScoringEngine(Protocol):
    """A backend.

    Attributes:
        context: the maximal length of a sequence.
        chunk_bytes: about how much text per call keeps the device busy.
        calls: how many concurrent calls keep it busy.
        passed: called with a number of tokens when they have been scored.
    """

    context: int
    chunk_bytes: int
    calls: int
    passed: Callable[[int], None]

    def run(self, sequences: list[Sequence], request: ScoreRequest) -> list[SequenceScores]:
        """Scores sequences, in order; each result depends only on its sequence, up to the rounding of
        the device."""
        ...

    def close(self) -> None:
        """Aborts a run in another thread, and releases the device."""
        ...


@runtime_checkable
class OneByOneEngine(ScoringEngine, Protocol):
    """A backend that finishes sequences one by one.

    Attributes:
        scored: called with each sequence's scores when they are complete, from any thread.
    """

    scored: Callable[[Sequence, ScoreRequest, SequenceScores], None]


@runtime_checkable
class PoolingEngine(ScoringEngine, Protocol):
    """A backend with hidden states of size ``width``."""

    width: int

    def pooled(self, sequences: list[Any]) -> list[np.ndarray]:
        """The sum of the last hidden states over a part of each sequence, float32: from its ``first``
        token on, or the part that the backend defines."""
        ...


def ordered_candidates(present: np.ndarray, ids: np.ndarray, logprobs: np.ndarray) -> Candidates:
    """Candidates in the order that all engines use: descending probability, ties by id."""
    order = np.lexsort((ids, -logprobs), axis=-1)
    return Candidates(
        present,
        np.take_along_axis(ids, order, -1).astype(np.int32),
        np.take_along_axis(logprobs, order, -1).astype(np.float32),
    )


def wanted_candidates(
    observed: np.ndarray, ids: np.ndarray, logprobs: np.ndarray, request: ScoreRequest
) -> Candidates:
    """The candidates that the request asks for, from those of all tokens.

    Args:
        observed: float32 [n]; ids, logprobs: [n, k].
    """
    low, high = request.log_bounds()
    present = (observed >= low) | (observed <= high)
    return ordered_candidates(present, ids[present], logprobs[present])
