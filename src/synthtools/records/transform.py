"""Small changes to streams of batches that need no text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from synthtools.errors import RecordError, SynthError
from synthtools.records.batch import MISSING, Batch
from synthtools.records.reader import without
from synthtools.records.record_faults import no_field
from synthtools.records.rejects import Rejects

_T = TypeVar("_T")


def first(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
    """The first ``count`` records; no more is read than they need."""
    left = count
    if left <= 0:
        return
    for batch in batches:
        if len(batch) >= left:
            yield batch.take(range(left))
            return
        left -= len(batch)
        yield batch


def selected(batches: Iterable[Batch], names: list[str], rejects: Rejects) -> Iterator[Batch]:
    """Only the named fields; a record that lacks one goes to ``rejects``."""
    for batch in batches:
        bad: dict[int, str] = {}
        for name in names:
            for index, value in enumerate(batch.column(name)):
                if value is MISSING and index not in bad:
                    bad[index] = no_field(batch, index, name, "see --select")
        batch = without(batch, bad, rejects)
        if len(batch):
            yield batch.select(names)


@contextmanager
def placed(run: Iterable[Batch]) -> Iterator[None]:
    """Gives an error that knows the text's number alone (``index``) the place of its record.

    Args:
        run: the batches whose records the texts are of.
    """
    try:
        yield
    except SynthError as error:
        index = getattr(error, "index", None)
        if index is None:
            raise
        for batch in run:
            if index < len(batch):
                number = int(batch.numbers[index])
                raise RecordError(batch.source, number, str(error), batch.raw(index)) from error
            index -= len(batch)
        raise


def gathered(batches: Iterable[_T], size: Callable[[_T], int], least: int) -> Iterator[list[_T]]:
    """Runs of neighbouring batches of at least ``least`` together: many small files, one call."""
    run: list[_T] = []
    total = 0
    for batch in batches:
        run.append(batch)
        total += size(batch)
        if total >= least:
            yield run
            run, total = [], 0
    if run:
        yield run
