"""Shared by all suites: options, models opened once, records, the file of samples."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from synthtools.closeable import Closeable
from synthtools.errors import RecordError, UsageError, parameter
from synthtools.lm.token_budget import Spending
from synthtools.lm.tokenizer_faults import TokenizerError
from synthtools.records.batch import Batch, JsonBatch
from synthtools.records.inputs import Shard, find_shards
from synthtools.records.jsonl import json_bytes, parse_value
from synthtools.records.outputs import open_sink
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects
from synthtools.records.shard_size import ShardSize
from synthtools.records.sink import Sink
from synthtools.records.transform import as_lines

if TYPE_CHECKING:
    from synthtools.evaluate.judge import Judge
    from synthtools.evaluate.judge_panel import JudgePanel
    from synthtools.lm.generation import Generator, SamplingSettings, ServerTraffic
    from synthtools.lm.kept_values import ValueStore
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.lm.scorer import LanguageModel
    from synthtools.lm.server.rate_limit import TrafficLimits
    from synthtools.records.value_journal import ValueJournal

# Why a record is not valid input of a suite; None if it is.
Fault = Callable[[dict[str, Any]], str | None]


@dataclass(frozen=True)
class EvaluationOptions:
    """The options of ``synth eval`` of the same names."""

    data: str | None = None
    limit: int | None = None
    shard: tuple[int, int] | None = None
    seed: int = 0
    bootstrap: int = 1000
    valid: Sequence[tuple[str, str]] = ()
    shots: int | None = None
    task_files: str | None = None
    allow_code_execution: bool = False
    sandbox: str = "auto"
    answers: Sequence[str] = ()
    pairs: str | None = None
    judgments: str | None = None
    reference: str | None = None
    target: str | None = None
    human: str = "human"
    length_controlled: bool = False
    author_files: str | None = None
    force: bool = False
    max_new_tokens: int = 1024
    temperature: float = 0.0
    top_p: float = 1.0
    judge_tokens: int = 512
    judge_retries: int = 2
    judge_guided: bool = False

    @classmethod
    def of(cls, options: Any) -> EvaluationOptions:
        """The fields of this class from a tool's options."""
        values = ((field.name, getattr(options, field.name)) for field in fields(cls))
        return cls(**{name: value for name, value in values if value is not None})


