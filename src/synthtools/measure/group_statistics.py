"""Statistics of groups of texts, collected while they are read, and the report of each group."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from synthtools.errors import RecordError, SynthError
from synthtools.measure import diversity
from synthtools.measure.batch_statistics import BatchStatistics, Measures
from synthtools.measure.diversity import FEWEST_WORDS, STEP, heaps, matched
from synthtools.measure.frequencies import RESAMPLES, rate
from synthtools.measure.keywords import compared_keywords
from synthtools.measure.perplexity import PERCENTILES
from synthtools.measure.phrase_counts import KeywordCounts
from synthtools.measure.record_numbers import MIDDLE, RecordNumbers
from synthtools.measure.significance import compared
from synthtools.records.batch import Batch
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.grouped_counts import GroupedCounts
from synthtools.text.lexical_richness import (
    BREAK,
    ENTROPY,
    HDD,
    MTLD,
    TTR,
    sequence_of,
)
from synthtools.text.sentences import sentence_bounds

# The limit for a report, in which a group takes about 2 kB.
MOST_GROUPS = 1_000_000
# With more groups, a report has only the median of each number, and no lists.
MOST_IN_FULL = 10_000
# Groups whose phrases are counted.
_MOST_KEYWORDS = 20

_LENGTHS = ("characters", "bytes", "words", "tokens")
_RATE = "matches of "
_OF_WORDS = {"ttr": TTR, "mtld": MTLD, "hdd": HDD, "entropy": ENTROPY}


class SmallestDraws:
    """A sample: the items with the smallest draws, in any order of arrival.

    Memory: at most twice the sample.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._draws = np.zeros(0)
        self._items: list[Any] = []
        self._largest = np.inf

    def add(self, draws: np.ndarray, item: Callable[[int], Any]) -> None:
        """Offers items by their index; ``draws``: float64 of each."""
        chosen = np.flatnonzero(draws < self._largest)
        self._draws = np.concatenate([self._draws, draws[chosen]])
        self._items += [item(index) for index in chosen.tolist()]
        if len(self._items) > 2 * self._size:
            self._cut()
            self._largest = self._draws[-1]

    def _cut(self) -> None:
        order = np.argsort(self._draws, kind="stable")[: self._size]
        self._draws = self._draws[order]
        self._items = [self._items[index] for index in order.tolist()]

    def result(self) -> list[Any]:
        """The sample, in the order of its draws."""
        self._cut()
        return self._items


@dataclass
class TextGroup:
    name: str
    texts: SmallestDraws
    vectors: SmallestDraws
    origins: SmallestDraws
    documents: int = 0
    sequences: list[np.ndarray] = field(default_factory=list)
    words: int = 0
    keywords: KeywordCounts | None = None

    def strings(self) -> list[str]:
        """The texts of the sample."""
        return [text.decode() for text in self.texts.result()]


