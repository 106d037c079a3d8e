"""A language model that scores texts, with any backend."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from synthtools.closeable import Closeable
from synthtools.errors import SynthError, parameter
from synthtools.lm.scores import (
    Candidates,
    PoolingEngine,
    ScoreRequest,
    Scores,
    ScoringEngine,
    Sequence,
    SequenceScores,
    TokenDistribution,
)
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.lm.windows import windows


class ScoringProgress:
    """Counts of tokens read and tokens scored; thread-safe.

    Attributes:
        scored: tokens scored so far.
    """

    def __init__(self) -> None:
        self.scored = 0
        self._bytes = self._tokens = self._done = 0
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def bring(self, record_bytes: int, tokens: int) -> None:
        """Counts texts that have been tokenised.

        Args:
            record_bytes: size of their records.
        """
        with self._lock:
            self._bytes += record_bytes
            self._tokens += tokens

    def passed(self, tokens: int) -> None:
        """Counts scored tokens."""
        with self._lock:
            self.scored += tokens

    def bytes_done(self, read: int) -> int:
        """An estimate of the input bytes whose texts are scored, from the bytes read: slightly too high
        for compressed inputs, which are read ahead. It never decreases."""
        with self._lock:
            share = min(1.0, self.scored / self._tokens) if self._tokens else 0.0
            self._done = max(self._done, int(share * min(read, self._bytes)))
            return self._done

    def rate(self) -> float:
        """Tokens per second since the model was opened."""
        return self.scored / max(1e-9, time.monotonic() - self._start)


class Tokenised(NamedTuple):
    """A text as tokens, after a prompt that is only context.

    Attributes:
        ids: int32 [n]; prompt: int32 [m].
        rendered: whether a chat template wrote the prompt, begin-of-text included.
    """

    ids: np.ndarray
    prompt: np.ndarray
    rendered: bool = False


NO_PROMPT = np.zeros(0, np.int32)


class LanguageModel(Closeable):
    """Scores texts; a context manager that releases the device.

    Attributes:
        tokenizer: text ↔ tokens.
        description: the model's entry in reports.
        chunk_bytes: about how much text one call should pass.
        calls: how many concurrent calls keep it busy.
        progress: tokens read and scored.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        engine: ScoringEngine,
        *,
        stride: int,
        bos: bool,
        description: dict[str, Any],
    ) -> None:
        self.tokenizer = tokenizer
        self.description = description | {
            "context": engine.context,
            "stride": stride,
            "begin_of_text": bos,
        }
        self.chunk_bytes = engine.chunk_bytes
        self.calls = engine.calls
        self.progress = ScoringProgress()
        engine.passed = self.progress.passed
        self._engine = engine
        self._begin = np.array([tokenizer.bos_id], np.int32) if bos else NO_PROMPT
        self._capacity = engine.context - len(self._begin)
        self._stride = stride

    def close(self) -> None:
        self._engine.close()

    def keep(self, kept: Callable[[ScoringEngine], ScoringEngine]) -> None:
        """Wraps the engine, for instance in a cache."""
        self._engine = kept(self._engine)

    @property
    def capacity(self) -> int:
        """Tokens of text in one forward pass."""
        return self._capacity

    @property
    def begin(self) -> list[int]:
        """Tokens put before every text."""
        return list(self._begin)

    def tokenise(self, texts: list[str], prompts: list[str] | None = None) -> list[Tokenised]:
        """Tokens of texts and of their prompts (tokenised separately, so that a text has the same tokens
        after any prompt [ours])."""
        ids = self.tokenizer.encode(texts)
        if prompts is None:
            return [Tokenised(i, NO_PROMPT) for i in ids]
        before = self.tokenizer.encode(prompts)
        return [Tokenised(i, p) for i, p in zip(ids, before, strict=True)]

    def score(self, texts: list[Tokenised], request: ScoreRequest) -> list[Scores]:
        by_text = [self._sequences(text) for text in texts]
        scores = self._engine.run([one for some in by_text for one in some], request)
        if any(np.isnan(part.logprobs).any() for part in scores):
            raise SynthError(
                f"{self.description['name']}: gives probabilities that are not numbers; float16 is "
                f"too narrow for some models: try another {parameter('dtype')}"
            )
        rest = iter(scores)
        return [
            _assembled(text.ids, list(islice(rest, len(some))), request)
            for text, some in zip(texts, by_text, strict=True)
        ]

    def embed(self, texts: list[Tokenised], pooling: str = "mean") -> np.ndarray:
        """Vectors of texts from the last hidden states, float32 [texts, width]; zeros for a text
        without tokens.

        Args:
            pooling: ``mean`` over a text's tokens [ours]: long texts go through the same windows as
                for scoring, and each token counts once. ``last``: the state of the last token, with
                as many tokens before it as the context holds.

        Raises:
            SynthError: the backend has no hidden states.
        """
        engine = self._engine
        if not isinstance(engine, PoolingEngine):
            torch = parameter("backend", "torch")
            raise SynthError(f"vectors come from the torch backend: use {torch}")
        by_text = [self._pooled_sequences(text, pooling) for text in texts]
        sums = iter(engine.pooled([one for some in by_text for one in some]))
        vectors = np.zeros((len(texts), engine.width), np.float32)
        for row, (text, some) in enumerate(zip(texts, by_text, strict=True)):
            for one in islice(sums, len(some)):
                vectors[row] += one
            if pooling == "mean":
                vectors[row] /= max(1, len(text.ids))
        return vectors

    def _pooled_sequences(self, text: Tokenised, pooling: str) -> list[Sequence]:
        shift = len(self._begin)
        if pooling == "last" and len(text.ids):
            end = np.concatenate([text.prompt, text.ids])[-self._capacity :]
            tokens = np.concatenate([self._begin, end])
            return [Sequence(tokens, len(tokens) - 1)]
        sequences = self._sequences(text)
        if sequences:
            # A first token has a hidden state even if it has no probability.
            sequences[0] = sequences[0]._replace(first=shift + len(text.prompt))
        elif len(text.ids):
            sequences = [Sequence(np.concatenate([self._begin, text.ids]), shift)]
        return sequences

    def _sequences(self, text: Tokenised) -> list[Sequence]:
        tokens = np.concatenate([text.prompt, text.ids]) if len(text.prompt) else text.ids
        begin = NO_PROMPT if text.rendered else self._begin
        shift = len(begin)
        # A first token with nothing before it has no probability.
        first = max(len(text.prompt), 0 if shift else 1)
        return [
            Sequence(
                np.concatenate([begin, tokens[window.start : window.end]]),
                window.first - window.start + shift,
            )
            for window in windows(len(tokens), first, self._capacity, self._stride)
        ]