@dataclass
class Evaluator(Closeable):
    """One run, as a context: models are opened on first use and shared by all suites.

    Attributes:
        model_settings: of the model under evaluation, if one was named.
        judge_settings: of the judges.
        keep: takes sample records: one dictionary per item, with ``suite`` and ``id``.
        journal, cache: store scores and answers as they come; None to store none.
        rejects: receives bad records.
        remark: called with remarks for the user.
        failures: of models that became unavailable; the report has their results so far.
    """

    options: EvaluationOptions = field(default_factory=EvaluationOptions)
    model_settings: ModelSettings | None = None
    judge_settings: Sequence[ModelSettings] = ()
    keep: Callable[[list[dict[str, Any]]], None] = lambda _: None
    journal: ValueJournal | None = None
    cache: ValueStore | None = None
    rejects: Rejects = field(default_factory=Rejects)
    remark: Callable[[str], None] = lambda _: None
    failures: list[str] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)
    _open: dict[Any, LanguageModel] = field(default_factory=dict)
    _generators: dict[ModelSettings, Generator] = field(default_factory=dict)
    _spending: Spending = field(default_factory=Spending)
    _limits: dict[ServerTraffic, TrafficLimits] = field(default_factory=dict)

    def close(self) -> None:
        self._stack.close()

    def model(self) -> LanguageModel:
        """The model under evaluation."""
        return self.scorer(_named(self.model_settings))

    def generator(
        self, sampling: SamplingSettings, settings: ModelSettings | None = None
    ) -> Generator:
        """The model under evaluation (or another) for generation; it is opened once, and samples as
        requested in the last call."""
        settings = settings or _named(self.model_settings)
        generator = self._generators.get(settings)
        if generator is None:
            from synthtools.lm.kept_values import KeptGenerator, ModelValues
            from synthtools.lm.open_models import open_generator

            seed = self.options.seed
            limits = self._limits_of(settings)
            opened = open_generator(settings, sampling, seed, self.remark, limits=limits)
            values = ModelValues.of(settings, opened.description, self.journal, self.cache)
            generator = KeptGenerator(
                self._stack.enter_context(opened), values, sampling, seed, self._spending
            )
            self._generators[settings] = generator
        generator.sample_as(sampling)
        return generator

    def _limits_of(self, settings: ModelSettings) -> TrafficLimits:
        """Limits of traffic to servers, shared by model and judges."""
        from synthtools.lm.server.rate_limit import TrafficLimits

        return self._limits.setdefault(settings.traffic, TrafficLimits(settings.traffic))

    def answer_generator(self) -> Generator:
        """The model under evaluation, with the sampling of the options."""
        from synthtools.lm.generation import SamplingSettings

        own = self.options
        sampling = SamplingSettings(own.temperature, own.top_p, None, own.max_new_tokens)
        return self.generator(sampling)

    def answer_judge(self) -> Judge | JudgePanel:
        """The judge of answers, or the panel. Generate answers first: model and judge may be the same. Raises
        UsageError: none is named, or one twice."""
        from synthtools.evaluate.judge import Judge
        from synthtools.evaluate.judge_panel import JudgePanel
        from synthtools.lm.generation import SamplingSettings

        own = self.options
        sampling = SamplingSettings(0.0, 1.0, None, own.judge_tokens)
        guided = sampling if own.judge_guided else None
        judges = [
            Judge(self.generator(sampling, one), own.seed, own.judge_retries, self.failure, guided)
            for one in self.judge_settings
        ]
        if not judges:
            raise UsageError("name the judge")
        names = [judge.name for judge in judges]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(
                f"{parameter('judge')}: two of them are {twice[0]}; give each its name"
            )
        return judges[0] if len(judges) == 1 else JudgePanel(judges)

    def failure(self, reason: str) -> None:
        """Records that a model became unavailable, with a remark."""
        self.failures.append(reason)
        self.remark(reason)

    @property
    def opened(self) -> list[dict[str, Any]]:
        """The models that were opened, for the report."""
        models = [model.description for model in self._open.values()]
        return models + [generator.description for generator in self._generators.values()]

    def scorer(self, settings: ModelSettings) -> LanguageModel:
        """A model for scoring; it is opened once."""
        if settings not in self._open:
            from synthtools.evaluate.likelihood import CANDIDATES
            from synthtools.lm.open_models import open_model
            from synthtools.lm.scores import ScoreRequest

            limits = self._limits_of(settings)
            model = open_model(settings, ScoreRequest(CANDIDATES), self.remark, limits)
            self._open[settings] = self._stack.enter_context(model)
            if self.journal is not None or self.cache is not None:
                from synthtools.lm.kept_values import KeptEngine, ModelValues

                values = ModelValues.of(settings, model.description, self.journal, self.cache)
                model.keep(lambda engine: KeptEngine(engine, values))
        return self._open[settings]

    @property
    def tokens(self) -> int:
        """The number processed by the models, including those of a run that this one resumes."""
        scored = sum(model.progress.scored for model in self._open.values())
        earlier = 0 if self.journal is None else self.journal.totals.total()
        return scored + earlier + self._spending.prompt_tokens + self._spending.tokens

    def share(self, count: int) -> slice:
        """Which of ``count`` items are evaluated: this process's share of those up to the limit."""
        most = count if self.options.limit is None else min(count, self.options.limit)
        index, shares = self.options.shard or (1, 1)
        return slice(most * (index - 1) // shares, most * index // shares)

    def batches(self, path: str) -> Iterator[Batch]:
        """The valid records of a file or directory that are evaluated (see ``share``)."""
        shards, count = find_shards([path]), sys.maxsize
        if self.options.shard is not None:
            count = sum(map(len, read(shards, Rejects(skip=True))))
        share, before = self.share(count), 0
        for batch in read(shards, self.rejects):
            first, end = max(0, share.start - before), min(len(batch), share.stop - before)
            if first < end:
                yield batch if end - first == len(batch) else batch.take(range(first, end))
            before += len(batch)
            if before >= share.stop:
                return

    def records(
        self, path: str, fault: Fault = lambda _: None, limited: bool = True, again: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Like ``batches``, record by record; one without an ``id`` gets its line number. ``limited``: only
        those that are evaluated. ``again``: skipped records are counted elsewhere."""
        rejects = Rejects(self.rejects.skip) if again else self.rejects
        batches = self.batches(path) if limited else read(find_shards([path]), rejects)
        for batch in batches:
            for number, line in zip(batch.numbers, as_lines(batch).json_lines(), strict=True):
                record = parse_value(line)
                reason = fault(record)
                if reason is not None:
                    rejects.add(RecordError(batch.source, int(number), reason, line))
                    continue
                record.setdefault("id", int(number))
                yield record

    def samples(self, suite: str, rows: Iterable[dict[str, Any]]) -> None:
        """Keeps the samples of a suite's items, each with ``id``, adding the field ``suite``."""
        self.keep([{"suite": suite, **row} for row in rows])


def tokenizer_failure(model: LanguageModel, texts: Sequence[str]) -> str | None:
    """Why the model's tokenizer cannot encode texts; None if it can."""
    try:
        model.tokenizer.encode(list(texts))
    except TokenizerError as error:
        return str(error)
    return None


def _named(settings: ModelSettings | None) -> ModelSettings:
    if settings is None:
        raise UsageError("name the model")
    return settings


class SampleFile:
    """A file of samples, as a context: it is completed if the context ends without an error.

    Args:
        path: None to only count samples.
        shards: the run's inputs, which the file must not overwrite.
        kept: also keep the samples in ``rows``.
    """

    def __init__(
        self, path: str | None, force: bool, shards: Sequence[Shard], kept: bool = False
    ) -> None:
        self.count = 0
        self.rows: list[dict[str, Any]] = []
        self._kept = kept
        self.sink: Sink | None = None
        if path is not None:
            size = ShardSize(32_000_000, "bytes")
            self.sink = open_sink(
                path, None, shards=shards, force=force, resume=False, shard_size=size, job={}
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self.sink is not None and kind is None:
            self.sink.finish()
        elif self.sink is not None:  # after Ctrl-C, too, no partial file must be left
            self.sink.abort()

    def keep(self, rows: list[dict[str, Any]]) -> None:
        """Writes samples."""
        if self.sink is not None and rows:
            places = np.arange(self.count, self.count + len(rows), dtype=np.int64)
            lines = [json_bytes(row) for row in rows]
            self.sink.write(JsonBatch("<samples>", places + 1, places, lines=lines))
        if self._kept:
            self.rows += rows
        self.count += len(rows)


def samples_beside(name: str, report: dict[str, Any], remark: Callable[[str], None]) -> str | None:
    """The samples of a report: at the path it names, or next to it; None with a remark if they are missing.
    ``name``: the report's file."""
    stated = (report.get("samples") or {}).get("file")
    if not stated:
        return None
    for path in (Path(stated), Path(name).parent / Path(stated).name):
        if path.exists():
            return str(path)
    remark(f"{name}: its samples {stated} are missing; compared without them")
    return None
