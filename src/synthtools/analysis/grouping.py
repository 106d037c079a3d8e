"""What is kept of groups of texts while they are read, and the report of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthtools.analysis import diversity
from synthtools.analysis.vocabulary import STEP, heaps
from synthtools.errors import SynthError
from synthtools.records.batch import Batch
from synthtools.records.identity import ID_FIELD, Hashes, hashes
from synthtools.records.texts import Texts
from synthtools.text.grouped import GroupedCounts
from synthtools.text.lexical import (
    ENTROPY,
    HDD,
    MTLD,
    TTR,
    Words,
    character_counts,
    sequence_of,
    words_of,
)
from synthtools.text.ngrams import word_counts

# A report has room for no more.
MOST_GROUPS = 10_000

FREE = ("lengths", "vocabulary", "heaps", "ngrams", "compression", "self-bleu", "openings")
MEASURES = (*FREE, "tokens", "semantic")

_OF_WORDS = {"ttr": TTR, "mtld": MTLD, "hdd": HDD, "entropy": ENTROPY}


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        measures: of ``MEASURES``.
        sample, pooled: documents of a group for self-BLEU, compression and openings; of them, those
            whose sentences are pooled.
        vectors: documents of a group for semantic diversity.
        words: words of a group whose n-grams, MTLD and HD-D are taken.
        by_model: the vectors come from a model, which needs the texts.
    """

    measures: frozenset[str]
    sample: int = 500
    pooled: int = 100
    vectors: int = 5000
    words: int = 1_000_000
    by_model: bool = False

    @property
    def of_words(self) -> bool:
        return bool(self.measures & {"vocabulary", "heaps", "ngrams"})

    @property
    def of_sample(self) -> bool:
        return bool(self.measures & {"compression", "self-bleu", "openings"})

    @property
    def texts_kept(self) -> int:
        kept = self.vectors if self.by_model and "semantic" in self.measures else 0
        return max(kept, self.sample if self.of_sample else 0)


@dataclass(frozen=True)
class Seen:
    """What one batch's texts say by themselves; made in any thread.

    Attributes:
        lengths: name → int64 [texts].
        words: None where no measure needs them.
        tokens: ids of each text, None without a tokenizer.
    """

    lengths: dict[str, np.ndarray]
    words: Words | None
    tokens: list[np.ndarray] | None
    keys: Hashes


def look(
    plan: Plan, encode: Callable[[list[str]], list[np.ndarray]] | None
) -> Callable[[Batch, Texts], Seen]:
    """The work on one batch, for ``records.working``."""

    def work(batch: Batch, texts: Texts) -> Seen:
        lengths = {
            "characters": character_counts(texts),
            "bytes": texts.lengths(),
            "words": word_counts(texts),
        }
        tokens = encode(list(texts)) if encode is not None else None
        if tokens is not None:
            lengths["tokens"] = np.array([len(ids) for ids in tokens], np.int64)
        words = words_of(texts) if plan.of_words else None
        return Seen(lengths, words, tokens, hashes(batch.column(ID_FIELD), texts.views()))

    return work


