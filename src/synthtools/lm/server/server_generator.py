"""Generation through OpenAI-compatible servers.

A request is retried if the server is busy, truncates its reply or times out; the generator waits for a server
that is unreachable. A refused prompt, or a reply from another model, is an error of that prompt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from typing import Any

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.lm.generation import (
    Answer,
    Finished,
    Generator,
    Prompt,
    SamplingSettings,
    failed,
    too_long,
)
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.pretrained import describe
from synthtools.lm.server.completions import answer_of, path_and_content, request_of
from synthtools.lm.server.rate_limit import TrafficLimits
from synthtools.lm.server.server_http import (
    NotServedError,
    RefusedError,
    RetryError,
    client_of,
    served_model,
)
from synthtools.lm.server.server_pool import DaemonThreads, PooledServer, ServerPool

# Default number of requests in flight.
_IN_FLIGHT = 64
# Prompts read ahead of the oldest unanswered one, per request in flight.
_AHEAD = 8
# An estimate is enough for limits on tokens in flight.
_BYTES_A_TOKEN = 4
# Seconds to wait for replies in flight once the servers are given up.
_GRACE = 30.0


class ServerGenerator(Generator):
    def __init__(
        self,
        settings: ModelSettings,
        urls: list[str],
        sampling: SamplingSettings,
        seed: int,
        remark: Callable[[str], None],
        limits: TrafficLimits | None = None,
    ) -> None:
        traffic = settings.traffic
        self._requests = traffic.requests or _IN_FLIGHT
        servers = _serving(urls, settings, self._requests)
        limits = limits or TrafficLimits(traffic)
        self._pool = ServerPool(servers, traffic.patience, limits, remark)
        self._threads = DaemonThreads(self._requests)
        self._sampling = sampling
        self._seed = seed
        self._tries = traffic.tries
        self._remark = remark
        self._has_template = True
        self._counts_tokens = False
        lengths = [s.length for s in servers if s.length is not None]
        self.context = min(
            [*lengths, *([settings.context] if settings.context else [])], default=None
        )
        if settings.context and lengths and settings.context > min(lengths):
            raise SynthError(
                f"{parameter('context', settings.context)}: the server takes at most {min(lengths)} tokens"
            )
        self.description = describe(settings.model, None) | {
            "name": servers[0].model,
            "backend": "server",
            "context": self.context,
        }
        if len({s.model for s in servers}) > 1:
            raise UsageError(
                f"{parameter('server')}: they serve different models "
                f"({', '.join(s.model for s in servers)})"
            )

    def sample_as(self, sampling: SamplingSettings) -> None:
        self._sampling = sampling

    def generate(
        self, prompts: Iterable[Prompt], finished: Finished | None = None
    ) -> Iterator[Answer]:
        waiting: deque[Future[Answer]] = deque()

        def ask(place: int, prompt: Prompt) -> Answer:
            answer = self._ask(prompt)
            if finished:
                finished(place, answer)
            return answer

        try:
            for place, prompt in enumerate(prompts):
                waiting.append(self._threads.submit(ask, place, prompt))
                while waiting and (len(waiting) >= _AHEAD * self._requests or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except SynthError:
            # Replies in flight are paid for: wait for them, so that a cache or journal gets them.
            running = [future for future in waiting if not future.cancel()]
            wait(running, _GRACE)
            raise
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        self._threads.close()
        self._pool.close()

    def _ask(self, prompt: Prompt) -> Answer:
        """The answer to a prompt, with a template or without, retried as needed."""
        tokens = prompt.size // _BYTES_A_TOKEN + self._sampling.max_new_tokens
        try:
            return self._pool.asked(lambda server: self._once(server, prompt), self._tries, tokens)
        except (RetryError, RefusedError) as error:
            self._pool.failed_for_good(str(error))
            return failed(str(error))

    def _once(self, server: PooledServer, prompt: Prompt) -> Answer:
        try:
            return self._fitting(server, prompt)
        except _NoTemplate:
            if self._has_template:
                self._has_template = False
                self._remark(
                    f"{server.model}: has no chat template; conversations are rendered plainly "
                    "(User: … Assistant:)"
                )
            return self._fitting(server, prompt)

    def _fitting(self, server: PooledServer, prompt: Prompt) -> Answer:
        """The answer, shortened if prompt and answer exceed the context."""
        room = self._sampling.max_new_tokens
        if server.length is not None:
            room = min(room, server.length - 1)
        if self.context is not None and (self._counts_tokens or self.context != server.length):
            return self._with_room(server, prompt, room)
        try:
            return self._request(server, prompt, room)
        except _NoRoom:
            # Prompt and answer exceed the context: from now on the tokens of prompts are counted first.
            self._counts_tokens = True
            return self._with_room(server, prompt, room)

    def _with_room(self, server: PooledServer, prompt: Prompt, room: int) -> Answer:
        """Requests at most ``room`` tokens."""
        assert self.context is not None
        count = self._count(server, prompt)
        if count >= self.context:
            return too_long(count, self.context)
        try:
            return self._request(server, prompt, min(room, self.context - count))
        except _NoRoom as error:
            raise RefusedError(str(error)) from error

    def _count(self, server: PooledServer, prompt: Prompt) -> int:
        _, content = path_and_content(prompt, self._has_template)
        reply = self._post(server, "/tokenize", {"model": server.model, **content})
        count = reply.get("count")
        if type(count) is not int or count < 0:
            raise RetryError("does not count the tokens of a prompt")
        return count

    def _request(self, server: PooledServer, prompt: Prompt, room: int) -> Answer:
        path, body = request_of(
            prompt,
            self._sampling,
            self._seed,
            model=server.model,
            room=room,
            vllm=server.is_vllm,
            template=self._has_template,
        )
        reply = self._post(server, path, body)
        return answer_of(reply, server.choice(reply), room, self.context)

    def _post(self, server: PooledServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return server.post(path, body)
        except RefusedError as error:
            reason = str(error).lower()
            if "chat template" in reason and "messages" in body:
                raise _NoTemplate from error
            if path != "/tokenize" and server.is_vllm and "context length" in reason:
                raise _NoRoom(str(error)) from error
            raise


def _serving(urls: list[str], settings: ModelSettings, requests: int) -> list[PooledServer]:
    """Of several servers, those that serve the model.

    Args:
        requests: at most so many in flight.

    Raises:
        SynthError: none serves it, or one cannot be reached.
    """
    servers: list[PooledServer] = []
    refusals: list[NotServedError] = []
    for url in urls:
        client = client_of(url, settings.traffic, requests)
        try:
            served = served_model(client, settings.model.name)
            servers.append(PooledServer(client, served, settings.answers_as))
        except NotServedError as error:
            refusals.append(error)
    if not servers:
        raise refusals[0]
    return servers


class _NoRoom(Exception):  # noqa: N818
    """Prompt and answer exceed the context."""


class _NoTemplate(Exception):  # noqa: N818
    """The served model has no chat template."""
