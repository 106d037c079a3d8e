"""The passes of ``synth generate``: records as prompts, models that answer, and which answers are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from synthtools.cli import terminal
from synthtools.errors import SynthError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from synthtools.cli.run import Run
    from synthtools.curate.answers import AnswerFields
    from synthtools.curate.prompts import PromptBuilder, PromptedRecords
    from synthtools.curate.selected_answers import SelectedAnswers, Selection
    from synthtools.curate.validators import Score
    from synthtools.evaluate.judge import Judge
    from synthtools.lm.generation import Generator
    from synthtools.lm.server.rate_limit import TrafficLimits
    from synthtools.records.batch import Batch
    from synthtools.records.rejects import Rejects
    from synthtools.tools.generate_selection import GenerateOptions

# Answers leave by the batch: a small one keeps a pipe moving.
_BATCH_BYTES = 64 << 10


def asked(
    options: GenerateOptions, batches: Iterable[Batch], rejects: Rejects
) -> Iterator[PromptedRecords]:
    """Records with their prompts: those that were read, or new ones that are made of them."""
    from synthtools.curate import concept_graph, prompts

    builder = prompt_builder(options)
    if options.style == "synthllm-3":
        graph = concept_graph.graph_of(batches, builder, rejects)
        batches = graph.records(options.seed, options.combinations or len(graph))
        builder = prompts.from_field("prompt", None, options.system)
    return prompts.prompted(batches, builder, rejects, options.taken())


def prompt_builder(options: GenerateOptions) -> PromptBuilder:
    """How records become prompts."""
    from synthtools.curate import concept_graph, error_extrapolation, passages, prompts, rationales
    from synthtools.curate.reshaped_records import Template

    field, context, system = options.field, options.context_field, options.system
    if options.rationale:
        return rationales.prompts(field, options.answer_field, system)
    if options.extrapolate_errors:
        return error_extrapolation.prompts(field, options.answer_field, options.wrong_field, system)
    if options.continue_ is not None:
        from synthtools.lm.text_tokenizer import open_tokenizer

        tokenizer = open_tokenizer(options.settings(name=options.names()[0]).model)
        return prompts.from_beginning(field, options.continue_, tokenizer)
    if options.passages is not None:
        return passages.prompts(field, system)
    if options.style in ("synthllm-2", "synthllm-3"):
        return concept_graph.prompts(field, options.concept_field, options.seed, system)
    template = options.template
    if options.style is not None:
        styles = prompts.STYLES | concept_graph.STYLES
        template = Template(f"{styles[options.style]}\n\n{{{field}}}")
    if template is not None:
        return prompts.from_template(template, context, system, options.plain)
    if options.prompt_field is None and context is None:
        return prompts.from_shape(options.shape, system, options.plain)
    return prompts.from_field(field, context, system, options.plain)


def opened(
    options: GenerateOptions,
    name: str,
    tell: Callable[[str], None],
    limits: TrafficLimits | None = None,
) -> Generator:
    """One of the models, to be closed by the caller. ``tell``: takes remarks; ``limits``: see ``open_model``."""
    from synthtools.curate.batch_files import BatchResults
    from synthtools.lm.open_models import open_generator

    if options.batch_in:
        return BatchResults(options.batch_in, options.batch_model(), options.answers_as)
    sampling, servers = options.sampling(), (options.server or [])[1:]
    settings = options.settings(name=name)
    return open_generator(settings, sampling, options.seed, tell, servers=servers, limits=limits)


def by_passage(options: GenerateOptions, generator: Generator) -> Generator:
    """A generator that answers to documents passage by passage, where that is asked for."""
    from synthtools.curate.passages import PassageAnswers
    from synthtools.curate.prompts import STYLES

    if options.passages is None or options.style is None:
        return generator
    return PassageAnswers(generator, STYLES[options.style], options.passages)


def _gone(reason: str) -> None:
    # Else its silence would refuse all answers that are left.
    raise SynthError(f"the judge: {reason}")


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
        from synthtools.evaluate.mt_bench import ratings_of_answers

        options, run = self._options, self._run
        known = options.known_texts()
        if known is not None and self._resume_from:
            raise UsageError(
                "--distinct compares with all answers before, of which finished shards hold some: it can be "
                "resumed into a FILE alone; --force starts over (--cache DIR keeps what was paid for)"
            )
        if known is not None:
            known.add_records(run.batches_beside(), (options.written()[0], "text"))
        scores = self._opened_scores(stack)
        if options.judge is not None:
            self._judge = self._opened_judge(stack)
            scores["judge"] = ratings_of_answers(self._judge)
        retries, best_of = options.draws_after_the_first(), options.best_of or 1
        return Selection(options.validate or (), scores, retries, best_of, options.score, known)

    def _opened_judge(self, stack: ExitStack) -> Judge:
        """The judge, whose replies are kept like answers; ``stack`` closes it."""
        from synthtools.evaluate.judge import Judge
        from synthtools.lm.generation import SamplingSettings
        from synthtools.lm.kept_values import KeptGenerator, ModelValues
        from synthtools.lm.open_models import open_generator

        options, seed = self._options, self._options.seed
        # The model's revision and tokenizer are not the judge's.
        own = replace(options, revision=None, tokenizer=None, answers_as=None)
        if options.judge_server:
            server = [options.judge_server]
            own = replace(own, server=server, backend="server", context=None, ray=None)
        settings = own.settings(options.judge)
        options.require_guidable([settings])
        sampling = SamplingSettings(0.0, 1.0, None, options.judge_tokens)
        where: dict[str, Any] = {"servers": (own.server or [])[1:], "limits": self._limits}
        opened = stack.enter_context(open_generator(settings, sampling, seed, self._tell, **where))
        values = ModelValues.of(settings, opened.description, self._journal, self._cache)
        generator = KeptGenerator(opened, values, sampling, seed)
        guided = sampling if options.judge_guided else None
        return Judge(generator, seed, options.judge_retries, _gone, guided)

    def _opened_scores(self, stack: ExitStack) -> dict[str, Score]:
        """The scores that are asked for, but the judge's; ``stack`` closes their models."""
        from synthtools.curate.text_classifier import TextClassifier
        from synthtools.curate.validators import LENGTHS, probability_by
        from synthtools.lm.open_models import open_model
        from synthtools.lm.scores import ScoreRequest
        from synthtools.measure.scored_records import perplexities_of_answers

        options, scores = self._options, dict(LENGTHS)
        if options.classifier is not None:
            scores["probability"] = probability_by(TextClassifier.load(options.classifier))
        if "perplexity" in options.scores_asked():
            backend = "auto" if options.backend == "server" else options.backend
            own = replace(options, revision=None, tokenizer=None, context=None)
            own = replace(own, server=None, backend=backend)
            settings = own.settings(options.score_model or "builtin")
            model = stack.enter_context(open_model(settings, ScoreRequest(), self._tell))
            scores["perplexity"] = perplexities_of_answers(model)
        return scores

    @contextmanager
    def _opened(self, name: str) -> Iterator[Generator]:
        """One of the models, that is not asked for what is kept already; its answers are validated."""
        from synthtools.curate.selected_answers import SelectedAnswers
        from synthtools.lm.kept_values import KeptGenerator, ModelValues

        options = self._options
        with opened(options, name, self._tell, self._limits) as generator:
            kept = ModelValues(b"", b"", None, None)
            if not options.in_files:
                kept = ModelValues.of(
                    options.settings(name=name), generator.description, self._journal, self._cache
                )
            drawn = options.sampling(), options.seed
            generator = KeptGenerator(generator, kept, *drawn, self._spending)
            if self._selection is not None:
                generator = SelectedAnswers(generator, self._selection)
                self._selected.append(generator)
            yield by_passage(options, generator)

    def _prompted(self) -> Iterator[PromptedRecords]:
        """A pass over the records; the first one reports what is wrong with them."""
        again, self._passed = self._passed, True
        rejects = self._run.rejects_of(again)
        records = self._run.records(_BATCH_BYTES, again, self._shards)
        for item in asked(self._options, records, rejects):
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
            return prompts.with_beginnings(batches, prompt_builder(options))
        return batches

    def result(self) -> dict[str, Any]:
        """What a report says of the passes: prompts, and those that left no record; what the checks of each
        model's answers refused; what came of the cache, and the cost: answers of the cache cost nothing, those that
        were refused or left no record do."""
        options, spent = self._options, self._spending
        result: dict[str, Any] = {}
        if options.self_instruct is None:
            assert self._run.sink is not None
            each = options.samples * (len(options.names()) if options.assign == "single" else 1)
            prompts = self._prompts * each
            result = {"prompts": prompts, "left_out": prompts - self._run.sink.records}
        if self._selected:
            result["validation"] = [{"model": one.name, **one.account()} for one in self._selected]
        if self._judge is not None:
            result["judge"] = self._judge.account()
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
