"""Estimates of a run: rows, steps, memory, time."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import torch

from synthtools.errors import SynthError
from synthtools.lm.model_name import ModelName
from synthtools.lm.pretrained import load_configuration, load_tokenizer
from synthtools.records.rejects import Rejects
from synthtools.training import models, step_cost, tokenized_rows, unlearn_run
from synthtools.training.architectures import configuration
from synthtools.training.corpus import Corpus, cached
from synthtools.training.language_model_task import RowStream
from synthtools.training.packers import Blend, Packer
from synthtools.training.parallel import Ranks
from synthtools.training.plan import Documents, Plan, Settings, Source
from synthtools.training.tokenized_rows import Encoding
from synthtools.training.trainer import sized
from synthtools.training.unlearn_run import UnlearnGoal
from synthtools.training.unlearn_task import FORGET, REPLAY

# Bytes per token if there is no tokenizer yet [ours].
_TOKEN_BYTES = 4
_SAMPLED = 1 << 20


class RunPlan(TypedDict):
    """Estimates of a run; ``steps`` includes ``warmup_steps`` and ``decay_steps`` (of wsd)."""

    parameters: int
    trained: int
    tokens: int
    steps: int
    rows: int
    rows_repeated: int
    tokens_of_step: int
    learning_rate: float
    warmup_steps: float
    decay_steps: float | None
    flop_per_token: float
    memory_gigabytes: float
    matrix_products_gflop_per_second: float
    hours_at_40_percent_of_that: float
    disk_gigabytes: float


def of_training(sources: Sequence[Source], plan: Plan, settings: Settings, ranks: Ranks) -> RunPlan:
    """The plan of ``synth train``."""
    encoding, vocabulary = None, plan.vocabulary
    if vocabulary is None:
        model = plan.tokenizer or plan.start.model
        assert model is not None
        tokenizer = load_tokenizer(model, None if plan.tokenizer else plan.start.revision)
        vocabulary = len(tokenizer)
        encoding = tokenized_rows.encoding_of(tokenizer, plan, lambda remark: None)
    blend, _ = _blend(
        sources,
        plan.context,
        encoding,
        vocabulary,
        lambda corpus: tokenized_rows.packer_of(corpus, plan),
    )
    rows = tokenized_rows.rows_of(plan, blend)
    names = [source.name for source in sources]
    stream = RowStream("train", blend, settings.rows, rows, plan.context, names)
    return _plan(plan, settings, ranks, [stream], vocabulary)


def of_unlearning(
    forget: Sequence[Source],
    replay: Sequence[Source],
    plan: Plan,
    goal: UnlearnGoal,
    settings: Settings,
    ranks: Ranks,
) -> RunPlan:
    """The plan of ``synth unlearn``."""
    assert plan.start.model is not None
    tokenizer = load_tokenizer(plan.start.model, plan.start.revision)
    rows = unlearn_run.rows_of(goal, settings, ranks.count)
    blends, forget_tokens = {}, 0
    if FORGET in rows:
        blends[FORGET], forget_tokens = _blend(
            forget,
            goal.context,
            unlearn_run.encoding_of(tokenizer, goal, lambda remark: None),
            len(tokenizer),
            lambda corpus: unlearn_run.packer_of(corpus, goal.context, plan.seed),
        )
    if REPLAY in rows:
        blends[REPLAY], _ = _blend(
            replay,
            plan.context,
            tokenized_rows.texts(tokenizer),
            len(tokenizer),
            lambda corpus: tokenized_rows.packer_of(corpus, plan),
        )
    names = {FORGET: [s.name for s in forget], REPLAY: [s.name for s in replay]}
    streams = unlearn_run.streams_of(plan, goal, rows, blends, names, forget_tokens)
    # The share of tokens that the original model reads too.
    reads = {
        FORGET: goal.how.compares,
        REPLAY: bool(goal.how.weights.kl or goal.paired),
    }
    total = sum(stream.end * stream.length for stream in streams)
    frozen = sum(stream.end * stream.length for stream in streams if reads[stream.name])
    copied = unlearn_run.frozen_bytes(plan, goal, settings)
    return _plan(plan, settings, ranks, streams, len(tokenizer), frozen / total, copied)


class _Counted(NamedTuple):
    """A packer with only a number of rows."""

    rows: int

    def rows_in(self, epoch: int) -> int:
        return self.rows

    def first_pass(self, rows: int) -> int:
        return self.rows


def _blend(
    sources: Sequence[Source],
    context: int,
    encoding: Encoding | None,
    vocabulary: int,
    packer_of: Callable[[Corpus], Packer],
) -> tuple[Blend, int]:
    """Numbers of rows and tokens of sources: exact if a source has at most 1 MiB, otherwise extrapolated
    from its first MiB [ours].

    Args:
        context: tokens of a row.
        encoding: None if there is no tokenizer yet.
    """
    counts, tokens = [], 0
    for source in sources:
        if source.size is None:
            raise SynthError(
                f"{source.name}: not a regular file, but training reads it more than once"
            )
        if encoding is None:
            count = max(1, source.size // _TOKEN_BYTES)
            rows = -(-count // context)
        else:
            rows, count = _sampled(source, source.size, encoding, vocabulary, packer_of)
        counts.append(_Counted(rows))
        tokens += count
    shares = [source.share for source in sources if source.share is not None]
    return Blend(counts, shares or None), tokens  # type: ignore[arg-type]


def _sampled(
    source: Source,
    size: int,
    encoding: Encoding,
    vocabulary: int,
    packer_of: Callable[[Corpus], Packer],
) -> tuple[int, int]:
    """Rows and tokens of a source."""
    whole = False

    def beginning(bad: Rejects) -> Iterator[Documents]:
        nonlocal whole
        read = 0
        for some in source.batches(bad):
            yield some
            read += some.size
            if read > _SAMPLED:
                return
        whole = True

    with tempfile.TemporaryDirectory(prefix="synth-plan-") as folder:
        corpus = cached(
            Path(folder) / "tokens", replace(source, batches=beginning), encoding.encode, vocabulary
        )
        try:
            rows = packer_of(corpus).rows_in(0)
        except ValueError as error:
            raise SynthError(f"{source.name}: {error}") from error
        scale = 1.0 if whole else size / max(1, source.bytes_read())
        return math.ceil(rows * scale), int(corpus.facts["tokens"] * scale)


def _counted(plan: Plan, vocabulary: int) -> tuple[Any, tuple[int, int]]:
    """The model's configuration, and its numbers of parameters and trained parameters, without building it."""
    if plan.start.model is None:
        assert plan.start.architecture is not None
        config = configuration(plan.start.architecture, vocabulary, plan.context, None, None)
    else:
        config = load_configuration(ModelName(plan.start.model, plan.start.revision))
    model = models.on_meta(config)
    if plan.lora is not None:
        with torch.device("meta"):
            model = models.with_adapters(model, plan.lora)
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return config, (sum(n for n, _ in sizes), sum(n for n, trained in sizes if trained))


def _plan(
    plan: Plan,
    settings: Settings,
    ranks: Ranks,
    streams: Sequence[RowStream],
    vocabulary: int,
    frozen: float = 0.0,
    copied: int = 0,
) -> RunPlan:
    """The plan with an estimate of its time.

    Args:
        frozen: share of tokens that a frozen model reads too.
        copied: bytes of that model's weights where it is a copy (see ``sized``).
    """
    counted = _counted(plan, vocabulary)
    settings, sizes = sized(*counted, streams, settings, plan.seed, ranks, copied)
    repeated = sum(given.repeated for s in streams for given in s.blend.given(s.end))
    rate = step_cost.measured_flops(ranks.device, settings.bfloat16)
    # A forward pass is a third of a forward and backward pass.
    work = sizes.flops_per_token * sizes.tokens * (1 + frozen / 3)
    seconds = work / (0.4 * rate * ranks.count)
    return {
        "parameters": sizes.parameters,
        "trained": sizes.trained,
        "tokens": sizes.tokens,
        "steps": sizes.steps,
        "rows": sum(stream.end for stream in streams),
        "rows_repeated": repeated,
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
