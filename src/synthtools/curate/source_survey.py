"""What is kept of a source after it has been read once: enough to choose from it and find it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from synthtools.curate.mixture_parts import MeasuredSource, MixturePart
from synthtools.records.batch import ArrowBatch, Batch
from synthtools.records.inputs import Shard
from synthtools.records.record_keys import RecordHashes, RecordKeys
from synthtools.records.reread_records import picked

# Bytes of a record that are not its text, for want of a closer look.
_BESIDE_TEXT = 100


class SourceSurvey:
    """A source, seen batch by batch.

    Memory: 24 bytes a document; while it is read 8 to 16 more.

    Attributes:
        record_bytes: of all documents as they are written, about.
        forms: the schemas of rows that were seen, None for lines.
    """

    def __init__(self, name: str, shards: Sequence[Shard]) -> None:
        self.name = name
        self.record_bytes = 0
        self._shards = list(shards)
        self._keys = RecordKeys(apart=True)
        self._sizes = [np.zeros(0, np.int64)]
        self._document_keys = [np.zeros(0, np.uint64)]
        self._numbers: dict[str, list[np.ndarray]] = {shard.name: [] for shard in shards}
        self.forms: list[Any] = []

    def add(self, batch: Batch, sizes: np.ndarray, hashes: RecordHashes, text_bytes: int) -> None:
        """Takes the next documents.

        Args:
            sizes: of each, in the unit of the mixture, int64.
            hashes: what their keys are made of.
            text_bytes: of all of them.
        """
        self._sizes.append(sizes)
        self._document_keys.append(self._keys.of_hashes(hashes))
        self._numbers[batch.source].append(batch.numbers)
        self.record_bytes += text_bytes + _BESIDE_TEXT * len(batch)
        form = batch.rows.schema if isinstance(batch, ArrowBatch) else None
        if form not in self.forms:
            self.forms.append(form)

    def measured(self) -> MeasuredSource:
        """All that has been seen."""
        sizes, keys = np.concatenate(self._sizes), np.concatenate(self._document_keys)
        self._sizes, self._document_keys, self._keys = [sizes], [keys], RecordKeys()
        self._numbers = {
            name: [np.concatenate([np.zeros(0, np.int64), *some])]
            for name, some in self._numbers.items()
        }
        return MeasuredSource(self.name, sizes, keys)

    def taken(self, part: MixturePart) -> Iterator[Batch]:
        """The documents that a part takes from this source, read once more, in the part's order."""
        numbers = [self._numbers[shard.name][0] for shard in self._shards]
        ends = np.cumsum([len(some) for some in numbers], dtype=np.int64)
        for taken in part.passes:
            own = np.split(taken, np.searchsorted(taken, ends[:-1]))
            starts = [0, *ends[:-1].tolist()]
            wanted = [some[o - start] for some, o, start in zip(numbers, own, starts, strict=True)]
            yield from picked(self._shards, wanted)


def of_one_form(surveys: Sequence[SourceSurvey]) -> bool:
    """Whether all documents are lines, or all are rows of one schema."""
    forms: list[Any] = []
    for survey in surveys:
        forms += [form for form in survey.forms if form not in forms]
    return len(forms) <= 1
