"""A run as data: the plan, its size, its progress and its outcome."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from synthtools.errors import SynthError, parameter

if TYPE_CHECKING:
    from synthtools.records.rejects import Rejects
    from synthtools.training.packers import RowsGiven
    from synthtools.training.parallel import Ranks


WORK = "training"  # inside the model directory: tokens, checkpoints, log
LOG = "log.jsonl"  # in it: one line per step


# Number of recent steps for detecting outliers, and the least number needed.
_WINDOW = 128
_ENOUGH = 64
# Consecutive steps without a finite loss after which the run fails.
_MOST_FAILED = 10


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021); without ``targets`` on all linear layers except the output layer;
    ``merge``: save merged weights instead of the adapters."""

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...] = ()
    merge: bool = False


@dataclass(frozen=True)
class StartModel:
    """The start of training: a preset or configuration file for new weights, or a model to continue."""

    architecture: str | None
    model: str | None = None
    revision: str | None = None

    @property
    def name(self) -> str:
        """Name of the model, otherwise of the architecture."""
        return self.model or self.architecture or ""


@dataclass(frozen=True)
class Settings:
    """How a model is trained.

    Attributes:
        rows: per step; micro_rows: per forward and backward pass of one process.
        learning_rate: the peak; warmup, decay: in steps, or as shares of all steps while ``steps`` is
            unknown (see ``loop.schedule_factor``).
        weight_decay: decoupled, on matrices only; clip: maximal gradient norm, 0 for none.
        outlier: skip a step whose loss or gradient norm is this many standard deviations above
            the recent ones; 0 for never. A step that is not finite is always skipped.
        bfloat16: compute in bfloat16 (parameters and optimizer stay in float32).
        recompute: activation checkpointing per block.
        checkpoint_every: steps between checkpoints, 0 for none; keep: number of checkpoints kept.
        valid_every: steps between validations, 0 for one at the end.
        patience: validations without a better result after which to stop, 0 for never.
        norms_every: steps between measurements of each term's own gradient norm, 0 for none.
        optimizer: ``adamw``, or ``muon`` for the matrices of the layers.
    """

    steps: int
    rows: int
    micro_rows: int
    learning_rate: float
    schedule: str = "wsd"
    warmup: float = 0
    decay: float = 0
    floor: float = 0.1
    weight_decay: float = 0.1
    beta2: float = 0.95
    clip: float = 1.0
    outlier: float = 6.0
    seed: int = 0
    bfloat16: bool = False
    compile: bool = False
    recompute: bool = False
    checkpoint_every: int = 0
    keep: int = 2
    valid_every: int = 0
    patience: int = 0
    norms_every: int = 0
    optimizer: str = "adamw"


class Documents(NamedTuple):
    """A batch of texts or conversations; ``size``: bytes of UTF-8; ``refuse``: receives the index of a bad
    one and the reason."""

    documents: list[Any]
    size: int
    refuse: Callable[[int, str], None]


@dataclass(frozen=True)
class Source:
    """Documents of one origin.

    Attributes:
        name: for messages, losses and the card.
        share: of the rows; None without shares.
        weight: of its mean loss, None for its share of tokens.
        batches: returns documents, given the handler of bad records; called for every pass.
        rejects: handler of bad records; those of a second pass are not reported again.
        size: bytes of its files, None if unknown; bytes_read: by the last pass.
        digest: of the data and its format; key of the cached tokens.
        golden: whether it is the real text of the golden-ratio rule.
    """

    name: str
    share: float | None
    weight: float | None
    batches: Callable[[Rejects], Iterable[Documents]]
    rejects: Callable[[], Rejects]
    size: int | None
    bytes_read: Callable[[], int]
    digest: str
    golden: bool = False

    def share_read(self) -> float | None:
        """Share of its bytes read by the last pass; None if its size is unknown."""
        return None if self.size is None else min(1.0, self.bytes_read() / max(1, self.size))


@dataclass(frozen=True)
class Plan:
    """What is trained, on how much data.

    Attributes:
        tokenizer: the model whose tokenizer to use; None for the continued model's own, or to train
            one of ``vocabulary`` tokens.
        context: tokens of a row.
        tokens: budget; None for ``epochs`` passes over the data.
        seed: of the initial weights and the order of the data.
        sft: whether documents are conversations; learn_all: learn prompts, too.
        pack: let documents share rows.
        stream: start before everything is tokenised; documents are shuffled within windows.
        save_dtype: of the saved weights, ``float32`` or ``bfloat16``.
    """

    start: StartModel
    lora: Lora | None
    tokenizer: str | None
    vocabulary: int | None
    context: int
    tokens: int | None
    epochs: float
    seed: int
    sft: bool = False
    learn_all: bool = False
    pack: bool = True
    stream: bool = False
    save_dtype: str = "float32"