def _assembled(ids: np.ndarray, parts: list[SequenceScores], request: ScoreRequest) -> Scores:
    """A text's scores from those of its windows."""
    scored = sum(len(part.logprobs) for part in parts)
    missing = len(ids) - scored  # 0, or 1 for a first token with nothing before it
    unscored = np.full(missing, np.nan, np.float32)
    logprobs = np.concatenate([unscored, *(part.logprobs for part in parts)])
    distribution = None
    if request.distribution:
        known = [part.distribution for part in parts if part.distribution is not None]
        columns = zip(*known, strict=True) if known else [()] * len(TokenDistribution._fields)
        distribution = TokenDistribution(
            *(np.concatenate([unscored, *column]) for column in columns)
        )
    if not request.candidates:
        return Scores(ids, logprobs, None, distribution)
    some = [part.candidates for part in parts if part.candidates is not None]
    k = some[0].ids.shape[1] if some else request.candidates
    candidates = Candidates(
        np.concatenate([np.zeros(missing, bool), *(c.present for c in some)]),
        np.concatenate([np.zeros((0, k), np.int32), *(c.ids for c in some)]),
        np.concatenate([np.zeros((0, k), np.float32), *(c.logprobs for c in some)]),
    )
    return Scores(ids, logprobs, candidates, distribution)
