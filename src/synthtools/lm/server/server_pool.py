"""Several servers of one model: load balancing, retries, and when to give one up."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from synthtools.errors import SynthError, parameter
from synthtools.lm.server.completions import only_choice
from synthtools.lm.server.rate_limit import TrafficLimits
from synthtools.lm.server.server_http import (
    BusyError,
    RefusedError,
    RetryError,
    ask,
    message_of,
    read,
    shown_url,
)
from synthtools.scale.threads import in_context

_R = TypeVar("_R")

# Seconds of backoff after a failure, doubled up to the maximum.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 15.0
# So many failed prompts in a row are not the prompts' fault.
_FAILURES_IN_A_ROW = 20


def pause(failures: int) -> float:
    return min(_LONGEST_PAUSE, math.ldexp(_FIRST_PAUSE, min(failures - 1, 10)))


class PooledServer:
    """One server.

    Args:
        answers_as: other model names that its replies may have, with ``*`` and ``?``.

    Attributes:
        model: the name of the served model.
        is_vllm: whether it takes vLLM's own options.
        length: tokens of prompt and answer together, None if it does not report them.
    """

    def __init__(
        self, client: httpx.Client, served: dict[str, Any], answers_as: str | None = None
    ) -> None:
        self.client = client
        self.url = shown_url(client)
        self.model: str = served["id"]
        self.root: str = served.get("root") or served["id"]
        length = served.get("max_model_len")
        self.length: int | None = length if type(length) is int and length > 0 else None
        self.is_vllm = served.get("owned_by") == "vllm" or self.length is not None
        self._answers_as = answers_as
        self.in_flight = 0
        self.failures = 0  # in a row
        self.rests_until = 0.0
        self.failed_at = 0.0
        self.failing_since: float | None = None
        self.given_up: str | None = None

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request.

        Raises:
            httpx.HTTPError, RetryError, BusyError, RefusedError: it gives no usable reply.
            SynthError: it denies access.
        """
        reply = ask(self.client, "POST", path, body)
        if reply.code in (401, 403, 404):
            raise SynthError(f"{self.url}: refuses: HTTP {reply.code}: {message_of(reply)}")
        try:
            return read(reply)
        except RefusedError as error:
            raise RefusedError(f"{self.url}: refuses: {error}") from error

    def choice(self, reply: dict[str, Any]) -> dict[str, Any]:
        """The only choice in a reply (see ``only_choice``)."""
        try:
            return only_choice(reply, self.model, self._answers_as)
        except RefusedError as error:
            raise RefusedError(f"{self.url}: {error}") from error


