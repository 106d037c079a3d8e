"""A whole run: tokenizer, tokens, model, loop, model directory and card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from synthtools.training import models
from synthtools.training.architectures import configuration
from synthtools.training.corpus import Corpus
from synthtools.training.data import (
    blend_of,
    conversations,
    loss_weights,
    texts,
    tokenizer_of,
    tokens_of,
)
from synthtools.training.fitting import built_for, fit, prepared, sizes_of, with_steps, work_folder
from synthtools.training.modelling import LanguageModelling
from synthtools.training.packing import Blend
from synthtools.training.parallel import Ranks
from synthtools.training.plan import Outcome, Plan, Settings, Sizes, Source, Watch


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
    work = work_folder(output)
    tokenizer = tokenizer_of(sources, plan, work, load_tokenizer, watch.tell, ranks)
    encoding = (
        conversations(tokenizer, plan.context, plan.learn_all, watch.tell)
        if plan.sft
        else texts(tokenizer)
    )
    corpora = tokens_of(
        [*sources, *valid], encoding, len(tokenizer), cache or work / "tokens", watch.tell, ranks
    )
    data = corpora[: len(sources)]
    blend, shares = blend_of(sources, data, plan)
    steps = settings.steps or _steps(plan, settings, blend, shares, data)
    settings = with_steps(settings, steps, plan.seed)
    built = built_for(plan, tokenizer, settings, ranks)
    sizes = sizes_of(
        built.model.config,
        (built.parameters, built.trained),
        [(settings.rows, plan.context)],
        settings,
        ranks,
    )
    watch.on_sizes(sizes, settings)
    task = LanguageModelling(
        prepared(built.model, settings, ranks),
        blend,
        settings.rows,
        settings.micro_rows,
        ranks,
        settings.bfloat16,
        [source.name for source in sources],
        loss_weights(sources, shares),
    )
    return fit(
        task,
        built,
        tokenizer,
        plan,
        settings,
        sizes,
        {source.name: corpus for source, corpus in zip(sources, data, strict=True)},
        {s.name: corpus for s, corpus in zip(valid, corpora[len(sources) :], strict=True)},
        output,
        ranks,
        job=job,
        watch=watch,
    )


def estimate(
    plan: Plan,
    settings: Settings,
    tokens: int,
    vocabulary: int,
    load_config: Any,
    ranks: Ranks,
    rows: Sequence[tuple[int, int]] | None = None,
) -> tuple[Sizes, Settings]:
    """What a run would amount to: the model is not made, only counted.

    Args:
        tokens: of the run.
        vocabulary: of the tokenizer.
        load_config: name and revision of a model → its configuration.
        rows: of a step, and their length, of each kind of row, those of ``tokens`` first; None for
            the plan's.
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
    rows = rows or [(settings.rows, plan.context)]
    steps = settings.steps or max(1, tokens // (rows[0][0] * rows[0][1]))
    settings = with_steps(settings, steps, plan.seed)
    return sizes_of(config, (parameters, trained), rows, settings, ranks), settings


def _steps(
    plan: Plan, settings: Settings, blend: Blend, shares: Sequence[float], data: Sequence[Corpus]
) -> int:
    if plan.tokens:
        return max(1, plan.tokens // (settings.rows * plan.context))
    if len(data) == 1 and not plan.sft and plan.pack:
        return max(1, int(plan.epochs * len(data[0].tokens)) // (settings.rows * plan.context))
    return max(1, int(plan.epochs * blend.most_rows(shares)) // settings.rows)
