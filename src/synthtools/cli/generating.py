"""The run of ``synth generate``: models one after the other over the same records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.cli import terminal
from synthtools.cli.generators import Generators
from synthtools.cli.options import Inputs, Jobs, Output
from synthtools.cli.protocols import Generating, asking_of
from synthtools.cli.run import Run
from synthtools.curate import asking, assigning, extrapolating, generating, reasoning
from synthtools.curate.asking import Asked, Asking
from synthtools.curate.generating import Naming, Remembering
from synthtools.records.batch import Batch, Column, JsonBatch
from synthtools.records.identity import ID_FIELD
from synthtools.records.journal import Journal
from synthtools.records.jsonl import json_bytes
from synthtools.records.reading import require_text
from synthtools.records.rejects import Rejects
from synthtools.records.shard_directory import DirectorySink

if TYPE_CHECKING:
    from synthtools.lm.generation import Generator, Sampling

# Answers leave by the batch: a small one keeps a pipe moving.
_BATCH_BYTES = 64 << 10
_JOURNAL = ".answers.jsonl"
_TASKS_A_BATCH = 64


def run_generation(
    reading: Inputs,
    writing: Output,
    models: Generators,
    jobs: Jobs,
    sampling: Sampling,
    options: Generating,
) -> None:
    """Reads prompts, asks models, writes answers."""
    options.check(len(models.names()))
    models.settings(jobs, models.names()[0])

    def check(batch: Batch) -> None:
        if options.go_on is not None:  # what is asked takes a tokenizer to know
            require_text(batch, options.field, Rejects(), "--prompt-field")
        else:
            list(
                asking.asked([batch], asking_of(options, models, jobs), Rejects(), options.taken())
            )

    with Run("generate", reading, writing, check=check) as run:
        if run.done:
            run.finish(_report(run, options, len(models.names())))
            return
        ask = asking_of(options, models, jobs)
        with ExitStack() as stack:
            work = _Work(run, models, jobs, sampling, options, stack, ask)
            if options.self_instruct is not None:
                result = work.grow(options.self_instruct)
            else:
                work.answer()
                result = work.counts()
        run.finish({**_report(run, options, len(models.names())), **result})


class _Work:
    """The passes of models over the records."""

    def __init__(
        self,
        run: Run,
        models: Generators,
        jobs: Jobs,
        sampling: Sampling,
        options: Generating,
        stack: ExitStack,
        ask: Asking,
    ) -> None:
        assert run.sink is not None
        self._run = run
        self._models = models
        self._jobs = jobs
        self._sampling = sampling
        self._options = options
        self._ask = ask
        self._resume_from = run.sink.resume_from
        names = models.names()
        passes = len(names) + (options.assign == "stratified")
        self._shards = run.twice(run.shards) if passes > 1 else run.shards
        self.journal: Journal | None = None
        # By a URL nothing can be appended: a killed run loses the answers of its last shard.
        if isinstance(run.sink, DirectorySink) and isinstance(run.sink.folder, Path):
            job = blake2b(
                json.dumps(run.job(), sort_keys=True).encode(), digest_size=16
            ).hexdigest()
            self.journal = Journal(run.sink.folder / _JOURNAL, job, run.resuming)
            stack.callback(self.journal.close)
            run.sink.leftovers.append(self.journal.remove)
            if len(self.journal):
                terminal.remark(
                    f"{len(self.journal):,} answers of the earlier run are there already"
                )
        self._passed = False
        self.asked = 0
        self._told: set[str] = set()

    def _tell(self, message: str) -> None:
        if message not in self._told and not self._run.quiet:
            self._told.add(message)
            terminal.remark(message)

    def _open(self, name: str) -> Generator:
        from synthtools.lm.generation import open_generator

        return open_generator(
            self._models.settings(self._jobs, name),
            self._sampling,
            self._options.seed,
            self._tell,
            servers=(self._models.server or [])[1:],
            traffic=self._models.traffic(),
        )

    def _asked(self) -> Iterator[Asked]:
        """A pass over the records; the first one tells what is wrong with them."""
        again, self._passed = self._passed, True
        rejects = self._run.rejects_of(again)
        records = self._run.records(_BATCH_BYTES, again, self._shards)
        for item in asking.asked(records, self._ask, rejects, self._options.taken()):
            self.asked += 0 if again else len(item.batch)
            yield item

    def _naming(self, generator: Generator) -> Naming:
        options = self._options
        return Naming(
            options.response_field or "response",
            options.model_field or "model",
            generator.name,
            generator.description.get("revision"),
            self._sampling,
            options.seed,
            options.samples,
        )

    def answer(self) -> None:
        """Every model answers its records."""
        options, run = self._options, self._run
        names = self._models.names()
        shares: np.ndarray | None = None
        if options.assign == "stratified":
            shares = assigning.stratified(
                self._asked(), len(names), options.seed, options.stratify_by
            )
        described = []
        for part, name in enumerate(names):
            if generating.placed(part + 1, np.zeros(1, np.int64))[0] <= self._resume_from:
                described.append({"name": name, "resumed": True})
                continue  # an earlier run has written all of this model's
            items = self._asked()
            if shares is not None:
                items = _of(items, shares, part)
            with self._open(name) as generator:
                described.append(generator.description)
                run.model = described[0] if len(names) == 1 else {"models": described}
                remembering = Remembering(generator, self.journal, str(part))
                run.write(self._batches(items, remembering, self._naming(generator), part))

    def _batches(
        self, items: Iterator[Asked], remembering: Remembering, naming: Naming, part: int
    ) -> Iterator[Batch]:
        options = self._options
        rest: tuple[Any, ...] = (remembering, naming, self._run.rejects, part, self._resume_from)
        if options.rationale:
            return reasoning.reasoned(
                items,
                *rest,
                prompt_field=options.field,
                answer_field=options.answer_field,
                system=self._ask.system,
            )
        batches = generating.answered(items, *rest)
        if options.extrapolate_errors:
            return extrapolating.new_items(
                batches, naming.response, options.field, options.answer_field
            )
        if options.go_on is not None:
            return _with_beginnings(batches, self._ask)
        return batches

    def counts(self) -> dict[str, Any]:
        """How many prompts there were, and how many of them left no record."""
        options = self._options
        each = options.samples * (len(self._models.names()) if options.assign == "single" else 1)
        assert self._run.sink is not None
        prompts = self.asked * each
        return {"prompts": prompts, "left_out": prompts - self._run.sink.records}

    def grow(self, wanted: int) -> dict[str, Any]:
        """Self-Instruct: new tasks from the records'."""
        from synthtools.curate.self_instruct import SelfInstruct

        pairs = [
            (int(key), said.spelled() if said.text is not None else said.messages[-1]["content"])
            for item in self._asked()
            for key, said in zip(item.keys, item.said, strict=True)
        ]
        options = self._options
        growth = SelfInstruct(
            [text for _, text in sorted(pairs)],
            options.seed,
            self._ask.system,
            options.plain,
        )
        with self._open(self._models.names()[0]) as generator:
            self._run.model = generator.description
            naming = self._naming(generator)
            tasks = growth.tasks(Remembering(generator, self.journal, "0"), wanted)
            self._run.write(_task_batches(tasks, naming, options.field))
        return {"tasks": growth.counts}


