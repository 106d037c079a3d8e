"""Generate answers to prompts with one or several models, here or on servers.

Adds response and model, and generate_revision, generate_finish_reason (stop or length),
generate_prompt_tokens, generate_tokens, generate_temperature, generate_top_p,
generate_max_new_tokens, generate_seed (and generate_top_k, generate_sample). Several models answer
one after the other, each in input order. The prompts of the protocols are our wording. A prompt
without an answer (too long, refused) is a bad record: see --on-error.

With torch the output does not depend on batches, cores or shards. vLLM and servers get a seed for
each answer.

With -o each answer is saved as it arrives (beside a file FILE in .FILE.answers.jsonl, removed at
the end); --resume requests only the missing ones, and its output is that of an uninterrupted run.
Busy and unreachable servers are retried, and so are answers that are incomplete or late. --dry-run
estimates what a run would take; --budget limits it.

\b
Examples:
  synth generate prompts.jsonl --model builtin --max-new-tokens 64 --seed 1 -o answers.jsonl
  synth generate prompts.jsonl -m A -m B -m C -m D --assign stratified -o mixed/
  synth generate prompts.jsonl -m M --server http://a:8000 --server http://b:8000 -o out/
  synth generate prompts.jsonl -m MODEL -n 4 --dry-run --price-in 0.15 --price-out 0.60
  synth generate human/ --style wrap-qa -m MODEL -o rephrased/ --resume
  synth generate prompts.jsonl -m M --validate words=20..200 --retries 3 -o answers.jsonl
  synth generate prompts.jsonl -m MODEL --batch-out requests.jsonl
  synth generate prompts.jsonl -m MODEL --batch-in results.jsonl -o answers.jsonl
  synth generate gsm8k.jsonl --rationale --answer-field response --response-field reasoning
  synth generate human.jsonl --continue 64 --max-new-tokens 64 | synth ppl --text-field response

Memory: the model; about 1,000 prompts a core (torch), 4,096 (vLLM) or 8 for each request
(servers), with their answers; 8 bytes a record, 18 more with --assign stratified. --resume: 100
bytes for each answer that no finished shard holds. --self-instruct: all tasks. --batch-in: all answers.
--validate: 2,048 prompts with their answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthtools.cli import terminal
from synthtools.cli.options import Inputs, Json, Output, Seed, Workers
from synthtools.errors import UsageError
from synthtools.tools.generate_batches import requests
from synthtools.tools.generate_costs import plan
from synthtools.tools.generate_validation import ValidatedAnswers

if TYPE_CHECKING:
    import numpy as np

    from synthtools.cli.run import Run
    from synthtools.curate.answers import AnswerFields
    from synthtools.curate.prompts import PromptedRecords
    from synthtools.curate.validators import ValidatedGenerator
    from synthtools.lm.generation import Generator
    from synthtools.records.batch import Batch

# Answers leave by the batch: a small one keeps a pipe moving.
_BATCH_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True)
class Options(ValidatedAnswers, Inputs, Output, Json, Seed, Workers):
    """Options of ``synth generate``."""

    def prints_report(self) -> bool:
        return self.dry_run or self.batch_out is not None

    def takes_output(self) -> bool:
        return self.batch_out is None  # a dry run takes what it would write

    def check(self) -> None:
        super().check()
        protocol, models = self.protocol, len(self.names())
        if self.assign == "stratified" and models < 2:
            raise UsageError("--assign stratified shares the prompts among several --model")
        if self.stratify_by is not None and self.assign != "stratified":
            raise UsageError("--stratify-by belongs to --assign stratified")
        if protocol != "answer" and (self.template is not None or self.context_field is not None):
            raise UsageError(
                f"{protocol} has a prompt of its own; it does not go with --template or "
                "--context-field"
            )
        if self.plain and protocol not in ("answer", "self-instruct", "continue"):
            raise UsageError(f"{protocol} is asked in a conversation; it does not go with --plain")
        if self.continue_ is not None and self.system is not None:
            raise UsageError("--continue continues a text; it does not go with --system")
        if self.samples > 1 and protocol in ("rationale", "self-instruct"):
            raise UsageError(f"-n does not go with {protocol}")
        if protocol == "self-instruct" and models > 1:
            raise UsageError("--self-instruct grows one pool with one model")
        if self.shape and protocol != "answer":
            raise UsageError(f"{protocol} takes a field (--prompt-field), not a --shape")
        if self.dry_run and protocol in ("rationale", "self-instruct"):
            raise UsageError(f"--dry-run cannot tell how often {protocol} asks")
        if self.wrong_field is not None and not self.extrapolate_errors:
            raise UsageError("--wrong-field belongs to --extrapolate-errors")


def run(options: Options) -> dict[str, Any]:
    """Reads prompts, asks models, writes answers."""
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark_unless
    from synthtools.curate.prompts import prompted
    from synthtools.records.first_records import GroupingCheck
    from synthtools.records.record_faults import require_text
    from synthtools.records.rejects import Rejects
    from synthtools.records.shapes import shape_of, told

    # What the groups of options refuse, before any input is opened.
    options.sampling()
    if not options.in_files:
        options.settings(name=options.names()[0])

    recognized: set[str] = set()

    def check(batch: Batch) -> None:
        names = batch.field_names(0)
        asks = options.protocol == "answer" and options.field == "prompt" and not options.template
        shape = shape_of(names) if asks and "prompt" not in names and not options.shape else None
        if shape and shape not in recognized and not options.quiet:
            recognized.add(shape)
            terminal.remark(f"read as {told(shape)} (else --shape or --prompt-field)")
        if options.continue_ is not None:  # what is asked takes a tokenizer to know
            require_text(batch, options.field, Rejects(), "--prompt-field")
        else:
            list(prompted([batch], options.prompt_builder(), Rejects(), options.taken()))

    grouped = GroupingCheck(check, options.stratify_by, "--stratify-by")
    writing = None if options.prints_report() else options
    with Run("generate", options, writing, check=grouped, journaled=True) as run:
        grouped.tell(remark_unless(options.quiet))
        if options.dry_run:
            return run.finish(plan(run, options, options.seed))
        if options.batch_out:
            return run.finish(requests(run, options, options.seed, options.force))
        if run.done:
            return run.finish(_report(run, options))
        with ExitStack() as stack:
            work = _Work(run, options, stack)
            if options.self_instruct is not None:
                result = work.grow(options.self_instruct)
            else:
                work.answer()
                result = work.counts()
        return run.finish({**_report(run, options), **result, **work.validation(), **work.cached()})


class _Work:
    """The passes of models over the records."""

    def __init__(self, run: Run, options: Options, stack: ExitStack) -> None:
        from synthtools.cli.run_journal import answer_journal
        from synthtools.lm.token_budget import Spending

        assert run.sink is not None
        self._run = run
        self._spending = Spending(
            options.prices(),
            options.budget,
            options.max_new_tokens,
            run.totals.get("prompt_tokens", 0),
            run.totals.get("tokens", 0),
        )
        self._options = options
        self._builder = options.prompt_builder()
        self._resume_from = run.sink.resume_from
        once = len(options.names()) == 1  # else, and to share prompts out, they are read again
        self._shards = run.shards if once else run.twice(run.shards)
        self._cache = options.opened_cache()
        resume, force = options.resume, options.force
        sink = None if options.in_files else run.sink  # what is in files need not be kept
        self._journal = answer_journal(sink, run.job(), stack, resume=resume, force=force)
        self._validated: list[ValidatedGenerator] = []
        self._passed = False
        self._prompts = 0
        self._tell = terminal.remark_once(run.quiet)

    @contextmanager
    def _opened(self, name: str) -> Iterator[Generator]:
        """One of the models, that is not asked for what is kept already; its answers are validated."""
        from synthtools.curate.validators import ValidatedGenerator
        from synthtools.lm.kept_values import KeptGenerator, ModelValues

        options = self._options
        sampling, seed = options.sampling(), options.seed
        with options.opened(name, sampling, seed, self._tell) as generator:
            if not options.in_files:
                kept = ModelValues.of(
                    options.settings(name=name), generator.description, self._journal, self._cache
                )
                generator = KeptGenerator(generator, kept, sampling, seed, self._spending)
            if options.validate:
                rules, retries = options.validate, options.draws_after_the_first()
                generator = ValidatedGenerator(generator, rules, retries)
                self._validated.append(generator)
            yield generator

    def _prompted(self) -> Iterator[PromptedRecords]:
        """A pass over the records; the first one reports what is wrong with them."""
        from synthtools.curate.prompts import prompted

        again, self._passed = self._passed, True
        rejects = self._run.rejects_of(again)
        records = self._run.records(_BATCH_BYTES, again, self._shards)
        for item in prompted(records, self._builder, rejects, self._options.taken()):
            self._prompts += 0 if again else len(item.batch)
            yield item

    def _fields(self, generator: Generator) -> AnswerFields:
        from synthtools.curate.answers import AnswerFields

        options = self._options
        return AnswerFields(
            options.response_field or "response",
            options.model_field or "model",
            generator.name,
            generator.description.get("revision"),
            options.sampling(),
            options.seed,
            options.samples,
        )

    def answer(self) -> None:
        """Every model answers its records."""
        from synthtools.curate import model_shares
        from synthtools.curate.answers import first_place

        options, run = self._options, self._run
        names = options.names()
        shares: np.ndarray | None = None
        if options.assign == "stratified":
            shares = model_shares.stratified(
                self._prompted(), len(names), options.seed, options.stratify_by
            )
        described = []
        for part, name in enumerate(names):
            if first_place(part + 1) <= self._resume_from:
                described.append({"name": name, "resumed": True})
                continue  # an earlier run has written all of this model's
            items = self._prompted()
            if shares is not None:
                items = model_shares.share_of(items, shares, part)
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
        from synthtools.curate import answers, beginnings, error_extrapolation, rationales

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
        if options.continue_ is not None:
            return beginnings.with_beginnings(batches, self._builder)
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
        models = [{"model": one.name, **one.account()} for one in self._validated]
        return {"validation": models} if models else {}

    def cached(self) -> dict[str, Any]:
        """What came of the cache, where there is one; its answers cost nothing."""
        if self._cache is None:
            return {}
        spent = self._spending
        result: dict[str, Any] = {"cache": self._cache.account()}
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


def _report(run: Run, options: Options) -> dict[str, Any]:
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
    if options.price_in or options.price_out:
        report["cost"] = options.prices().cost(report["prompt_tokens"], report["tokens"])
    if options.rationale:
        report["rationales"] = {kind: totals.get(kind, 0) for kind in ("direct", "hinted")}
    return report