class ServerPool:
    """Hands out servers, the least busy first.

    Args:
        patience: seconds without a success after which a server is given up; one that asks for a longer
            wait is given up at once.
        limits: on requests and tokens.
        remark: receives remarks for the user.
    """

    def __init__(
        self,
        servers: list[PooledServer],
        patience: float,
        limits: TrafficLimits,
        remark: Callable[[str], None],
    ) -> None:
        self.servers = servers
        self._patience = patience
        self._limits = limits
        self._remark = remark
        self._failed_in_a_row = 0
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def server(self) -> Iterator[PooledServer]:
        """Waits for a server that is not pausing.

        Raises:
            SynthError: all servers have been given up.
        """
        with self._changed:
            while True:
                self._refuse_if_over()
                now = time.monotonic()
                working = [s for s in self.servers if s.given_up is None]
                ready = [s for s in working if s.rests_until <= now]
                if ready:
                    break
                rest = min(s.rests_until for s in working) - now
                self._changed.wait(min(60.0, max(0.01, rest)))  # never without a timeout
            # A single request tests whether a server is back.
            chosen = min(ready, key=lambda s: s.in_flight)
            chosen.in_flight += 1
            if chosen.failures:
                chosen.rests_until = now + pause(chosen.failures)
        try:
            yield chosen
        finally:
            with self._changed:
                chosen.in_flight -= 1
                self._changed.notify_all()

    def _wait_for_turn(self, tokens: int) -> None:
        """Waits as the limits per minute require; raises SynthError if the pool is closed."""
        until = time.monotonic() + self._limits.take(tokens)
        with self._changed:
            while (left := until - time.monotonic()) > 0:
                self._refuse_if_over()
                self._changed.wait(left)

    def asked(self, once: Callable[[PooledServer], _R], tries: int, tokens: int) -> _R:
        """The result of a request: retried without limit while servers are unreachable or overloaded,
        and ``tries`` times if they work but their reply is unusable.

        Args:
            once: sends the request to a server.
            tokens: estimate for prompt and answer.

        Raises:
            RetryError: no try gave a usable reply; also what ``once`` raises.
            SynthError: all servers have been given up.
        """
        with self._limits.room(tokens, self._refuse_if_over):
            for attempt in range(1, tries + 1):
                try:
                    return self._asked(once, tokens)
                except RetryError as error:
                    reason = str(error)
                if attempt < tries:
                    time.sleep(pause(attempt))
        raise RetryError(f"{reason} ({tries} tries)")

    def _asked(self, once: Callable[[PooledServer], _R], tokens: int) -> _R:
        while True:
            self._wait_for_turn(tokens)
            with self.server() as server:
                begun = time.monotonic()
                try:
                    answer = once(server)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    self.fails(server, f"no server answers ({error})", begun)
                    continue
                except BusyError as busy:
                    self.fails(server, str(busy), begun, busy.after)
                    continue
                except RetryError as error:
                    raise RetryError(f"{server.url}: {error}") from error
                except httpx.TimeoutException as error:
                    seconds = server.client.timeout.read or 0
                    raise RetryError(f"{server.url}: no answer in {seconds:g} s") from error
                except httpx.HTTPError as error:
                    raise RetryError(f"{server.url}: {type(error).__name__}: {error}") from error
                self.works(server)
                return answer

    def _refuse_if_over(self) -> None:
        if self._closed:
            raise SynthError("the servers were let go in the middle of a run")
        if all(s.given_up for s in self.servers):
            raise SynthError("; ".join(f"{s.url}: {s.given_up}" for s in self.servers))

    def works(self, server: PooledServer) -> None:
        """Records a success of a server."""
        with self._changed:
            back = server.failures > 1 and server.failing_since is not None
            server.failures = 0
            server.rests_until = 0.0
            server.failing_since = None
            self._failed_in_a_row = 0
            self._changed.notify_all()
        if back:
            self._remark(f"{server.url}: answers again")

    def fails(
        self, server: PooledServer, reason: str, begun: float, after: float | None = None
    ) -> None:
        """Records that a server was unreachable or overloaded; it pauses, or is given up.

        Args:
            begun: start of the request, on the monotonic clock.
            after: seconds to wait that the server asks for.
        """
        with self._changed:
            now = time.monotonic()
            # Requests in flight together fail together: count them once.
            counts = begun >= server.failed_at
            if counts:
                server.failures += 1
                server.failed_at = now
                server.rests_until = now + max(pause(server.failures), after or 0.0)
            if server.failing_since is None:
                server.failing_since = now
            first = counts and server.failures == 2
            over = self._over(reason, now - server.failing_since, after)
            if server.given_up is None and over:
                server.given_up = over
                first = len(self.servers) > 1
            self._changed.notify_all()
        if first:
            self._remark(f"{server.url}: {server.given_up or reason + '; waiting for it'}")

    def _over(self, reason: str, failing: float, after: float | None) -> str | None:
        """Why to give up a server that has failed for so many seconds; None to keep it."""
        left = self._patience - failing
        if left < 0:
            return f"{reason}; given up after {failing:.0f} s"
        if after is not None and after > left:
            return f"{reason}; asks to wait {after:g} s, where {parameter('patience')} leaves {left:.0f} s"
        return None

    def failed_for_good(self, reason: str) -> None:
        """Records that a prompt got no answer although servers work.

        Raises:
            SynthError: it was one too many in a row.
        """
        with self._changed:
            self._failed_in_a_row += 1
            over = self._failed_in_a_row >= _FAILURES_IN_A_ROW
        if over:
            urls = ", ".join(s.url for s in self.servers)
            raise SynthError(
                f"{urls}: {_FAILURES_IN_A_ROW} prompts in a row got no answer: {reason}"
            )

    def close(self) -> None:
        """Wakes all waiting threads with an error, and closes the connections."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for server in self.servers:
            server.client.close()


class DaemonThreads:
    """Threads for requests. Unlike those of concurrent.futures they do not keep a program from ending
    while they wait for a reply.

    Args:
        count: maximal number of threads.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._started = 0
        self._work: queue.SimpleQueue[
            tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None
        ]
        self._work = queue.SimpleQueue()

    def submit(self, function: Callable[..., _R], *arguments: Any) -> Future[_R]:
        future: Future[_R] = Future()
        self._work.put((future, in_context(function), arguments))
        if self._started < self._count:
            self._started += 1
            threading.Thread(target=self._run, name="request", daemon=True).start()
        return future

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            future, function, arguments = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function(*arguments))
            except BaseException as error:  # raised when the result is requested
                future.set_exception(error)

    def close(self) -> None:
        """Ends the threads after their current task."""
        with contextlib.suppress(queue.Empty):
            while (item := self._work.get_nowait()) is not None:
                item[0].cancel()
        for _ in range(self._started):
            self._work.put(None)
