"""Files sent to disk while they are written."""

from __future__ import annotations

import os
import threading
from typing import BinaryIO

# Written before they are sent [ours].
_SENT_BYTES = 16 << 20


class EarlySync:
    """Sends what is written to a file to disk in a thread, so that the last ``fsync`` waits for little of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sent = 0
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None

    def go_on(self) -> None:
        """Sends what has been written, if it is much and nothing is under way."""
        size = self._file.tell()
        if size < self._sent + _SENT_BYTES or (self._thread and self._thread.is_alive()):
            return
        self._sent = size
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._error = error

    def end(self) -> OSError | None:
        """Waits for what is under way, before the file is closed; returns an error, which the system reports
        only once."""
        if self._thread is not None:
            self._thread.join()
        return self._error
