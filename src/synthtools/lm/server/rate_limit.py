"""So many requests and tokens at once, and a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from synthtools.lm.generation import ServerTraffic


class RateLimit:
    """Spreads amounts evenly over time: each waits until those before it have used up their share of
    the minute. Safe to be used from any thread.

    Nothing is saved up while nothing comes, so that no minute takes more than the limit and one amount.

    Args:
        per_minute: of the unit of the amounts.
        clock: seconds.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds_each = 60.0 / per_minute
        self._clock = clock
        self._free = clock()
        self._lock = threading.Lock()

    def take(self, amount: float) -> float:
        """Takes a turn: the seconds until it comes."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._free)
            self._free = turn + amount * self._seconds_each
            return turn - now


class TrafficLimits:
    """What may be under way to servers, of all models that a run asks. Safe to be used from any thread."""

    def __init__(self, traffic: ServerTraffic) -> None:
        self._most = traffic.requests, traffic.tokens
        self._requests = self._tokens = 0
        self._changed = threading.Condition()
        paces = traffic.requests_per_minute, traffic.tokens_per_minute
        self._rates = [RateLimit(pace) if pace else None for pace in paces]

    @contextmanager
    def room(self, tokens: int, refuse_if_over: Callable[[], None]) -> Iterator[None]:
        """Waits until one request of so many tokens more may be in flight; one that is larger than
        the limit goes alone.

        Args:
            refuse_if_over: called while it waits; raises where there is nothing to wait for.
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
        """Takes a turn of one request of so many tokens: the seconds until it comes."""
        amounts = zip(self._rates, (1, tokens), strict=True)
        return max(rate.take(amount) if rate else 0.0 for rate, amount in amounts)
