"""``--dry-run``: what a training run would amount to, before it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from synthtools.console.run import Run
from synthtools.errors import RecordError, SynthError
from synthtools.records.inputs import Shard
from synthtools.records.reading import read
from synthtools.records.rejects import Rejects

if TYPE_CHECKING:
    from synthtools.training.plan import Plan, Settings

# Bytes of a token where there is no tokenizer to ask yet [ours].
_TOKEN_BYTES = 4
_SAMPLED = 1 << 20


def planned(run: Run, plan: Plan, settings: Settings, ranks: Any) -> dict[str, Any]:
    """What a run would amount to, with an estimate of its time."""
    from synthtools.lm.loading import ModelName, load_configuration, load_tokenizer
    from synthtools.training import speed
    from synthtools.training.run import estimate

    tokenizer = None
    if plan.vocabulary is None:
        tokenizer = load_tokenizer(plan.tokenizer or plan.start.model or "", plan.start.revision)
    size = len(tokenizer) if tokenizer is not None else plan.vocabulary
    assert size is not None
    tokens = plan.tokens or int(plan.epochs * _tokens(run.shards, tokenizer))
    sizes, settings = estimate(
        plan,
        settings,
        tokens,
        size,
        lambda name, revision: load_configuration(ModelName(name, revision)),
        ranks,
    )
    rate = speed.measured_flops(ranks.device, settings.bfloat16)
    seconds = sizes.flops_per_token * sizes.tokens / (0.4 * rate * ranks.count)
    return {
        "parameters": sizes.parameters,
        "trained": sizes.trained,
        "tokens": sizes.tokens,
        "steps": sizes.steps,
        "tokens_of_step": sizes.tokens_of_step,
        "learning_rate": settings.learning_rate,
        "warmup_steps": settings.warmup,
        "decay_steps": settings.decay if settings.schedule == "wsd" else None,
        "flop_per_token": sizes.flops_per_token,
        "memory_gigabytes": round(sizes.memory / 1e9, 2),
        "matrix_products_gflop_per_second": round(rate / 1e9, 1),
        "hours_at_40_percent_of_that": round(seconds / 3600, 3),
        "disk_gigabytes": round((12 * sizes.trained * (settings.keep + 1)) / 1e9, 3),
    }


def _tokens(shards: Sequence[Shard], tokenizer: Any) -> int:
    """Tokens of the data: those of the first MiB of each shard, scaled by its size [ours]."""
    total = 0.0
    for shard in shards:
        if shard.size is None:
            raise SynthError(
                f"{shard.name}: is no plain file, which this tool reads more than once"
            )
        if tokenizer is None:
            total += shard.size / _TOKEN_BYTES
            continue
        seen = 0
        try:
            for batch in read([shard], Rejects(skip=True), batch_bytes=_SAMPLED // 8):
                texts = [
                    value
                    for name in batch.field_names(0)
                    for value in batch.column(name)
                    if isinstance(value, str)
                ]
                seen += sum(
                    len(e.ids) for e in tokenizer.backend_tokenizer.encode_batch_fast(texts)
                )
                if shard.bytes_read > _SAMPLED:
                    break
        except RecordError:
            continue
        total += seen * shard.size / max(1, shard.bytes_read)
    return max(1, int(total))
