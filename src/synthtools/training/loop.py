"""The training loop: forward, backward, step; nothing of data formats, terminals or files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from synthtools.training import checkpoint
from synthtools.training.head import head_loss
from synthtools.training.objectives import Objective
from synthtools.training.packing import IGNORED, Rows
from synthtools.training.schedule import factor


@dataclass(frozen=True)
class Settings:
    """How a model is trained.

    Attributes:
        steps: optimizer steps.
        rows: rows of a step; micro_rows: of one forward and backward pass.
        learning_rate: its peak; schedule, warmup (steps), decay (steps): see ``schedule``.
        weight_decay: decoupled, on matrices only; clip: largest gradient norm, 0 for none.
        bfloat16: compute in bfloat16 (parameters and optimizer stay in float32).
        compile: compile the model with torch.compile.
        checkpoint_every: steps between checkpoints, 0 for none; keep: how many stay.
    """

    steps: int
    rows: int
    micro_rows: int
    learning_rate: float
    schedule: str = "wsd"
    warmup: int = 0
    decay: int = 0
    weight_decay: float = 0.1
    beta2: float = 0.95
    clip: float = 1.0
    bfloat16: bool = False
    compile: bool = False
    checkpoint_every: int = 0
    keep: int = 2


class Step(NamedTuple):
    """What happened in a step.

    Attributes:
        step: steps done, from 1.
        loss: mean over the predicted tokens, nats.
        learning_rate: of this step.
        gradient_norm: before clipping.
        tokens: predicted so far by this process.
        seconds: since this process began to train.
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    seconds: float


def optimizer_for(model: torch.nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices, none on norms and biases."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=settings.learning_rate, betas=(0.9, settings.beta2), fused=True
    )


def train(
    model: Any,
    batch_of: Callable[[int], Rows],
    objective: Objective,
    settings: Settings,
    *,
    checkpoints: Path,
    job: dict[str, Any],
    on_step: Callable[[Step], None],
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Trains a causal language model of transformers in place, going on from a checkpoint.

    Args:
        batch_of: step (from 0) → batch: a pure function, so that a resumed run is the same run.
        checkpoints: their folder.
        job: what defines the run, kept in checkpoints.
        on_step: told of every step.
        stop: asked after every step; True saves a checkpoint and returns.

    Returns:
        Steps done in all, ``settings.steps`` unless stopped.
    """
    device = next(model.parameters()).device
    optimizer = optimizer_for(model, settings)
    done = checkpoint.load(checkpoints, model, optimizer, job)
    body = torch.compile(model.base_model) if settings.compile else model.base_model
    head = model.get_output_embeddings().weight
    model.train()
    start, tokens = time.monotonic(), 0
    for step in range(done, settings.steps):
        rows = Rows(*(torch.from_numpy(part).to(device) for part in batch_of(step)))  # type: ignore[arg-type]
        targets = rows.labels != IGNORED
        count = int(targets.sum())
        loss = torch.zeros((), device=device)
        for first in range(0, settings.rows, settings.micro_rows):
            part = slice(first, first + settings.micro_rows)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16):
                # Positions that begin again keep documents apart, but only without a mask and
                # without a cache.
                hidden = body(
                    input_ids=rows.tokens[part],
                    position_ids=rows.positions[part],
                    attention_mask=None,
                    use_cache=False,
                ).last_hidden_state
            predicted = targets[part]
            piece = head_loss(hidden[predicted], head, rows.labels[part][predicted], objective)
            (piece / count).backward()
            loss += piece.detach()
        rate = settings.learning_rate * factor(
            settings.schedule, step, settings.steps, settings.warmup, settings.decay
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        limit = settings.clip or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()
        optimizer.zero_grad()
        tokens += count
        on_step(
            Step(step + 1, float(loss) / count, rate, float(norm), tokens, time.monotonic() - start)
        )
        stopping = stop() and step + 1 < settings.steps
        every = settings.checkpoint_every
        if stopping or (every and (step + 1) % every == 0):
            checkpoint.save(checkpoints, step + 1, model, optimizer, job, settings.keep)
        if stopping:
            return step + 1
    return settings.steps