class Sample:
    """The things with the smallest numbers, so that the order of work draws nothing.

    Memory: twice as many things as are wanted, at most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._draws = np.zeros(0)
        self._things: list[Any] = []
        self._most = np.inf

    def add(self, draws: np.ndarray, thing: Callable[[int], Any]) -> None:
        """Offers things by their index; ``draws``: float64 of each."""
        wanted = np.flatnonzero(draws < self._most)
        self._draws = np.concatenate([self._draws, draws[wanted]])
        self._things += [thing(index) for index in wanted.tolist()]
        if len(self._things) > 2 * self._size:
            self._cut()
            self._most = self._draws[-1]

    def _cut(self) -> None:
        order = np.argsort(self._draws, kind="stable")[: self._size]
        self._draws = self._draws[order]
        self._things = [self._things[index] for index in order.tolist()]

    def result(self) -> list[Any]:
        """The things, by their numbers."""
        self._cut()
        return self._things


@dataclass
class Group:
    """What is kept of one group."""

    name: str
    texts: Sample
    vectors: Sample
    documents: int = 0
    numbers: dict[str, list[np.ndarray]] = field(default_factory=dict)
    sequences: list[np.ndarray] = field(default_factory=list)
    words: int = 0

    def values(self, name: str) -> np.ndarray:
        """A number of each document, float64."""
        return np.concatenate([np.zeros(0), *self.numbers.get(name, [])])


class Groups:
    """Takes texts group by group.

    Memory: 64 bytes a document; of each group the texts of a sample, 8 bytes for each of its first
    million words, 20 to 80 for each of its distinct words and tokens.
    """

    def __init__(self, plan: Plan, remedy: str) -> None:
        self._plan = plan
        self._remedy = remedy
        self._places: dict[str, int] = {}
        self.groups: list[Group] = []
        self._words = GroupedCounts(STEP)
        self.tokens = GroupedCounts(1 << 62)

    def place(self, name: str) -> int:
        """The number of a group, which is made where it is new."""
        if name not in self._places:
            if len(self.groups) == MOST_GROUPS:
                raise SynthError(f"more than {MOST_GROUPS:,} groups; {self._remedy}")
            self._places[name] = len(self.groups)
            plan = self._plan
            self.groups.append(Group(name, Sample(plan.texts_kept), Sample(plan.vectors)))
        return self._places[name]

    def add(
        self,
        texts: Texts,
        seen: Seen,
        places: np.ndarray,
        draws: np.ndarray,
        vectors: np.ndarray | None,
    ) -> None:
        """Takes the texts of a batch.

        Args:
            places: the group of each, int64; draws: float64 of each, for the samples.
            vectors: float32 [texts, dimensions], where they come from a field.
        """
        known = len(self.groups)
        numbers: dict[str, np.ndarray] = dict(seen.lengths)
        if seen.words is not None:
            self._words.add(seen.words.hashes, seen.words.starts, places, known)
            figures = seen.words.figures
            numbers |= {name: figures[:, column] for name, column in _OF_WORDS.items()}
        if seen.tokens is not None:
            sizes = seen.lengths["tokens"]
            ids = np.concatenate([np.zeros(0, np.int32), *seen.tokens]).astype(np.uint64)
            self.tokens.add(ids, np.concatenate([[0], np.cumsum(sizes)]), places, known)
        order = np.argsort(places, kind="stable")
        edges = np.flatnonzero(np.diff(places[order])) + 1
        for members in np.split(order, edges):
            if len(members):
                self._add_to(
                    self.groups[places[members[0]]], members, texts, seen, numbers, draws, vectors
                )

    def _add_to(
        self,
        group: Group,
        members: np.ndarray,
        texts: Texts,
        seen: Seen,
        numbers: dict[str, np.ndarray],
        draws: np.ndarray,
        vectors: np.ndarray | None,
    ) -> None:
        group.documents += len(members)
        for name, values in numbers.items():
            group.numbers.setdefault(name, []).append(values[members].astype(np.float64))
        room = self._plan.words - group.words
        if seen.words is not None and room > 0 and self._plan.measures & {"vocabulary", "ngrams"}:
            sequence, words = sequence_of(seen.words.hashes, seen.words.starts, members, room)
            group.sequences.append(sequence)
            group.words += words
        if self._plan.texts_kept:
            group.texts.add(draws[members], lambda index: texts[members[index]])
        if vectors is not None:
            group.vectors.add(draws[members], lambda index: vectors[members[index]].copy())

    def results(
        self,
        each: Callable[
            [Iterable[Group], Callable[[Group], dict[str, Any]]], Iterable[dict[str, Any]]
        ],
    ) -> list[dict[str, Any]]:
        """The report of each group.

        Args:
            each: like map, perhaps in threads.
        """
        curves, types = self._words.curves(), self._words.distinct
        totals = self._words.totals
        self._words = GroupedCounts(STEP)
        nothing = np.zeros(0, np.int64), np.zeros(0, np.int64)

        def report(group: Group) -> dict[str, Any]:
            place = self._places[group.name]
            found: dict[str, Any] = {"name": group.name, "documents": group.documents}
            measures = self._plan.measures
            if "lengths" in measures:
                names = [
                    n for n in ("characters", "bytes", "words", "tokens") if n in group.numbers
                ]
                found["lengths"] = {n: _length(group.values(n)) for n in names}
            if measures & {"vocabulary", "ngrams"}:
                found |= self._of_words(group, place, totals, types)
            if "heaps" in measures:
                found["heaps"] = heaps(*curves.get(place, nothing))
            return found | self._of_sample(group)

        return list(each(self.groups, report))

    def _of_words(
        self, group: Group, place: int, totals: np.ndarray, types: np.ndarray
    ) -> dict[str, Any]:
        sequence = np.concatenate([np.zeros(0, np.uint64), *group.sequences])
        group.sequences = []
        figures = diversity.sequence_figures(sequence)
        found: dict[str, Any] = {}
        if "vocabulary" in self._plan.measures:
            total, distinct = (int(n[place]) if place < len(n) else 0 for n in (totals, types))
            found["vocabulary"] = {
                "words": total,
                "types": distinct,
                "ttr": distinct / total if total else None,
                "taken": figures["words"],
                "mtld": figures["mtld"],
                "hdd": figures["hdd"],
                "reason": figures["reason"],
                "of_documents": {n: diversity.summary(group.values(n)) for n in _OF_WORDS},
            }
        if "ngrams" in self._plan.measures:
            found["ngrams"] = {"taken": figures["words"], **figures["ngrams"]}
        return found

    def _of_sample(self, group: Group) -> dict[str, Any]:
        plan, found = self._plan, {}
        if not plan.of_sample:
            return {}
        texts = group.texts.result()[: plan.sample]
        if "compression" in plan.measures:
            found["compression"] = diversity.compression(texts)
        if "self-bleu" in plan.measures:
            found["lexical_diversity"], values = diversity.lexical_diversity(texts, plan.pooled)
            group.numbers["lexical_diversity"] = [values]
        if "openings" in plan.measures:
            found["openings"] = diversity.openings(texts)
        return {"sample": len(texts), **found}


def _length(values: np.ndarray) -> dict[str, Any]:
    return {"total": int(values.sum()), **diversity.summary(values)}
