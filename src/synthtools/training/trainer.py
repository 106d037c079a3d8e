"""The common part of training runs: a task is trained, validated, logged and saved."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from synthtools.lm.devices import remark_emulation
from synthtools.training import models, parallel, step_cost
from synthtools.training.corpus import Corpus
from synthtools.training.journal import Journal, model_card
from synthtools.training.language_model_task import (
    ModelWithHead,
    RowStream,
    mean_losses,
    on_device,
)
from synthtools.training.loop import Task, train
from synthtools.training.models import BuiltModel
from synthtools.training.packers import Rows
from synthtools.training.parallel import Ranks
from synthtools.training.plan import LOG, WORK, Outcome, Plan, RunContext, Settings, Sizes, Step
from synthtools.training.run_directory import weight_files
from synthtools.training.sharded_weights import fill
from synthtools.training.stop_rules import StopRules
from synthtools.training.token_windows import TokenWindows
from synthtools.training.tokenized_rows import validation_set

# Number of last steps whose mean loss is reported.
_LAST = 50


def on_ranks(
    model: Any,
    settings: Settings,
    ranks: Ranks,
    name: str,
    dtype: torch.dtype,
    rows: dict[str, Tensor] | None = None,
    frozen: bool = False,
) -> ModelWithHead:
    """A model on its device: recomputing, compiled, sharded, in this order.

    Args:
        name: for messages; dtype: of the weights, after sharding.
        rows: of meta parameters (``BuiltModel``).
        frozen: whether the model is not trained.
    """
    if ranks.count == 1:
        model = model.to(ranks.device)
    if settings.recompute and not frozen:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    layers = models.blocks(model)
    if settings.compile:
        for layer in layers:
            layer.compile()
    root = ModelWithHead(model, settings.bfloat16)
    if ranks.count > 1:
        parallel.shard(root, layers, settings.bfloat16, dtype, ranks)
        if rows:
            fill(model, rows, ranks.device)
        _require_plain_head(root, name, ranks)
    return root


def _require_plain_head(root: ModelWithHead, name: str, ranks: Ranks) -> None:
    """See ``models.require_plain_head``; within a pass, where the root's own parameters are whole."""
    places = np.arange(4)[None]
    rows = Rows(places, places, places, np.zeros(1, np.int64))
    data = on_device(rows, np.ones(1), ranks.device, root.variable_length)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        root(data, lambda *_: models.require_plain_head(root.model, name))
    parallel.reshard(root)


class PreparedRun(NamedTuple):
    """The start of a run: ``settings`` with their steps; ``root``: the trained module, on its device."""

    plan: Plan
    settings: Settings
    context: RunContext
    tokenizer: Any
    streams: Sequence[RowStream]
    built: BuiltModel
    root: ModelWithHead
    sizes: Sizes


def prepare(
    plan: Plan,
    tokenizer: Any,
    settings: Settings,
    streams: Sequence[RowStream],
    context: RunContext,
    frozen: int = 0,
) -> PreparedRun:
    """Builds the model and computes the size of the run; ``frozen``: see ``sized``."""
    ranks = context.ranks
    if settings.bfloat16:
        remark_emulation(ranks.device, context.callbacks.remark)
    # If only adapters are trained, the base may be in bfloat16.
    half_base = plan.lora is not None and settings.bfloat16 and ranks.count == 1
    dtype = torch.bfloat16 if half_base else torch.float32
    built = models.build(plan.start, tokenizer, plan.context, plan.lora, plan.seed, dtype, ranks)
    counts = (built.parameters, built.trained)
    settings, sizes = sized(built.model.config, counts, streams, settings, plan.seed, ranks, frozen)
    context.callbacks.on_sizes(sizes, settings)
    root = on_ranks(built.model, settings, ranks, plan.start.name, dtype, built.rows)
    return PreparedRun(plan, settings, context, tokenizer, streams, built, root, sizes)


