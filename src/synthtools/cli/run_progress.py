"""What the progress bar of a run shows: what has been read, what a model has scored, or a stage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthtools.lm.scorer import ScoringProgress
    from synthtools.records.inputs import Shard


class RunProgress:
    """How far a run is.

    Attributes:
        shards: the inputs.
        records: done so far.
        scoring: how far the run's model is; None where bytes tell enough.
    """

    def __init__(self) -> None:
        self.shards: list[Shard] = []
        self.records = 0
        self.scoring: ScoringProgress | None = None
        self._start = time.monotonic()
        self._stage: tuple[str, int | None] | None = None
        self._staged = 0

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    def stage(self, words: str, total: int | None = None) -> None:
        """What is shown from now on, in place of the bytes that were read.

        Args:
            words: what is done; total: of ``advance``, None where it is not known.
        """
        self._staged = 0
        self._stage = words, total

    def advance(self, done: int) -> None:
        """So much more of the stage is done."""
        self._staged += done

    def state(self) -> tuple[int, int | None, str]:
        """(done, total or None, words) for ``terminal.progress``."""
        if self._stage is not None:
            words, total = self._stage
            there = "" if total is None else f": {self._staged:,} of {total:,}"
            return self._staged, total, words + there
        sizes = [shard.size for shard in self.shards]
        total = None if None in sizes else sum(s for s in sizes if s is not None)
        done = sum(shard.bytes_read for shard in self.shards)
        if self.scoring is not None:
            words = f"{self.scoring.scored:,} tokens, {self.scoring.rate():,.0f}/s, {self.records:,} records"
            return self.scoring.bytes_done(done), total, words
        rate = self.records / max(1e-9, self.seconds)
        there = f"{done / 1e6:,.1f}" + ("" if total is None else f"/{total / 1e6:,.1f}")
        return done, total, f"{there} MB, {self.records:,} records, {rate:,.0f}/s"
