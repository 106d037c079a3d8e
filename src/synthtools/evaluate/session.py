"""What a run of ``synth eval`` lends its suites."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synthtools.closing import Closing
from synthtools.errors import RecordError, UsageError
from synthtools.evaluate.asking import Asking
from synthtools.records.batch import Batch
from synthtools.records.inputs import find_shards
from synthtools.records.jsonl import parse_value
from synthtools.records.merging import as_lines
from synthtools.records.reading import read
from synthtools.records.rejects import Rejects

if TYPE_CHECKING:
    from synthtools.evaluate.judging import Judge
    from synthtools.lm.generation import Generator, Sampling
    from synthtools.lm.scorer import LanguageModel
    from synthtools.lm.settings import Settings


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        data: the directory of the suites' data, None where none was named.
        limit: items of each suite at most, its first ones; None for all.
        seed: of every draw.
        resamples: behind each bootstrap interval.
        pairs: a file of pairwise probabilities.
        answers: files of answers to be judged, with the models that gave them.
        judgments: a file of other judges' preferences.
        target: the model whose texts are the judge's own; None: the one of the judge's name.
        human: what the model of human text is called.
        valid: (name, path) of the domains of perplexity.
        allow_code: model-written code may run here; sandbox: how it is confined (``sandbox.KINDS``,
            or ``auto``).
        asking: how models are asked in suites of answers.
        task_files: a directory of task definitions of lm-evaluation-harness.
        shots: examples before each question, None for what a task says.
    """

    data: str | None = None
    limit: int | None = None
    seed: int = 0
    resamples: int = 1000
    pairs: str | None = None
    answers: tuple[str, ...] = ()
    judgments: str | None = None
    target: str | None = None
    human: str = "human"
    valid: tuple[tuple[str, str], ...] = ()
    allow_code: bool = False
    sandbox: str = "auto"
    shots: int | None = None
    task_files: str | None = None
    asking: Asking = field(default_factory=Asking)


@dataclass
class Session(Closing):
    """One run, as a context: models are opened when first asked for and serve all suites.

    Attributes:
        wanted: the options.
        settings: of the model under evaluation, None where none was named.
        judging: of the judge, None where none was named.
        keep: takes sample records: one dictionary an item, with ``suite`` and ``id``.
        rejects: where bad records go.
        tell: given remarks for the user.
        troubles: of models that went away; what they had done is in the report.
    """

    wanted: Wanted
    settings: Settings | None = None
    judging: Settings | None = None
    keep: Callable[[list[dict[str, Any]]], None] = lambda _: None
    rejects: Rejects = field(default_factory=Rejects)
    tell: Callable[[str], None] = lambda _: None
    troubles: list[str] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)
    _open: dict[Any, LanguageModel] = field(default_factory=dict)
    _generators: dict[Settings, Generator] = field(default_factory=dict)

    def close(self) -> None:
        self._stack.close()

    def model(self) -> LanguageModel:
        """The model under evaluation."""
        if self.settings is None:
            raise UsageError("name the model: synth eval MODEL --suite …")
        return self._opened(self.settings)

    def judge(self) -> LanguageModel:
        """The judge; the very same object where it is the model under evaluation."""
        if self.judging is None:
            raise UsageError("name the judge: --judge MODEL")
        return self._opened(self.judging)

    def generator(self, sampling: Sampling, judge: bool = False) -> Generator:
        """The model under evaluation (or the judge) as one that writes; it is opened once, and writes
        as the last call says."""
        settings = self.judging if judge else self.settings
        if settings is None:
            raise UsageError(
                "name the judge: --judge MODEL" if judge else "name the model: synth eval MODEL"
            )
        found = self._generators.get(settings)
        if found is None:
            from synthtools.lm.generation import open_generator

            found = open_generator(settings, sampling, self.wanted.seed, self.tell)
            self._generators[settings] = self._stack.enter_context(found)
        found.sample_as(sampling)
        return found

    def answering(self) -> Generator:
        """The model under evaluation, to answer as the options say."""
        from synthtools.lm.generation import Sampling

        asking = self.wanted.asking
        return self.generator(
            Sampling(asking.temperature, asking.top_p, None, asking.max_new_tokens)
        )

    def judging_of(self, suite: str) -> Judge:
        """The judge for a suite. Answers come before it: model and judge may be one.

        Raises:
            UsageError: none is named.
        """
        from synthtools.evaluate.judging import Judge
        from synthtools.lm.generation import Sampling

        if self.judging is None:
            raise UsageError(f"--suite {suite} needs a judge: --judge MODEL")
        asking = self.wanted.asking
        sampling = Sampling(0.0, 1.0, None, asking.judge_tokens)
        generator = self.generator(sampling, judge=True)
        return Judge(generator, self.wanted.seed, asking.judge_retries, self.trouble)

    def trouble(self, reason: str) -> None:
        """Notes that a model went away, and tells it."""
        self.troubles.append(reason)
        self.tell(reason)

    @property
    def opened(self) -> list[dict[str, Any]]:
        """What the report says of the models that were opened."""
        return [model.description for model in (*self._open.values(), *self._generators.values())]

    def _opened(self, settings: Settings) -> LanguageModel:
        if settings not in self._open:
            from synthtools.evaluate.likelihood import CANDIDATES
            from synthtools.lm.scorer import open_model
            from synthtools.lm.scores import Request

            found = open_model(settings, Request(CANDIDATES), self.tell)
            self._open[settings] = self._stack.enter_context(found)
        return self._open[settings]

    def batches(self, path: str) -> Iterator[Batch]:
        """The sound records of a file or directory, up to the limit."""
        left = self.wanted.limit
        for batch in read(find_shards([path]), self.rejects):
            if left is not None:
                if len(batch) >= left:
                    yield batch.take(range(left)) if len(batch) > left else batch
                    return
                left -= len(batch)
            yield batch

    def records(
        self,
        path: str,
        wrong: Callable[[dict[str, Any]], str | None] = lambda _: None,
        limited: bool = True,
        again: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Like ``batches``, record by record; one without an ``id`` gets the number of its line.

        Args:
            wrong: says why a record is a bad one, None where it is sound.
            limited: the limit counts.
            again: what is skipped here is counted elsewhere.
        """
        rejects = Rejects(self.rejects.skip) if again else self.rejects
        batches = self.batches(path) if limited else read(find_shards([path]), rejects)
        for batch in batches:
            for number, line in zip(batch.numbers, as_lines(batch).json_lines(), strict=True):
                record = parse_value(line)
                reason = wrong(record)
                if reason is not None:
                    rejects.add(RecordError(batch.source, int(number), reason, line))
                    continue
                record.setdefault("id", int(number))
                yield record

    def samples(self, suite: str, rows: Iterable[dict[str, Any]]) -> None:
        """Keeps what a suite found for each item.

        Args:
            rows: each with ``id``; the field ``suite`` is put before it.
        """
        self.keep([{"suite": suite, **row} for row in rows])
