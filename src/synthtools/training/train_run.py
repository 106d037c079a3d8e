"""A whole run: tokenizer, tokens, model, loop, model directory and card."""

from __future__ import annotations

from collections.abc import Sequence

from synthtools.training.language_model_task import LanguageModelTask
from synthtools.training.plan import Outcome, Plan, RunContext, Settings, Source
from synthtools.training.tokenized_rows import (
    blend_of,
    encoding_of,
    loss_weights,
    rows_of,
    tokenizer_of,
    tokens_of,
)
from synthtools.training.trainer import RowCounts, fit, prepare, work_folder


def run(
    sources: Sequence[Source],
    valid: Sequence[Source],
    plan: Plan,
    settings: Settings,
    context: RunContext,
) -> Outcome:
    """Trains a model and saves it as a directory of transformers.

    Args:
        settings: all but their steps, which the plan's tokens or epochs decide.

    Raises:
        UsageError: the budget or the batch does not fit.
        SynthError: too little data, or the directory cannot be written.
    """
    remark = context.callbacks.remark
    work = work_folder(context.output)
    tokenizer = tokenizer_of(sources, plan, work, remark, context.ranks)
    encoding = encoding_of(tokenizer, plan, remark)
    corpora = tokens_of([*sources, *valid], encoding, len(tokenizer), context)
    data, checks = corpora[: len(sources)], corpora[len(sources) :]
    blend, shares = blend_of(sources, data, plan)
    rows = rows_of(plan, blend)
    counts = [RowCounts(settings.rows, rows, plan.context)]
    prepared = prepare(plan, tokenizer, settings, counts, context)
    names = [source.name for source in sources]
    task = LanguageModelTask(
        prepared.root,
        blend,
        settings.rows,
        settings.micro_rows,
        context.ranks,
        names,
        loss_weights(sources, shares),
        rows,
    )
    return fit(
        task,
        prepared,
        tokenizer,
        plan,
        dict(zip(names, data, strict=True)),
        {source.name: corpus for source, corpus in zip(valid, checks, strict=True)},
        context,
        given=lambda steps: dict(
            zip(names, blend.given(min(rows, steps * settings.rows)), strict=True)
        ),
    )
