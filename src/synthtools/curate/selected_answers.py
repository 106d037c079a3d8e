"""Answers that are checked, and drawn again where a check refuses them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from synthtools.curate.answer_scores import Score
from synthtools.curate.validators import Validator
from synthtools.lm.generation import Answer, Finished, Generator, Prompt, SamplingSettings, failed
from synthtools.lm.prefetch import gathered

# Prompts whose first answers are all there before the second ones are drawn.
_TOGETHER = 2048


class SelectedAnswers(Generator):
    """A generator whose answers pass all validators; a prompt that has none has the last one's fault as its
    error.

    Args:
        generator: closed by whoever opened it.
        scores: that validators ask for.
        retries: draws after the first. Each has a key of its own, of the prompt's and its number.

    Attributes:
        refused: answers by the validator that refused them.
        retried: draws after the first; given_up: prompts without an answer in the end.
        tokens, prompt_tokens: of refused answers.
    """

    def __init__(
        self,
        generator: Generator,
        validators: Sequence[Validator],
        scores: Mapping[str, Score],
        retries: int,
    ) -> None:
        self.description = generator.description
        self.context = generator.context
        self._generator = generator
        self._validators = validators
        self._scores = scores
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
            for answer in self._selected(some):
                if finished:
                    finished(place, answer)
                place += 1
                yield answer

    def _selected(self, prompts: list[Prompt]) -> list[Answer]:
        chosen: dict[int, Answer] = {}
        left = list(range(len(prompts)))
        for attempt in range(self._retries + 1):
            self.retried += len(left) if attempt else 0
            asked = [_drawn_again(prompts[place], attempt) for place in left]
            answers = list(self._generator.generate(asked))
            refusals = self._refusals(asked, answers)
            again = []
            for number, (place, answer) in enumerate(zip(left, answers, strict=True)):
                if number in refusals:
                    again.append(place)
                    answer = self._refused(answer, *refusals[number], attempt + 1)
                chosen[place] = answer
            left = again
        self.given_up += len(left)
        return [chosen[place] for place in range(len(prompts))]

    def _refusals(
        self, prompts: Sequence[Prompt], answers: Sequence[Answer]
    ) -> dict[int, tuple[str, str]]:
        """Which answers are refused: by what, and what it saw."""
        found: dict[int, tuple[str, str]] = {}
        for validator in self._validators:
            left = [
                n for n, answer in enumerate(answers) if n not in found and answer.error is None
            ]
            some = [prompts[n] for n in left], [answers[n] for n in left]
            for number, fault in zip(left, validator.faults(*some, self._scores), strict=True):
                if fault is not None:
                    found[number] = validator.text, fault
        return found

    def _refused(self, answer: Answer, rule: str, fault: str, tries: int) -> Answer:
        self.refused[rule] += 1
        self.tokens += answer.tokens or 0
        self.prompt_tokens += answer.prompt_tokens or 0
        kind = f"the answer is refused by {rule}"
        more = f" ({tries} answers)" if tries > 1 else ""
        return failed(f"{kind}: {fault}{more}", answer.prompt_tokens or 0, kind)

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
