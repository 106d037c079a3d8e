"""Files synced to disk while they are written."""

from __future__ import annotations

import os
import threading
from typing import BinaryIO

# Bytes written between two syncs, at least [ours].
_SYNC_BYTES = 16 << 20


class EarlySync:
    """Syncs a file in a thread while it is written, so that the final ``fsync`` has little left to do."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._synced = 0
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None

    def sync_if_due(self) -> None:
        """Starts a sync if enough was written since the last one and none is running."""
        size = self._file.tell()
        if size < self._synced + _SYNC_BYTES or (self._thread and self._thread.is_alive()):
            return
        self._synced = size
        self._thread = threading.Thread(target=self._sync, daemon=True)
        self._thread.start()

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._error = error

    def finish(self) -> OSError | None:
        """Waits for a running sync, before the file is closed; returns its error, which the system reports
        only once."""
        if self._thread is not None:
            self._thread.join()
        return self._error
