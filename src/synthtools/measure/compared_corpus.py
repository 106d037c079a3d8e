"""The data of a corpus for comparisons, from one reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from synthtools.draws import lane_of, record_uniforms
from synthtools.measure.form import form_of
from synthtools.measure.group_statistics import SmallestDraws
from synthtools.measure.phrase_counts import KeywordCounts
from synthtools.records.batch import MISSING, Batch
from synthtools.records.input_format import stem
from synthtools.records.jsonl import json_bytes
from synthtools.records.record_keys import ID_FIELD, RecordHashes, RecordKeys, hashes
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.phrases import PhraseTables, tabulate_phrases
from synthtools.text.shingles import shingles
from synthtools.text.words import word_counts

# Bytes kept of a sampled text, at most [ours].
_MOST_BYTES = 40_000
PERMUTATIONS = 128
SAMPLE = 4000


class SampledDocument(NamedTuple):
    """A document of the sample; ``number``: its position in the corpus."""

    number: int
    text: str
    place: str


@dataclass(frozen=True)
class BatchFacts:
    """Properties of a batch of records.

    Attributes:
        keys: of ids, else of texts; texts: uint64, equal for equal texts.
        prompts: uint64, hashes of prompts; None without a prompt field.
        signatures: uint8 [texts, PERMUTATIONS], lowest bytes of MinHash of shingles of five words.
        words: int32 [texts].
        form: float32 [texts, MEASURES of ``form``].
        phrases: see ``text.phrases``.
    """

    keys: RecordHashes
    texts: np.ndarray
    prompts: np.ndarray | None
    signatures: np.ndarray
    words: np.ndarray
    form: np.ndarray
    phrases: PhraseTables | None


def batch_facts(prompt_field: str | None) -> Callable[[Batch, TextBuffer], BatchFacts]:
    """The work on a batch, for ``records.map_threads``; safe in any thread."""

    def work(batch: Batch, texts: TextBuffer) -> BatchFacts:
        own = hashes([MISSING] * len(texts), texts.views()).values
        prompts = None
        if prompt_field is not None:
            # Records without a prompt share it with no other.
            prompts = own.copy()
            for index, value in enumerate(batch.column(prompt_field)):
                if value is not MISSING and value is not None:
                    digest = blake2b(json_bytes(value), digest_size=8).digest()
                    prompts[index] = int.from_bytes(digest, "little")
        return BatchFacts(
            hashes(batch.column(ID_FIELD), texts.views()),
            own,
            prompts,
            shingles(texts).signatures(PERMUTATIONS).astype(np.uint8),
            word_counts(texts).astype(np.int32),
            np.stack([*form_of(texts).values()], axis=1).astype(np.float32),
            tabulate_phrases(texts),
        )

    return work


@dataclass
class ComparedCorpus:
    """A corpus, read batch by batch.

    Memory: 250 bytes per document, 100 MB for phrases, at most 40 kB for each document of the sample.
    """

    name: str
    path: str
    seed: int
    documents: int = 0
    bytes: int = 0
    _facts: list[BatchFacts] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sample = SmallestDraws(SAMPLE)
        self._keys = RecordKeys(apart=True)
        self.keywords = KeywordCounts()

    def add(self, batch: Batch, texts: TextBuffer, facts: BatchFacts, text_bytes: int) -> None:
        draws = record_uniforms(self.seed, self._keys.of_hashes(facts.keys), lane_of("compare"))
        first = self.documents

        def document(index: int) -> SampledDocument:
            start = texts.offsets[index]
            end = min(start + _MOST_BYTES, texts.offsets[index + 1])
            text = texts.data[start:end].tobytes().decode("utf-8", "ignore")
            return SampledDocument(
                first + index, text, f"{batch.source}:{int(batch.numbers[index])}"
            )

        self._sample.add(draws, document)
        if facts.phrases is not None:
            self.keywords.add(facts.phrases)
        self._facts.append(replace(facts, phrases=None))
        self.documents += len(batch)
        self.bytes += text_bytes

    def sample(self) -> list[SampledDocument]:
        """Documents in the order of their draws; any prefix is also a sample."""
        return self._sample.result()

    def column(self, of: Callable[[BatchFacts], Any]) -> np.ndarray:
        """A number, or a row, of each document."""
        return np.concatenate([of(one) for one in self._facts]) if self._facts else np.zeros(0, int)

    def take_signatures(self) -> list[np.ndarray]:
        """Those of each batch, released here: half of the memory of a document, and used once."""
        signatures = [one.signatures for one in self._facts]
        self._facts = [replace(one, signatures=one.signatures[:0].copy()) for one in self._facts]
        return signatures

    def named(self) -> np.ndarray:
        """Hashes of the ids of documents with an id."""
        return self.column(lambda one: one.keys.values[~one.keys.by_text])

    def prompts(self) -> np.ndarray:
        """Hashes of the prompts; empty without a prompt field."""
        if not self._facts or self._facts[0].prompts is None:
            return np.zeros(0, np.uint64)
        return self.column(lambda one: one.prompts)


def short_names(paths: Sequence[str]) -> list[str]:
    """The names of files without folders and suffixes if these are unique, otherwise the paths."""
    short = [stem(Path(path).name) or path for path in paths]
    return short if len(set(short)) == len(short) else list(paths)
