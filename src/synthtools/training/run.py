"""A whole run: tokenizer, tokens, model, loop, model directory and card."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from synthtools.errors import SynthError
from synthtools.training import models, parallel, speed
from synthtools.training.architectures import configuration
from synthtools.training.corpus import Corpus
from synthtools.training.data import blend_of, loss_weights, tokenizer_of, tokens_of, validation_set
from synthtools.training.journal import Journal, model_card
from synthtools.training.loop import Step, train
from synthtools.training.modelling import (
    LanguageModelling,
    LossModule,
    cross_entropy_module,
    mean_losses,
)
from synthtools.training.models import Built
from synthtools.training.packing import Blend
from synthtools.training.parallel import Ranks
from synthtools.training.plan import WORK, Outcome, Plan, Settings, Sizes, Source, Watch


def run(
    sources: Sequence[Source],
    valid: Sequence[Source],
    plan: Plan,
    settings: Settings,
    output: Path,
    cache: Path | None,
    ranks: Ranks,
    *,
    job: dict[str, Any],
    load_tokenizer: Callable[[str, str | None], Any],
    watch: Watch,
) -> Outcome:
    """Trains a model and saves it as a directory of transformers.

    Args:
        settings: ``steps`` 0 means: from the plan's tokens or epochs.
        output: the directory; ``training/`` inside it holds what is needed to resume.
        cache: keeps tokens for other runs too; None for ``training/tokens`` inside the output.
        job: what defines the run.

    Raises:
        UsageError: the budget or the batch does not fit.
        SynthError: too little data, or the directory cannot be written.
    """
    work = output / WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SynthError(f"{output}: cannot be made: {error.strerror}") from error
    tokenizer = tokenizer_of(sources, plan, work, load_tokenizer, watch.tell, ranks)
    folder = cache or work / "tokens"
    corpora = tokens_of([*sources, *valid], plan, tokenizer, folder, watch.tell, ranks)
    data = corpora[: len(sources)]
    blend, shares = blend_of(sources, data, plan)
    steps = settings.steps or _steps(plan, settings, blend, shares, data)
    settings = replace(settings, steps=steps, **_spans(settings, steps), seed=plan.seed)

    half_base = plan.lora is not None and settings.bfloat16 and ranks.count == 1
    built = models.build(
        plan.start,
        tokenizer,
        plan.context,
        plan.lora,
        plan.seed,
        torch.bfloat16 if half_base else torch.float32,
    )
    sizes = _sizes(built.model.config, built.parameters, built.trained, plan, settings, ranks)
    watch.on_sizes(sizes, settings)
    root = _prepared(built, settings, ranks)
    task = LanguageModelling(
        root,
        blend,
        settings.rows,
        settings.micro_rows,
        ranks,
        settings.bfloat16,
        [source.name for source in sources],
        loss_weights(sources, shares),
    )
    sets = {
        source.name: validation_set(corpus, plan, source.name)
        for source, corpus in zip(valid, corpora[len(sources) :], strict=True)
    }

    def validate() -> tuple[float, dict[str, float]]:
        found = mean_losses(root, sets, settings.micro_rows, ranks, settings.bfloat16)
        tokens = sum(count for _, count in found.values())
        mean = sum(loss * count for loss, count in found.values()) / max(1, tokens)
        return mean, {name: math.exp(min(700.0, loss)) for name, (loss, _) in found.items()}

    log = Journal(work / "log.jsonl", ranks)
    last: dict[str, Any] = {"losses": [], "valid": None}
    validations: dict[int, dict[str, float]] = {}

    def on_step(step: Step) -> None:
        last["losses"] = [*last["losses"][-49:], step.loss]
        if step.valid:
            last["valid"] = validations[step.step] = step.valid
        log.add(step)
        watch.on_step(step)

    progress = train(
        task,
        settings,
        ranks=ranks,
        checkpoints=work / "checkpoints",
        job=job,
        on_step=on_step,
        stop=watch.stop,
        validate=validate if sets else None,
        on_resume=log.cut,
        tell=watch.tell,
    )
    recent = log.last_losses(50) or last["losses"]
    outcome = Outcome(
        sizes,
        {s.name: c.facts for s, c in zip(sources, data, strict=True)},
        progress,
        sum(recent) / len(recent) if recent else None,
        # With patience the weights are those of the best step.
        validations.get(progress.best_step, last["valid"]) if settings.patience else last["valid"],
    )
    if progress.step == steps or progress.stopped_early:
        card = model_card(plan, settings, outcome, job, log.curve()) if ranks.first else ""
        models.save(
            built,
            plan.start,
            tokenizer,
            plan.context,
            plan.lora,
            getattr(torch, plan.save_dtype),
            card,
            output,
            work,
            ranks,
        )
    ranks.wait()
    return outcome


def _prepared(built: Built, settings: Settings, ranks: Ranks) -> LossModule:
    """The model on its device: recomputing, compiled, sharded, in this order."""
    model = built.model.to(ranks.device)
    if settings.recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    layers = models.blocks(model)
    if settings.compile:
        for layer in layers:
            layer.compile()
    root = cross_entropy_module(model, settings.bfloat16)
    if ranks.count > 1:
        parallel.shard(root, layers, settings.bfloat16, ranks)
    return root


def _sizes(
    config: Any, parameters: int, trained: int, plan: Plan, settings: Settings, ranks: Ranks
) -> Sizes:
    of_step = settings.rows * plan.context
    return Sizes(
        parameters,
        trained,
        settings.steps,
        settings.steps * of_step,
        of_step,
        speed.flops_per_token(parameters, config, plan.context, trained),
        speed.memory_bytes(
            parameters,
            trained,
            config,
            settings.micro_rows,
            plan.context,
            bfloat16=settings.bfloat16,
            recompute=settings.recompute,
            ranks=ranks.count,
        ),
    )


def estimate(
    plan: Plan, settings: Settings, tokens: int, vocabulary: int, load_config: Any, ranks: Ranks
) -> tuple[Sizes, Settings]:
    """What a run would amount to: the model is not made, only counted.

    Args:
        tokens: of the run.
        vocabulary: of the tokenizer.
        load_config: name and revision of a model → its configuration.
    """
    from transformers import AutoModelForCausalLM

    if plan.start.model is None:
        assert plan.start.architecture is not None
        config = configuration(plan.start.architecture, vocabulary, plan.context, None, None)
    else:
        config = load_config(plan.start.model, plan.start.revision)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        parameters = trained = sum(p.numel() for p in model.parameters())
        if plan.lora is not None:
            adapters = models.with_adapters(model, plan.lora)
            parameters = sum(p.numel() for p in adapters.parameters())
            trained = sum(p.numel() for p in adapters.parameters() if p.requires_grad)
    steps = settings.steps or max(1, tokens // (settings.rows * plan.context))
    settings = replace(settings, steps=steps, **_spans(settings, steps), seed=plan.seed)
    return _sizes(config, parameters, trained, plan, settings, ranks), settings


def _spans(settings: Settings, steps: int) -> dict[str, Any]:
    """Warm-up and decay in steps, where they were given as shares, or not at all."""

    def span(given: float, usual: int) -> int:
        return (round(given * steps) if given < 1 else int(given)) if given else usual

    return {
        "warmup": span(settings.warmup, min(steps // 10, max(1, steps // 50))),
        "decay": span(settings.decay, steps // 5),
    }


def _steps(
    plan: Plan, settings: Settings, blend: Blend, shares: Sequence[float], data: Sequence[Corpus]
) -> int:
    if plan.tokens:
        return max(1, plan.tokens // (settings.rows * plan.context))
    if len(data) == 1 and not plan.sft and plan.pack:
        return max(1, int(plan.epochs * len(data[0].tokens)) // (settings.rows * plan.context))
    return max(1, int(plan.epochs * blend.most_rows(shares)) // settings.rows)
