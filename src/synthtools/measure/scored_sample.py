"""Documents of a sample under a language model: their first tokens, for as many documents as time allows; typical and
extreme ones."""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Self

import numpy as np

from synthtools.errors import TextError
from synthtools.lm.embedding_model import EmbeddingModel
from synthtools.lm.scorer import NO_PROMPT, LanguageModel, Tokenised
from synthtools.lm.scores import ScoreRequest
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.measure.compared_corpus import SampledDocument
from synthtools.records.jsonl import json_bytes
from synthtools.records.value_journal import ValueJournal

# Sizes of samples to choose from: few, so that similar machines choose the same.
_SIZES = (100, 200, 500, 1000, 2000)
_TRIAL = 8
_AT_ONCE = 32
_BUDGET = 45.0  # seconds
_CHOSEN = "documents"  # in a journal


@dataclass
class ScoredSample:
    """The first documents of a corpus's sample.

    Attributes:
        ids, logprobs: of each document's first tokens, int32 and float32; empty if the tokenizer fails.
        longer: documents that were scored only in part.
        failed: documents on which the tokenizer fails.
    """

    ids: list[np.ndarray] = field(default_factory=list)
    logprobs: list[np.ndarray] = field(default_factory=list)
    longer: int = 0
    failed: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def mean(self, most: int | None) -> np.ndarray:
        """Nats per token of each document, float64, over the first ``most`` scored tokens (None: all); NaN if
        there are fewer, or none."""
        means = np.full(len(self), np.nan)
        for row, values in enumerate(self.logprobs):
            scored = values[np.isfinite(values)]
            if len(scored) >= (most or 1):
                means[row] = -float(scored[:most].mean(dtype=np.float64))
        return means

    def extend(self, other: ScoredSample) -> None:
        """Appends documents."""
        self.ids += other.ids
        self.logprobs += other.logprobs
        self.longer += other.longer
        self.failed += other.failed

    def packed(self) -> dict[str, Any]:
        """The sample as JSON, without loss."""
        return {
            "tokens": [len(one) for one in self.ids],
            "ids": b64encode(b"".join(one.tobytes() for one in self.ids)).decode(),
            "logprobs": b64encode(b"".join(one.tobytes() for one in self.logprobs)).decode(),
            "longer": self.longer,
            "failed": self.failed,
        }

    @classmethod
    def unpacked(cls, value: Mapping[str, Any]) -> Self:
        """A sample from the result of ``packed``."""
        ends = np.cumsum(value["tokens"])[:-1]
        ids = np.split(np.frombuffer(b64decode(value["ids"]), np.int32), ends)
        logprobs = np.split(np.frombuffer(b64decode(value["logprobs"]), np.float32), ends)
        return cls(ids, logprobs, value["longer"], value["failed"])

    def lengths(self) -> np.ndarray:
        """Scored tokens of each document."""
        return np.array([int(np.isfinite(v).sum()) for v in self.logprobs], np.int64)


def tokenised(
    model: LanguageModel | EmbeddingModel, texts: Sequence[str]
) -> list[Tokenised | None]:
    """Tokens of texts, None if the tokenizer fails."""
    try:
        return list(model.tokenise(list(texts)))
    except TextError as error:
        rest = iter(model.tokenise([t for i, t in enumerate(texts) if i not in error.faults]))
        return [None if i in error.faults else next(rest) for i in range(len(texts))]


def scored_samples(
    model: LanguageModel,
    corpora: Sequence[Sequence[str]],
    documents: int | None,
    most_tokens: int,
    stage: Callable[[str, int], None],
    advance: Callable[[int], None],
    journal: ValueJournal | None = None,
) -> list[ScoredSample]:
    """Scores the first documents of each corpus.

    Args:
        documents: of each corpus; None: the largest of 100, 200, 500, 1,000 and 2,000 that takes 45
            seconds at most, judging by the first eight of each.
        most_tokens: of a document.
        stage, advance: called with the name of each stage and its number of documents.
        journal: stores scores and the number of documents, which are not computed again.
    """
    samples = [ScoredSample() for _ in corpora]
    if documents is None:
        _score(model, corpora, samples, 1, most_tokens)  # the first call is slow
        start = time.monotonic()
        _score(model, corpora, samples, 1 + _TRIAL, most_tokens)
        each = (time.monotonic() - start) / _TRIAL
        fitting = [size for size in _SIZES if size * each <= _BUDGET]
        documents = fitting[-1] if fitting else _SIZES[0]
        if journal is not None and (chosen := journal.get(_CHOSEN)) is not None:
            documents = int(chosen["documents"])
        elif journal is not None:
            journal.add(_CHOSEN, {"documents": documents})
    total = sum(min(documents, len(texts)) for texts in corpora)
    stage("documents scored", total)
    advance(sum(map(len, samples)))
    _score(model, corpora, samples, documents, most_tokens, advance, journal)
    return samples


