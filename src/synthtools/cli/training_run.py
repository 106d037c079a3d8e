"""A training run of a tool: directory, processes, sources, and its plan or report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from synthtools.cli import terminal
from synthtools.cli.options import Inputs
from synthtools.cli.quantities import PathShare
from synthtools.environment import rank_and_size
from synthtools.errors import UsageError

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.records.batch import Batch
    from synthtools.training.parallel import Ranks
    from synthtools.training.plan import Outcome, Plan, RunContext, Source
    from synthtools.training.run_directory import RunDirectory

# Peak learning rate of a model that is continued [Flaws].
CONTINUED = 5e-5
# The default limit on the row length of a continued model [ours].
_LONGEST = 2048
# Options that a resumed run may change: they do not affect the weights.
_FREE = frozenset(
    (
        *("output", "resume", "force", "quiet", "json_output", "dry_run", "cache"),
        *("checkpoint_every", "keep", "jobs", "device", "rejects", "tensorboard", "wandb", "plot"),
        *("report", "compare_tokens"),
    )
)


class Work(NamedTuple):
    """A tool's work for the trainer.

    Attributes:
        sources: all data.
        plan: estimates of the run.
        train: trains, given a context.
        numbers: the tool's numbers of the outcome.
    """

    sources: Sequence[Source]
    plan: Callable[[], Mapping[str, Any]]
    train: Callable[[RunContext], Outcome]
    numbers: Callable[[Outcome], Mapping[str, Any]]


def source_name(path: object) -> str:
    """A source's name: that of its file or directory, without suffixes."""
    name = str(path)
    return Path(name.rstrip("/")).name.split(".")[0] or name


def check_sources(sources: Sequence[PathShare]) -> None:
    """Raises UsageError for stdin, and for incomplete shares."""
    if any(path == "-" for path, _ in sources):
        raise UsageError("the data are read more than once: name files, not stdin")
    shares = [float(share) for _, share in sources if share is not None]
    if 0 in shares:
        raise UsageError("a share must be above 0")
    if shares and len(shares) < len(sources):
        raise UsageError("give every source a share (PATH=SHARE), or none")
    if shares and abs(sum(shares) - 1) > 1e-6:
        raise UsageError(f"the shares sum to {sum(shares):.7g}, not to 1")


def with_context(plan: Plan) -> Plan:
    """The plan with a row length: by default that of the continued model."""
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.pretrained import context_length, load_configuration

    if plan.context:
        return plan
    name = ModelName(plan.start.model or "", plan.start.revision)
    own = context_length(load_configuration(name)) or _LONGEST
    return replace(plan, context=min(own, _LONGEST))


def training_run(
    tool: str,
    options: Any,
    inputs: Sequence[Any],
    check: Callable[[Batch], object],
    check_valid: Callable[[Batch], object],
    work_of: Callable[[Run, Ranks], Work],
) -> dict[str, Any] | None:
    """Runs a training run, or plans it.

    Args:
        options: a ``TrainingOptions``.
        inputs: the training data.
        check, check_valid: called with the first record of each input and of each validation set, to raise
            errors.

    Returns:
        The report; None on ranks other than the first.

    Raises:
        KeyboardInterrupt: the run was stopped.
        OutputExistsError: the directory has a model of another run.
        SynthError: the folder was removed or replaced during the run.
    """
    from synthtools.cli.run import Run
    from synthtools.lm.load_errors import quiet_transformers, refuse_unreached
    from synthtools.training.run_directory import RunDirectory

    first = rank_and_size()[0] == 0
    folder = Path(options.output or ".")
    directory: AbstractContextManager[RunDirectory] = nullcontext(RunDirectory(folder))
    if first and not options.dry_run:
        directory = RunDirectory.claimed(folder, options.resume, options.force)
    run = Run(
        tool,
        Inputs(
            files=list(inputs),
            on_error=options.on_error,
            rejects=options.rejects,
            quiet=options.quiet or not first,
        ),
        beside=[path for _, path in options.valid or ()],
        bar=False,
        check=check,
        check_beside=check_valid,
    )
    with directory as place, run:
        for name in filter(None, (options.model, getattr(options, "tokenizer", None))):
            refuse_unreached(name)
        # Here, because it imports torch.
        from synthtools.training import parallel

        with quiet_transformers(), parallel.torch_state(options.jobs):
            ranks = parallel.join(options.device)
            work = work_of(run, ranks)
            if options.dry_run:
                report = run.finish(dict(work.plan())) if first else {}
            else:
                report = _carried_out(run, options, work, ranks, place)
    ranks.leave()
    return report if first else None


def _carried_out(
    run: Run, options: Any, work: Work, ranks: Ranks, place: RunDirectory
) -> dict[str, Any]:
    """The report of the run, stored beside the model; for a finished run the stored one."""
    from synthtools.cli.training_progress import watched
    from synthtools.training.plan import WORK, RunContext

    job = run.job()
    job["arguments"] = {k: v for k, v in run.arguments.items() if k not in _FREE}
    job["data"] = {f"{n} {source.name}": source.digest for n, source in enumerate(work.sources)}
    kept = place.begin(job, ranks.first)
    if kept is not None:
        if not run.quiet:
            terminal.remark(f"{place.folder}: already finished; this is its report")
        return kept
    with watched(run, options, job, ranks, place.check) as callbacks:
        tokens = Path(options.cache) if options.cache else place.folder / WORK / "tokens"
        outcome = work.train(RunContext(place.folder, tokens, ranks, job, callbacks))
    progress = outcome.progress
    if progress.step < outcome.sizes.steps and not progress.stopped_early:
        callbacks.remark(
            f"stopped after step {progress.step:,} of {outcome.sizes.steps:,}; --resume continues"
        )
        raise KeyboardInterrupt
    run.count(sum(facts["documents"] for facts in outcome.facts.values()))
    if not ranks.first:
        return {}
    if outcome.ended_by:
        callbacks.remark(f"ended early: {outcome.ended_by}")
    report = run.finish(dict(work.numbers(outcome)))
    place.end(report)
    return report
