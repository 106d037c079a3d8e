"""A language model that answers prompts, with any backend.

    with open_generator(settings, SamplingSettings(temperature=0), seed=0) as generator:
        for answer in generator.generate(prompts):
            ...

Samples are a function of the seed, the prompt's key and the position of the token. With torch answers do
not depend on the batches; vLLM gets a seed for each request.
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
    """How answers are sampled. The defaults are those of Baskets (arXiv 2511.01490).

    Attributes:
        temperature: logits are divided by it; 0 takes the most probable token.
        top_p: sample from the smallest set of tokens with this total probability; 1 for all.
        top_k: sample from the k most probable tokens; None for all.
        max_new_tokens: of an answer; the model's context may allow fewer.
        stop: an answer ends before any of these strings.
        schema: JSON schema (as JSON) that answers follow (vLLM and servers).
        regex: regular expression that answers match (vLLM and its servers).
    """

    temperature: float = 0.7
    top_p: float = 0.9
    top_k: int | None = None
    max_new_tokens: int = 1024
    stop: tuple[str, ...] = ()
    schema: str | None = None
    regex: str | None = None

    def __post_init__(self) -> None:
        """Raises UsageError if a number is out of range."""
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
    """A prompt.

    Attributes:
        key: identity for random draws.
        text: a text to continue; None for a conversation.
        messages: a conversation of {"role", "content"} to answer, rendered by the model's chat template or
            by ``chat.TEMPLATE``.
        begun: the beginning of the answer to a conversation (not on a server).
    """

    key: bytes
    text: str | None = None
    messages: tuple[dict[str, str], ...] | None = None
    begun: str = ""

    @property
    def identity(self) -> str:
        """The prompt as one string."""
        if self.text is not None:
            return self.text
        turns = (f"{m['role']}\0{m['content']}" for m in self.messages or ())
        return "\0".join([*turns, *([f"\0{self.begun}"] if self.begun else [])])

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.identity.encode("utf-8", "surrogatepass"))

    def seed(self, seed: int) -> int:
        """The seed of this prompt's draws: 53 bits, which JSON numbers hold exactly."""
        digest = hashlib.blake2b(
            self.key, digest_size=8, salt=(seed % (1 << 64)).to_bytes(8, "little")
        )
        return int.from_bytes(digest.digest(), "little") >> 11


class Answer(NamedTuple):
    """An answer.

    Attributes:
        finish_reason: ``stop`` (end of text or a stop string), ``length`` (as many tokens as are
            allowed, or as the context holds), or ``error``.
        prompt_tokens, tokens: of the rendered prompt, and of the answer with its end token; None where a
            server reports no valid number.
        error: the reason for a missing answer, in one line; None if there is an answer.
        kind: of the error, to count errors whose texts differ.
        score: by which it was chosen among several, otherwise None.
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
    """The answer to a prompt that fills the context."""
    return failed(
        f"the prompt has {prompt_tokens:,} tokens; the model takes {context:,}, the answer included",
        prompt_tokens,
    )


@dataclass(frozen=True)
class ServerTraffic:
    """Limits of requests to servers.

    Attributes:
        requests: at most so many in flight; None for a default that depends on the task.
        tokens: at most so many in flight, of prompts (estimated) and answers; None for no limit.
        timeout: seconds that a request may take.
        patience: seconds without a success after which a server is given up.
        tries: of a request that fails while the server works.
        requests_per_minute, tokens_per_minute: None for no limit.
        key: API key, instead of the environment's.
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
    """Answers prompts; a context manager that releases the device.

    Attributes:
        description: the model's entry in reports: name, revision, backend, context, …
        context: tokens of prompt and answer together; None if a server does not report it.
    """

    description: dict[str, Any]
    context: int | None

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.description["name"])

    @abstractmethod
    def sample_as(self, sampling: SamplingSettings) -> None:
        """Sets the sampling of later calls."""

    @abstractmethod
    def generate(
        self, prompts: Iterable[Prompt], finished: Finished | None = None
    ) -> Iterator[Answer]:
        """Answers in the order of the prompts, which are read ahead only as far as needed.

        A prompt that cannot be answered gives an answer with an ``error``; nothing is truncated.

        Args:
            finished: called with (index of the prompt, answer) as soon as an answer is complete, out of
                order and from any thread.

        Raises:
            SynthError: the engine or all servers have failed.
        """

    @abstractmethod
    def close(self) -> None:
        """Releases the device."""


class GeneratorAround(Generator):
    """A wrapper of another generator, which its owner closes."""

    def __init__(self, generator: Generator) -> None:
        self.description = generator.description
        self.context = generator.context
        self._generator = generator

    def sample_as(self, sampling: SamplingSettings) -> None:
        self._generator.sample_as(sampling)

    def close(self) -> None:
        """Does nothing: the inner generator has an owner."""
