"""Where the data of a suite lies."""

from __future__ import annotations

from synthtools.evaluate.evaluator import EvaluationOptions
from synthtools.evaluate.tasks import found_in


def file_of(
    options: EvaluationOptions, suite: str, names: tuple[str, ...], splits: tuple[str, ...]
) -> str:
    """A file in the data directory.

    Args:
        names: of the directory or the file, tried with ``eval_`` before them, too.
        splits: names of the file in the directory.

    Raises:
        SynthError: it is not there.
    """
    assert options.data is not None
    return found_in(options.data, names, splits, suite)
