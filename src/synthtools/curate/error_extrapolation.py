"""S3 (arXiv 2310.13671): what a small model got wrong becomes prompts for more of its kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from synthtools.curate.prompts import PromptBuilder, text_in
from synthtools.curate.reshaped_records import as_text
from synthtools.records.added_column import Column
from synthtools.records.batch import MISSING, Batch
from synthtools.records.record_keys import ID_FIELD

# The words are ours, not the paper's.
EXTRAPOLATE = (
    "A small model was asked a question and got it wrong.\n\nQuestion: {question}\nIts wrong answer: "
    "{wrong}\nThe right answer: {answer}\n\nFind out what makes the question hard for it. Then write "
    "one new question that is hard in the same way but is about something else, and its right "
    "answer, in this form:\nQuestion: …\nAnswer: …"
)
EXTRAPOLATE_BLIND = (
    "A small model could not answer this question.\n\nQuestion: {question}\nThe right answer: "
    "{answer}\n\nFind out what makes the question hard for it. Then write one new question that is "
    "hard in the same way but is about something else, and its right answer, in this form:\n"
    "Question: …\nAnswer: …"
)

# Sought one after the other: in one expression they would be tried at every pair of places.
_QUESTION = re.compile(r"Question\s*+:\s*+", re.IGNORECASE)
_ANSWER = re.compile(r"Answer\s*+:", re.IGNORECASE)


def prompts(
    field: str, answer_field: str, wrong_field: str | None, system: str | None
) -> PromptBuilder:
    """The prompt for an item that was answered wrongly. ``wrong_field``: holds the wrong answer; None where it
    is not known."""

    def build(record: dict[str, Any]) -> str:
        values = {"question": text_in(record, field), "answer": as_text(record[answer_field])}
        if wrong_field is None:
            return EXTRAPOLATE_BLIND.format(**values)
        return EXTRAPOLATE.format(**values, wrong=as_text(record[wrong_field]))

    fields = (field, answer_field, *([wrong_field] if wrong_field else []))
    return PromptBuilder(fields, build, system)


def pair_in(text: str) -> tuple[str, str] | None:
    """The new question and its answer, None where an answer of the model does not hold both."""
    asked = _QUESTION.search(text)
    answered = _ANSWER.search(text, asked.end() + 1) if asked else None
    if not asked or not answered:
        return None
    question, answer = text[asked.end() : answered.start()].strip(), text[answered.end() :].strip()
    return (question, answer) if answer else None


def new_items(
    batches: Iterable[Batch], response_field: str, prompt_field: str, answer_field: str
) -> Iterator[Batch]:
    """New records, of the responses that hold a new item: its question and its answer, the latter as the
    response, too. Nothing of the old item remains but its id, in ``extrapolated_from``. A response that cannot
    be read leaves no record."""
    for batch in batches:
        pairs = [pair_in(text) for text in batch.added[response_field].values]
        kept = [index for index, pair in enumerate(pairs) if pair is not None]
        if not kept:
            continue
        items = batch.take(kept)
        old = [None if i is MISSING or i is None else as_text(i) for i in items.column(ID_FIELD)]
        items = items.select([prompt_field])
        read = [pair for pair in pairs if pair is not None]
        answers = Column("string", [answer for _, answer in read])
        columns = {
            prompt_field: Column("string", [question for question, _ in read]),
            answer_field: answers,
            response_field: answers,
        }
        if any(old):
            places = items.ordinals.tolist()
            columns[ID_FIELD] = Column(
                "string", [o and f"{o}/new-{place}" for o, place in zip(old, places, strict=True)]
            )
            columns["extrapolated_from"] = Column("string", old)
        yield items.adding(columns)
