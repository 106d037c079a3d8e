"""Answers that are checked, and drawn again where a check refuses them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from synthtools.curate.conditions import condition_of
from synthtools.lm.generation import Answer, Finished, Generator, Prompt, SamplingSettings, failed
from synthtools.lm.prefetch import gathered
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.words import word_counts

# Prompts whose first answers are all there before the second ones are drawn.
_TOGETHER = 2048
# Of an answer that is refused, in the reason.
_SHOWN = 60


class Validator(NamedTuple):
    """A check of answers.

    Attributes:
        text: as it was given.
        fault: what it sees in an answer that it refuses, None where it accepts it.
    """

    text: str
    fault: Callable[[Answer], str | None]

    def __str__(self) -> str:
        return self.text


def validator_of(text: str) -> Validator:
    """``words=MIN..MAX`` (or ``characters``, ``tokens``; either end may be left out), ``regex=REGEX``, an
    expression of RE2 that is found in the answer, ``!regex=REGEX``, one that is not.

    Raises:
        ValueError: it is none of these.
    """
    kind, equals, value = text.partition("=")
    if equals and kind in _LENGTHS:
        return Validator(text, _within(kind, *_range(value)))
    if equals and kind in ("regex", "!regex"):
        sign = "!~" if kind.startswith("!") else "~"
        matches = condition_of(f"response{sign}{value}").holds

        def fault(answer: Answer) -> str | None:
            return None if matches([answer.text])[0] else f"{answer.text[:_SHOWN]!r}"

        return Validator(text, fault)
    raise ValueError(
        "use words=MIN..MAX, characters=MIN..MAX, tokens=MIN..MAX, regex=REGEX or !regex=REGEX"
    )


def _words(answer: Answer) -> int:
    return int(word_counts(TextBuffer.of([answer.text]))[0])


_LENGTHS: dict[str, Callable[[Answer], int | None]] = {
    "words": _words,
    "characters": lambda answer: len(answer.text),
    "tokens": lambda answer: answer.tokens,
}


def _range(value: str) -> tuple[int, int | None]:
    least, dots, most = value.partition("..")
    ends = [end.strip() for end in (least, most)]
    if not dots or not any(ends) or not all(end == "" or end.isdecimal() for end in ends):
        raise ValueError("write a range as 20..200, 20.. or ..200")
    first, last = int(ends[0] or 0), int(ends[1]) if ends[1] else None
    if last is not None and last < first:
        raise ValueError(f"{first} is more than {last}")
    return first, last


def _within(kind: str, least: int, most: int | None) -> Callable[[Answer], str | None]:
    def fault(answer: Answer) -> str | None:
        number = _LENGTHS[kind](answer)
        if number is None:
            return "an answer without a number of tokens"
        right = number >= least and (most is None or number <= most)
        return None if right else f"{number:,} {kind}"

    return fault


class ValidatedGenerator(Generator):
    """A generator whose answers pass all validators; a prompt that has none has the last one's fault as its
    error.

    Args:
        generator: closed by whoever opened it.
        retries: draws after the first. Each has a key of its own, of the prompt's and its number.

    Attributes:
        refused: answers by the validator that refused them.
        retried: draws after the first; given_up: prompts without an answer in the end.
        tokens, prompt_tokens: of refused answers.
    """

    def __init__(self, generator: Generator, validators: Sequence[Validator], retries: int) -> None:
        self.description = generator.description
        self.context = generator.context
        self._generator = generator
        self._validators = validators
        self._retries = retries
        self.refused: Counter[str] = Counter()
        self.retried = self.given_up = self.tokens = self.prompt_tokens = 0

    def sample_as(self, sampling: SamplingSettings) -> None:
        self._generator.sample_as(sampling)

    def close(self) -> None:
        """Nothing is held here."""

    def generate(
        self, prompts: Iterable[Prompt], finished: Finished | None = None
    ) -> Iterator[Answer]:
        """See ``Generator.generate``; answers come ``_TOGETHER`` at a time."""
        place = 0
        for some in gathered(prompts, lambda _: 1, _TOGETHER):
            for answer in self._passing(some):
                if finished:
                    finished(place, answer)
                place += 1
                yield answer

    def _passing(self, prompts: list[Prompt]) -> list[Answer]:
        answers: dict[int, Answer] = {}
        left = list(range(len(prompts)))
        for attempt in range(self._retries + 1):
            self.retried += len(left) if attempt else 0
            asked = [_drawn_again(prompts[place], attempt) for place in left]
            again = []
            for place, answer in zip(left, self._generator.generate(asked), strict=True):
                fault = None if answer.error is not None else self._fault(answer)
                if fault is not None:
                    again.append(place)
                    tries = f" ({attempt + 1} answers)" if attempt else ""
                    answer = failed(f"{fault}{tries}", answer.prompt_tokens or 0)
                answers[place] = answer
            left = again
        self.given_up += len(left)
        return [answers[place] for place in range(len(prompts))]

    def _fault(self, answer: Answer) -> str | None:
        for validator in self._validators:
            seen = validator.fault(answer)
            if seen is not None:
                self.refused[validator.text] += 1
                self.tokens += answer.tokens or 0
                self.prompt_tokens += answer.prompt_tokens or 0
                return f"the answer is refused by {validator}: {seen}"
        return None

    def account(self) -> dict[str, Any]:
        """What a report says of the checks."""
        return {
            "refused": dict(sorted(self.refused.items())),
            "retried": self.retried,
            "given_up": self.given_up,
            "prompt_tokens": self.prompt_tokens,
            "tokens": self.tokens,
        }


def _drawn_again(prompt: Prompt, attempt: int) -> Prompt:
    if not attempt:
        return prompt
    digest = blake2b(prompt.key + b"\0attempt\0%d" % attempt, digest_size=16)
    return prompt._replace(key=digest.digest())