class GroupStatistics:
    """Collects statistics of texts by group.

    Memory: 64 bytes per document (110 while summarising), and 8 for each pattern; 24 bytes per thousand words (four
    times that while summarising); about 2 kB per group, 8 in the report; for each group the texts of a sample,
    8 bytes for each of its first million words, 20 to 80 for each of its distinct words and tokens.
    """

    def __init__(self, measures: Measures, remedy: str) -> None:
        self._measures = measures
        self._remedy = remedy
        self._places: dict[str, int] = {}
        self.groups: list[TextGroup] = []
        self._numbers = RecordNumbers()
        self._lexical: dict[int, np.ndarray] = {}
        self._words = GroupedCounts(STEP)
        self.tokens = GroupedCounts(1 << 62)

    @property
    def in_full(self) -> bool:
        """Whether the report has all percentiles and lists."""
        return len(self.groups) <= MOST_IN_FULL

    def place(self, name: str) -> int:
        """The index of a group, created if it is new."""
        if name not in self._places:
            if len(self.groups) == MOST_GROUPS:
                raise SynthError(f"more than {MOST_GROUPS:,} groups; {self._remedy}")
            self._places[name] = len(self.groups)
            texts, vectors = self._measures.texts_kept, self._measures.vectors
            samples = SmallestDraws(texts), SmallestDraws(vectors), SmallestDraws(texts)
            self.groups.append(TextGroup(name, *samples))
        return self._places[name]

    def values(self, name: str, place: int) -> np.ndarray:
        """The values of a number for the documents of a group, float64; after ``results``."""
        if name == "lexical_diversity":
            return self._lexical.get(place, np.zeros(0))
        return self._numbers.values(name, place)

    def add(
        self,
        texts: TextBuffer,
        batch: BatchStatistics,
        places: np.ndarray,
        draws: np.ndarray,
        vectors: np.ndarray | None,
        records: Batch | None = None,
    ) -> None:
        """Takes the texts of a batch.

        Args:
            places: the group of each, int64; draws: float64 of each, for the samples.
            vectors: float32 [texts, dimensions], if they come from a field.
            records: of the texts, if a drawn one may be rejected later.
        """
        known = len(self.groups)
        numbers: dict[str, np.ndarray] = dict(batch.lengths)
        numbers |= {_RATE + name: counts for name, counts in batch.matches.items()}
        if batch.words is not None:
            self._words.add(batch.words.hashes, batch.words.starts, places, known)
            figures = batch.words.figures
            numbers |= {name: figures[:, column] for name, column in _OF_WORDS.items()}
        if batch.tokens is not None:
            sizes = batch.lengths["tokens"]
            ids = np.concatenate([np.zeros(0, np.int32), *batch.tokens]).astype(np.uint64)
            self.tokens.add(ids, np.concatenate([[0], np.cumsum(sizes)]), places, known)
        self._numbers.add(places, numbers)
        if batch.phrases and known > _MOST_KEYWORDS:
            raise SynthError(f"keywords of more than {_MOST_KEYWORDS} groups; {self._remedy}")
        for name, tables in batch.phrases.items():
            group = self.groups[places[0] if name is None else self._places[name]]
            group.keywords = group.keywords or KeywordCounts()
            group.keywords.add(tables)
        order = np.argsort(places, kind="stable")
        edges = np.flatnonzero(np.diff(places[order])) + 1
        for members in np.split(order, edges):
            if len(members):
                group = self.groups[places[members[0]]]
                self._add_to(group, members, texts, batch, draws, vectors)
                if records is not None:
                    faults = partial(_fault, records, members)
                    group.origins.add(draws[members], faults)

    def _add_to(
        self,
        group: TextGroup,
        members: np.ndarray,
        texts: TextBuffer,
        batch: BatchStatistics,
        draws: np.ndarray,
        vectors: np.ndarray | None,
    ) -> None:
        group.documents += len(members)
        room = self._measures.words - group.words
        if batch.words is not None and room > 0 and self._measures.names & {"vocabulary", "ngrams"}:
            sequence, words = sequence_of(batch.words.hashes, batch.words.starts, members, room)
            group.sequences.append(sequence)
            group.words += words
        if self._measures.texts_kept:
            group.texts.add(draws[members], lambda index: texts.encoded(members[index]))
        if vectors is not None:
            group.vectors.add(draws[members], lambda index: vectors[members[index]].copy())

    def tests(self, numbers: list[str]) -> dict[str, Any] | None:
        """Tests for differences of groups in numbers of their documents; after ``results``."""
        if len(self.groups) < 2 or not numbers:
            return None
        names = [group.name for group in self.groups]
        return {
            number: compared(names, [self.values(number, place) for place in range(len(names))])
            for number in numbers
        }

    def results(
        self,
        each: Callable[
            [Iterable[TextGroup], Callable[[TextGroup], dict[str, Any]]], Iterable[dict[str, Any]]
        ],
    ) -> dict[str, Any]:
        """``groups``: the report of each; ``matched_words``: the number of words to which groups were matched;
        ``in_full``; ``keywords``, if requested: of each further group compared with the first. ``each``: like
        map, possibly in threads."""
        growth = self._words.curves(), self._words.totals, self._words.distinct
        self._words = GroupedCounts(STEP)
        match = self._match(growth[1])
        percentiles = tuple(PERCENTILES) if self.in_full else MIDDLE
        self._numbers.order(len(self.groups))
        of_documents = {
            name: self._numbers.summaries(name, percentiles)
            for name in self._numbers.names()
            if name in _LENGTHS or name in _OF_WORDS
        }
        totals = {n: self._numbers.totals(n) for n in _LENGTHS if n in of_documents}
        reports = list(each(self.groups, lambda group: self._report(group, growth, match)))
        for place, report in enumerate(reports):
            if "lengths" in report:
                report["lengths"] = {
                    n: {"total": total[place], **of_documents[n][place]}
                    for n, total in totals.items()
                }
            if "vocabulary" in report:
                report["vocabulary"]["of_documents"] = {
                    n: of_documents[n][place] for n in _OF_WORDS if n in of_documents
                }
            if "rates" in self._measures.names:
                report["rates"] = self._rates(place)
        whole = {"groups": reports, "matched_words": match, "in_full": self.in_full}
        if "keywords" not in self._measures.names:
            return whole
        sides = [(one.name, one.keywords or KeywordCounts(), one.strings()) for one in self.groups]
        return {**whole, "keywords": [compared_keywords(sides[0], one) for one in sides[1:]]}

    def _rates(self, place: int) -> dict[str, Any]:
        words = self._numbers.values("words", place)
        resamples = RESAMPLES if self.in_full else 0
        return {
            name: rate(
                self._numbers.values(_RATE + name, place), words, self._measures.seed, resamples
            )
            for name in self._measures.patterns
        }

    def _match(self, totals: np.ndarray) -> int | None:
        if self._measures.match != 0:
            return self._measures.match
        enough = totals[totals >= FEWEST_WORDS]
        return int(enough.min()) // STEP * STEP if len(enough) else FEWEST_WORDS

    def _report(
        self,
        group: TextGroup,
        growth: tuple[dict[int, tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray],
        match: int | None,
    ) -> dict[str, Any]:
        """The report without numbers of documents, which are summarised for all groups at once."""
        place = self._places[group.name]
        curves, totals, types = growth
        names = self._measures.names
        report: dict[str, Any] = {"name": group.name, "documents": group.documents}
        total, distinct = (int(n[place]) if place < len(n) else 0 for n in (totals, types))
        curve = curves.get(place, (np.zeros(0, np.int64), np.zeros(0, np.int64)))
        reason = None if total else "no words"
        counted = total
        if match is not None:
            curve, reason = matched(*curve, match, total)
            counted, distinct = (0, 0) if reason else (match, int(curve[1][-1]))
        if "lengths" in names:
            report["lengths"] = {}
        if names & {"vocabulary", "ngrams"}:
            sequence = _beginning(group.sequences, None if match is None else counted)
            group.sequences = []
            figures = diversity.sequence_figures(sequence)
            if "vocabulary" in names:
                report["vocabulary"] = {
                    "words": total,
                    "types": distinct if counted or not total else None,
                    "ttr": distinct / counted if counted else None,
                    "taken": figures["words"],
                    "mtld": figures["mtld"],
                    "hdd": figures["hdd"],
                    "reason": reason,
                }
            if "ngrams" in names:
                report["ngrams"] = {"taken": figures["words"], **figures["ngrams"]}
        if "heaps" in names:
            report["heaps"] = heaps(*curve) | ({"reason": reason} if match and reason else {})
        return report | self._of_sample(group, place)

    def _of_sample(self, group: TextGroup, place: int) -> dict[str, Any]:
        measures = self._measures
        report: dict[str, Any] = {}
        if not measures.needs_sample:
            return {}
        texts = group.texts.result()[: measures.sample]
        if "compression" in measures.names:
            report["compression"] = diversity.compression(texts)
        if measures.names & {"self-bleu", "openings"}:
            buffer = TextBuffer.joined(texts)
            sentences = sentence_bounds(buffer)
        if "self-bleu" in measures.names:
            report["lexical_diversity"], self._lexical[place] = diversity.lexical_diversity(
                buffer, sentences, measures.pooled
            )
        if "openings" in measures.names:
            report["openings"] = diversity.openings(buffer, sentences)
            if not self.in_full:
                report["openings"] |= {"openings": None, "templates": None}
        return {"sample": len(texts), **report}


def _fault(records: Batch, members: np.ndarray, index: int) -> RecordError:
    return records.fault(int(members[index]), "")


def _beginning(sequences: list[np.ndarray], words: int | None) -> np.ndarray:
    """The first words of sequences (None: all), with the breaks between texts."""
    whole: np.ndarray = np.concatenate([np.zeros(0, np.uint64), *sequences])
    return whole if words is None else whole[np.cumsum(whole != BREAK) <= words]
