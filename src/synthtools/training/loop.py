"""The training loop: forward, backward, step; independent of data formats, terminals and objectives.

A ``Task`` defines data and loss; the same loop trains and unlearns.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from synthtools.errors import SynthError
from synthtools.scale.prefetch import prefetched
from synthtools.training import checkpoint, parallel
from synthtools.training.parallel import Ranks
from synthtools.training.plan import Progress, Settings, Step


class MicroBatch(NamedTuple):
    """A micro-batch: tensors on the device, the number of predicted tokens, and the terms of the loss to
    which they contribute."""

    data: Any
    tokens: int
    terms: Sequence[str] = ()


class Task(Protocol):
    """Data and loss of a training run.

    Attributes:
        root: the trained module.
        names: of the sums returned by ``loss``; the first is the loss to display.
        terms: parts of the loss whose gradient norms may be reported; empty for none.
    """

    root: torch.nn.Module
    names: Sequence[str]
    terms: Sequence[str]

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """This rank's part of a step's batch, with the same number of micro-batches on each rank. The last
        batch of a run may be smaller."""
        ...

    def loss(self, micro: MicroBatch, only: str | None = None) -> tuple[Tensor, Tensor]:
        """The loss (or one term), divided by the tokens of the step, and sums and counts of the reported
        numbers: float64 [names, 2], on the device."""
        ...

    def parts(self, means: dict[str, float]) -> dict[str, float]:
        """The numbers reported for a step, from the means of its sums; called on every
        rank."""
        ...


def schedule_factor(
    schedule: str, step: int, steps: int, warmup: float, decay: float, floor: float = 0.1
) -> float:
    """The learning rate at a step, relative to its peak.

    Args:
        schedule: ``cosine`` (to ``floor``), ``wsd`` (warm-up, stable, then linear decay to 0 over
            the last ``decay`` steps), ``linear`` (to 0) or ``constant``.
        step: from 0.
        steps: of the whole run.
        warmup: steps of linear warm-up from 0.
        decay: steps of decay for ``wsd``.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    left = (steps - step) / max(1, steps - warmup)  # 1 after warm-up, 0 at the end
    if schedule == "cosine":
        return floor + (1 - floor) * 0.5 * (1 - math.cos(math.pi * left))
    if schedule == "linear":
        return left
    if schedule == "wsd":
        return min(1.0, (steps - step) / max(1, decay))
    return 1.0


