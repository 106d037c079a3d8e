"""Answers and scores of models, cached in a run's journal and across runs.

The key of a value is a hash of everything it depends on: the model, its settings, and the request.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np

from synthtools.lm.generation import (
    Answer,
    Finished,
    Generator,
    GeneratorAround,
    Prompt,
    SamplingSettings,
)
from synthtools.lm.model_files import content_digest
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.scores import (
    Candidates,
    OneByOneEngine,
    ScoreRequest,
    ScoringEngine,
    Sequence,
    SequenceScores,
)
from synthtools.lm.token_budget import Spending
from synthtools.scale.prefetch import gathered

_BYTES_A_TOKEN = 4


class ValueStore(Protocol):
    """Values by keys of 32 hexadecimal digits; thread-safe."""

    def get(self, key: str, again: bool = False) -> dict[str, Any] | None: ...

    def add(self, key: str, value: dict[str, Any]) -> None: ...


class TalliedStore(ValueStore, Protocol):
    """A store that also sums up numbers of its values."""

    def add(self, key: str, value: dict[str, Any], tally: dict[str, int] | None = None) -> None: ...


class ModelValues(NamedTuple):
    """The cached values of one model.

    Attributes:
        identity: the model and its settings.
        content: a hash of its files, which may change under the cache; empty for servers.
        journal: values of this run and of the run that it resumes; None without.
        cache: values of any run; None without.
    """

    identity: bytes
    content: bytes
    journal: TalliedStore | None
    cache: ValueStore | None

    @classmethod
    def of(
        cls,
        settings: ModelSettings,
        description: dict[str, Any],
        journal: TalliedStore | None,
        cache: ValueStore | None,
    ) -> ModelValues:
        """The cached values of an open model."""
        names = [description.get(name) for name in ("name", "revision", "backend")]
        given = [settings.dtype, settings.devices, settings.context, settings.bos]
        identity = json.dumps([*names, *given, settings.model.tokenizer])
        here = cache is not None and description.get("backend") != "server"
        content = content_digest(settings.model) if here else None
        return cls(identity.encode(), (content or "").encode(), journal, cache)

    def key(self, *asked: bytes) -> str:
        """The key of a request."""
        return key_of(self.identity, *asked)

    def get(self, key: str, again: bool = False) -> dict[str, Any] | None:
        """The value of a key.

        Args:
            again: whether this run has already looked it up.
        """
        if self.journal is not None and (value := self.journal.get(key, again)) is not None:
            return value
        return None if self.cache is None else self.cache.get(self._own(key), again)

    def add(self, key: str, value: dict[str, Any], tally: dict[str, int] | None = None) -> None:
        """Stores a value; the journal also sums up its tally."""
        if self.journal is not None:
            self.journal.add(key, value, tally)
        if self.cache is not None:
            self.cache.add(self._own(key), value)

    def _own(self, key: str) -> str:
        return key_of(key.encode(), self.content)


def key_of(*parts: bytes) -> str:
    """A key of 32 hexadecimal digits for all that a value depends on."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


