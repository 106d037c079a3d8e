"""Where the data of a suite lies."""

from __future__ import annotations

from synthtools.errors import UsageError
from synthtools.evaluate.session import Wanted
from synthtools.evaluate.tasks import found_in


def file_of(wanted: Wanted, suite: str, names: tuple[str, ...], splits: tuple[str, ...]) -> str:
    """A file in the data directory.

    Args:
        names: of the directory or the file, tried with ``eval_`` before them, too.
        splits: names of the file in the directory.

    Raises:
        SynthError: it is not there.
        UsageError: no directory was named.
    """
    if wanted.data is None:
        raise UsageError(f"--suite {suite} needs --data DIR")
    return found_in(wanted.data, names, splits, suite)