def _of(items: Iterator[Asked], shares: np.ndarray, part: int) -> Iterator[Asked]:
    """The records that a model is to answer."""
    start = 0
    for batch, said, keys in items:
        mine = np.flatnonzero(shares[start : start + len(batch)] == part).tolist()
        start += len(batch)
        if mine:
            yield Asked(batch.take(mine), [said[i] for i in mine], keys[mine])


def _with_beginnings(batches: Iterator[Batch], ask: Asking) -> Iterator[Batch]:
    """Adds the text that each answer goes on with."""
    for batch in batches:
        columns = {name: batch.column(name) for name in ask.fields}
        texts = [
            ask.say({name: column[i] for name, column in columns.items()})
            for i in range(len(batch))
        ]
        yield batch.adding({"beginning": Column("string", texts)})


def _task_batches(tasks: Any, naming: Naming, field: str) -> Iterator[Batch]:
    """New records of Self-Instruct's tasks."""
    held: list[Any] = []
    start = 0

    def batch() -> Batch:
        objects = [
            {ID_FIELD: f"self-instruct-{naming.seed}-{start + i}", field: task.text}
            for i, task in enumerate(held)
        ]
        places = np.arange(start, start + len(held), dtype=np.int64)
        made = JsonBatch(
            "<self-instruct>",
            places + 1,
            places,
            lines=[json_bytes(o) for o in objects],
            parsed=objects,
        )
        columns = naming.columns([task.answer for task in held])
        del columns[naming.response]
        columns["rouge_l"] = Column("float", [task.similarity for task in held])
        return made.adding(columns)

    for task in tasks:
        held.append(task)
        if len(held) == _TASKS_A_BATCH:
            yield batch()
            start += len(held)
            held = []
    if held:
        yield batch()


def _report(run: Run, options: Generating, models: int) -> dict[str, Any]:
    totals = run.totals
    run.units["tokens"] = totals.get("tokens", 0)
    report: dict[str, Any] = {
        "protocol": options.protocol,
        "assign": options.assign,
        "models": models,
        "prompt_tokens": totals.get("prompt_tokens", 0),
        "tokens": totals.get("tokens", 0),
        "uncounted": totals.get("uncounted", 0),  # answers whose server told no such numbers
        "finish_reasons": {
            name.removeprefix("finish/"): count
            for name, count in sorted(totals.items())
            if name.startswith("finish/")
        },
    }
    if options.rationale:
        report["rationales"] = {kind: totals.get(kind, 0) for kind in ("direct", "hinted")}
    return report
