"""Context managers whose end is ``close``: what holds a file, a device or a process."""

from __future__ import annotations

from typing import Self


class Closeable:
    """A context manager that closes itself at its end (``contextlib.closing`` without the wrapper)."""

    def close(self) -> None:
        """Gives back what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
