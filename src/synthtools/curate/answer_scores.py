"""Numbers of answers, by which they are accepted or chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from synthtools.lm.generation import Answer, Prompt
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.words import word_counts

# A number of each answer, None where it has none.
Score = Callable[[Sequence[Prompt], Sequence[Answer]], Sequence[float | None]]


def as_buffer(answers: Sequence[Answer]) -> TextBuffer:
    """The texts of answers; half of a surrogate pair counts as any other character."""
    return TextBuffer.of([one.text.encode("utf-8", "replace").decode() for one in answers])


def _words(prompts: Sequence[Prompt], answers: Sequence[Answer]) -> list[int]:
    counts: list[int] = word_counts(as_buffer(answers)).tolist()
    return counts


LENGTHS: dict[str, Score] = {
    "words": _words,
    "characters": lambda prompts, answers: [len(answer.text) for answer in answers],
    "tokens": lambda prompts, answers: [answer.tokens for answer in answers],
}
