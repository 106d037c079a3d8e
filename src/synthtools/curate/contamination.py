"""Benchmark items found in records, how much of each, and how rare what was found is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from synthtools.curate.benchmark_items import BenchmarkItems
from synthtools.records.batch import Batch
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.word_ngrams import words

_MATCHES = 8  # items of a record that are looked at, those of the most n-grams [ours]
_PASSAGE = 400  # characters that a report shows


class ItemMatch(NamedTuple):
    """What a record and an item share.

    Attributes:
        ngrams: int64, numbers of their common n-grams.
        longest: words of the longest run of them.
        spans: bytes of the record's text that runs cover.
        passage: the record's text of the longest run.
    """

    item: int
    ngrams: np.ndarray
    longest: int
    spans: list[tuple[int, int]]
    passage: str


class RecordMatches(NamedTuple):
    """A record in which n-grams were found: its place in the batch, all n-grams, the best items."""

    place: int
    ngrams: np.ndarray
    matches: list[ItemMatch]


@dataclass(frozen=True)
class ItemSearch:
    """Looks for items in texts; safe in any thread."""

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
    """All that was found, and what it amounts to.

    The weight of an n-gram is 1/items · 1/(1 + ln records), by how many items and how many records
    have it; the score of an item in a record is the share of the item's weight that the record has.

    Args:
        least: the score from which a record holds an item; longest: words that a run must have too.

    Memory: some 200 bytes for each item that a record shares an n-gram with.
    """

    def __init__(self, items: BenchmarkItems, least: float, longest: int) -> None:
        self._items, self._least, self._longest = items, least, longest
        self._records = np.zeros(len(items.sharing), np.int64)  # of each n-gram
        self._hits: list[tuple[int, list[ItemMatch], str, int]] = []
        self._inputs: list[int] = []
        self._counts: dict[int, int] = {}
        self.records = 0

    def add(self, batch: Batch, matches: list[RecordMatches], source: int) -> None:
        """Takes what was found in the next records, which are of one input."""
        for record in matches:
            self._records[record.ngrams] += 1
            number = int(batch.numbers[record.place])
            place = self.records + record.place
            self._hits.append((place, record.matches, batch.source, number))
            self._inputs.append(source)
        self.records += len(batch)
        self._counts[source] = self._counts.get(source, 0) + len(batch)

    def settle(self) -> None:
        """All records are there: scores are given."""
        weights = 1 / self._items.sharing / (1 + np.log(np.maximum(1, self._records)))
        self._weights = weights
        totals = self._items.sizes(weights)
        self._scores = {
            place: [float(weights[m.ngrams].sum() / totals[m.item]) for m in matches]
            for place, matches, _, _ in self._hits
        }
        self._matches = {place: matches for place, matches, _, _ in self._hits}

    def _holds(self, place: int) -> list[bool]:
        """Which of its items a record holds."""
        pairs = zip(self._scores[place], self._matches[place], strict=True)
        return [s >= self._least - 1e-9 and m.longest >= self._longest for s, m in pairs]

    def verdict(self, place: int) -> tuple[float, str | None, bool]:
        """A record's highest score, the item that has it, and whether the record holds an item."""
        scores = self._scores.get(place)
        if not scores:
            return 0.0, None, False
        best = int(np.argmax(scores))
        item = self._items.items[self._matches[place][best].item]
        return scores[best], item.name(), any(self._holds(place))

    def without_passages(self, place: int, text: str) -> str:
        """The text without the runs of words that it shares with the items that it holds."""
        held = [m for m, one in zip(self._matches[place], self._holds(place), strict=True) if one]
        data, left, at = text.encode("utf-8"), b"", 0
        for begin, end in sorted(span for match in held for span in match.spans):
            left += data[at : max(at, begin)]
            at = max(at, end)
        return (left + data[at:]).decode("utf-8")

    def report(self, names: Sequence[str], most: int) -> dict[str, Any]:
        """Shares of benchmarks and inputs, and the hits of the highest scores side by side.

        Args:
            names: of the inputs.
        """
        items = self._items.items
        held: dict[int, int] = {}
        there = np.zeros(len(self._weights), bool)
        contaminated = dict.fromkeys(range(len(names)), 0)
        hits = []
        for (place, matches, file, line), source in zip(self._hits, self._inputs, strict=True):
            holds = self._holds(place)
            contaminated[source] += any(holds)
            for match, score, one in zip(matches, self._scores[place], holds, strict=True):
                there[match.ngrams] = True
                if one:
                    held[match.item] = held.get(match.item, 0) + 1
                    hits.append((score, match, file, line))
        sizes, totals = self._items.sizes(), self._items.sizes(self._weights)
        shares = self._items.seen(there, self._weights) / np.maximum(totals, 1e-300)
        benchmark = np.array([item.benchmark for item in items], np.int64)
        hits.sort(key=lambda hit: (-hit[0], -hit[1].longest))
        return {
            "records": self.records,
            "contaminated": sum(contaminated.values()),
            "boilerplate": self._items.boilerplate,
            "benchmarks": [
                {
                    "benchmark": name,
                    "items": int((benchmark == number).sum()),
                    "unchecked": int(((benchmark == number) & (sizes == 0)).sum()),
                    "contaminated": int(np.sum(benchmark[list(held)] == number)),
                    "together": int(
                        ((benchmark == number) & (sizes > 0) & (shares >= self._least)).sum()
                    ),
                }
                for number, name in enumerate(self._items.names)
            ],
            "inputs": [
                {
                    "input": name,
                    "records": self._counts.get(number, 0),
                    "contaminated": contaminated[number],
                }
                for number, name in enumerate(names)
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