def fit(
    task: Task,
    run: PreparedRun,
    data: Mapping[str, Corpus | TokenWindows],
    valid: dict[str, Corpus],
    *,
    rules: StopRules | None = None,
    compared: Callable[[], dict[str, Any]] | None = None,
    ending: Callable[[], None] | None = None,
    beside: Callable[[Outcome], dict[str, str]] = lambda outcome: {},
) -> Outcome:
    """Trains from the state in the directory, and saves the model when the run is done.

    Args:
        data: the training data, by name; valid: the validation sets.
        rules: end the run early.
        ending: changes the weights when the run is done; validation is repeated after it.
        beside: text files to save with the model, by name.
        compared: called when the run is done, before the model is saved; its result goes into the outcome.
    """
    plan, settings, context, root = run.plan, run.settings, run.context, run.root
    output, ranks, callbacks = context.output, context.ranks, context.callbacks
    work = output / WORK
    # Of this run, if it was killed after saving them.
    saved_before = weight_files(output, whole=False)
    sets = {name: validation_set(corpus, plan.context, name) for name, corpus in valid.items()}

    def validate() -> tuple[float, dict[str, float]]:
        losses = mean_losses(root, sets, settings.micro_rows, ranks, callbacks.on_phase)
        tokens = sum(count for _, count in losses.values())
        mean = sum(loss * count for loss, count in losses.values()) / max(1, tokens)
        return mean, {name: math.exp(min(700.0, loss)) for name, (loss, _) in losses.items()}

    log = Journal(work / LOG, ranks)
    validations: dict[int, dict[str, float]] = {}

    def on_step(step: Step) -> None:
        if step.valid:
            validations[step.step] = step.valid
        log.add(step)
        callbacks.on_step(step)

    def on_start(step: int) -> None:
        log.cut(step)
        validations.update(log.validations(step))
        if step and rules is not None:
            rules.begin(log.last(rules.WINDOW))

    progress = train(
        task,
        settings,
        ranks=ranks,
        checkpoints=work / "checkpoints",
        job=context.job,
        on_step=on_step,
        stop=callbacks.stop,
        finished=rules or (lambda step: False),
        validate=validate if sets else None,
        on_start=on_start,
        remark=callbacks.remark,
    )
    log.close()
    done = progress.step == settings.steps or progress.stopped_early
    valid_at_end = next(reversed(validations.values()), None)
    if done and ending is not None:
        ending()
        valid_at_end = validate()[1] if sets else None
    given = {name: rows for s in run.streams for name, rows in s.given(progress.step).items()}
    outcome = Outcome(
        run.sizes,
        {
            name: corpus.facts_of(given[name].rows if name in given else 0)
            for name, corpus in data.items()
        },
        given,
        progress,
        log.mean("loss", _LAST),
        log.mean("weighted_loss", _LAST),
        # With patience the weights are those of the best step.
        validations.get(progress.best_step, valid_at_end) if settings.patience else valid_at_end,
        rules.reason if rules is not None else None,
        compared() if done and compared is not None else None,
    )
    if done:
        callbacks.check_folder()
        card = model_card(plan, settings, outcome, context.job, log.curve()) if ranks.first else ""
        further = beside(outcome)
        models.save(run.built, plan, run.tokenizer, card, output, saved_before, ranks, further)
    ranks.wait()
    return outcome


def sized(
    config: Any,
    counts: tuple[int, int],
    streams: Sequence[RowStream],
    settings: Settings,
    seed: int,
    ranks: Ranks,
    frozen: int,
) -> tuple[Settings, Sizes]:
    """The settings with their steps, and the size of the run.

    Args:
        counts: numbers of parameters and of trained parameters.
        frozen: bytes of the weights of a copy of the original; 0 without one.
    """
    steps = max(-(-stream.end // stream.rows) for stream in streams)

    def span(given: float, usual: int) -> int:
        """A span in steps, from steps, a share of all, or the default."""
        return (round(given * steps) if given < 1 else int(given)) if given else usual

    settings = replace(
        settings,
        steps=steps,
        warmup=span(settings.warmup, min(steps // 10, max(1, steps // 50))),
        decay=span(settings.decay, steps // 5),
        seed=seed,
    )
    parameters, trained = counts
    longest = max(stream.length for stream in streams)
    return settings, Sizes(
        parameters,
        trained,
        steps,
        sum(stream.end * stream.length for stream in streams),
        sum(stream.rows * stream.length for stream in streams),
        step_cost.flops_per_token(parameters, config, longest, trained),
        step_cost.memory_bytes(parameters, trained, config, longest, settings, ranks.count, frozen),
    )