def optimizer_for(model: torch.nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW, or Muon for the matrices within the layers and AdamW for the rest; weight decay on
    matrices, none on norms and biases."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    # Muon is not meant for embeddings and output layers.
    outer = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    head = getattr(getattr(model, "model", model), "get_output_embeddings", lambda: None)()
    outer.add(id(getattr(head, "weight", None)))
    muon = settings.optimizer == "muon"
    hidden = [p for p in named.values() if muon and p.ndim == 2 and id(p) not in outer]
    apart = {id(p) for p in hidden}
    rest = [p for p in named.values() if id(p) not in apart]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = settings.learning_rate
    adamw = torch.optim.AdamW(groups, lr=rate, betas=(0.9, settings.beta2), fused=True)
    return _MuonBesideAdamW(hidden, adamw, settings) if hidden else adamw


class _MuonBesideAdamW(torch.optim.Muon):
    """Muon and AdamW as one optimizer: one state, one list of groups.

    Muon's updates are scaled to the size of AdamW's (0.2 · √(longer side), arXiv 2502.16982), so that one
    learning rate serves both.
    """

    def __init__(
        self, hidden: list[torch.nn.Parameter], adamw: torch.optim.AdamW, settings: Settings
    ) -> None:
        decay = settings.weight_decay
        super().__init__(
            hidden, settings.learning_rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
        )
        self._adamw = adamw
        adamw.state = self.state

    def step(self, closure: Any = None) -> None:
        rate = self.param_groups[0]["lr"]
        for group in self._adamw.param_groups:
            group["lr"] = rate
        super().step()
        self._adamw.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        self._adamw.zero_grad(set_to_none)


def train(
    task: Task,
    settings: Settings,
    *,
    ranks: Ranks,
    checkpoints: Path,
    job: dict[str, Any],
    on_step: Callable[[Step], None],
    stop: Callable[[], bool] = lambda: False,
    finished: Callable[[Step], bool] = lambda step: False,
    validate: Callable[[], tuple[float, dict[str, float]]] | None = None,
    on_start: Callable[[int], None] = lambda step: None,
    remark: Callable[[str], None] = lambda line: None,
) -> Progress:
    """Trains in place, from the newest checkpoint.

    Args:
        task: its batches are a pure function of the step, so that a resumed run is identical.
        checkpoints: their folder.
        job: identifies the run, stored in checkpoints.
        on_step: called after every step; on_start: with the step from which the run continues, 0 for a new one.
        stop: called after every step; True saves a checkpoint and returns.
        finished: called after every step with the same result on every rank; True ends the run.
        validate: returns the loss for early stopping, and perplexities by name.
        remark: receives remarks for the user.

    Returns:
        The progress: ``step`` is ``settings.steps`` unless stopped.
    """
    root = task.root
    optimizer = optimizer_for(root, settings)
    saved = checkpoint.load(checkpoints, root, optimizer, job, ranks, remark)
    progress = Progress(**(saved or {}))
    # Also without a checkpoint: a run killed before its first one has left a log.
    on_start(progress.step)
    best = checkpoints.parent / "best"

    def save(folder: Path, keep: int) -> None:
        state = asdict(progress)
        checkpoint.save(folder, progress.step, root, optimizer, job, state, keep, ranks)

    start, before, saved_at = time.monotonic(), progress.tokens, progress.step
    steps = range(progress.step, settings.steps)
    batches = prefetched((task.micro_batches(step) for step in steps), depth=1)
    root.train()
    try:
        while progress.step < settings.steps and not progress.stopped_early:
            micros = next(batches)
            norms = _norms(task, micros, progress.step, settings, ranks)
            # Dropout is a function of (seed, step), too.
            torch.manual_seed(settings.seed * 1_000_003 + progress.step * 1009 + ranks.rank)
            rate = settings.learning_rate * schedule_factor(
                settings.schedule,
                progress.step,
                settings.steps,
                settings.warmup,
                settings.decay,
                settings.floor,
            )
            sums, norm = _gradients(task, micros, settings.clip, ranks)
            means = (sums[:, 0] / sums[:, 1].clamp(min=1)).tolist()
            progress.step += 1
            skip = progress.is_outlier(means[0], norm, settings.outlier)
            if skip:
                progress.skipped += 1
            else:
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
            optimizer.zero_grad()
            progress.tokens += int(sums[0, 1])
            last = progress.step == settings.steps
            valid = None
            every = settings.valid_every
            if validate is not None and (last or (every and progress.step % every == 0)):
                loss, valid = validate()
                root.train()
                if progress.note_validation(loss, settings.patience) and settings.patience:
                    save(best, 1)
            parts = {
                name: mean
                for name, mean, count in zip(task.names[1:], means[1:], sums[1:, 1], strict=True)
                if count
            }
            step = Step(
                progress.step,
                means[0],
                rate,
                norm,
                skip,
                progress.skipped,
                progress.tokens,
                progress.tokens - before,
                time.monotonic() - start,
                task.parts(parts) | norms,
                valid,
            )
            on_step(step)
            if finished(step):
                progress.stopped_early = True
            stopping = ranks.any(stop()) and not last
            due = settings.checkpoint_every and progress.step % settings.checkpoint_every == 0
            if stopping:
                save(checkpoints, settings.keep)
                return progress
            if due:
                try:
                    save(checkpoints, settings.keep)
                    saved_at = progress.step
                except SynthError as error:  # a full disk must not end hours of work
                    remark(f"{error}; continuing (the last checkpoint is of step {saved_at})")
    finally:
        batches.close()
    if settings.patience and progress.best_step:
        checkpoint.load(best, root, optimizer, job, ranks, remark)
        remark(f"the weights are those of step {progress.best_step:,}, the best at validation")
    return progress


def _norms(
    task: Task, micros: list[MicroBatch], step: int, settings: Settings, ranks: Ranks
) -> dict[str, float]:
    """The gradient norm of each term, on the steps that report it."""
    if not (task.terms and settings.norms_every) or step % settings.norms_every:
        return {}
    norms = {}
    for term in task.terms:
        own = [micro for micro in micros if term in micro.terms]
        _, norms[f"{term}_norm"] = _gradients(task, own, 0.0, ranks, term)
        task.root.zero_grad()
    return norms


def _gradients(
    task: Task, micros: list[MicroBatch], clip: float, ranks: Ranks, only: str | None = None
) -> tuple[Tensor, float]:
    """Clipped gradients of a step (or of one term); returns the sums over all ranks and the norm before
    clipping."""
    # Summed on the device and fetched once, without synchronising between micro-batches.
    sums = torch.zeros(len(task.names), 2, dtype=torch.float64, device=ranks.device)
    for micro in micros:
        loss, seen = task.loss(micro, only)
        # FSDP averages gradients over ranks; we need the sum.
        (loss * ranks.count).backward()
        sums += seen
    sums = ranks.sum(sums).cpu()
    parameters = [p for p in task.root.parameters() if p.requires_grad]
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip or float("inf"))
    return sums, float(parallel.whole(norm))
