"""The passes of ``synth generate``: models over records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthtools.cli import terminal
from synthtools.cli.options import Inputs, Json, Output, Workers
from synthtools.errors import UsageError
from synthtools.tools.generate_selection import SelectedOptions, rated_by

if TYPE_CHECKING:
    import numpy as np

    from synthtools.cli.run import Run
    from synthtools.curate.answers import AnswerFields
    from synthtools.curate.prompts import PromptedRecords
    from synthtools.curate.selected_answers import SelectedAnswers, Selection
    from synthtools.evaluate.judge import Judge
    from synthtools.lm.generation import Generator
    from synthtools.records.batch import Batch

# Answers leave by the batch: a small one keeps a pipe moving.
_BATCH_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(SelectedOptions, Inputs, Output, Json, Workers):
    """All options of ``synth generate``."""

    def prints_report(self) -> bool:
        return self.dry_run or self.batch_out is not None


class GenerationRun:
    """The passes of models over the records."""

    def __init__(self, run: Run, options: GenerateOptions, stack: ExitStack) -> None:
        from synthtools.cli.run_journal import answer_journal
        from synthtools.lm.server.rate_limit import TrafficLimits
        from synthtools.lm.token_budget import Spending

        assert run.sink is not None
        self._run = run
        self._options = options
        self._resume_from = run.sink.resume_from
        once = len(options.names()) == 1  # else, and to share prompts out, they are read again
        self._shards = run.shards if once else run.twice(run.shards)
        self._cache = options.opened_cache()
        resume, force = options.resume, options.force
        sink = None if options.in_files else run.sink  # what is in files need not be kept
        self._journal = answer_journal(sink, run.job(), stack, resume=resume, force=force)
        # The journal has all answers so far, refused ones too; finished shards have those of their records.
        earlier = run.totals if self._journal is None else self._journal.totals
        self._spending = Spending(
            options.prices(),
            options.budget,
            options.max_new_tokens,
            earlier.get("prompt_tokens", 0),
            earlier.get("tokens", 0),
        )
        self._selected: list[SelectedAnswers] = []
        self._passed = False
        self._prompts = 0
        self._tell = terminal.remark_once(run.quiet)
        self._limits = TrafficLimits(options.traffic())
        self._judge: Judge | None = None
        self._selection = self._selected_by(stack) if options.selecting() else None

    def _selected_by(self, stack: ExitStack) -> Selection:
        """Which answers are taken; ``stack`` closes the models that tell."""
        from synthtools.curate.selected_answers import Selection

        options, run = self._options, self._run
        known = options.known_texts()
        if known is not None and self._resume_from:
            raise UsageError(
                "--distinct compares with all answers before, of which finished shards hold some: it can be "
                "resumed into a FILE alone; --force starts over (--cache DIR keeps what was paid for)"
            )
        if known is not None:
            known.add_records(run.batches_beside(), (options.written()[0], "text"))
        scores = options.opened_scores(stack, self._tell)
        if options.judge is not None:
            kept = self._journal, self._cache
            self._judge = options.opened_judge(options.seed, kept, stack, self._tell, self._limits)
            scores["judge"] = rated_by(self._judge)
        retries, best_of = options.draws_after_the_first(), options.best_of or 1
        return Selection(options.validate or (), scores, retries, best_of, options.score, known)

    @contextmanager
    def _opened(self, name: str) -> Iterator[Generator]:
        """One of the models, that is not asked for what is kept already; its answers are validated."""
        from synthtools.curate.selected_answers import SelectedAnswers
        from synthtools.lm.kept_values import KeptGenerator, ModelValues

        options = self._options
        sampling, seed = options.sampling(), options.seed
        with options.opened(name, sampling, seed, self._tell, self._limits) as generator:
            kept = ModelValues(b"", b"", None, None)
            if not options.in_files:
                kept = ModelValues.of(
                    options.settings(name=name), generator.description, self._journal, self._cache
                )
            generator = KeptGenerator(generator, kept, sampling, seed, self._spending)
            if self._selection is not None:
                generator = SelectedAnswers(generator, self._selection)
                self._selected.append(generator)
            yield options.by_passage(generator)

    def _prompted(self) -> Iterator[PromptedRecords]:
        """A pass over the records; the first one reports what is wrong with them."""
        again, self._passed = self._passed, True
        rejects = self._run.rejects_of(again)
        records = self._run.records(_BATCH_BYTES, again, self._shards)
        for item in self._options.asked(records, rejects):
            self._prompts += 0 if again else len(item.batch)
            yield item

    def _fields(self, generator: Generator) -> AnswerFields:
        from synthtools.curate.answers import AnswerFields

        options = self._options
        return AnswerFields(
            *options.written(),
            generator.name,
            generator.description.get("revision"),
            options.sampling(),
            options.seed,
            options.samples,
            options.score is not None and options.passages is None,  # else each passage has one
        )

    def answer(self) -> None:
        """Every model answers its records."""
        from synthtools.curate import answers
        from synthtools.curate.answers import first_place

        options, run = self._options, self._run
        names = options.names()
        shares: np.ndarray | None = None
        if options.assign == "stratified":
            shares = answers.stratified(
                self._prompted(), len(names), options.seed, options.stratify_by
            )
        described = []
        for part, name in enumerate(names):
            if first_place(part + 1) <= self._resume_from:
                described.append({"name": name, "resumed": True})
                continue  # an earlier run has written all of this model's
            items = self._prompted()
            if shares is not None:
                items = answers.share_of(items, shares, part)
            with self._opened(name) as generator:
                described.append(generator.description)
                run.model = described[0] if len(names) == 1 else {"models": described}
                run.write(self._batches(items, generator, self._fields(generator), part))

    def _batches(
        self,
        items: Iterable[PromptedRecords],
        generator: Generator,
        fields: AnswerFields,
        part: int,
    ) -> Iterator[Batch]:
        from synthtools.curate import (
            answers,
            concept_graph,
            error_extrapolation,
            passages,
            prompts,
            rationales,
        )

        options = self._options
        rest: tuple[Any, ...] = (generator, fields, self._run.rejects, part, self._resume_from)
        if options.rationale:
            return rationales.reasoned(
                items,
                *rest,
                prompt_field=options.field,
                answer_field=options.answer_field,
                system=options.system,
            )
        batches = answers.answered(items, *rest)
        if options.extrapolate_errors:
            return error_extrapolation.new_items(
                batches, fields.response, options.field, options.answer_field
            )
        if options.passages is not None:
            return passages.with_counts(batches, options.field, options.passages)
        if options.style == "synthllm-2":
            return concept_graph.with_combinations(batches, options.concept_field, options.seed)
        if options.continue_ is not None:
            return prompts.with_beginnings(batches, options.prompt_builder())
        return batches

    def counts(self) -> dict[str, Any]:
        """How many prompts there were, and how many of them left no record."""
        options = self._options
        assert self._run.sink is not None
        each = options.samples * (len(options.names()) if options.assign == "single" else 1)
        prompts = self._prompts * each
        return {"prompts": prompts, "left_out": prompts - self._run.sink.records}

    def validation(self) -> dict[str, Any]:
        """What the checks refused, of each model's answers, where there are checks."""
        models = [{"model": one.name, **one.account()} for one in self._selected]
        sections: dict[str, Any] = {"validation": models} if models else {}
        return sections | ({"judge": self._judge.account()} if self._judge else {})

    def cached(self) -> dict[str, Any]:
        """What came of the cache, and the cost: answers of the cache cost nothing, those that were refused or left
        no record do."""
        spent = self._spending
        result: dict[str, Any] = {}
        if self._cache is not None:
            result["cache"] = self._cache.account()
        if any(spent.prices):
            result["cost"] = spent.prices.cost(spent.prompt_tokens, spent.tokens)
        return result

    def grow(self, wanted: int) -> dict[str, Any]:
        """Self-Instruct: new tasks from the records'."""
        from synthtools.curate.self_instruct import SelfInstruct, records_of, seeds_of

        options = self._options
        growth = SelfInstruct(
            seeds_of(self._prompted()), options.seed, options.system, options.plain
        )
        with self._opened(options.names()[0]) as generator:
            self._run.model = generator.description
            fields = self._fields(generator)
            self._run.write(records_of(growth.tasks(generator, wanted), fields, options.field))
        return {"tasks": growth.counts}


def report_of(run: Run, options: GenerateOptions) -> dict[str, Any]:
    """What a report says of all answers."""
    totals = run.totals
    run.units["tokens"] = totals.get("tokens", 0)
    report: dict[str, Any] = {
        "protocol": options.protocol,
        "assign": options.assign,
        "models": len(options.names()),
        "prompt_tokens": totals.get("prompt_tokens", 0),
        "tokens": totals.get("tokens", 0),
        "uncounted": totals.get("uncounted", 0),  # answers whose server gave no such numbers
        "finish_reasons": {
            name.removeprefix("finish/"): count
            for name, count in sorted(totals.items())
            if name.startswith("finish/")
        },
    }
    if options.rationale:
        report["rationales"] = {kind: totals.get(kind, 0) for kind in ("direct", "hinted")}
    return report
