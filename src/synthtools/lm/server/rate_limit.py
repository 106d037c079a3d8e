"""So many requests, or tokens, a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


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
