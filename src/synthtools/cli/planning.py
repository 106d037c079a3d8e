"""``--dry-run``: what a training run would amount to, before it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from synthtools.errors import SynthError
from synthtools.records.inputs import Shard

if TYPE_CHECKING:
    from synthtools.training.plan import Plan, Settings, Source

# Bytes of a token where there is no tokenizer to ask yet [ours].
_TOKEN_BYTES = 4
_SAMPLED = 1 << 20


def planned(
    sources: Sequence[tuple[Source, list[Shard]]],
    plan: Plan,
    settings: Settings,
    ranks: Any,
    rows: Sequence[tuple[int, int]] | None = None,
    original: float = 0.0,
) -> dict[str, Any]:
    """What a run would amount to, with an estimate of its time.

    Args:
        sources: what its tokens are counted of.
        rows: of a step, and their length, of each kind of row; those of ``sources`` first. None for
            the plan's.
        original: share of the tokens that a frozen model reads too.
    """
    from synthtools.lm.loading import ModelName, load_configuration, load_tokenizer
    from synthtools.training import speed
    from synthtools.training.run import estimate

    tokenizer = None
    if plan.vocabulary is None:
        tokenizer = load_tokenizer(plan.tokenizer or plan.start.model or "", plan.start.revision)
    size = len(tokenizer) if tokenizer is not None else plan.vocabulary
    assert size is not None
    tokens = plan.tokens or int(plan.epochs * _tokens(sources, tokenizer))
    sizes, settings = estimate(
        plan,
        settings,
        tokens,
        size,
        lambda name, revision: load_configuration(ModelName(name, revision)),
        ranks,
        rows,
    )
    rate = speed.measured_flops(ranks.device, settings.bfloat16)
    # A forward pass is a third of a forward and backward pass.
    work = sizes.flops_per_token * sizes.tokens * (1 + original / 3)
    seconds = work / (0.4 * rate * ranks.count)
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


def _tokens(sources: Sequence[tuple[Source, list[Shard]]], tokenizer: Any) -> int:
    """Tokens of the data: those of the first MiB of each source, scaled by its size [ours]."""
    total = 0.0
    for source, shards in sources:
        sizes = [shard.size for shard in shards]
        if None in sizes:
            name = shards[sizes.index(None)].name
            raise SynthError(f"{name}: is no plain file, which this tool reads more than once")
        size = sum(s for s in sizes if s is not None)
        if tokenizer is None:
            total += size / _TOKEN_BYTES
            continue
        seen = read = 0
        for documents, some in source.batches():
            texts = [_said(document) for document in documents]
            seen += sum(len(e.ids) for e in tokenizer.backend_tokenizer.encode_batch_fast(texts))
            read += some
            if read > _SAMPLED:
                break
        total += seen * size / max(1, sum(shard.bytes_read for shard in shards))
    return max(1, int(total))


def _said(document: Any) -> str:
    if isinstance(document, str):
        return document
    if isinstance(document, tuple):
        return "\n\n".join(part for part in document if part is not None)
    return "\n".join(message["content"] for message in document)
