"""The progress of a run, and counts of the records read from each input."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from synthtools.records.batch import Batch
from synthtools.records.inputs import Shard
from synthtools.records.rejects import Rejects

if TYPE_CHECKING:
    from synthtools.lm.scorer import ScoringProgress
    from synthtools.records.inputs import Shard


class RunProgress:
    """The progress of a run.

    Attributes:
        shards: the inputs.
        records: done so far.
        scoring: the progress of the run's model; None to show bytes only.
    """

    def __init__(self) -> None:
        self.shards: list[Shard] = []
        self.records = 0
        self.scoring: ScoringProgress | None = None
        self._start = time.monotonic()
        self._stage: tuple[Callable[[], str], int | None] | None = None
        self._staged = 0

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    def stage(self, words: str | Callable[[], str], total: int | None = None) -> None:
        """Starts a stage, shown instead of the bytes read.

        Args:
            words: its description; total: of ``advance``, None if unknown.
        """
        self._staged = 0
        self._stage = (lambda: words) if isinstance(words, str) else words, total

    def advance(self, done: int) -> None:
        """Advances the stage."""
        self._staged += done

    def state(self) -> tuple[int, int | None, str]:
        """(done, total or None, words) for ``terminal.progress``."""
        if self._stage is not None:
            words, total = self._stage
            there = "" if total is None else f": {self._staged:,} of {total:,}"
            return self._staged, total, words() + there
        sizes = [shard.size for shard in self.shards]
        total = None if None in sizes else sum(s for s in sizes if s is not None)
        done = sum(shard.bytes_read for shard in self.shards)
        if self.scoring is not None:
            words = f"{self.scoring.scored:,} tokens, {self.scoring.rate():,.0f}/s, {self.records:,} records"
            return self.scoring.bytes_done(done), total, words
        rate = self.records / max(1e-9, self.seconds)
        there = f"{done / 1e6:,.1f}" + ("" if total is None else f"/{total / 1e6:,.1f}")
        return done, total, f"{there} MB, {self.records:,} records, {rate:,.0f}/s"


_T = TypeVar("_T")


class InputCounts:
    """Counts of the records of inputs, bad ones included; repeated reads count once.

    Args:
        inputs: the shards to count.
    """

    def __init__(self, inputs: Sequence[Shard]) -> None:
        self._inputs = [shard.name for shard in inputs]
        self._read: Counter[str] = Counter()
        self._empty: set[str] = set()

    @property
    def total(self) -> int:
        return self._read.total()

    @property
    def empty(self) -> list[str]:
        """Names of inputs without records."""
        return [name for name in self._inputs if name in self._empty]

    def counted(
        self,
        shards: Sequence[Shard],
        items: Iterable[_T],
        rejects: Rejects,
        batch_of: Callable[[Any], Batch] = lambda batch: batch,
    ) -> Iterator[_T]:
        """Counts the records of one pass over shards while passing them on."""
        names = {shard.name for shard in shards}.intersection(self._inputs)
        seen: Counter[str] = Counter()
        source, before = "", rejects.early
        for item in items:
            batch = batch_of(item)
            source = batch.source
            seen[source] += len(batch) + rejects.early - before
            if source in names:
                self._read[source] = max(self._read[source], seen[source])
            yield item
            before = rejects.early  # bad records found later have been counted already
        seen[source] += rejects.early - before
        if source in names or not source:
            self._read[source] = max(self._read[source], seen[source])
        if not rejects.early:  # otherwise all of its records may be bad
            self._empty |= names - seen.keys()
