"""Documents of several parts in one order, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby

import numpy as np

from synthtools.curate.mixture_parts import MixturePart, interleaved, shuffled
from synthtools.curate.source_survey import SourceSurvey, of_one_form
from synthtools.errors import SynthError
from synthtools.records.batch import Batch
from synthtools.records.spool import Spool
from synthtools.records.transform import as_lines, merged
from synthtools.scale.prefetch import prefetched

# Approximate sizes of what is sorted at once: documents and bytes.
_GROUP = 2048
_GROUP_BYTES = 4 << 20
_BUCKET_BYTES = 64 << 20
# Each bucket of a shuffle is an open file.
_BUCKETS = 128
_BUFFER_BYTES = 256 << 10

# Documents in order, and the part of each (int [documents]).
MixedRecords = Iterator[tuple[Batch, np.ndarray]]


def mixed(
    surveys: Sequence[SourceSurvey],
    parts: Sequence[MixturePart],
    seed: int | None,
    read_ahead: bool,
) -> MixedRecords:
    """The documents of the parts, read again from their sources. ``seed``: of a shuffle; None: interleave them.
    ``read_ahead``: in a thread, and each source that is read again in another."""
    # Conversion to JSON must not depend on which documents are adjacent.
    same = of_one_form(surveys)
    streams: list[Iterator[Batch]] = []
    for survey, part in zip(surveys, parts, strict=True):
        stream = survey.taken(part)
        stream = stream if same else map(as_lines, stream)
        streams.append(prefetched(stream, 2) if read_ahead and not survey.kept else stream)
    if seed is None:
        records = interleave(parts, streams)
        return prefetched(records, 2) if read_ahead else records
    size = sum(
        survey.record_bytes * part.documents // max(1, len(part.source.sizes))
        for survey, part in zip(surveys, parts, strict=True)
    )
    return shuffle(parts, streams, seed, size)


def interleave(parts: Sequence[MixturePart], streams: Sequence[Iterator[Batch]]) -> MixedRecords:
    """Keeps every part close to its share from the first document on (see ``mixture_parts.interleaved``).

    Args:
        streams: the documents of each part, in order.

    Memory: a few batches of each stream, and a few MB of documents or the longest one.
    """
    owners = interleaved(parts)
    cursors = [_Cursor(stream) for stream in streams]
    start, size = 0, 16
    while start < len(owners):
        group = owners[start : start + size]
        batches: list[Batch] = []
        for index, count in enumerate(np.bincount(group, minlength=len(parts)).tolist()):
            batches += cursors[index].take(count)
        # The batches are ordered by part: sorting by part gives each document's position.
        order = np.empty(len(group), np.int64)
        order[np.argsort(group, kind="stable")] = np.arange(len(group))
        yield merged(batches, order), group
        start += len(group)
        total = sum(int(batch.sizes().sum()) for batch in batches)
        fitting = len(group) * _GROUP_BYTES // max(1, total)
        size = max(1, min(_GROUP, 4 * size, fitting))


class _Cursor:
    """Takes documents from a stream of batches, a few at a time."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._batch: Batch | None = None
        self._at = 0

    def take(self, count: int) -> list[Batch]:
        pieces = []
        while count:
            if self._batch is None or self._at == len(self._batch):
                self._batch, self._at = next(self._batches, None), 0
                if self._batch is None:
                    raise SynthError("an input has become shorter while it was read")
            end = min(len(self._batch), self._at + count)
            pieces.append(self._batch.take(range(self._at, end)))
            count -= end - self._at
            self._at = end
        return pieces


def shuffle(
    parts: Sequence[MixturePart], streams: Sequence[Iterator[Batch]], seed: int, record_bytes: int
) -> MixedRecords:
    """All documents in random order. ``record_bytes``: of all documents, approximately.

    Memory: a few times 64 MB of documents, or a 128th part of them if that is more; 100 bytes per document.
    """
    ranks = shuffled(parts, seed)
    documents = sum(map(len, ranks))
    count = max(1, min(documents, _BUCKETS, math.ceil(record_bytes / _BUCKET_BYTES)))
    limits = [documents * (i + 1) // count for i in range(count)]
    with ExitStack() as stack:
        buckets = [_Bucket(stack.enter_context(Spool())) for _ in limits]
        for index, (stream, places) in enumerate(zip(streams, ranks, strict=True)):
            at = 0
            for batch in stream:
                own = places[at : at + len(batch)]
                at += len(batch)
                which = np.searchsorted(limits, own, side="right")
                for number in np.unique(which).tolist():
                    members = np.flatnonzero(which == number)
                    buckets[number].add(batch.take(members), own[members], index)
        for bucket in buckets:
            if bucket.records:
                yield bucket.sorted()


class _Bucket:
    """Documents with adjacent ranks in the shuffled order."""

    def __init__(self, spool: Spool) -> None:
        self.records = 0
        self._spool = spool
        self._waiting: list[Batch] = []
        self._bytes = 0
        self._ranks: list[np.ndarray] = []
        self._owners: list[np.ndarray] = []
        self._handles: list[np.ndarray] = []

    def add(self, batch: Batch, ranks: np.ndarray, owner: int) -> None:
        self.records += len(batch)
        self._ranks.append(ranks)
        self._owners.append(np.full(len(batch), owner, np.int32))
        self._waiting.append(batch)
        self._bytes += int(batch.sizes().sum())
        if self._bytes > _BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        for _, batches in groupby(self._waiting, lambda batch: batch.source):
            some = list(batches)
            one = merged(some, np.arange(sum(map(len, some))))
            self._handles.append(self._spool.add(one))
        self._waiting, self._bytes = [], 0

    def sorted(self) -> tuple[Batch, np.ndarray]:
        self._flush()
        order = np.argsort(np.concatenate(self._ranks), kind="stable")
        batches = list(self._spool.batches(np.concatenate(self._handles)))
        return merged(batches, order), np.concatenate(self._owners)[order]