class KeptGenerator(GeneratorAround):
    """A generator that computes only answers that are not cached.

    Args:
        generator: computes the others; its owner closes it.
        spending: tokens of all answers that are sent for; once its budget is used up, no more prompts are sent.
            The journal tallies them, so that a resumed run begins with what it had spent.
    """

    def __init__(
        self,
        generator: Generator,
        values: ModelValues,
        sampling: SamplingSettings,
        seed: int,
        spending: Spending | None = None,
    ) -> None:
        super().__init__(generator)
        self._values = values
        self._sampling = sampling
        self._seed = seed
        self._counts = spending is not None
        self._spending = spending or Spending()

    def sample_as(self, sampling: SamplingSettings) -> None:
        super().sample_as(sampling)
        self._sampling = sampling

    def generate(
        self, prompts: Iterable[Prompt], finished: Finished | None = None
    ) -> Iterator[Answer]:
        """See ``Generator.generate``.

        Raises:
            SynthError: the budget is used up; every prompt that was sent has its answer stored.
        """
        left: Iterator[tuple[int, Prompt]] = enumerate(prompts)
        while (first := next(left, None)) is not None:
            if self._spending.reached() and self._values.get(self._key(first[1]), True) is None:
                raise self._spending.error()
            waiting: list[tuple[int, Prompt]] = []
            yield from self._answers(chain([first], left), waiting, finished)
            left = chain(waiting, left)

    def _key(self, prompt: Prompt) -> str:
        sampling = repr(self._sampling).encode("utf-8", "surrogatepass")
        kind = b"text" if prompt.text is not None else b"messages"
        asked = prompt.identity.encode("utf-8", "surrogatepass")
        return self._values.key(sampling, b"%d" % prompt.seed(self._seed), kind, asked)

    def _answers(
        self,
        prompts: Iterator[tuple[int, Prompt]],
        waiting: list[tuple[int, Prompt]],
        finished: Finished | None,
    ) -> Iterator[Answer]:
        """Answers to as many prompts as the budget allows at their maximal length, at least to one.

        Args:
            prompts: with their indices.
            waiting: receives the prompt that was read but did not fit.
        """
        order: deque[tuple[int, str] | None] = deque()  # of a cached answer, None for others
        running: dict[int, tuple[int, str, Prompt]] = {}
        spending, values = self._spending, self._values

        def others() -> Iterator[Prompt]:
            asked_for, reserved = 0, 0.0
            for place, prompt in prompts:
                key = self._key(prompt)
                if values.get(key) is not None:
                    order.append((place, key))
                    continue
                room = spending.has_room(reserved + spending.at_most(prompt))
                if not room and (asked_for or spending.reached()):
                    waiting.append((place, prompt))
                    return
                order.append(None)
                running[asked_for] = place, key, prompt
                asked_for += 1
                reserved += spending.at_most(prompt)
                yield prompt

        def keep(number: int, answer: Answer) -> None:
            place, key, prompt = running.pop(number)
            if answer.error is None:  # a resumed run tries errors again
                spending.add(answer, prompt)
                took = {"prompt_tokens": answer.prompt_tokens or 0, "tokens": answer.tokens or 0}
                values.add(key, answer._asdict(), took if self._counts else None)
            if finished:
                finished(place, answer)

        def held_before() -> Iterator[Answer]:
            while order and (one := order[0]) is not None:
                order.popleft()
                place, key = one
                held = values.get(key, again=True)
                assert held is not None
                answer = Answer(**held)
                if finished:
                    finished(place, answer)
                yield answer

        for answer in self._generator.generate(others(), keep):
            yield from held_before()
            order.popleft()
            yield answer
        yield from held_before()


class KeptEngine:
    """An engine (see ``scores.ScoringEngine``) that scores only sequences whose scores are not cached.

    It stores them after every few seconds of work; those of a server one by one, since it may fail at any
    time.

    Args:
        engine: scores the others; closed with this one.
    """

    def __init__(self, engine: ScoringEngine, values: ModelValues) -> None:
        self.context = engine.context
        self.chunk_bytes = engine.chunk_bytes
        self.calls = engine.calls
        self.passed: Callable[[int], None] = engine.passed
        self._engine = engine
        self._values = values
        self._one_by_one = isinstance(engine, OneByOneEngine)
        if isinstance(engine, OneByOneEngine):
            engine.scored = self._keep

    def close(self) -> None:
        self._engine.close()

    def run(self, sequences: list[Sequence], request: ScoreRequest) -> list[SequenceScores]:
        scores: dict[int, SequenceScores] = {}
        for place, sequence in enumerate(sequences):
            held = self._values.get(self._key(sequence, request))
            if held is not None:
                scores[place] = _unpacked(held)
        left = [place for place in range(len(sequences)) if place not in scores]
        most = max(1, self.chunk_bytes // _BYTES_A_TOKEN)
        for some in gathered(left, lambda place: len(sequences[place].tokens), most):
            scored = self._engine.run([sequences[place] for place in some], request)
            for place, score in zip(some, scored, strict=True):
                scores[place] = score
                if not self._one_by_one:
                    self._keep(sequences[place], request, score)
        return [scores[place] for place in range(len(sequences))]

    def _key(self, sequence: Sequence, request: ScoreRequest) -> str:
        tokens, first = sequence
        return self._values.key(repr(request).encode(), b"%d" % first, tokens.tobytes())

    def _keep(self, sequence: Sequence, request: ScoreRequest, score: SequenceScores) -> None:
        if not np.isnan(score.logprobs).any():  # otherwise the run fails
            self._values.add(self._key(sequence, request), _packed(score))


def _packed(score: SequenceScores) -> dict[str, Any]:
    """Scores as JSON, exact to the bit."""
    assert score.distribution is None
    arrays = [score.logprobs, *(score.candidates or ())]
    return {
        "arrays": [
            [one.dtype.str, list(one.shape), b64encode(one.tobytes()).decode()] for one in arrays
        ]
    }


def _unpacked(value: dict[str, Any]) -> SequenceScores:
    logprobs, *more = (
        np.frombuffer(b64decode(text), np.dtype(kind)).reshape(shape)
        for kind, shape, text in value["arrays"]
    )
    return SequenceScores(logprobs, Candidates(*more) if more else None)
