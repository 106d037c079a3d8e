"""Limits on requests and tokens in flight and per minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from synthtools.lm.generation import ServerTraffic


class RateLimit:
    """Spreads amounts evenly over time: each waits until the earlier ones have used up their share of
    the minute. Thread-safe.

    Unused capacity is not saved, so that no minute exceeds the limit by more than one amount.

    Args:
        per_minute: the limit, in the unit of the amounts.
        clock: seconds.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds_each = 60.0 / per_minute
        self._clock = clock
        self._free = clock()
        self._lock = threading.Lock()

    def take(self, amount: float) -> float:
        """Reserves an amount; the seconds to wait before using it."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._free)
            self._free = turn + amount * self._seconds_each
            return turn - now


class TrafficLimits:
    """Limits on the traffic to all servers of a run. Thread-safe."""

    def __init__(self, traffic: ServerTraffic) -> None:
        self._most = traffic.requests, traffic.tokens
        self._requests = self._tokens = 0
        self._changed = threading.Condition()
        paces = traffic.requests_per_minute, traffic.tokens_per_minute
        self._rates = [RateLimit(pace) if pace else None for pace in paces]

    @contextmanager
    def room(self, tokens: int, refuse_if_over: Callable[[], None]) -> Iterator[None]:
        """Waits until one more request of so many tokens may be in flight; one larger than the limit
        goes alone.

        Args:
            refuse_if_over: called while waiting; raises to end the wait.
        """
        with self._changed:
            while not self._fits(tokens):
                refuse_if_over()
                self._changed.wait(1.0)
            self._requests += 1
            self._tokens += tokens
        try:
            yield
        finally:
            with self._changed:
                self._requests -= 1
                self._tokens -= tokens
                self._changed.notify_all()

    def _fits(self, tokens: int) -> bool:
        requests, most = self._most
        if requests is not None and self._requests >= requests:
            return False
        return most is None or not self._tokens or self._tokens + tokens <= most

    def take(self, tokens: int) -> float:
        """Reserves one request of so many tokens; the seconds to wait before sending it."""
        amounts = zip(self._rates, (1, tokens), strict=True)
        return max(rate.take(amount) if rate else 0.0 for rate, amount in amounts)
