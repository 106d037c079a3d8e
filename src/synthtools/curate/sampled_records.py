"""Samples of records: one of a stream, or one of each of several groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from synthtools.curate.weighted_draws import (
    Strata,
    TopRecords,
    WithReplacement,
    keys_of,
    with_log_weights,
)
from synthtools.draws import gumbel, lane_of, record_uniforms
from synthtools.errors import SynthError
from synthtools.records.batch import MISSING, Batch
from synthtools.records.jsonl import json_bytes
from synthtools.records.record_keys import RecordKeys
from synthtools.records.rejects import Rejects
from synthtools.records.spool import Spool


@dataclass(frozen=True)
class SampleSettings:
    """How records are drawn.

    Attributes:
        by: the field of the weight, None for equal weights; log: it has logarithms; inverse: with
            probability ∝ 1/weight; bias: it has probabilities of being synthetic (see
            ``with_log_weights``).
        stratify_by: the field whose values are strata; equal: equally many from each.
        or_all: all records if there are fewer than requested.
    """

    count: int
    seed: int
    text_field: str
    by: str | None = None
    log: bool = False
    inverse: bool = False
    with_replacement: bool = False
    stratify_by: str | None = None
    equal: bool = False
    or_all: bool = False
    bias: float | None = None


class Sample(NamedTuple):
    """A sample.

    Attributes:
        batches: the drawn records, in input order; can be consumed once.
        report: of the draw.
        ordinals: int64, position of each in the input, ascending.
    """

    batches: Iterator[Batch]
    report: dict[str, Any]
    ordinals: np.ndarray


def draw(batches: Iterable[Batch], settings: SampleSettings, rejects: Rejects) -> Sample:
    """Reads all records, then returns the drawn ones in input order and a report. Raises SynthError: there are fewer
    records with a positive weight than requested, unless ``or_all``."""
    spool = Spool()
    strata = Strata(settings.count, spool)
    lane = lane_of("sample", settings.by or "")
    repeated = None
    if settings.with_replacement:
        repeated = WithReplacement(settings.count, spool, settings.seed, lane)
    record_keys = RecordKeys(apart=True)
    seen = eligible = 0
    for every in batches:
        batch, log_weights = _weighed(every, settings, rejects)
        if not len(batch):
            continue
        seen += len(batch)
        eligible += int(np.isfinite(log_weights).sum())
        keys = keys_of(record_keys, batch, settings.text_field)
        if repeated is not None:
            repeated.add(batch, log_weights, keys)
        else:
            # Gumbel top-k: log-weight plus Gumbel noise, −inf without weight.
            names = strata_of(batch, settings.stratify_by)
            strata.add(batch, names, log_weights + gumbel(settings.seed, keys, lane))
    least = 1 if repeated is not None else settings.count
    if eligible < least and not settings.or_all:
        s = "" if seen == 1 else "s"
        weighted = "" if eligible == seen else f", {eligible:,} of them with a weight above 0"
        raise SynthError(f"-n {settings.count:,}: there are only {seen:,} record{s}{weighted}")
    count = settings.count if repeated is not None else min(settings.count, eligible)
    report: dict[str, Any] = {"records_seen": seen, "eligible": eligible, "drawn": count}
    if repeated is not None:
        handles = repeated.result()
        report["distinct"] = len(np.unique(handles))
    else:
        handles, drawn = strata.result(settings.equal)
        if settings.stratify_by is not None:
            each = drawn.items()
            report["strata"] = {name: {"records": n, "drawn": part} for name, (n, part) in each}
    return Sample(_closing(spool, handles), report, spool.ordinals(handles))


def undrawn(
    batches: Iterable[Batch], settings: SampleSettings, drawn: np.ndarray
) -> Iterator[Batch]:
    """The records that were not drawn, in input order, from a second pass over the same input.

    Args:
        batches: as in ``draw``; records rejected there for their weight are left out again.
        drawn: their ordinals, ascending.
    """
    for batch in batches:
        batch, _ = _weighed(batch, settings, Rejects(skip=True))
        left = np.flatnonzero(~np.isin(batch.ordinals, drawn))
        if len(left):
            yield batch if len(left) == len(batch) else batch.take(left.tolist())


def _weighed(batch: Batch, settings: SampleSettings, rejects: Rejects) -> tuple[Batch, np.ndarray]:
    """Records and the logarithms of their weights, float64; those without a weight go to ``rejects``."""
    if settings.by is None:
        return batch, np.zeros(len(batch))
    batch, weights = with_log_weights(batch, settings.by, settings.log, rejects, settings.bias)
    if settings.inverse:
        weights = np.where(np.isfinite(weights), -weights, -np.inf)
    return batch, weights


def _closing(spool: Spool, handles: np.ndarray) -> Iterator[Batch]:
    at = 0
    with spool:
        for batch in spool.batches(handles):
            # Counts draws, as a record drawn twice may end one shard and begin the next.
            batch.ordinals = np.arange(at, at + len(batch), dtype=np.int64)
            at += len(batch)
            yield batch


def strata_of(batch: Batch, field: str | None) -> list[str]:
    """The stratum of each record: the field's value, as JSON if it is not a string."""
    if field is None:
        return [""] * len(batch)
    values = batch.column(field)
    return [
        "(none)" if v is MISSING else v if isinstance(v, str) else json_bytes(v).decode()
        for v in values
    ]


def by_stratum(batch: Batch, names: Sequence[str]) -> Iterator[tuple[str, Batch]]:
    """The records of each stratum; ``names``: the stratum of each record."""
    if len(set(names)) == 1:
        yield names[0], batch
        return
    of_record = np.array(names, object)
    for name in dict.fromkeys(names):
        yield name, batch.take(np.flatnonzero(of_record == name).tolist())


class GroupSample(NamedTuple):
    """The sample of a group.

    Attributes:
        seen: records of the group.
        batches: the drawn records, in input order.
        order: int64, the drawn records in order of the draw, which depends on the records and the seed.
    """

    seen: int
    batches: Iterator[Batch]
    order: np.ndarray


class GroupSamples:
    """Draws at most ``limit`` records (None: all) from each group, uniformly without replacement. The draw depends on
    the seed and the record (its id, else its text, else the whole record), so that records with the same id are
    drawn together in several groups."""

    def __init__(self, limit: int | None, seed: int, text_field: str, spool: Spool) -> None:
        self._limit = 1 << 62 if limit is None else limit
        self._seed, self._lane = seed, lane_of("groups")
        self._text_field, self._spool = text_field, spool
        self._groups: dict[str, tuple[RecordKeys, TopRecords]] = {}
        self._seen: dict[str, int] = {}

    def names(self) -> list[str]:
        """Groups, in order of arrival."""
        return list(self._groups)

    def start(self, name: str) -> None:
        """Creates a group, which may remain empty."""
        if name not in self._groups:
            self._groups[name] = (RecordKeys(apart=True), TopRecords(self._limit, self._spool))
            self._seen[name] = 0

    def add(self, name: str, batch: Batch) -> None:
        """Takes the next records of a group."""
        self.start(name)
        keys, best = self._groups[name]
        record_keys = keys_of(keys, batch, self._text_field)
        best.add(record_uniforms(self._seed, record_keys, self._lane), np.zeros(len(batch)), batch)
        self._seen[name] += len(batch)

    def drawn(self, name: str) -> GroupSample:
        """The sample of a group."""
        scores, _, handles = self._groups[name][1].result()
        order = np.argsort(-scores, kind="stable")
        return GroupSample(self._seen[name], self._spool.batches(handles), order)
