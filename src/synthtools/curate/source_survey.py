"""The data of a source from one reading: enough to choose documents and read them again; sizes of documents in the unit
of a mixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.curate.mixture_parts import MeasuredSource, MixturePart
from synthtools.errors import TextError, parameter
from synthtools.records.batch import ArrowBatch, Batch, JsonBatch
from synthtools.records.block_lines import BlockLines
from synthtools.records.inputs import Shard
from synthtools.records.record_keys import RecordHashes, RecordKeys
from synthtools.records.reread_records import picked

if TYPE_CHECKING:
    from synthtools.records.text_buffer import TextBuffer


# Sizes of the documents of a batch, int64.
Sizes = Callable[[Batch, "TextBuffer"], np.ndarray]

# Texts tokenised at once.
_TOKENISED = 256
# Larger numbers are not numbers of tokens.
_MOST_TOKENS = 1 << 40


def sizes_in(
    unit: str, tokens_field: str, count_tokens: Callable[[list[str]], Any] | None = None
) -> Sizes:
    """Measures documents.

    Args:
        unit: tokens, words (those of ``text.words``), bytes or documents.
        tokens_field: a record's field with its number of tokens, if it has one.
        count_tokens: counts the tokens of other records' texts.
    """
    if unit == "documents":
        return lambda batch, texts: np.ones(len(texts), np.int64)
    if unit == "bytes":
        return lambda batch, texts: texts.lengths()
    if unit == "words":
        from synthtools.text.words import word_counts

        return lambda batch, texts: word_counts(texts)

    def tokens(batch: Batch, texts: TextBuffer) -> np.ndarray:
        sizes = np.array([_tokens(value) for value in batch.column(tokens_field)], np.int64)
        unknown = np.flatnonzero(sizes < 0)
        if len(unknown) and count_tokens is None:
            reason = f'no number of tokens in field "{tokens_field}"; count them with {parameter("tokenizer")} NAME'
            raise TextError(dict.fromkeys(unknown.tolist(), reason))
        faults: dict[int, str] = {}
        for start in range(0, len(unknown), _TOKENISED):
            some = unknown[start : start + _TOKENISED]
            assert count_tokens is not None
            try:
                sizes[some] = count_tokens([texts[i] for i in some.tolist()])
            except TextError as error:
                faults |= {int(some[index]): reason for index, reason in error.faults.items()}
        if faults:
            raise TextError(faults)
        return sizes

    return tokens


def _tokens(value: Any) -> int:
    """The number of tokens in a record's field; -1 for other values."""
    if type(value) is float and value.is_integer():
        value = int(value)  # a column with nulls may have become one of doubles
    return value if type(value) is int and 0 <= value < _MOST_TOKENS else -1


# Bytes of a record besides its text, an estimate.
_BESIDE_TEXT = 100
# Of a source that is kept in memory instead of being read again [ours].
_KEPT_BYTES = 256 << 20


class Room:
    """Bytes that the sources of a mixture may take up in memory, together."""

    def __init__(self, size: int = _KEPT_BYTES) -> None:
        self.left = size


class SourceSurvey:
    """A source, read batch by batch.

    Memory: 24 bytes per document, 8 to 16 more while reading; its lines if all of them fit in ``room``.

    Args:
        room: shared with the other sources; None: nothing is kept.

    Attributes:
        record_bytes: of all documents as written, approximately.
        forms: the schemas of rows so far, None for lines.
    """

    def __init__(self, name: str, shards: Sequence[Shard], room: Room | None = None) -> None:
        self.name = name
        self._room = room or Room(0)
        self._kept: list[JsonBatch] | None = []
        self._kept_bytes = 0
        self.record_bytes = 0
        self._shards = list(shards)
        self._keys = RecordKeys(apart=True)
        self._sizes = [np.zeros(0, np.int64)]
        self._document_keys = [np.zeros(0, np.uint64)]
        self._numbers: dict[str, list[np.ndarray]] = {shard.name: [] for shard in shards}
        self.forms: list[Any] = []

    def add(self, batch: Batch, sizes: np.ndarray, hashes: RecordHashes, text_bytes: int) -> None:
        """Takes the next documents. ``sizes``: of each, in the unit of the mixture, int64; ``hashes``: for their
        keys; ``text_bytes``: in total."""
        self._sizes.append(sizes)
        self._document_keys.append(self._keys.of_hashes(hashes))
        self._numbers[batch.source].append(batch.numbers)
        self.record_bytes += text_bytes + _BESIDE_TEXT * len(batch)
        form = batch.rows.schema if isinstance(batch, ArrowBatch) else None
        if form not in self.forms:
            self.forms.append(form)
        self._keep(batch)

    def _keep(self, batch: Batch) -> None:
        """Keeps the lines of a batch, or drops all where they cannot be kept."""
        if self._kept is None:
            return
        size = self._room.left + 1
        if isinstance(batch, JsonBatch) and len(batch.lines) == len(batch):
            size = BlockLines.of(batch.lines).block_bytes
        if size <= self._room.left:
            self._kept.append(_lines_alone(batch))
        else:
            self._kept, size = None, -self._kept_bytes
        self._room.left -= size
        self._kept_bytes += size

    @property
    def kept(self) -> bool:
        """Whether all of it is in memory."""
        return self._kept is not None

    def measured(self) -> MeasuredSource:
        """The measured source, after the last document."""
        sizes, keys = np.concatenate(self._sizes), np.concatenate(self._document_keys)
        self._sizes, self._document_keys, self._keys = [sizes], [keys], RecordKeys()
        self._numbers = {
            name: [np.concatenate([np.zeros(0, np.int64), *some])]
            for name, some in self._numbers.items()
        }
        return MeasuredSource(self.name, sizes, keys)

    def taken(self, part: MixturePart) -> Iterator[Batch]:
        """The documents of a part from this source, read again unless they were kept, in the part's order."""
        if self._kept is not None:
            yield from self._recalled(part.passes)
            return
        numbers = [self._numbers[shard.name][0] for shard in self._shards]
        ends = np.cumsum([len(some) for some in numbers], dtype=np.int64)
        for taken in part.passes:
            own = np.split(taken, np.searchsorted(taken, ends[:-1]))
            starts = [0, *ends[:-1].tolist()]
            rows = [some[o - start] for some, o, start in zip(numbers, own, starts, strict=True)]
            yield from picked(self._shards, rows)

    def _recalled(self, passes: Sequence[np.ndarray]) -> Iterator[Batch]:
        assert self._kept is not None
        ends = np.cumsum([0, *map(len, self._kept)])
        for taken in passes:
            places = np.searchsorted(taken, ends)
            for index, batch in enumerate(self._kept):
                own = taken[places[index] : places[index + 1]] - ends[index]
                if len(own):
                    again = _lines_alone(batch)
                    yield again if len(own) == len(batch) else again.take(own)


def _lines_alone(batch: Batch) -> JsonBatch:
    """The lines of a batch and their numbers; what was parsed is not held on to."""
    assert isinstance(batch, JsonBatch)
    return JsonBatch(batch.source, batch.numbers, lines=batch.lines)


def of_one_form(surveys: Sequence[SourceSurvey]) -> bool:
    """Whether all documents are lines, or all are rows of one schema."""
    forms: list[Any] = []
    for survey in surveys:
        forms += [form for form in survey.forms if form not in forms]
    return len(forms) <= 1
