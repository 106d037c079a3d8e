"""Benchmark items found in records: how much of each, weighted by the rarity of n-grams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from synthtools.records.batch import MISSING, Batch
from synthtools.records.record_keys import ID_FIELD
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.word_ngrams import NgramSet, ngrams, words

# N-grams in more items than this are ignored as the benchmark's boilerplate [ours].
_SHARED = 50


class BenchmarkItem(NamedTuple):
    """The position of an item, and its texts."""

    benchmark: int
    file: str
    line: int
    id: Any
    texts: list[str]

    def name(self) -> str:
        return f"{self.file}:{self.line}"


def texts_of(batch: Batch, fields: Sequence[str]) -> list[list[str]]:
    """Each record's strings in the fields, including those in lists and objects."""
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
    """Items and their n-grams.

    Args:
        names: of the benchmarks; fields: with an item's texts; n: words of an n-gram.

    Attributes:
        items: all items; boilerplate: number of n-grams in more than 50 items, which are ignored.

    Memory: the items' texts and about 30 bytes per word.
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
        """Numbers the n-grams, after the last item."""
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
        """The items of n-grams: (index in ``numbers``, item), both int64."""
        counts = self.sharing[numbers]
        places = np.repeat(np.arange(len(numbers)), counts)
        within = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        return places, self._items[self._first[numbers][places] + within]

    def sizes(self, weights: np.ndarray | None = None) -> np.ndarray:
        """The number of n-grams of each item, or the sum of their weights (float64 [n-grams]); float64."""
        ngram_weights = None if weights is None else weights[self._ngrams]
        return np.bincount(self._items, ngram_weights, len(self.items)).astype(np.float64)

    def passage(self, item: int, numbers: np.ndarray, most: int) -> str:
        """The longest run of the item's words covered by n-grams, up to ``most`` characters."""
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
    return text.encode("utf-8", "replace").decode()


_MATCHES = 8  # items considered per record, those with the most n-grams [ours]
_PASSAGE = 400  # characters shown in a report


class ItemMatch(NamedTuple):
    """The overlap of a record and an item.

    Attributes:
        ngrams: int64, numbers of the common n-grams.
        longest: words in their longest run.
        spans: byte ranges of the record's text covered by runs.
        passage: the record's text of the longest run.
    """

    item: int
    ngrams: np.ndarray
    longest: int
    spans: list[tuple[int, int]]
    passage: str


class RecordMatches(NamedTuple):
    """A record with n-grams of items: its index in the batch, all n-grams, the best items."""

    place: int
    ngrams: np.ndarray
    matches: list[ItemMatch]


@dataclass(frozen=True)
class ItemSearch:
    """Searches for items in texts; safe in any thread."""

    items: BenchmarkItems

    def __call__(self, batch: Batch, texts: TextBuffer) -> list[RecordMatches]:
        """The records in which an n-gram of an item occurs."""
        batch_words = words(texts)
        firsts, numbers = self.items.set.occurrences(batch_words)
        owner = np.searchsorted(batch_words.offsets, firsts, side="right") - 1
        begins = np.flatnonzero(np.diff(owner, prepend=-1))
        ends = [*begins[1:].tolist(), len(owner)]
        return [
            RecordMatches(
                int(owner[begin]),
                np.unique(numbers[begin:end]),
                self._matches(
                    batch_words.starts, batch_words.ends, firsts[begin:end], numbers[begin:end],
                    texts.data[texts.offsets[owner[begin]] : texts.offsets[owner[begin] + 1]],
                ),
            )
            for begin, end in zip(begins.tolist(), ends, strict=False)
        ]  # fmt: skip

    def _matches(
        self,
        starts: np.ndarray,
        ends: np.ndarray,
        firsts: np.ndarray,
        numbers: np.ndarray,
        text: np.ndarray,
    ) -> list[ItemMatch]:
        places, items = self.items.of_ngrams(numbers)
        which, counts = np.unique(items, return_counts=True)
        best = which[np.argsort(-counts, kind="stable")][:_MATCHES]
        n = self.items.n
        matches = []
        for item in best.tolist():
            own = places[items == item]
            at = firsts[own]
            cuts = np.flatnonzero(np.diff(at) != 1) + 1
            runs = [(int(run[0]), int(run[-1]) + n - 1) for run in np.split(at, cuts)]
            first, last = max(runs, key=lambda run: run[1] - run[0])
            passage = text[starts[first] : ends[last]].tobytes().decode("utf-8")[:_PASSAGE]
            spans = [(int(starts[a]), int(ends[b])) for a, b in runs]
            matches.append(
                ItemMatch(item, np.unique(numbers[own]), last - first + 1, spans, passage)
            )
        return matches


