"""A sample of each of several groups of records, in one pass and in an order that is its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from synthtools.curate.top_records import TopRecords
from synthtools.curate.weighted_draws import keys_of
from synthtools.draws import lane_of, record_uniforms
from synthtools.records.batch import Batch
from synthtools.records.record_keys import RecordKeys
from synthtools.records.spool import Spool


class GroupSample(NamedTuple):
    """The sample of a group.

    Attributes:
        seen: records of the group.
        batches: the drawn records, in input order.
        order: int64, the drawn records from the first drawn to the last: an order that belongs to the
            records and the seed.
    """

    seen: int
    batches: Iterator[Batch]
    order: np.ndarray


class GroupSamples:
    """Draws at most so many records from each group, uniformly without replacement.

    The draw belongs to the seed and the record (its id, else its text, else the whole record), so
    that records with the same id are drawn together in several groups.

    Args:
        limit: records of a group, None for all.
    """

    def __init__(self, limit: int | None, seed: int, text_field: str, spool: Spool) -> None:
        self._limit = 1 << 62 if limit is None else limit
        self._seed = seed
        self._lane = lane_of("groups")
        self._text_field = text_field
        self._spool = spool
        self._groups: dict[str, tuple[RecordKeys, TopRecords]] = {}
        self._seen: dict[str, int] = {}

    def names(self) -> list[str]:
        """Groups, in the order in which they came."""
        return list(self._groups)

    def start(self, name: str) -> None:
        """Makes a group, which may remain empty."""
        if name not in self._groups:
            self._groups[name] = (RecordKeys(apart=True), TopRecords(self._limit, self._spool))
            self._seen[name] = 0

    def add(self, name: str, batch: Batch) -> None:
        """Takes the next records of a group."""
        self.start(name)
        keys, best = self._groups[name]
        found = keys_of(keys, batch, self._text_field)
        best.add(record_uniforms(self._seed, found, self._lane), np.zeros(len(batch)), batch)
        self._seen[name] += len(batch)

    def drawn(self, name: str) -> GroupSample:
        """The sample of a group."""
        scores, _, handles = self._groups[name][1].result()
        return GroupSample(
            self._seen[name], self._spool.batches(handles), np.argsort(-scores, kind="stable")
        )
