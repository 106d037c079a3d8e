"""How far a model is through the texts of a run, for a progress bar."""

from __future__ import annotations

import threading
import time


class ScoringProgress:
    """Tokens that came in and tokens that went through the model; used by several threads.

    Attributes:
        scored: tokens that went through the model.
    """

    def __init__(self) -> None:
        self.scored = 0
        self._bytes = self._tokens = 0
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def bring(self, record_bytes: int, tokens: int) -> None:
        """More texts are tokens now.

        Args:
            record_bytes: of the records that they stand in.
        """
        with self._lock:
            self._bytes += record_bytes
            self._tokens += tokens

    def passed(self, tokens: int) -> None:
        """So many more tokens went through the model."""
        with self._lock:
            self.scored += tokens

    def bytes_done(self, read: int) -> int:
        """Bytes of the inputs whose texts are scored, of those that were read: of compressed inputs
        a little too many, for reading is ahead."""
        share = min(1.0, self.scored / self._tokens) if self._tokens else 0.0
        return int(share * min(read, self._bytes))

    def rate(self) -> float:
        """Tokens a second since the model was opened."""
        return self.scored / max(1e-9, time.monotonic() - self._start)
