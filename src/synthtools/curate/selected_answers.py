"""Answers that satisfy rules, the best of several, without repetitions; refused ones are redrawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from synthtools.curate.text_fingerprints import DistinctTexts, Fingerprint
from synthtools.curate.validators import Score, Validator, as_buffer
from synthtools.lm.generation import Answer, Finished, Generator, GeneratorAround, Prompt, failed
from synthtools.scale.prefetch import gathered

# Prompts whose first answers are all completed before second ones are drawn.
_TOGETHER = 2048
# The rule that refuses repetitions, in the report.
_DISTINCT = "distinct"


@dataclass(frozen=True)
class Selection:
    """Criteria for answers.

    Attributes:
        scores: needed by validators and for the choice.
        retries: draws after the first.
        best_of: answers in the first draw, from which the best is taken.
        best: the score for the choice, and whether lower is better; None: take the first.
        distinct: accepted answers, and other texts that answers must not repeat.
    """

    validators: Sequence[Validator]
    scores: Mapping[str, Score]
    retries: int
    best_of: int = 1
    best: tuple[str, bool] | None = None
    distinct: DistinctTexts | None = None


class SelectedAnswers(GeneratorAround):
    """A generator of selected answers; a prompt without one has the last refusal as its error.

    Each draw has a key made from the prompt's key and its number. First answers to ``_TOGETHER`` prompts are completed
    before second ones are drawn, and answers are accepted in the order of draws, then of prompts: repetitions
    depend only on the order of prompts.

    Args:
        generator: closed by its owner.

    Attributes:
        refused: numbers of answers by the rule that refused them.
        retried: draws after the first; given_up: prompts without an answer in the end.
        tokens, prompt_tokens: of refused answers.
        unchosen: accepted answers that were not the best; unscored: answers without a score; unchosen_tokens.
    """

    def __init__(self, generator: Generator, selection: Selection) -> None:
        super().__init__(generator)
        self._selection = selection
        self.refused: Counter[str] = Counter()
        self.retried = self.given_up = self.tokens = self.prompt_tokens = 0
        self.unchosen = self.unscored = self.unchosen_tokens = 0

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
        selection = self._selection
        chosen: dict[int, Answer] = {}
        left = list(range(len(prompts)))
        for attempt in range(selection.retries + 1):
            numbers = [selection.best_of - 1 + attempt] if attempt else range(selection.best_of)
            self.retried += len(left) if attempt else 0
            drawn = [_drawn(prompts[place], number) for place in left for number in numbers]
            answers = list(self._generator.generate(drawn))
            refusals = self._refusals(drawn, answers)
            self._score(drawn, answers, refusals)
            prints: Sequence[Fingerprint] = ()
            if selection.distinct is not None:
                prints = selection.distinct.fingerprints(as_buffer(answers))
            again = []
            for at, place in enumerate(left):
                own = range(at * len(numbers), (at + 1) * len(numbers))
                taken = self._best(own, answers, refusals, prints)
                refused = [number for number in own if number in refusals]
                tries = numbers[-1] + 1
                faults = [self._refused(answers[n], *refusals[n], tries) for n in refused]
                if taken is not None:
                    others = [n for n in own if n not in (taken, *refused) and not answers[n].error]
                    self.unchosen += len(others)
                    self.unchosen_tokens += sum(answers[n].tokens or 0 for n in others)
                    chosen[place] = answers[taken]
                elif faults:
                    again.append(place)
                    chosen[place] = faults[-1]
                else:  # the model has failed, each time
                    chosen[place] = answers[own[0]]
            left = again
        self.given_up += len(left)
        return [chosen[place] for place in range(len(prompts))]

    def _best(
        self,
        own: Iterable[int],
        answers: list[Answer],
        refusals: dict[int, tuple[str, str]],
        prints: Sequence[Fingerprint],
    ) -> int | None:
        """The best of a prompt's answers that is not a repetition; repetitions are refused."""
        distinct, (_, lowest) = self._selection.distinct, self._selection.best or ("", False)

        def rank(number: int) -> tuple[bool, float]:
            score = answers[
                number
            ].score  # only for the choice of the best; answers without one come last
            return score is None, (score or 0.0) * (1 if lowest else -1)

        for number in sorted(own, key=rank):
            if answers[number].error is not None or number in refusals:
                continue
            if distinct is None:
                return number
            seen = distinct.repeated(prints[number])
            if seen is None:
                distinct.add(prints[number])
                return number
            refusals[number] = _DISTINCT, seen
        return None

    def _score(
        self, prompts: list[Prompt], answers: list[Answer], refusals: Mapping[int, object]
    ) -> None:
        if self._selection.best is None:
            return
        left = [n for n, one in enumerate(answers) if n not in refusals and one.error is None]
        score = self._selection.scores[self._selection.best[0]]
        values = score([prompts[n] for n in left], [answers[n] for n in left])
        for number, value in zip(left, values, strict=True):
            known = None if value is None else float(value)
            answers[number] = answers[number]._replace(score=known)
            self.unscored += value is None

    def _refusals(
        self, prompts: Sequence[Prompt], answers: Sequence[Answer]
    ) -> dict[int, tuple[str, str]]:
        """Refused answers: the rule and the fault."""
        refusals: dict[int, tuple[str, str]] = {}
        for validator in self._selection.validators:
            left = [n for n, one in enumerate(answers) if n not in refusals and one.error is None]
            some = [prompts[n] for n in left], [answers[n] for n in left]
            faults = validator.faults(*some, self._selection.scores)
            for number, fault in zip(left, faults, strict=True):
                if fault is not None:
                    refusals[number] = validator.text, fault
        return refusals

    def _refused(self, answer: Answer, rule: str, fault: str, tries: int) -> Answer:
        self.refused[rule] += 1
        self.tokens += answer.tokens or 0
        self.prompt_tokens += answer.prompt_tokens or 0
        kind = "the answer is not new" if rule == _DISTINCT else f"the answer is refused by {rule}"
        more = f" ({tries} answers)" if tries > 1 else ""
        return failed(f"{kind}: {fault}{more}", answer.prompt_tokens or 0, kind)

    def account(self) -> dict[str, Any]:
        """The checks' part of a report."""
        totals = {
            "refused": dict(sorted(self.refused.items())),
            "retried": self.retried,
            "given_up": self.given_up,
            "prompt_tokens": self.prompt_tokens,
            "tokens": self.tokens,
        }
        if self._selection.best_of > 1:
            chosen = {"answers": self.unchosen, "unscored": self.unscored}
            totals["unchosen"] = {**chosen, "tokens": self.unchosen_tokens}
        return totals


def _drawn(prompt: Prompt, attempt: int) -> Prompt:
    if not attempt:
        return prompt
    digest = blake2b(prompt.key + b"\0attempt\0%d" % attempt, digest_size=16)
    return prompt._replace(key=digest.digest())
