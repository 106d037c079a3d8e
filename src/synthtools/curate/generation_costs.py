"""What answers cost: tokens and prices, a budget, and an estimate from a few prompts."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple, TypedDict

import numpy as np

from synthtools.curate.prompts import PromptedRecords, content
from synthtools.errors import SynthError, parameter
from synthtools.lm.generation import Answer, Generator, Prompt

# Of a dry run: enough to show how long answers are, at hardly any price.
SAMPLED = 16


class Prices(NamedTuple):
    """Per million tokens, in any currency: of prompts and of answers."""

    prompt: float = 0.0
    answer: float = 0.0

    def cost(self, prompt_tokens: float, tokens: float) -> float:
        return (prompt_tokens * self.prompt + tokens * self.answer) / 1e6


@dataclass
class Spending:
    """Tokens that answers took, also those of earlier runs; safe from any thread.

    Attributes:
        budget: ("tokens" or "cost", amount): of prompts and answers together; None for no limit.
        longest: tokens that an answer may have.
    """

    prices: Prices = field(default_factory=Prices)
    budget: tuple[str, float] | None = None
    longest: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def add(self, answer: Answer) -> None:
        """Raises SynthError where an answer has no number of tokens and a budget is to be kept."""
        if self.budget and None in (answer.prompt_tokens, answer.tokens):
            raise SynthError(
                f"{parameter('budget')}: the server reports no numbers of tokens, so that no budget "
                "can be kept"
            )
        with self._lock:
            self.prompt_tokens += answer.prompt_tokens or 0
            self.tokens += answer.tokens or 0

    def _in_unit(self, prompt_tokens: float, tokens: float) -> float:
        assert self.budget is not None
        if self.budget[0] == "tokens":
            return prompt_tokens + tokens
        return self.prices.cost(prompt_tokens, tokens)

    def reached(self) -> bool:
        """Whether the budget is used up."""
        return not self.has_room(0.0)

    def has_room(self, reserved: float) -> bool:
        """Whether anything of the budget is left beside what is ``reserved`` in its unit."""
        if self.budget is None:
            return True
        return self._in_unit(self.prompt_tokens, self.tokens) + reserved < self.budget[1]

    def at_most(self, prompt: Prompt) -> float:
        """What an answer may take, in the budget's unit; a token of a prompt is taken as 3 bytes."""
        return self._in_unit(_size(prompt) / 3, self.longest) if self.budget else 0.0

    def error(self) -> SynthError:
        """What is raised once no more prompts are asked."""
        assert self.budget is not None
        unit, amount = self.budget
        return SynthError(
            f"the budget ({unit}={amount:g}) is used up: {self.prompt_tokens:,} tokens of prompts, "
            f"{self.tokens:,} of answers; {parameter('resume')} with a larger {parameter('budget')} "
            "continues"
        )


def _size(prompt: Prompt) -> int:
    return len(content(prompt).encode("utf-8", "surrogatepass"))


class SampledPrompts(NamedTuple):
    """Prompts of a corpus: how many there are, their bytes, and a sample drawn by their keys."""

    number: int
    size: int
    sample: list[Prompt]


def sampled(items: Iterable[PromptedRecords], seed: int) -> SampledPrompts:
    """One pass over the prompts; which are drawn depends on the seed and the records alone."""
    count = size = 0
    drawn: list[tuple[int, int, Prompt]] = []
    for _, prompts, keys in items:
        for prompt, key in zip(prompts, keys.tolist(), strict=True):
            count += 1
            size += _size(prompt)
            prompt = prompt._replace(key=int(key).to_bytes(8, "little"))
            drawn.append((prompt.seed(seed), count, prompt))
        drawn = sorted(drawn)[:SAMPLED]
    return SampledPrompts(count, size, [prompt for _, _, prompt in drawn])


class CostEstimate(TypedDict):
    """What the answers of one model take; ``tokens_low`` and ``tokens_high`` are a 95 % interval.

    Attributes:
        requests: answers asked for; failed: of the sample, prompts without an answer.
        seconds: at the speed of the sample.
    """

    requests: int
    prompt_tokens: int
    tokens: int
    tokens_low: int
    tokens_high: int
    seconds: float
    sampled: int
    failed: int


def estimate(prompts: SampledPrompts, generator: Generator, requests: float) -> CostEstimate:
    """Has the sample answered and scales what it took up to all requests.

    Raises:
        SynthError: none of the sample is answered, or a server reports no numbers of tokens.
    """
    from scipy.special import stdtrit

    start = time.perf_counter()
    answers = list(generator.generate(prompts.sample))
    seconds = time.perf_counter() - start
    spent = Spending(budget=("tokens", float("inf")))
    lengths, size = [], 0
    for prompt, answer in zip(prompts.sample, answers, strict=True):
        if answer.error is None:
            spent.add(answer)
            lengths.append(answer.tokens or 0)
            size += _size(prompt)
    if not lengths:
        raise SynthError(f"none of {len(answers)} prompts was answered: {answers[0].error}")
    average = float(np.mean(lengths))
    degrees = len(lengths) - 1
    reach = (
        stdtrit(degrees, 0.975) * np.std(lengths, ddof=1) / len(lengths) ** 0.5 if degrees else 0
    )
    each = prompts.size / prompts.number * spent.prompt_tokens / max(size, 1)
    return {
        "requests": round(requests),
        "prompt_tokens": round(requests * each),
        "tokens": round(requests * average),
        "tokens_low": round(requests * max(0.0, average - reach)),
        "tokens_high": round(requests * (average + reach)),
        "seconds": requests * seconds / len(answers),
        "sampled": len(answers),
        "failed": len(answers) - len(lengths),
    }
