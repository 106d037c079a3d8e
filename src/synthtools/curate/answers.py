"""Answers of a model to a stream of records."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from synthtools.curate.prompts import PromptedRecords
from synthtools.curate.sampled_records import strata_of
from synthtools.draws import lane_of, record_uniforms
from synthtools.lm.generation import Answer, Generator, Prompt, SamplingSettings
from synthtools.records.added_column import Column
from synthtools.records.batch import Batch
from synthtools.records.rejects import Rejects

# Bits of a record's position in the output for its position in the input; the model is above them.
_PLACES = 44
_PREFIX = "generate_"
# Answers written together.
_TOGETHER = 16


def keyed(prompt: Prompt, record: int, number: int = 0, stage: str = "") -> Prompt:
    """A prompt with the key of an answer, derived from the prompt and the ``record``'s key; ``number``: of the
    answer among those of the record."""
    digest = blake2b(prompt.identity.encode("utf-8", "surrogatepass"), digest_size=16)
    digest.update(f"\0{record}\0{number}\0{stage}".encode())
    return prompt._replace(key=digest.digest())


@dataclass(frozen=True)
class AnswerFields:
    """The fields that an answer adds to a record.

    Attributes:
        response, model: fields; name, revision: of the model.
        samples: answers per record; scored: whether they have scores.
    """

    response: str
    model: str
    name: str
    revision: str | None
    sampling: SamplingSettings
    seed: int
    samples: int = 1
    scored: bool = False

    def columns(self, answers: list[Answer], numbers: list[int] | None = None) -> dict[str, Column]:
        """Columns for records with one answer each."""
        sampling = self.sampling

        def all_alike(kind: Any, value: Any) -> Column:
            return Column(kind, [value] * len(answers))

        columns = {
            self.response: Column("string", [a.text for a in answers]),
            self.model: all_alike("string", self.name),
        }
        more: dict[str, Column] = {
            "revision": all_alike("string", self.revision),
            "finish_reason": Column("string", [a.finish_reason for a in answers]),
            "prompt_tokens": Column("int", [a.prompt_tokens for a in answers]),
            "tokens": Column("int", [a.tokens for a in answers]),
            "temperature": all_alike("float", float(sampling.temperature)),
            "top_p": all_alike("float", float(sampling.top_p)),
            **({"top_k": all_alike("int", sampling.top_k)} if sampling.top_k else {}),
            "max_new_tokens": all_alike("int", sampling.max_new_tokens),
            "seed": all_alike("int", self.seed),
        }
        if self.scored:
            more["score"] = Column("float", [a.score for a in answers])
        if self.samples > 1 and numbers is not None:
            more["sample"] = Column("int", numbers)
        return columns | {_PREFIX + name: column for name, column in more.items()}


def placed(
    part: int, ordinals: np.ndarray, each: int = 1, number: int | np.ndarray = 0
) -> np.ndarray:
    """Positions of answers in the output, int64, ordered by model. ``part``: number of the model; ``each``: answers
    per record; ``number``: which of them."""
    return (np.int64(part) << _PLACES) + ordinals * each + number


def first_place(part: int) -> int:
    """The position of the first answer of a model in the output."""
    return part << _PLACES


def answered(
    items: Iterable[PromptedRecords],
    generator: Generator,
    fields: AnswerFields,
    rejects: Rejects,
    part: int,
    resume_from: int,
) -> Iterator[Batch]:
    """Records with answers, each ``fields.samples`` times, in input order. ``part``: number of the model.
    ``resume_from``: answers before this position are done (see ``placed``)."""
    each = fields.samples
    pending: deque[tuple[Batch, list[int]]] = deque()

    def prompts() -> Iterator[Prompt]:
        for batch, asked, keys in items:
            rows = np.repeat(np.arange(len(batch)), each)
            numbers = np.tile(np.arange(each), len(batch))
            places = placed(part, batch.ordinals[rows], each, numbers)
            left = places >= resume_from
            repeated = batch.take(rows[left].tolist())
            repeated.ordinals = places[left]
            for start in range(0, len(repeated), _TOGETHER):
                some = range(start, min(start + _TOGETHER, len(repeated)))
                pending.append((repeated.take(some), numbers[left][some].tolist()))
            for row, number in zip(rows[left].tolist(), numbers[left].tolist(), strict=True):
                yield keyed(asked[row], int(keys[row]), number)

    answers: list[Answer] = []
    for answer in generator.generate(prompts()):
        answers.append(answer)
        if len(answers) == len(pending[0][0]):
            batch, numbers = pending.popleft()
            yield from _written(batch, answers, numbers, fields, rejects)
            answers = []


def _written(
    batch: Batch, answers: list[Answer], numbers: list[int], fields: AnswerFields, rejects: Rejects
) -> Iterator[Batch]:
    kept = keep_answered(batch, answers, rejects)
    if kept:
        batch, answers = batch.take(kept), [answers[i] for i in kept]
        tally = {
            "tokens": np.array([a.tokens or 0 for a in answers], np.int64),
            "prompt_tokens": np.array([a.prompt_tokens or 0 for a in answers], np.int64),
            "uncounted": np.array([None in (a.tokens, a.prompt_tokens) for a in answers], np.int64),
        }
        for reason in sorted({a.finish_reason for a in answers}):
            ended = [a.finish_reason == reason for a in answers]
            tally[f"finish/{reason}"] = np.array(ended, np.int64)
        yield batch.adding(fields.columns(answers, [numbers[i] for i in kept]), tally)


def keep_answered(batch: Batch, answers: list[Answer], rejects: Rejects) -> list[int]:
    """Indices of records with an answer; the others go to ``rejects``."""
    kept = []
    for index, answer in enumerate(answers):
        if answer.error is None:
            kept.append(index)
            continue
        rejects.add(batch.fault(index, answer.error, answer.kind))
    return kept


def stratified(
    items: Iterable[PromptedRecords], models: int, seed: int, stratify_by: str | None
) -> np.ndarray:
    """The model of each record, int16: each model answers equally many records of every stratum, and of all, to
    within one (Baskets: a quarter for each of four).

    Within a stratum records are assigned in a random order that depends on the records and the seed; a stratum
    continues with the model after the last one of the previous stratum [ours].

    Memory: 18 bytes per record.
    """
    numbers: dict[str, int] = {}
    strata, keys = [], []
    for item in items:
        names = strata_of(item.batch, stratify_by)
        own = [numbers.setdefault(name, len(numbers)) for name in names]
        strata.append(np.array(own, np.int64))
        keys.append(item.keys)
    if not strata:
        return np.zeros(0, np.int16)
    # Not in order of arrival, which depends on the layout of the input.
    rank = {numbers[name]: place for place, name in enumerate(sorted(numbers))}
    stratum = np.array([rank[n] for n in range(len(numbers))])[np.concatenate(strata)]
    draws = record_uniforms(seed, np.concatenate(keys), lane_of("assign"))
    order = np.lexsort((draws, stratum))
    models_of = np.empty(len(order), np.int16)
    models_of[order] = np.arange(len(order)) % models
    return models_of


def share_of(
    items: Iterable[PromptedRecords], models: np.ndarray, model: int
) -> Iterator[PromptedRecords]:
    """The records of one model. ``models``: of each record (see ``stratified``)."""
    start = 0
    for item in items:
        own = np.flatnonzero(models[start : start + len(item.batch)] == model).tolist()
        start += len(item.batch)
        if own:
            yield item.take(own)
