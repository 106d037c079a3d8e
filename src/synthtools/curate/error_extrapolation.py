"""S3 (arXiv 2310.13671): prompts for new items like those that a small model answered wrongly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from synthtools.curate.prompts import PromptBuilder, text_in
from synthtools.curate.reshaped_records import as_text
from synthtools.records.added_column import Column
from synthtools.records.batch import MISSING, Batch
from synthtools.records.record_keys import ID_FIELD

# The wording is [ours].
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

# Searched one after the other: a single expression would take quadratic time.
_QUESTION = re.compile(r"Question\s*+:\s*+", re.IGNORECASE)
_ANSWER = re.compile(r"Answer\s*+:", re.IGNORECASE)


def prompts(
    field: str, answer_field: str, wrong_field: str | None, system: str | None
) -> PromptBuilder:
    """The prompt for a wrongly answered item. ``wrong_field``: with the wrong answer, if known."""

    def build(record: dict[str, Any]) -> str:
        values = {"question": text_in(record, field), "answer": as_text(record[answer_field])}
        if wrong_field is None:
            return EXTRAPOLATE_BLIND.format(**values)
        return EXTRAPOLATE.format(**values, wrong=as_text(record[wrong_field]))

    fields = (field, answer_field, *([wrong_field] if wrong_field else []))
    return PromptBuilder(fields, build, system)


def pair_in(text: str) -> tuple[str, str] | None:
    """The new question and its answer; None if the model's text does not contain both."""
    first = _QUESTION.search(text)
    second = _ANSWER.search(text, first.end() + 1) if first else None
    if not first or not second:
        return None
    question, answer = text[first.end() : second.start()].strip(), text[second.end() :].strip()
    return (question, answer) if answer else None


def new_items(
    batches: Iterable[Batch], response_field: str, prompt_field: str, answer_field: str
) -> Iterator[Batch]:
    """New records from responses with a new item: its question and its answer, the latter also as the response. Of
    the old item only the id remains, in ``extrapolated_from``. Unreadable responses are left out."""
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
