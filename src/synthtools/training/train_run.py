"""A whole run: tokenizer, tokens, model, loop, model directory and card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from synthtools.training.corpus import Corpus
from synthtools.training.language_model_task import LanguageModelTask, RowStream
from synthtools.training.packers import Blend, Packer
from synthtools.training.plan import Outcome, Plan, RunContext, Settings, Source
from synthtools.training.token_windows import TokenWindows
from synthtools.training.tokenized_rows import (
    blend_of,
    encoding_of,
    loss_weights,
    rows_of,
    tokenizer_of,
    tokens_of,
    validation_set,
    windows_of,
)
from synthtools.training.trainer import fit, prepare
from synthtools.training.unigram import TrainedPart, unigram_perplexities


def run(
    sources: Sequence[Source],
    valid: Sequence[Source],
    plan: Plan,
    settings: Settings,
    context: RunContext,
) -> Outcome:
    """Trains a model and saves it as a directory of transformers.

    Args:
        settings: without ``steps``, which follow from the plan's tokens or epochs.

    Raises:
        UsageError: the budget or the batch does not fit the data.
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
        outcome = fit(task, run, dict(zip(names, data, strict=True)), validation)
        if not (valid and context.ranks.first):
            return outcome
        given = blend.given(min(stream.end, outcome.progress.step * stream.rows))
        parts = [
            _part(data[number], packer, rows.rows)
            for number, (packer, rows) in enumerate(zip(blend.packers, given, strict=True))
        ]
        sets = {n: validation_set(corpus, plan.context, n) for n, corpus in validation.items()}
        floor = unigram_perplexities(parts, sets, len(tokenizer))
        return replace(outcome, valid_unigram=floor)
    finally:
        for some in windows:
            some.close()


def _part(data: Corpus | TokenWindows, packer: Packer, rows: int) -> TrainedPart:
    if isinstance(data, TokenWindows):
        return TrainedPart(*data.used_by(rows))
    return TrainedPart([data], rows / packer.rows_in(0))
