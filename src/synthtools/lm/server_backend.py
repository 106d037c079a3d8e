"""Scoring through an OpenAI-compatible server of vLLM: ``prompt_logprobs`` of token ids.

Requests go out a few at a time and are tried again when the server is busy or the connection
breaks; what the server refuses is one line. Only vLLM's servers give log-probabilities of a prompt.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np

from synthtools import redaction
from synthtools.errors import SynthError, UsageError
from synthtools.lm.loading import BUILTIN, ModelName
from synthtools.lm.scores import Request, Sequence, SequenceScores
from synthtools.lm.server_http import ask, message_of
from synthtools.lm.vllm_backend import wanted_candidates

_IN_FLIGHT = 16
_TRIES = 6
_TIMEOUT = httpx.Timeout(600, connect=10)
_CHUNK_BYTES = 1 << 20
# Busy, or not able for the moment: worth another try.
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class NotServedError(SynthError):
    """A server does not serve the model asked for."""


def connect(settings: Any) -> ServerEngine:
    """Connects to ``settings.server`` and asks what it serves.

    Raises:
        UsageError: the URL is none.
        SynthError: no server answers, or it serves another model than the one asked for.
    """
    client, model = greet(settings.server, settings.model.name, _TIMEOUT)
    url = f"{client.base_url}".rstrip("/")
    length = model.get("max_model_len")
    if type(length) is not int or length < 2:
        raise SynthError(f"{url}: does not say its context length; only vLLM's servers can score")
    # The server generates at least one token, which needs a place of its own.
    longest = length - 1
    if settings.context is not None and settings.context > longest:
        raise SynthError(
            f"--context {settings.context}: the server takes at most {longest} tokens; longer "
            "documents go through overlapping windows anyway"
        )
    return ServerEngine(client, model, settings.context or longest)


def greet(
    server: str, name: str, timeout: httpx.Timeout, limits: httpx.Limits | None = None
) -> tuple[httpx.Client, dict[str, Any]]:
    """A client of a server, and what the server says of the model asked for.

    Raises:
        UsageError: the URL is none.
        SynthError: no server answers, or it serves another model than the one asked for.
    """
    url = server.rstrip("/").removesuffix("/v1")
    shown = server.rpartition("@")[2]
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--server {shown}: not a URL such as http://127.0.0.1:8000")
    redaction.know(url)
    key = os.environ.get("OPENAI_API_KEY")
    if key and not (key.isascii() and key.isprintable()):
        raise UsageError("OPENAI_API_KEY holds what no header may (a line end, or not ASCII)")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        client = httpx.Client(
            base_url=url, timeout=timeout, headers=headers, **({"limits": limits} if limits else {})
        )
    except httpx.InvalidURL as error:
        # What is wrong may be a piece of a password with a slash in it.
        raise UsageError(
            f"--server {shown}: not a URL such as http://127.0.0.1:8000 (write / in a password as %2F)"
        ) from error
    served = _answer(client, "GET", "/v1/models", None).get("data")
    if not isinstance(served, list) or not all(map(_is_model, served)):
        raise SynthError(f"{url}: does not say which models it serves; is it a server of vLLM?")
    return client, _served_model(served, name, url)


def _is_model(served: Any) -> bool:
    return (
        isinstance(served, dict)
        and isinstance(served.get("id"), str)
        and isinstance(served.get("root"), str | None)
    )


def _served_model(served: list[dict[str, Any]], name: str, url: str) -> dict[str, Any]:
    names = [model.get("id") for model in served]
    for model in served:
        if name in (model.get("id"), model.get("root")):
            return model
    # The default name stands for whatever the server has.
    if name == BUILTIN and len(served) == 1:
        return served[0]
    raise NotServedError(
        f"{url}: does not serve {name}; --model takes {', '.join(map(str, names))}"
    )


def _answer(client: httpx.Client, method: str, path: str, body: Any) -> dict[str, Any]:
    """The JSON that a server answers.

    Raises:
        SynthError: it cannot be reached, refuses, or goes on failing.
    """
    url = f"{client.base_url}".rstrip("/")
    problem = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(0.5 * 2 ** (attempt - 1))
        try:
            reply = ask(client, method, path, body)
        except httpx.ConnectError as error:
            problem = f"no server answers ({error})"
            if method == "GET":
                break  # the first question: there is nothing to wait for
            continue
        except httpx.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
            continue
        if reply.code in PASSING:
            problem = f"HTTP {reply.code}: {message_of(reply)}"
            continue
        if reply.code != 200:
            raise SynthError(f"{url}: refuses: HTTP {reply.code}: {message_of(reply)}")
        try:
            answer = reply.json()
        except ValueError:
            problem = "the answer is no JSON"
            continue
        if isinstance(answer, dict):
            return answer
        problem = "the answer is no JSON object"
    raise SynthError(f"{url}: {problem}")


class ServerEngine:
    """A server as an engine (see ``scores.Engine``).

    Attributes:
        model: the name of the served model.
    """

    def __init__(self, client: httpx.Client, served: dict[str, Any], context: int) -> None:
        self.context = context
        self.chunk_bytes = _CHUNK_BYTES
        self.model: str = served["id"]
        self._root = served.get("root") or served["id"]
        self._client = client
        self._pool = ThreadPoolExecutor(_IN_FLIGHT)

    def tokenizer_name(self, asked: ModelName) -> str:
        """Whose tokenizer turns texts into the server's tokens."""
        if asked.tokenizer:
            return asked.tokenizer
        # What the server was started with, unless the user names the model in full.
        return self._root if asked.name in (BUILTIN, self.model) else asked.name

    def run(self, sequences: list[Sequence], request: Request) -> list[SequenceScores]:
        return list(self._pool.map(lambda s: self._score(s, request), sequences))

    def _score(self, sequence: Sequence, request: Request) -> SequenceScores:
        body = {
            "model": self.model,
            "prompt": sequence.tokens.tolist(),
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": request.candidates,
        }
        answer = _answer(self._client, "POST", "/v1/completions", body)
        try:
            found = answer["choices"][0]["prompt_logprobs"][sequence.first :]
            return self._scores(sequence, found, request)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise SynthError(
                f"{self._client.base_url}: gives no log-probabilities of a prompt "
                f"({type(error).__name__}); only vLLM's servers do"
            ) from error

    def _scores(
        self, sequence: Sequence, found: list[dict[str, dict[str, Any]]], request: Request
    ) -> SequenceScores:
        tokens = sequence.tokens[sequence.first :]
        if len(found) != len(tokens):
            raise ValueError("another number of tokens")
        observed = np.array(
            [row[str(token)]["logprob"] for row, token in zip(found, tokens, strict=True)],
            np.float32,
        )
        # A NaN is not below; what is rounded may be a little above.
        if not (observed < 1e-3).all():
            raise ValueError("what is no log-probability")
        k = request.candidates
        if not k:
            return SequenceScores(observed, None)
        ids = np.zeros((len(found), k), np.int32)
        logprobs = np.zeros((len(found), k), np.float32)
        for index, row in enumerate(found):
            # The observed token comes too, with its own rank: beyond k it is no candidate.
            best = sorted((entry["rank"], int(token)) for token, entry in row.items())[:k]
            if len(best) < k:
                raise ValueError("fewer candidates than asked for")
            ids[index] = [token for _, token in best]
            logprobs[index] = [row[str(token)]["logprob"] for _, token in best]
        if (ids < 0).any() or not (logprobs < 1e-3).all():
            raise ValueError("what is no token, or no log-probability")
        return SequenceScores(observed, wanted_candidates(observed, ids, logprobs, request))

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._client.close()
