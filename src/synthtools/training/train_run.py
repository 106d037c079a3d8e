"""A whole run: tokenizer, tokens, model, loop, model directory and card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthtools.training.language_model_task import LanguageModelTask
from synthtools.training.parallel import Ranks
from synthtools.training.plan import Callbacks, Outcome, Plan, Settings, Source
from synthtools.training.tokenized_rows import (
    blend_of,
    encoding_of,
    loss_weights,
    rows_of,
    tokenizer_of,
    tokens_of,
)
from synthtools.training.trainer import (
    RowCounts,
    built_for,
    fit,
    prepared,
    sizes_of,
    with_steps,
    work_folder,
)


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
    callbacks: Callbacks,
) -> Outcome:
    """Trains a model and saves it as a directory of transformers.

    Args:
        settings: all but their steps, which the plan's tokens or epochs decide.
        output: the directory; ``training/`` inside it holds what is needed to resume.
        cache: keeps tokens for other runs too; None for ``training/tokens`` inside the output.
        job: what defines the run.

    Raises:
        UsageError: the budget or the batch does not fit.
        SynthError: too little data, or the directory cannot be written.
    """
    work = work_folder(output)
    tokenizer = tokenizer_of(sources, plan, work, callbacks.remark, ranks)
    encoding = encoding_of(tokenizer, plan, callbacks.remark)
    corpora = tokens_of(
        [*sources, *valid], encoding, len(tokenizer), cache or work / "tokens", callbacks, ranks
    )
    data = corpora[: len(sources)]
    blend, shares = blend_of(sources, data, plan)
    rows = rows_of(plan, blend)
    settings = with_steps(settings, -(-rows // settings.rows), plan.seed)
    built = built_for(plan, tokenizer, settings, ranks)
    sizes = sizes_of(
        built.model.config,
        (built.parameters, built.trained),
        [RowCounts(settings.rows, rows, plan.context)],
        settings,
        ranks,
    )
    callbacks.on_sizes(sizes, settings)
    task = LanguageModelTask(
        prepared(built.model, settings, ranks),
        blend,
        settings.rows,
        settings.micro_rows,
        ranks,
        settings.bfloat16,
        [source.name for source in sources],
        loss_weights(sources, shares),
        rows,
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
        callbacks=callbacks,
        given=lambda steps: dict(
            zip(
                (source.name for source in sources),
                blend.given(min(rows, steps * settings.rows)),
                strict=True,
            )
        ),
    )
