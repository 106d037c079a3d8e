"""The measures of groups of texts, and the statistics of one batch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from synthtools.measure.frequencies import matches
from synthtools.records.batch import Batch
from synthtools.records.record_keys import ID_FIELD, RecordHashes, hashes
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.lexical_richness import HashedWords, character_counts, words_of
from synthtools.text.phrases import PhraseTables, tabulate_phrases
from synthtools.text.words import word_counts


@dataclass(frozen=True)
class Measures:
    """The measures of a run.

    Attributes:
        names: of lengths, vocabulary, heaps, ngrams, compression, self-bleu, openings, tokens,
            semantic, rates, keywords.
        sample, pooled: documents of a group for self-BLEU, compression and openings; of these, those
            with pooled sentences.
        vectors: documents of a group for semantic diversity.
        words: words of a group for n-grams, MTLD and HD-D.
        by_model: vectors come from a model, which needs the texts.
        match: words of each group for figures that depend on the amount of text; 0: as many as in the
            smallest group that a law can be fitted to; None: all.
        patterns: by name, for rates.
        seed: for the intervals of rates.
    """

    names: frozenset[str]
    sample: int = 500
    pooled: int = 100
    vectors: int = 5000
    words: int = 1_000_000
    by_model: bool = False
    match: int | None = None
    patterns: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    seed: int = 0

    @property
    def needs_words(self) -> bool:
        return bool(self.names & {"vocabulary", "heaps", "ngrams"})

    @property
    def needs_sample(self) -> bool:
        return bool(self.names & {"compression", "self-bleu", "openings"})

    @property
    def texts_kept(self) -> int:
        kept = self.vectors if self.by_model and "semantic" in self.names else 0
        sampled = self.needs_sample or "keywords" in self.names
        return max(kept, self.sample if sampled else 0)


@dataclass(frozen=True)
class BatchStatistics:
    """Statistics of one batch of texts.

    Attributes:
        lengths: name → int64 [texts].
        words: None if no measure needs them.
        tokens: ids of each text, None without a tokenizer.
        matches: of each pattern, int64 [texts].
        phrases: by group; under None if all texts are of one group.
    """

    lengths: dict[str, np.ndarray]
    words: HashedWords | None
    tokens: list[np.ndarray] | None
    keys: RecordHashes
    matches: dict[str, np.ndarray]
    phrases: dict[str | None, PhraseTables]


def batch_statistics(
    measures: Measures,
    encode: Callable[[list[str]], list[np.ndarray]] | None,
    groups_of: Callable[[Batch], Sequence[str]] | None = None,
) -> Callable[[Batch, TextBuffer], BatchStatistics]:
    """The work on one batch, for ``records.map_threads``; safe in any thread.

    Args:
        encode: texts to token ids, None for no tokens.
        groups_of: the group of each record; None: each batch is of one group.
    """

    def work(batch: Batch, texts: TextBuffer) -> BatchStatistics:
        words = words_of(texts) if measures.needs_words else None
        lengths = {
            "characters": character_counts(texts),
            "bytes": texts.lengths(),
            "words": word_counts(texts) if words is None else np.diff(words.starts),
        }
        strings = list(texts) if encode is not None or measures.patterns else []
        tokens = encode(strings) if encode is not None else None
        if tokens is not None:
            lengths["tokens"] = np.array([len(ids) for ids in tokens], np.int64)
        keys = hashes(batch.column(ID_FIELD), texts.views())
        phrases: dict[str | None, PhraseTables] = {}
        if "keywords" in measures.names and groups_of is None:
            phrases[None] = tabulate_phrases(texts)
        elif "keywords" in measures.names and groups_of is not None:
            members: dict[str, list[int]] = {}
            for index, group in enumerate(groups_of(batch)):
                members.setdefault(group, []).append(index)
            phrases |= {name: tabulate_phrases(texts.take(some)) for name, some in members.items()}
        pattern_matches = matches(measures.patterns, strings)
        return BatchStatistics(lengths, words, tokens, keys, pattern_matches, phrases)

    return work
