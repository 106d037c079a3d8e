"""A run of ``synth train`` at a terminal: checks, sources, the plan, the report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthtools.cli import quantities, recipe, standing
from synthtools.cli.options import Inputs, TextField
from synthtools.cli.planning import planned, surveyed
from synthtools.cli.publish import show
from synthtools.cli.recipe import Adapters, Compute, Conversations, Keeping, Recipe, Watching
from synthtools.cli.run import Run
from synthtools.cli.sources import (
    Form,
    Reader,
    What,
    documents_of,
    short_name,
    sources_of,
    validation_of,
    weights_of,
)
from synthtools.cli.terminal import remark
from synthtools.errors import UsageError
from synthtools.machine import process
from synthtools.records.batch import Batch
from synthtools.records.inputs import Shard, find_shards
from synthtools.records.rejects import Rejects
from synthtools.records.same_file import repeated, told
from synthtools.reports import document

if TYPE_CHECKING:
    from synthtools.records.claim import Claim
    from synthtools.training.parallel import Ranks
    from synthtools.training.plan import Outcome, Plan, Settings, Source, Watch

# What a resumed run may choose anew: none of it changes the weights.
_FREE = frozenset(
    (
        *("output", "resume", "force", "quiet", "json_output", "dry_run", "cache"),
        *("checkpoint_every", "keep", "jobs", "device", "rejects", "tensorboard", "wandb", "plot"),
        *("report", "compare_tokens"),
    )
)
# What a terminal shows of the report.
_SHOWN = ("model", "parameters", "trained", "documents", "corpus_tokens", "steps")
_SHOWN += ("rows_seen", "rows_repeated", "rows_left", "skipped_steps", "final_loss")
_SHOWN += ("final_weighted_loss", "valid")
# Means of the loss that the report keeps; the log has every step.
_STRETCHES = 200
# Peak learning rate of a model that is continued [Flaws].
CONTINUED = 5e-5
# The longest rows of a continued model unless the user says so [ours].
_LONGEST = 2048


def run_training(
    reading: Inputs,
    text: TextField,
    conversations: Conversations,
    seed: int,
    jobs: int | None,
    what: What,
    how: Recipe,
    compute: Compute,
    adapters: Adapters,
    keeping: Keeping,
    watching: Watching,
    output: str | None,
    report_file: str | None = None,
    plot: str | None = None,
) -> None:
    """Trains from the records and saves a model directory; see ``synth train --help``."""
    named = sources_of(what.sources)
    valid = [validation_of(entry) for entry in watching.valid or []]
    _check(what, watching, output, how, compute, keeping)
    names = [short_name(name) for name, _ in named]
    weights = weights_of(names, what)
    rank, count = process()
    settings = recipe.settings(
        how, compute, keeping, watching, learning_rate=_learning_rate(what), ranks=count
    )
    plan = _plan(what, adapters, keeping, seed)
    folder = Path(output or ".")
    place: AbstractContextManager[Claim | None] = nullcontext()
    if rank == 0 and not watching.dry_run:
        place = standing.prepared(folder, keeping.resume, keeping.force)
    quiet = reading.quiet or rank > 0
    inputs = replace(reading, files=[name for name, _ in named], quiet=quiet)
    if plot is not None and watching.dry_run:
        raise UsageError("--plot draws what a run has learned; it does not go with --dry-run")
    beside = [path for _, path in valid]
    form = Form("conversation" if what.sft else "text", text.text_field, conversations)

    def check(batch: Batch) -> None:
        documents_of(batch, form, Rejects())

    run = Run(
        "train",
        inputs,
        beside=beside,
        bar=False,
        plot=plot,
        check=check,
        check_beside=check,
    )
    with place as claim, run:
        from synthtools.lm.loading import load_tokenizer
        from synthtools.training import parallel
        from synthtools.training.run import run as train

        parallel.use_cores(jobs)
        ranks = parallel.join(compute.device)
        plan = replace(plan, context=what.context or _context(what))
        reader = Reader(run, form, hashed=not watching.dry_run)
        shards = [find_shards([path]) for path, _ in named]
        sources = [
            reader.source(name, some, share, *weight)
            for name, some, (_, share), weight in zip(names, shards, named, weights, strict=True)
        ]
        sets = [reader.source(name, find_shards([path])) for name, path in valid]
        if not quiet:
            _tell_seen(run)
        if watching.dry_run:
            found = _planned(list(zip(sources, shards, strict=True)), plan, settings, ranks)
            if ranks.first:
                show_numbers(run.finish(found), report_file, watching.json_output, list(found))
            return
        job = job_of(run, [*sources, *sets])

        def fit(watch: Watch) -> Outcome:
            return train(
                sources,
                sets,
                plan,
                settings,
                folder,
                None if keeping.cache is None else Path(keeping.cache),
                ranks,
                job=job,
                load_tokenizer=load_tokenizer,
                watch=watch,
            )

        report = standing.carried_out(
            run,
            folder,
            job,
            ranks,
            watching,
            plot,
            fit,
            lambda found: result(output, folder, found),
            claim,
        )
        if ranks.first:
            show_numbers(report, report_file, watching.json_output, _SHOWN)
    ranks.leave()


def _planned(
    sources: Sequence[tuple[Source, list[Shard]]], plan: Plan, settings: Settings, ranks: Ranks
) -> dict[str, Any]:
    """What the run would amount to."""
    from synthtools.lm.loading import load_tokenizer
    from synthtools.training import data
    from synthtools.training.fitting import RowCounts

    encoding, vocabulary = None, plan.vocabulary
    if vocabulary is None:
        model = plan.tokenizer or plan.start.model
        assert model is not None
        revision = None if plan.tokenizer else plan.start.revision
        tokenizer = load_tokenizer(model, revision)
        vocabulary = len(tokenizer)
        encoding = data.encoding_of(tokenizer, plan, lambda remark: None)
    found = surveyed(
        sources, plan.context, encoding, vocabulary, lambda corpus: data.packer_of(corpus, plan)
    )
    rows = data.rows_of(plan, found.blend)
    repeated = sum(given.repeated for given in found.blend.given(rows))
    counts = [RowCounts(settings.rows, rows, plan.context)]
    return planned(plan, settings, ranks, counts, repeated, vocabulary)


def _tell_seen(run: Run) -> None:
    """Remarks on files that are trained on and validated with: their loss says nothing of other text."""
    trained = {id(shard) for shard in run.shards}
    for first, again in repeated([*run.shards, *run.shards_beside]):
        if id(first) in trained:
            remark(f"{told(first, again)}: --valid measures text that is trained on")


def _plan(what: What, adapters: Adapters, keeping: Keeping, seed: int) -> Plan:
    """The options as the trainer takes them; the context is settled when the model is known."""
    from synthtools.training.plan import Plan, Start

    lora = adapters.lora()
    if lora is not None and what.model is None:
        raise UsageError("--lora-rank adapts a model: name it with --from")
    vocabulary, tokens = what.vocabulary, what.tokens
    return Plan(
        Start(None if what.model else what.arch or "llama-tiny", what.model, what.revision),
        lora,
        what.tokenizer,
        None if vocabulary is None else quantities.count(vocabulary, "--train-tokenizer"),
        what.context or 0,
        None if tokens is None else quantities.count(tokens, "--tokens"),
        what.epochs,
        seed,
        what.sft,
        what.learn_all,
        what.pack,
        keeping.save_dtype,
    )


def _check(
    what: What,
    watching: Watching,
    output: str | None,
    how: Recipe,
    compute: Compute,
    keeping: Keeping,
) -> None:
    if output is None and not watching.dry_run:
        raise UsageError("train needs -o DIR for the model")
    if what.model and what.arch:
        raise UsageError("--arch is for a new model, --from for one that is there: give one")
    if what.vocabulary is not None and (what.tokenizer is not None or what.model is not None):
        raise UsageError("--train-tokenizer goes with neither --tokenizer nor --from")
    if what.model is None and what.vocabulary is None and what.tokenizer is None:
        raise UsageError("a new model needs --train-tokenizer SIZE or --tokenizer MODEL")
    if what.learn_all and not what.sft:
        raise UsageError("--learn-all goes with --sft")
    if what.sft and what.vocabulary is not None:
        raise UsageError(
            "--sft trains no tokenizer: name one with --tokenizer, or a model with --from"
        )
    if not what.sources or "-" in what.sources:
        raise UsageError("train reads its data more than once: name files, not stdin")
    recipe.checked(how, compute, keeping, watching)


def _learning_rate(what: What) -> float:
    from synthtools.training.architectures import learning_rate

    return CONTINUED if what.model else learning_rate(what.arch or "llama-tiny")


def _context(what: What) -> int:
    return 512 if what.model is None else own_context(what.model, what.revision)


def own_context(model: str, revision: str | None) -> int:
    """The longest rows of a model, as far as they are used unless the user says so."""
    from synthtools.lm.loading import ModelName, context_length, load_configuration

    own = context_length(load_configuration(ModelName(model, revision)))
    return min(own or _LONGEST, _LONGEST)


def job_of(run: Run, sources: Sequence[Source]) -> dict[str, Any]:
    """What defines a training run, kept in its checkpoints."""
    job = run.job()
    job["arguments"] = {k: v for k, v in run.arguments.items() if k not in _FREE}
    job["data"] = {f"{n} {source.name}": source.digest for n, source in enumerate(sources)}
    return job


def result(output: str | None, folder: Path, outcome: Outcome) -> dict[str, Any]:
    """The numbers of a run's report."""
    facts = outcome.facts.values()
    given = outcome.rows.values()
    return {
        "model": output,
        "parameters": outcome.sizes.parameters,
        "trained": outcome.sizes.trained,
        "documents": sum(f["documents"] for f in facts),
        "corpus_tokens": sum(f["tokens"] for f in facts),
        "sources": {
            name: of_source | _given(outcome, name) for name, of_source in outcome.facts.items()
        },
        "steps": outcome.progress.step,
        "rows_seen": sum(source.rows for source in given),
        "rows_repeated": sum(source.repeated for source in given),
        "rows_left": sum(source.left for source in given),
        "tokens": outcome.progress.tokens,
        "skipped_steps": outcome.progress.skipped,
        "stopped_early": outcome.progress.stopped_early,
        "final_loss": outcome.final_loss,
        "final_weighted_loss": outcome.weighted_loss,
        "valid": outcome.valid,
        "curve": _curve(folder),
    }


