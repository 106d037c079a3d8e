"""A language model that answers prompts, whatever the backend.

    with open_generator(settings, SamplingSettings(temperature=0), seed=0) as generator:
        for answer in generator.generate(prompts):
            ...

What is sampled depends on the seed, the prompt's key and the position of the token. With torch the
same answers come whatever the batches are; vLLM is given a seed for each request.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from synthtools.closeable import Closeable
from synthtools.errors import UsageError, parameter
from synthtools.redaction import ApiKey

STOP, LENGTH, ERROR = "stop", "length", "error"


@dataclass(frozen=True)
class SamplingSettings:
    """How answers are drawn. The defaults are those of Baskets (arXiv 2511.01490).

    Attributes:
        temperature: logits are divided by it; 0 takes the most probable token.
        top_p: draw from the fewest tokens that together have this probability; 1 for all.
        top_k: draw from so many tokens; None for all.
        max_new_tokens: of an answer; the model's context may allow fewer.
        stop: an answer ends before any of these strings.
        schema: JSON schema, as JSON, that an answer keeps to (vLLM and servers).
        regex: regular expression that an answer matches (vLLM and its servers).
    """

    temperature: float = 0.7
    top_p: float = 0.9
    top_k: int | None = None
    max_new_tokens: int = 1024
    stop: tuple[str, ...] = ()
    schema: str | None = None
    regex: str | None = None

    def __post_init__(self) -> None:
        """Raises UsageError where a number makes no sense."""
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise UsageError(f"{parameter('temperature', self.temperature)}: 0 or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"{parameter('top_p', self.top_p)}: above 0, at most 1")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"{parameter('top_k', self.top_k)}: at least 1")
        if self.max_new_tokens < 1:
            raise UsageError(f"{parameter('max_new_tokens', self.max_new_tokens)}: at least 1")
        if "" in self.stop:
            raise UsageError(f"{parameter('stop')}: an empty string would end every answer at once")
        if self.schema and self.regex:
            raise UsageError("a schema and a regular expression do not go together")


class Prompt(NamedTuple):
    """What is asked.

    Attributes:
        key: identity that its draws belong to.
        text: to be continued as it is; None for a conversation.
        messages: a conversation of {"role", "content"}, to be answered; the model's chat template
            renders it, or a plain one of ours.
        begun: what the answer to a conversation begins with (not on a server).
    """

    key: bytes
    text: str | None = None
    messages: tuple[dict[str, str], ...] | None = None
    begun: str = ""

    @property
    def identity(self) -> str:
        """All of it as one string."""
        if self.text is not None:
            return self.text
        turns = (f"{m['role']}\0{m['content']}" for m in self.messages or ())
        return "\0".join([*turns, *([f"\0{self.begun}"] if self.begun else [])])

    @property
    def size(self) -> int:
        """Bytes of it."""
        return len(self.identity.encode("utf-8", "surrogatepass"))

    def seed(self, seed: int) -> int:
        """Of this prompt's draws, 53 bits (JSON's integers)."""
        digest = hashlib.blake2b(
            self.key, digest_size=8, salt=(seed % (1 << 64)).to_bytes(8, "little")
        )
        return int.from_bytes(digest.digest(), "little") >> 11


class Answer(NamedTuple):
    """What came.

    Attributes:
        finish_reason: ``stop`` (end of text or a stop string), ``length`` (as many tokens as are
            allowed, or as the context holds), or ``error``.
        prompt_tokens, tokens: of the prompt as the model saw it, and of the answer (the token that
            ends it included); None where a server reports no possible number.
        error: why there is no answer, in one line; None where there is one.
        kind: of the error, where one kind tells of many things that were seen.
        score: by which it was chosen, None where it was not.
    """

    text: str
    finish_reason: str
    prompt_tokens: int | None
    tokens: int | None
    error: str | None = None
    kind: str | None = None
    score: float | None = None


Finished = Callable[[int, Answer], None]


def failed(reason: str, prompt_tokens: int = 0, kind: str | None = None) -> Answer:
    """The answer to a prompt that cannot be answered."""
    return Answer("", ERROR, prompt_tokens, 0, reason, kind)


def too_long(prompt_tokens: int, context: int) -> Answer:
    """The answer to a prompt that leaves no room for one."""
    return failed(
        f"the prompt has {prompt_tokens:,} tokens; the model takes {context:,}, the answer included",
        prompt_tokens,
    )


@dataclass(frozen=True)
class ServerTraffic:
    """How servers are asked.

    Attributes:
        requests: in flight at most; None for as many as suit what is asked.
        tokens: of prompts (estimated) and answers in flight at most; None for no limit.
        timeout: seconds that a request may take.
        patience: seconds of nothing but failures after which a server is given up.
        tries: of one request that fails though the server works.
        requests_per_minute, tokens_per_minute: None for no limit.
        key: sent instead of that of the environment.
    """

    requests: int | None = None
    tokens: int | None = None
    timeout: float = 600.0
    patience: float = 300.0
    tries: int = 6
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    key: ApiKey | None = None


class Generator(Closeable, ABC):
    """Answers prompts; a context manager that gives the device back.

    Attributes:
        description: what a report says of the model: name, revision, backend, context, …
        context: tokens of prompt and answer together; None where a server does not say.
    """

    description: dict[str, Any]
    context: int | None

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.description["name"])

    @abstractmethod
    def sample_as(self, sampling: SamplingSettings) -> None:
        """Draws answers to later calls like this."""

    @abstractmethod
    def generate(
        self, prompts: Iterable[Prompt], finished: Finished | None = None
    ) -> Iterator[Answer]:
        """Answers in the order of the prompts; so many prompts are read ahead as are worked on.

        A prompt that cannot be answered has an answer with an ``error``; nothing is cut.

        Args:
            finished: called with (place of the prompt, answer) as soon as an answer is there, out of
                order and from any thread.

        Raises:
            SynthError: the engine or all servers are gone.
        """

    @abstractmethod
    def close(self) -> None:
        """Gives the device back."""


class GeneratorAround(Generator):
    """A generator that asks another one, which its owner closes."""

    def __init__(self, generator: Generator) -> None:
        self.description = generator.description
        self.context = generator.context
        self._generator = generator

    def sample_as(self, sampling: SamplingSettings) -> None:
        self._generator.sample_as(sampling)

    def close(self) -> None:
        """Nothing is held here."""