@dataclass(frozen=True)
class Sizes:
    """The size of a run, before it starts.

    Attributes:
        parameters, trained: numbers of parameters and trained parameters.
        steps, tokens: of the run; tokens_of_step: rows × length; the last step may be smaller.
        flops_per_token: see ``step_cost``.
        memory: estimated peak of one process, bytes.
    """

    parameters: int
    trained: int
    steps: int
    tokens: int
    tokens_of_step: int
    flops_per_token: float
    memory: int


class Step(NamedTuple):
    """The result of a step.

    Attributes:
        step: steps done, from 1.
        loss: mean over the predicted tokens, nats; minimised if there are no weights.
        learning_rate: of this step.
        gradient_norm: before clipping.
        skipped: steps skipped so far; this one too, if ``skip`` is true.
        tokens: predicted so far, all ranks and earlier processes included.
        new_tokens, seconds: of this process's run so far.
        parts: the task's other numbers, by name.
        valid: perplexities of the validation sets, if this step ended with a validation.
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    skip: bool
    skipped: int
    tokens: int
    new_tokens: int
    seconds: float
    parts: dict[str, float]
    valid: dict[str, float] | None


@dataclass
class Progress:
    """The state that a resumed run needs to be identical.

    Attributes:
        step: steps done; tokens: predicted; skipped: steps that were skipped.
        losses, norms: of the last steps.
        bad: consecutive steps that were not finite.
        best: lowest validation loss; best_step: its step; waited: validations since then.
        stopped_early: whether patience or a rule has ended the run.
    """

    step: int = 0
    tokens: int = 0
    skipped: int = 0
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    bad: int = 0
    best: float | None = None
    best_step: int = 0
    waited: int = 0
    stopped_early: bool = False

    def is_outlier(self, loss: float, norm: float, deviations: float) -> bool:
        """Whether to skip a step; records the step."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.bad += 1
            if self.bad >= _MOST_FAILED:
                raise SynthError(
                    f"the loss or the gradient was not finite in {self.bad} steps in a row (step "
                    f"{self.step}): lower {parameter('lr')}, lengthen {parameter('warmup')}, or use {parameter('dtype', 'float32')}"
                )
            return True
        self.bad = 0
        far = False
        for value, recent in ((loss, self.losses), (norm, self.norms)):
            if deviations and len(recent) >= _ENOUGH:
                mean = sum(recent) / len(recent)
                spread = math.sqrt(sum((x - mean) ** 2 for x in recent) / len(recent))
                far = far or value > mean + deviations * spread
            # Outliers are recorded too, so that a lasting change is soon accepted.
            recent.append(value)
            del recent[:-_WINDOW]
        return far

    def note_validation(self, loss: float, patience: int) -> bool:
        """Records a validation loss; whether it is the best one."""
        if self.best is None or loss < self.best:
            self.best, self.best_step, self.waited = loss, self.step, 0
            return True
        self.waited += 1
        self.stopped_early = bool(patience) and self.waited >= patience
        return False


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Attributes:
        sizes: of the run.
        facts: of each source's tokens (see ``corpus.Corpus``).
        rows: used from each source.
        progress: at the end.
        final_loss: mean of the last 50 steps, weighted by tokens, nats per token; weighted_loss: the same
            for the minimised loss, if sources have weights.
        valid: final perplexities by validation set; valid_unigram: those of a unigram model of the
            training tokens.
        ended_by: the rule that ended the run early, in words.
        compared: the comparison with the original, if requested.
    """

    sizes: Sizes
    facts: dict[str, dict[str, int]]
    rows: dict[str, RowsGiven]
    progress: Progress
    final_loss: float | None
    weighted_loss: float | None
    valid: dict[str, float] | None
    ended_by: str | None = None
    compared: dict[str, Any] | None = None
    valid_unigram: dict[str, float] | None = None


@dataclass(frozen=True)
class Callbacks:
    """Functions called by a run.

    Attributes:
        remark: with a line for the user.
        on_sizes: before the first step.
        on_step: after each step.
        stop: after each step; returns whether to stop.
        check_folder: before the model is saved; raises SynthError if its folder is gone.
        on_phase: outside of steps, with a description, the tokens so far, and their share, None if unknown.
    """

    remark: Callable[[str], None]
    on_phase: Callable[[str, int, float | None], None]
    on_sizes: Callable[[Sizes, Settings], None]
    on_step: Callable[[Step], None]
    stop: Callable[[], bool]
    check_folder: Callable[[], None]


class RunContext(NamedTuple):
    """The directories and processes of a run.

    Attributes:
        output: the model directory; ``training/`` inside it has the files for resuming.
        tokens: the folder of tokens, shared with other runs.
        job: identifies the run.
    """

    output: Path
    tokens: Path
    ranks: Ranks
    job: dict[str, Any]
    callbacks: Callbacks
