"""Failed writes as errors of one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synthtools.errors import SynthError

# Libraries in Rust (safetensors, tokenizers) wrap the errors of the system.
_SYSTEM = re.compile(r"([^:]+) \(os error \d+\)")


@contextmanager
def saving(place: Path, what: str) -> Iterator[None]:
    """Turns the failure of a write into one line.

    Args:
        place: where ``what`` is to be saved.

    Raises:
        SynthError: the disk is full, or writing is not permitted.
    """
    try:
        yield
    except Exception as error:
        why = reason(error)
        if why is None:
            raise
        raise SynthError(f"{place}: {what} cannot be saved: {why}") from error


def reason(error: Exception) -> str | None:
    """Why the system refused a write; None for an error of another kind."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    found = _SYSTEM.search(str(error))
    return found[1].strip() if found else None
