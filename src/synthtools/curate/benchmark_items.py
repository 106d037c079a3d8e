"""The items of benchmarks as sets of n-grams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from synthtools.records.batch import MISSING, Batch
from synthtools.records.record_keys import ID_FIELD
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.word_ngrams import NgramSet, ngrams, words

# N-grams of more items than these belong to none of them: a benchmark's own boilerplate [ours].
_SHARED = 50


class BenchmarkItem(NamedTuple):
    """Where an item stands, and its texts."""

    benchmark: int
    file: str
    line: int
    id: Any
    texts: list[str]

    def name(self) -> str:
        return f"{self.file}:{self.line}"


def texts_of(batch: Batch, fields: Sequence[str]) -> list[list[str]]:
    """Each record's strings in the fields, those in lists and objects too."""
    columns = [batch.column(field) for field in fields]
    return [
        [text for value in values for text in _strings(value)]
        for values in zip(*columns, strict=True)
    ]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


class BenchmarkItems:
    """Items, their n-grams, and which n-gram is of which items.

    Args:
        names: of the benchmarks; fields: that hold an item's texts; n: words of an n-gram.

    Attributes:
        items: all of them; boilerplate: n-grams that more than 50 items share, which are left out.

    Memory: the items' texts and about 30 bytes a word of them.
    """

    def __init__(self, names: Sequence[str], fields: Sequence[str], n: int) -> None:
        self.names, self.n = list(names), n
        self._fields = fields
        self.items: list[BenchmarkItem] = []
        self.boilerplate = 0

    def add(self, benchmark: int, batch: Batch) -> None:
        """Takes items of a benchmark."""
        ids = batch.column(ID_FIELD)
        for index, texts in enumerate(texts_of(batch, self._fields)):
            identifier = None if ids[index] is MISSING else ids[index]
            number = int(batch.numbers[index])
            self.items.append(BenchmarkItem(benchmark, batch.source, number, identifier, texts))

    def settle(self) -> None:
        """All items are there: their n-grams are numbered."""
        texts = [text for item in self.items for text in item.texts]
        owner = np.repeat(np.arange(len(self.items)), [len(item.texts) for item in self.items])
        item_words = words(TextBuffer.of([_encodable(text) for text in texts]))
        values, whole = ngrams(item_words, self.n)
        of_word = np.repeat(owner, np.diff(item_words.offsets))[whole]
        distinct, number = np.unique(values[whole], return_inverse=True)
        pairs = np.unique(np.stack([number, of_word], axis=1), axis=0).reshape(-1, 2)
        count = np.bincount(pairs[:, 0], minlength=len(distinct))
        few = count <= _SHARED
        self.boilerplate = int((~few).sum())
        pairs = pairs[few[pairs[:, 0]]]
        pairs[:, 0] = (np.cumsum(few) - 1)[pairs[:, 0]]
        self._ngrams, self._items = pairs[:, 0], pairs[:, 1]
        self.sharing = count[few].astype(np.int64)  # items of each n-gram
        self._first = np.concatenate([[0], np.cumsum(self.sharing)])
        self.set = NgramSet(distinct[few], self.n)

    def of_ngrams(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The items of n-grams: the place in ``numbers`` of each, and the item; both int64."""
        counts = self.sharing[numbers]
        places = np.repeat(np.arange(len(numbers)), counts)
        within = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        return places, self._items[self._first[numbers][places] + within]

    def sizes(self, weights: np.ndarray | None = None) -> np.ndarray:
        """The n-grams of each item, or their weights (float64 [n-grams]) summed up; float64."""
        ngram_weights = None if weights is None else weights[self._ngrams]
        return np.bincount(self._items, ngram_weights, len(self.items)).astype(np.float64)

    def seen(self, there: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The weight of each item's n-grams that are ``there`` (bool [n-grams]), float64 [items]."""
        return self.sizes(np.where(there, weights, 0.0))

    def passage(self, item: int, numbers: np.ndarray, most: int) -> str:
        """The longest run of the item's words that n-grams cover, at most so many characters."""
        values = self.set.values(numbers)
        best, longest = "", 0
        for text in self.items[item].texts:
            item_words = words(TextBuffer.of([_encodable(text)]))
            hashes, whole = ngrams(item_words, self.n)
            at = np.flatnonzero(whole & np.isin(hashes, values))
            for run in np.split(at, np.flatnonzero(np.diff(at) != 1) + 1):
                if len(run) > longest:
                    begin, end = item_words.starts[run[0]], item_words.ends[run[-1] + self.n - 1]
                    best, longest = _encodable(text).encode()[begin:end].decode()[:most], len(run)
        return best


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
