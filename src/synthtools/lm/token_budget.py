"""Token counts, prices, and a budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from synthtools.errors import SynthError, parameter
from synthtools.lm.generation import Answer, Prompt


class Prices(NamedTuple):
    """Prices per million tokens of prompts and of answers, in any currency."""

    prompt: float = 0.0
    answer: float = 0.0

    def cost(self, prompt_tokens: float, tokens: float) -> float:
        return (prompt_tokens * self.prompt + tokens * self.answer) / 1e6


# Tokens that a chat template may put around a message (its system message is in it), until an answer tells.
_TEMPLATE = 128


@dataclass
class Spending:
    """Tokens spent, those of the resumed run included; thread-safe.

    Attributes:
        budget: ("tokens" or "cost", amount) for prompts and answers together; None for no limit.
        longest: maximal number of tokens of an answer.
    """

    prices: Prices = field(default_factory=Prices)
    budget: tuple[str, float] | None = None
    longest: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    _around: float | None = None  # tokens of a prompt beyond a third of its bytes, at most so far
    _lock: Lock = field(default_factory=Lock, repr=False)

    def add(self, answer: Answer, prompt: Prompt) -> None:
        """Counts an answer and its prompt.

        Raises SynthError if there is a budget and an answer comes without token counts.
        """
        if self.budget and None in (answer.prompt_tokens, answer.tokens):
            raise SynthError(
                f"{parameter('budget')}: the server reports no numbers of tokens, so that no budget "
                "can be kept"
            )
        with self._lock:
            self.prompt_tokens += answer.prompt_tokens or 0
            self.tokens += answer.tokens or 0
            around = (answer.prompt_tokens or 0) - prompt.size / 3
            self._around = max(around, self._around or 0.0)

    def _in_unit(self, prompt_tokens: float, tokens: float) -> float:
        assert self.budget is not None
        if self.budget[0] == "tokens":
            return prompt_tokens + tokens
        return self.prices.cost(prompt_tokens, tokens)

    def reached(self) -> bool:
        """Whether the budget is used up."""
        return not self.has_room(0.0)

    def has_room(self, reserved: float) -> bool:
        """Whether the budget exceeds what is spent and ``reserved`` (in its unit)."""
        if self.budget is None:
            return True
        return self._in_unit(self.prompt_tokens, self.tokens) + reserved < self.budget[1]

    def at_most(self, prompt: Prompt) -> float:
        """The most that an answer may cost, in the budget's unit: a prompt's token is estimated as 3 bytes, and the
        chat template as the longest so far."""
        if self.budget is None:
            return 0.0
        around = self._around
        if around is None:
            around = 0.0 if prompt.messages is None else _TEMPLATE
        return self._in_unit(prompt.size / 3 + around, self.longest)

    def error(self) -> SynthError:
        """The error once no more prompts are sent."""
        assert self.budget is not None
        unit, amount = self.budget
        return SynthError(
            f"the budget ({unit}={amount:g}) is used up: {self.prompt_tokens:,} tokens of prompts, "
            f"{self.tokens:,} of answers; {parameter('resume')} with a larger {parameter('budget')} "
            "continues"
        )
