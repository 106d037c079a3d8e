"""A whole run: tokenizer, tokens, model, loop, model directory and card."""

from __future__ import annotations

from collections.abc import Sequence

from synthtools.training.corpus import Corpus
from synthtools.training.language_model_task import LanguageModelTask, RowStream
from synthtools.training.packers import Blend
from synthtools.training.plan import Outcome, Plan, RunContext, Settings, Source
from synthtools.training.token_windows import TokenWindows
from synthtools.training.tokenized_rows import (
    blend_of,
    encoding_of,
    loss_weights,
    rows_of,
    tokenizer_of,
    tokens_of,
    windows_of,
)
from synthtools.training.trainer import fit, prepare


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
    tokenizer = tokenizer_of(sources, plan, context)
    encoding = encoding_of(tokenizer, plan, remark)
    data: Sequence[Corpus | TokenWindows]
    if plan.stream:
        checks = tokens_of(valid, encoding, len(tokenizer), context)
        windows = windows_of(sources, encoding, len(tokenizer), plan, context)
        shares = [1.0 if source.share is None else source.share for source in sources]
        data, blend = windows, Blend(windows, shares)
    else:
        windows = []
        corpora = tokens_of([*sources, *valid], encoding, len(tokenizer), context)
        checks = corpora[len(sources) :]
        blend, shares = blend_of(sources, corpora[: len(sources)], plan)
        data = corpora[: len(sources)]
    names = [source.name for source in sources]
    stream = RowStream("train", blend, settings.rows, rows_of(plan, blend), plan.context, names)
    try:
        run = prepare(plan, tokenizer, settings, [stream], context)
        weights = loss_weights(sources, shares)
        task = LanguageModelTask(run.root, stream, settings.micro_rows, context.ranks, weights)
        validation = {source.name: corpus for source, corpus in zip(valid, checks, strict=True)}
        return fit(task, run, dict(zip(names, data, strict=True)), validation)
    finally:
        for some in windows:
            some.close()
