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
  synth generate human/ --style wrap-qa --passages 200 -m MODEL -o rephrased/ --resume
  synth generate human/ --style concepts -m M | synth generate --style synthllm-3 -m M -o questions/
  synth generate prompts.jsonl -m M --validate words=20..200 --retries 3 -o answers.jsonl
  synth generate prompts.jsonl -m M --best-of 4 --score judge --judge J --distinct near -o best.jsonl
  synth generate prompts.jsonl -m MODEL --batch-out requests.jsonl
  synth generate prompts.jsonl -m MODEL --batch-in results.jsonl -o answers.jsonl
  synth generate gsm8k.jsonl --rationale --answer-field response --response-field reasoning
  synth generate human.jsonl --continue 64 --max-new-tokens 64 | synth ppl --text-field response

Memory: the model; about 1,000 prompts a core (torch), 4,096 (vLLM) or 8 for each request
(servers), with their answers; 8 bytes a record, 18 more with --assign stratified. --resume: 100
bytes for each answer that no finished shard holds. --self-instruct: all tasks. --style synthllm-3: all
documents, 100 bytes for each pair of concepts of one. --batch-in: all answers.
--validate, --best-of, --distinct: 2,048 prompts with all their answers; models that score are loaded
beside those that answer. --distinct: 200 bytes an answer, 3 KB for near.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthtools.cli import terminal
from synthtools.errors import SynthError, UsageError
from synthtools.tools.generate_selection import GenerateOptions

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.lm.generation import Prompt
    from synthtools.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class Options(GenerateOptions):
    """Options of ``synth generate``."""

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
        if self.distinct and self.shard:
            raise UsageError("--distinct compares all answers: it does not go with --shard")
        if self.shape and protocol != "answer":
            raise UsageError(f"{protocol} takes a field (--prompt-field), not a --shape")
        if self.dry_run and protocol in ("rationale", "self-instruct"):
            raise UsageError(f"--dry-run cannot tell how often {protocol} asks")
        if self.passages is not None and not protocol.startswith(("wrap-", "beyondweb-")):
            raise UsageError(
                "--passages belongs to the styles of WRAP and BeyondWeb (--style wrap-easy, …)"
            )
        if self.passages is not None and self.in_files:
            raise UsageError("a batch has one request a document: it does not go with --passages")
        if self.combinations is not None and self.style != "synthllm-3":
            raise UsageError("--combinations belongs to --style synthllm-3")
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
    from synthtools.records.shapes import described, shape_of
    from synthtools.tools.generate_run import GenerationRun, prompt_builder

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
            terminal.remark(f"read as {described(shape)} (else --shape or --prompt-field)")
        if options.continue_ is not None:  # what is asked takes a tokenizer to know
            require_text(batch, options.field, Rejects(), "--prompt-field")
        else:
            list(prompted([batch], prompt_builder(options), Rejects(), options.taken()))

    grouped = GroupingCheck(check, options.stratify_by, "--stratify-by")
    writing = None if options.prints_report() else options
    beside = options.files_against()
    with Run("generate", options, writing, beside=beside, check=grouped, journaled=True) as run:
        grouped.tell(remark_unless(options.quiet))
        if options.dry_run:
            return run.finish(_plan(run, options))
        if options.batch_out:
            return run.finish(_requests(run, options))
        if run.done:
            return run.finish(_report(run, options))
        with ExitStack() as stack:
            work = GenerationRun(run, options, stack)
            grown = {}
            if options.self_instruct is not None:
                grown = work.grow(options.self_instruct)
            else:
                work.answer()
            result = grown | work.result()
        return run.finish({**_report(run, options), **result})


def _plan(run: Run, options: Options) -> dict[str, Any]:
    """What the answers to all prompts would take, from those to a few of them. Raises SynthError: there is no
    prompt, or none of the few has an answer."""
    from synthtools.curate.generation_costs import estimate, sampled
    from synthtools.curate.passages import passages
    from synthtools.tools.generate_run import asked, by_passage, opened

    def parts(prompt: Prompt) -> int:
        if options.passages is None or not prompt.messages:
            return 1
        return len(passages(prompt.messages[-1]["content"], options.passages))

    names, prices = options.names(), options.prices()
    answers = options.samples / (len(names) if options.assign == "stratified" else 1)
    prompts = sampled(asked(options, run.records(), run.rejects), options.seed, parts)
    if not prompts.number:
        raise SynthError("there is no prompt to be answered")
    tell = terminal.remark_once(run.quiet)
    models: list[dict[str, Any]] = []
    for name in names:
        with opened(options, name, tell) as generator:
            one = estimate(prompts, by_passage(options, generator), answers)
        cost = prices.cost(one["prompt_tokens"], one["tokens"])
        models.append({"model": name, **one, "cost": cost})
    totals = ("requests", "prompt_tokens", "tokens", "seconds", "cost")
    return {
        "kind": "generate-plan",
        "prompts": prompts.passages,
        **{name: sum(one[name] for one in models) for name in totals},
        "models": models,
    }


def _requests(run: Run, options: Options) -> dict[str, Any]:
    """Writes the requests of all records."""
    from synthtools.curate.answers import keyed
    from synthtools.curate.batch_files import write_requests
    from synthtools.tools.generate_run import asked

    def prompts() -> Iterator[Prompt]:
        for _, questions, keys in asked(options, run.records(), run.rejects):
            for prompt, key in zip(questions, keys.tolist(), strict=True):
                for number in range(options.samples):
                    yield keyed(prompt, int(key), number)

    path = Path(options.batch_out or "")
    files = write_requests(prompts(), path, options.force, options.batch_model())
    total = sum(file["requests"] for file in files)
    return {"kind": "generate-batch", "requests": total, "files": files}


def _report(run: Run, options: Options) -> dict[str, Any]:
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
