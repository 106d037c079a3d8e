"""STaR (arXiv 2203.14465): rationales that reach the right answer, with the answer as a hint if the first try
fails."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np

from synthtools.curate.answers import AnswerFields, keep_answered, keyed, placed
from synthtools.curate.prompts import (
    PromptBuilder,
    PromptedRecords,
    UnusableRecord,
    conversation,
    text_in,
)
from synthtools.curate.reshaped_records import as_text
from synthtools.lm.generation import Answer, Generator, Prompt
from synthtools.records.added_column import Column
from synthtools.records.batch import Batch
from synthtools.records.rejects import Rejects
from synthtools.scale.prefetch import gathered

# The wording is [ours].
RATIONALE = "{question}\n\nThink it through step by step. Then end with a line of the form: The answer is X."
RATIONALE_HINT = (
    "{question}\n\n(Hint: the right answer is {answer}.)\n\nExplain step by step how one gets there, "
    "as if you did not know the answer beforehand. Then end with a line of the form: The answer is X."
)

# Records whose first tries are all completed before second ones begin.
_TOGETHER = 2048
_GOLD_MARK = "####"  # of GSM8K, before the answer
_ANSWER_IS = re.compile(r"\banswer\s+is\b\s*:?", re.IGNORECASE)
_NUMBER = re.compile(r"-?[$€£¥]?(?:\d[\d,]*(?:\.\d+)?(?:/\d+)?|(?<!\d)\.\d+)")


def gold_of(value: Any) -> str:
    """The right answer in a field: the text after the last ``####``, or all of it."""
    return as_text(value).rpartition(_GOLD_MARK)[2].strip()


def reached(text: str, gold: str) -> bool:
    """Whether a rationale ends with the right answer: its last "the answer is …", up to the end of the line. Numbers
    are compared as numbers, ignoring currency signs, commas and units; other answers ignoring case and surrounding
    punctuation [ours]."""
    _, *answers = _ANSWER_IS.split(text)
    if not answers:
        return False
    last = (answers[-1].strip().splitlines() or [""])[0]
    right = _number(gold)
    if right is not None:
        numbers = _NUMBER.findall(last)
        return bool(numbers) and _number(numbers[0]) == right
    return _bare(last) == _bare(gold)


def _bare(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .*\"'()$`")


def _number(text: str) -> Fraction | None:
    marks = " *\"'()$`%"
    match = _NUMBER.fullmatch(text.strip(marks).rstrip(".").strip(marks))
    if not match:
        return None
    try:
        return Fraction(re.sub("[,$€£¥]", "", match[0]))
    except (ValueError, ZeroDivisionError):
        return None


def prompts(field: str, answer_field: str, system: str | None) -> PromptBuilder:
    """The prompt of the first try."""

    def build(record: dict[str, Any]) -> str:
        question = text_in(record, field)
        if not gold_of(record[answer_field]):
            raise UnusableRecord(f'field "{answer_field}" has no answer')
        return RATIONALE.format(question=question)

    return PromptBuilder((field, answer_field), build, system)


def reasoned(
    items: Iterable[PromptedRecords],
    generator: Generator,
    fields: AnswerFields,
    rejects: Rejects,
    part: int,
    resume_from: int,
    *,
    prompt_field: str,
    answer_field: str,
    system: str | None,
) -> Iterator[Batch]:
    """Records with rationales that reach the right answer, in input order; the others are left out. ``rationale``:
    reached by the first try (``direct``) or with the hint (``hinted``)."""
    for run in gathered(_left(items, part, resume_from), lambda item: len(item.batch), _TOGETHER):
        first = generator.generate(
            keyed(prompt, int(key))
            for item in run
            for prompt, key in zip(item.prompts, item.keys, strict=True)
        )
        firsts = iter([*first])
        tries = [[*islice(firsts, len(item.batch))] for item in run]
        golds = [[gold_of(v) for v in item.batch.column(answer_field)] for item in run]
        missed = [
            (place, index)
            for place, answers in enumerate(tries)
            for index, answer in enumerate(answers)
            if answer.error is None and not reached(answer.text, golds[place][index])
        ]
        hints = generator.generate(
            keyed(
                _hinted(run[place], index, prompt_field, golds[place][index], system),
                int(run[place].keys[index]),
                stage="hint",
            )
            for place, index in missed
        )
        kinds = [["direct"] * len(answers) for answers in tries]
        for (place, index), answer in zip(missed, hints, strict=True):
            tries[place][index] = answer
            good = answer.error is not None or reached(answer.text, golds[place][index])
            kinds[place][index] = "hinted" if good else ""
        for item, answers, kind in zip(run, tries, kinds, strict=True):
            yield from _kept(item.batch, answers, kind, fields, rejects, part)


def _left(
    items: Iterable[PromptedRecords], part: int, resume_from: int
) -> Iterator[PromptedRecords]:
    for item in items:
        left = np.flatnonzero(placed(part, item.batch.ordinals) >= resume_from).tolist()
        if left:
            yield item.take(left)


def _hinted(item: PromptedRecords, index: int, field: str, gold: str, system: str | None) -> Prompt:
    question = item.batch.column(field)[index]
    return conversation(RATIONALE_HINT.format(question=question, answer=gold), system)


def _kept(
    batch: Batch,
    answers: list[Answer],
    kinds: list[str],
    fields: AnswerFields,
    rejects: Rejects,
    part: int,
) -> Iterator[Batch]:
    kept = [index for index in keep_answered(batch, answers, rejects) if kinds[index]]
    if not kept:
        return
    records = batch.take(kept)
    records.ordinals = placed(part, records.ordinals)
    rationale = [kinds[index] for index in kept]
    columns = fields.columns([answers[index] for index in kept])
    tally = {
        kind: np.array([k == kind for k in rationale], np.int64) for kind in ("direct", "hinted")
    }
    yield records.adding({**columns, "rationale": Column("string", rationale)}, tally)