class Contamination:
    """The matches of all records, with scores.

    The weight of an n-gram is 1/items · 1/(1 + ln records), from the numbers of items and records that contain it;
    the score of an item in a record is the share of the item's weight found in the record.

    Args:
        least: the score from which a record contains an item; longest: the minimum length of a run, in words.

    Memory: about 200 bytes for each item that shares an n-gram with a record.
    """

    def __init__(self, items: BenchmarkItems, least: float, longest: int) -> None:
        self._items, self._least, self._longest = items, least, longest
        self._records = np.zeros(len(items.sharing), np.int64)  # of each n-gram
        self._hits: list[tuple[int, list[ItemMatch], str, int]] = []
        self._inputs: list[int] = []
        self._counts: dict[int, int] = {}
        self.records = 0

    def add(self, batch: Batch, matches: list[RecordMatches], source: int) -> None:
        """Takes the matches of the next records of one input."""
        for record in matches:
            self._records[record.ngrams] += 1
            number = int(batch.numbers[record.place])
            place = self.records + record.place
            self._hits.append((place, record.matches, batch.source, number))
            self._inputs.append(source)
        self.records += len(batch)
        self._counts[source] = self._counts.get(source, 0) + len(batch)

    def settle(self) -> None:
        """Computes the scores, after the last record."""
        self._weights = 1 / self._items.sharing / (1 + np.log(np.maximum(1, self._records)))
        totals = self._items.sizes(self._weights)
        self._scores: dict[int, list[float]] = {}
        self._matches: dict[int, list[ItemMatch]] = {}
        for place, matches, _, _ in self._hits:
            shares = (self._weights[m.ngrams].sum() / totals[m.item] for m in matches)
            self._scores[place], self._matches[place] = list(map(float, shares)), matches

    def _contained(self, place: int) -> list[bool]:
        """Which of its matched items a record contains."""
        pairs = zip(self._scores[place], self._matches[place], strict=True)
        return [s >= self._least - 1e-9 and m.longest >= self._longest for s, m in pairs]

    def verdict(self, place: int) -> tuple[float, str | None, bool]:
        """A record's highest score, the item with it, and whether the record contains an item."""
        scores = self._scores.get(place)
        if not scores:
            return 0.0, None, False
        best = int(np.argmax(scores))
        item = self._items.items[self._matches[place][best].item]
        return scores[best], item.name(), any(self._contained(place))

    def without_passages(self, place: int, text: str) -> str:
        """The text without the runs of words shared with the items that it contains."""
        pairs = zip(self._matches[place], self._contained(place), strict=True)
        data, left, at = text.encode("utf-8"), b"", 0
        for begin, end in sorted(span for match, one in pairs if one for span in match.spans):
            left += data[at : max(at, begin)]
            at = max(at, end)
        return (left + data[at:]).decode("utf-8")

    def report(self, names: Sequence[str], most: int) -> dict[str, Any]:
        """Counts by benchmark and input, and the ``most`` hits with the highest scores. ``names``: of the inputs."""
        items = self._items.items
        contained: set[int] = set()
        present = np.zeros(len(self._weights), bool)
        contaminated = dict.fromkeys(range(len(names)), 0)
        hits = []
        for (place, matches, file, line), source in zip(self._hits, self._inputs, strict=True):
            holds = self._contained(place)
            contaminated[source] += any(holds)
            for match, score, one in zip(matches, self._scores[place], holds, strict=True):
                present[match.ngrams] = True
                if one:
                    contained.add(match.item)
                    hits.append((score, match, file, line))
        sizes, totals = self._items.sizes(), self._items.sizes(self._weights)
        shares = self._items.sizes(np.where(present, self._weights, 0.0)) / np.maximum(
            totals, 1e-300
        )
        benchmark = np.array([item.benchmark for item in items], np.int64)
        checked, together = sizes > 0, (sizes > 0) & (shares >= self._least)
        hits.sort(key=lambda hit: (-hit[0], -hit[1].longest))
        return {
            "records": self.records,
            "contaminated": sum(contaminated.values()),
            "boilerplate": self._items.boilerplate,
            "benchmarks": [
                {
                    "benchmark": name,
                    "items": int((benchmark == number).sum()),
                    "unchecked": int((~checked[benchmark == number]).sum()),
                    "contaminated": int(np.sum(benchmark[list(contained)] == number)),
                    "together": int(together[benchmark == number].sum()),
                }
                for number, name in enumerate(self._items.names)
            ],
            "inputs": [
                {"input": name, "records": self._counts.get(n, 0), "contaminated": contaminated[n]}
                for n, name in enumerate(names)
            ],
            "hits_found": len(hits),
            "hits": [
                {
                    "file": file,
                    "line": line,
                    "benchmark": self._items.names[items[match.item].benchmark],
                    "item": items[match.item].name(),
                    "item_id": items[match.item].id,
                    "score": score,
                    "words": match.longest,
                    "record_passage": match.passage,
                    "item_passage": self._items.passage(match.item, match.ngrams, _PASSAGE),
                }
                for score, match, file, line in hits[:most]
            ],
        }
