"""Records → records with a vector of their text; vectors that records hold already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from synthtools.errors import RecordError, TextError
from synthtools.lm.embedding_model import EmbeddingModel
from synthtools.lm.prefetch import overlapped
from synthtools.lm.scorer import NO_PROMPT, Tokenised
from synthtools.records.added_column import Column
from synthtools.records.batch import Batch
from synthtools.records.rejects import LateRejects, Rejects
from synthtools.records.transform import in_calls, kept, sound
from synthtools.records.vector_file import VectorFile

FIELD = "embedding"
_TEXTS = 256  # embedded at a time


def embedded(
    batches: Iterable[Batch],
    model: EmbeddingModel,
    text_field: str,
    rejects: Rejects,
    *,
    all_kept: bool = False,
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
    """Records, their vectors and which of them have one; reading and tokenising, the model, and the
    caller run side by side.

    Args:
        rejects: takes the records that the tokenizer fails at.
        all_kept: those come without a vector, instead of not at all.

    Yields:
        (batch, vectors, there): float32 [records, width], bool [records]; a text without tokens has
        no vector, and a row of zeros.
    """

    def tokens_of(run: list[Batch]) -> list[Tokenised]:
        return model.tokenise([text for batch in run for text in batch.column(text_field)])

    def tokenise(run: list[Batch]) -> tuple[list[Batch], list[Tokenised]]:
        left, texts = sound(run, tokens_of, rejects)
        if not all_kept:
            return left, texts
        nothing, tokenised = Tokenised(NO_PROMPT, NO_PROMPT), iter(texts)
        places = [there for pair in zip(run, left, strict=True) for there in kept(*pair).tolist()]
        return run, [next(tokenised) if there else nothing for there in places]

    def embed(
        item: tuple[list[Batch], list[Tokenised]],
    ) -> tuple[list[Batch], np.ndarray, np.ndarray]:
        run, texts = item
        there = np.array([len(text.ids) > 0 for text in texts], bool)
        return run, model.embed(texts), there

    runs = in_calls(batches, lambda batch: batch.sizes(), Batch.take, model.chunk_bytes)
    for run, vectors, there in overlapped(runs, tokenise, embed, at_once=model.calls):
        start = 0
        for batch in run:
            end = start + len(batch)
            yield batch, vectors[start:end], there[start:end]
            start = end


def keep_vectors(
    batches: Iterable[Batch],
    model: EmbeddingModel,
    text_field: str,
    rejects: Rejects,
    file: VectorFile,
) -> None:
    """Keeps the vectors of records, one after the other; ``rejects`` takes those that the tokenizer
    fails at."""

    def tokens_of(run: list[Batch]) -> list[Tokenised]:
        return model.tokenise(run[0].column(text_field))

    for batch in batches:
        (left,), tokens = sound([batch], tokens_of, rejects)
        file.append(model.embed(tokens), kept(batch, left))


def vectors_of(
    texts: list[str], records: list[RecordError], model: EmbeddingModel, rejects: Rejects
) -> tuple[np.ndarray, int]:
    """The vectors of those texts that have tokens, float32 [texts, width], and how many texts the
    tokenizer fails at.

    Args:
        records: of each text; ``rejects`` takes those whose text the tokenizer fails at.
    """
    rows, skipped, late = [np.zeros((0, 1), np.float32)], 0, LateRejects(rejects)
    for start in range(0, len(texts), _TEXTS):
        places = list(range(start, min(start + _TEXTS, len(texts))))
        while True:
            try:
                tokens = model.tokenise([texts[place] for place in places])
                break
            except TextError as error:
                for index, reason in error.faults.items():
                    record = records[places[index]]
                    late.add(RecordError(record.source, record.number, reason, record.raw))
                places = [p for index, p in enumerate(places) if index not in error.faults]
                skipped += len(error.faults)
        rows.append(model.embed(tokens)[[len(text.ids) > 0 for text in tokens]])
    return np.concatenate(rows[1:] or rows), skipped


def with_field(batch: Batch, vectors: np.ndarray, there: np.ndarray) -> Batch:
    """The batch with ``embedding``; null where a text has no vector."""
    values = [row if has else None for row, has in zip(vectors, there, strict=True)]
    tally = {"vectors": there.astype(np.int64)}
    return batch.adding({FIELD: Column("vector", values)}, tally)


def without_nulls(batches: Iterable[Batch], field: str) -> Iterator[tuple[Batch, int]]:
    """The records whose field is not null, and how many others each batch had."""
    for batch in batches:
        kept = [index for index, value in enumerate(batch.column(field)) if value is not None]
        missing = len(batch) - len(kept)
        yield (batch.take(kept) if missing else batch), missing