def _given(outcome: Outcome, name: str) -> dict[str, int]:
    """The rows that a source gave."""
    if name not in outcome.rows:
        return {}
    rows, repeated, left = outcome.rows[name]
    return {"rows_seen": rows, "rows_repeated": repeated, "rows_left": left}


def _curve(folder: Path) -> dict[str, list[float]]:
    """The loss along the run: means over at most 200 equal stretches of its log."""
    import numpy as np

    from synthtools.training.plan import WORK

    lines = document.load(str(folder / WORK / "log.jsonl"))["steps"]
    names = ["step", "loss", *(["weighted_loss"] if "weighted_loss" in lines[-1] else [])]
    points = np.array([[line.get(name) for name in names] for line in lines], np.float64)
    points = points[np.isfinite(points).all(1)]
    parts = np.array_split(points, min(len(points), _STRETCHES)) if len(points) else []
    return {"steps": [float(part[-1, 0]) for part in parts]} | {
        name: [float(part[:, column].mean()) for part in parts]
        for column, name in enumerate(names[1:], 1)
    }


def show_numbers(
    report: dict[str, Any], file: str | None, json_output: bool, names: Sequence[str]
) -> None:
    """A report into its file, if one is named, and on stdout: as a table of some of its numbers, or
    as JSON."""
    if file is not None:
        document.save(report, file)
    rows = [(name.replace("_", " "), _shown(report[name])) for name in names]
    show(report, json_output, document.table([r for r in rows if r[1] != "–"]))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {document.number(ppl)}" for name, ppl in value.items())
    return value if isinstance(value, str) else "–" if value is None else document.number(value)
