"""Scoring through an OpenAI-compatible server of vLLM: ``prompt_logprobs`` of token ids.

A few requests are in flight at a time; a server that is busy or unreachable is retried, as in ``generate``.
Replies are checked for consistency, since wrong numbers would go unnoticed in perplexities and edits. Only
vLLM's servers return log-probabilities of a prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from synthtools.errors import SynthError, parameter
from synthtools.lm.model_name import BUILTIN, ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.scores import (
    ScoreRequest,
    Sequence,
    SequenceScores,
    TokenDistribution,
    wanted_candidates,
)
from synthtools.lm.server.rate_limit import TrafficLimits
from synthtools.lm.server.server_http import RefusedError, RetryError, client_of, served_model
from synthtools.lm.server.server_pool import DaemonThreads, PooledServer, ServerPool

# Default number of requests in flight: the replies are much larger than those with answers.
_IN_FLIGHT = 16
_CHUNK_BYTES = 128 << 10
# Tolerance for rounding: log-probabilities above 0, sums of probabilities above 1.
_ROUNDING = 1e-3
_LOWEST = float(np.finfo(np.float32).min)

Row = dict[str, dict[str, Any]]


def connect(
    settings: ModelSettings,
    remark: Callable[[str], None] = lambda _: None,
    limits: TrafficLimits | None = None,
) -> ServerEngine:
    """Connects to ``settings.server`` and asks what it serves.

    Raises:
        UsageError: the URL is malformed.
        SynthError: the server does not answer, or does not serve the model.
    """
    assert settings.server is not None
    traffic = settings.traffic
    requests = traffic.requests or _IN_FLIGHT
    client = client_of(settings.server, traffic, requests)
    server = PooledServer(client, served_model(client, settings.model.name), settings.answers_as)
    if server.length is None or server.length < 2:
        raise SynthError(
            f"{server.url}: does not say its context length; only vLLM's servers can score"
        )
    # The server generates at least one token, which needs a position.
    longest = server.length - 1
    if settings.context is not None and settings.context > longest:
        raise SynthError(
            f"{parameter('context', settings.context)}: the server takes at most {longest} tokens; longer "
            "documents go through overlapping windows anyway"
        )
    pool = ServerPool([server], traffic.patience, limits or TrafficLimits(traffic), remark)
    return ServerEngine(server, pool, settings.context or longest, requests, traffic.tries)


class ServerEngine:
    """A server as an engine (see ``scores.ScoringEngine``).

    Attributes:
        server: the server.
        calls: so many chunks keep enough requests in flight while the first chunk ends early.
    """

    calls = 4

    def __init__(
        self, server: PooledServer, pool: ServerPool, context: int, requests: int, tries: int
    ) -> None:
        self.server = server
        self.context = context
        self.chunk_bytes = _CHUNK_BYTES
        self.passed: Callable[[int], None] = lambda _: None
        self.scored: Callable[[Sequence, ScoreRequest, SequenceScores], None] = lambda *_: None
        self._pool = pool
        self._tries = tries
        self._threads = DaemonThreads(requests)

    def tokenizer_name(self, asked: ModelName) -> str:
        """The name of the model whose tokenizer the server uses."""
        if asked.tokenizer:
            return asked.tokenizer
        # The model that the server was started with, unless the user gives a full name.
        return self.server.root if asked.name in (BUILTIN, self.server.model) else asked.name

    def run(self, sequences: list[Sequence], request: ScoreRequest) -> list[SequenceScores]:
        futures = [self._threads.submit(self._scored, one, request) for one in sequences]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def _scored(self, sequence: Sequence, request: ScoreRequest) -> SequenceScores:
        scores = self._score(sequence, request)
        self.scored(sequence, request, scores)
        return scores

    def _score(self, sequence: Sequence, request: ScoreRequest) -> SequenceScores:
        rows = self.rows(sequence.tokens, request.candidates)[sequence.first :]
        tokens = sequence.tokens[sequence.first :].tolist()
        observed = np.array(
            [row[str(token)]["logprob"] for row, token in zip(rows, tokens, strict=True)],
            np.float32,
        )
        self.passed(len(observed))
        distribution = None
        if request.distribution:
            ranks = [row[str(token)]["rank"] for row, token in zip(rows, tokens, strict=True)]
            distribution = TokenDistribution.of_ranks(np.array(ranks))
        k = request.candidates
        if not k:
            return SequenceScores(observed, None, distribution)
        ids = np.zeros((len(rows), k), np.int32)
        logprobs = np.zeros((len(rows), k), np.float32)
        for index, row in enumerate(rows):
            # The observed token is listed too, with its rank: beyond k it is not a candidate.
            best = sorted((entry["rank"], int(token)) for token, entry in row.items())[:k]
            ids[index] = [token for _, token in best]
            logprobs[index] = [row[str(token)]["logprob"] for _, token in best]
        return SequenceScores(
            observed, wanted_candidates(observed, ids, logprobs, request), distribution
        )

    def rows(self, tokens: np.ndarray, k: int) -> list[Row]:
        """For each token of a prompt: log-probability and rank of the token and of the ``k`` best, by
        token id; empty for the first.

        Raises:
            SynthError: the reply has none, or inconsistent ones.
        """
        body = {
            "model": self.server.model,
            "prompt": tokens.tolist(),
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": k,
        }
        try:
            choice = self._pool.asked(
                lambda server: server.choice(server.post("/v1/completions", body)),
                self._tries,
                len(tokens) + 1,
            )
        except RetryError as error:
            raise SynthError(str(error)) from error
        except RefusedError as error:
            raise SynthError(f"{error}{_remedy(str(error), k)}") from error
        rows = choice.get("prompt_logprobs")
        try:
            if not isinstance(rows, list):
                raise ValueError("none at all; only vLLM's servers do")
            if len(rows) != len(tokens):
                raise ValueError(f"of {len(rows)} tokens, sent were {len(tokens)}")
            if rows[0] is not None:
                raise ValueError("of the first token too, which has nothing before it")
            for place, (row, token) in enumerate(zip(rows[1:], body["prompt"][1:], strict=True), 1):
                _check(row, token, k, place)
        except ValueError as error:
            raise SynthError(
                f"{self.server.url}: wrong log-probabilities of a prompt: {error}"
            ) from error
        return [{}, *rows[1:]]

    def close(self) -> None:
        self._threads.close()
        self._pool.close()


def _check(row: Any, token: int, k: int, place: int) -> None:
    """Raises ValueError if a row of prompt_logprobs does not fit the request or is inconsistent."""
    if row is None:
        raise ValueError(
            f"none of token {place}; start the server with --no-enable-prefix-caching "
            "--no-enable-chunked-prefill, or take a newer vLLM"
        )
    try:
        entries = sorted((e["rank"], int(name), e["logprob"]) for name, e in row.items())
        known = str(token) in row
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"token {place} has no ranks and numbers") from error
    if not known:
        raise ValueError(f"of another token than token {place} that was sent ({token})")
    if len(entries) < k:
        raise ValueError(f"{len(entries)} candidates of token {place}, asked for were {k}")
    total, above = 0.0, _ROUNDING
    for rank, name, logprob in entries:
        if type(rank) is not int or rank < 1 or not 0 <= name < 1 << 31:
            raise ValueError(f"token {name} of rank {rank!r}")
        if type(logprob) not in (int, float) or not _LOWEST <= logprob <= _ROUNDING:
            raise ValueError(
                f"{logprob!r} at token {place}; start the server with --logprobs-mode raw_logprobs"
            )
        if logprob > above:
            raise ValueError(f"ranks of token {place} that do not follow the probabilities")
        above = logprob + _ROUNDING
        total += math.exp(logprob)
    if total > 1 + 2 * _ROUNDING:
        raise ValueError(
            f"probabilities of token {place} that add to {total:.4g}; start the server with "
            "--logprobs-mode raw_logprobs"
        )


def _remedy(refusal: str, k: int) -> str:
    """The option that a vLLM server lacks, from its error."""
    reason = refusal.lower()
    if "logprobs" in reason and ("max" in reason or "greater" in reason):
        return f"; start it with --max-logprobs {k}"
    if "prefix cach" in reason:
        return "; start it with --no-enable-prefix-caching"
    if "chunked" in reason:
        return "; start it with --no-enable-chunked-prefill"
    return ""