def _score(
    model: LanguageModel,
    corpora: Sequence[Sequence[str]],
    samples: list[ScoredSample],
    documents: int,
    most_tokens: int,
    advance: Callable[[int], None] = lambda _: None,
    journal: ValueJournal | None = None,
) -> None:
    """Scores those of the first ``documents`` of each corpus that are not scored yet."""
    for texts, sample in zip(corpora, samples, strict=True):
        for start in range(len(sample), min(documents, len(texts)), _AT_ONCE):
            some = texts[start : min(start + _AT_ONCE, documents)]
            key = blake2b(json_bytes([model.description, some]), digest_size=16).hexdigest()
            if journal is not None and (kept := journal.get(key)) is not None:
                sample.extend(ScoredSample.unpacked(kept))
            else:
                scored = _scored(model, some, most_tokens)
                if journal is not None:
                    journal.add(key, scored.packed())
                sample.extend(scored)
            advance(len(some))


def _scored(model: LanguageModel, texts: Sequence[str], most_tokens: int) -> ScoredSample:
    tokens = tokenised(model, texts)
    sample = ScoredSample(failed=tokens.count(None))
    sample.longer = sum(one is not None and len(one.ids) > most_tokens for one in tokens)
    cut = [one and one._replace(ids=one.ids[:most_tokens]) for one in tokens]
    scores = iter(model.score([one for one in cut if one], ScoreRequest()))
    for one in cut:
        ids, logprobs = np.zeros(0, np.int32), np.zeros(0, np.float32)
        if one:
            score = next(scores)
            ids, logprobs = score.ids, score.logprobs
        sample.ids.append(ids)
        sample.logprobs.append(logprobs)
    return sample


def embedded_texts(
    model: EmbeddingModel, texts: Sequence[str], advance: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of texts, float32 [texts, width], and which texts have one, bool: those with tokens on which the
    tokenizer does not fail."""
    rows, present = [], []
    for start in range(0, len(texts), _AT_ONCE):
        tokens = tokenised(model, texts[start : start + _AT_ONCE])
        kept = [one or Tokenised(NO_PROMPT, NO_PROMPT) for one in tokens]
        rows.append(model.embed(kept))
        present += [len(one.ids) > 0 for one in kept]
        advance(len(kept))
    vectors = np.concatenate(rows) if rows else np.zeros((0, 1), np.float32)
    return vectors, np.array(present, bool)


def shaded(
    tokenizer: TextTokenizer, ids: np.ndarray, logprobs: np.ndarray, most: int
) -> list[tuple[str, float | None]]:
    """The first tokens as text, each with its probability; tokens that share a character are merged, with the
    smallest of their probabilities."""
    pieces: list[tuple[str, float | None]] = []
    waiting, least = b"", 1.0
    for token, logprob in zip(ids[:most].tolist(), logprobs[:most].tolist(), strict=True):
        waiting += tokenizer.surfaces[token]
        known = np.isfinite(logprob)
        least = min(least, float(np.exp(logprob))) if known else least
        try:
            pieces.append((waiting.decode("utf-8"), round(least, 2) if known else None))
            waiting, least = b"", 1.0
        except UnicodeDecodeError:
            continue
    return pieces


EACH = 10
_SHOWN_TOKENS = 120


def examples(
    corpus: str,
    documents: Sequence[SampledDocument],
    scored: ScoredSample,
    tokenizer: TextTokenizer,
) -> list[dict[str, Any]]:
    """Ten typical and ten extreme documents: the nearest to the median of ln perplexity, and the farthest from
    it, with at least ten scored tokens."""
    nats = scored.mean(None)
    known = np.flatnonzero(np.isfinite(nats) & (scored.lengths() >= EACH))
    if not len(known):
        return []
    middle = float(np.median(nats[known]))
    order = known[np.argsort(np.abs(nats[known] - middle), kind="stable")]
    typical = order[:EACH]
    extreme = [row for row in order[::-1][:EACH] if row not in typical]
    ranked = np.sort(nats[known])
    chosen = []
    kinds = ["typical"] * len(typical) + ["extreme"] * len(extreme)
    for kind, row in zip(kinds, [*typical, *extreme], strict=True):
        ids, logprobs = scored.ids[row], scored.logprobs[row]
        below = int(np.searchsorted(ranked, nats[row]))
        chosen.append(
            {
                "corpus": corpus,
                "kind": kind,
                "place": documents[row].place,
                "perplexity": float(np.exp(nats[row])),
                "easier": below / len(ranked),
                "tokens": shaded(tokenizer, ids, logprobs, _SHOWN_TOKENS),
                "cut": len(ids) > _SHOWN_TOKENS or len(documents[row].text) > 4000,
            }
        )
    return chosen
