"""What a run is asked for, what it amounts to and what comes out, as data."""

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
LOG = "log.jsonl"  # in it: a line a step


# Steps that a step's loss and gradient norm are compared with, and how many there must be.
_WINDOW = 128
_ENOUGH = 64
# Steps in a row without a finite loss, after which the run fails.
_MOST_FAILED = 10


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021); without ``targets`` on all linear layers but the output layer;
    ``merge``: save the sum of weights and adapters instead of the adapters."""

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...] = ()
    merge: bool = False


@dataclass(frozen=True)
class StartModel:
    """What training begins with: a preset or configuration file for new weights, or a model to continue."""

    architecture: str | None
    model: str | None = None
    revision: str | None = None

    @property
    def name(self) -> str:
        """Of the model, else of the architecture."""
        return self.model or self.architecture or ""


@dataclass(frozen=True)
class Settings:
    """How a model is trained.

    Attributes:
        rows: of a step; micro_rows: of one forward and backward pass of one process.
        learning_rate: its peak; warmup, decay: in steps, or as shares of all before ``steps`` is
            known (see ``loop.schedule_factor``).
        weight_decay: decoupled, on matrices only; clip: largest gradient norm, 0 for none.
        outlier: skip a step whose loss or gradient norm is this many standard deviations above
            the recent ones; 0 for never. A step that is not finite is always skipped.
        bfloat16: compute in bfloat16 (parameters and optimizer stay in float32).
        recompute: activation checkpointing: blocks are computed again in the backward pass.
        checkpoint_every: steps between checkpoints, 0 for none; keep: how many stay.
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
    """Texts or conversations that were read together; ``size``: bytes of UTF-8; ``refuse``: takes the
    number of one that turned out bad, and why."""

    documents: list[Any]
    size: int
    refuse: Callable[[int, str], None]


@dataclass(frozen=True)
class Source:
    """Documents of one origin.

    Attributes:
        name: for messages, losses and the card.
        share: of the rows; None where shares were not asked for.
        weight: of its mean loss, None for the share of its tokens.
        batches: gives documents; called as often as needed, with what takes the bad records.
        rejects: where bad records go; those of a second pass are not reported again.
        size: bytes of its files, None where they are not known; bytes_read: by the last pass.
        digest: of the data and how it is read: what its tokens are kept under.
        golden: the real text, weighed by the golden-ratio rule.
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
        """Of its bytes, by the last pass; None where they are not known."""
        return None if self.size is None else min(1.0, self.bytes_read() / max(1, self.size))


@dataclass(frozen=True)
class Plan:
    """What is trained, on how much.

    Attributes:
        tokenizer: a model whose tokenizer is used; None for the continued model's own, or to train
            one of ``vocabulary`` tokens.
        context: tokens of a row.
        tokens: budget; None for ``epochs`` passes over the data.
        seed: of the initial weights and the order of the data.
        sft: documents are conversations; learn_all: their prompts are learned too.
        pack: let documents share rows.
        stream: begin before all is tokenised; documents are shuffled within windows.
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
    """What a run amounts to, before it begins.

    Attributes:
        parameters, trained: of the model.
        steps, tokens: of the run; tokens_of_step: rows times length, of all steps but the last,
            which may be smaller.
        flops_per_token: see ``step_cost``.
        memory: rough peak of one process, bytes.
    """

    parameters: int
    trained: int
    steps: int
    tokens: int
    tokens_of_step: int
    flops_per_token: float
    memory: int


class Step(NamedTuple):
    """What happened in a step.

    Attributes:
        step: steps done, from 1.
        loss: mean over the predicted tokens, nats; what is minimised where no weights are given.
        learning_rate: of this step.
        gradient_norm: before clipping.
        skipped: steps skipped so far; this one too, if ``skip`` is true.
        tokens: predicted so far, all ranks and earlier processes included.
        new_tokens, seconds: of this process's run so far.
        parts: the task's other numbers, by name.
        valid: perplexity of the validation sets, where this step ended with a validation.
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
    """What a resumed run must know to be the same run.

    Attributes:
        step: steps done; tokens: predicted; skipped: steps that were skipped.
        losses, norms: of the last steps.
        bad: steps in a row that were not finite.
        best: smallest validation loss; best_step: where; waited: validations since then.
        stopped_early: patience or a rule has ended the run.
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
        """Whether a step must be skipped; notes the step."""
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
            # Outliers enter too: a lasting change soon stops being one.
            recent.append(value)
            del recent[:-_WINDOW]
        return far

    def note_validation(self, loss: float, patience: int) -> bool:
        """Notes a validation loss; whether it is the best."""
        if self.best is None or loss < self.best:
            self.best, self.best_step, self.waited = loss, self.step, 0
            return True
        self.waited += 1
        self.stopped_early = bool(patience) and self.waited >= patience
        return False


@dataclass(frozen=True)
class Outcome:
    """What came out.

    Attributes:
        sizes: of the run.
        facts: of each source's tokens (see ``corpus.Corpus``).
        rows: that each source gave.
        progress: how far it came.
        final_loss: mean of the last 50 steps by their tokens, nats per token; weighted_loss: the same
            of what is minimised, where sources have weights.
        valid: the last perplexities by validation set; valid_unigram: those of the unigram model of what
            was trained on.
        ended_by: the rule that ended the run early, in words.
        compared: the model beside the original, where that was asked for.
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
    """Functions that a run calls.

    Attributes:
        remark: with a line for the user; on_sizes: before the first step; on_step: after each step;
            stop: then, whether to stop; check_folder: before the model is saved, raises SynthError if its
            folder is gone.
        on_phase: before and after the steps, with a description, the tokens so far, and their share of
            all, None if unknown.
    """

    remark: Callable[[str], None]
    on_phase: Callable[[str, int, float | None], None]
    on_sizes: Callable[[Sizes, Settings], None]
    on_step: Callable[[Step], None]
    stop: Callable[[], bool]
    check_folder: Callable[[], None]


class RunContext(NamedTuple):
    """Where a run works, and with whom.

    Attributes:
        output: the model directory; ``training/`` inside it holds what is needed to resume.
        tokens: holds the tokens, for other runs too.
        job: what defines the run.
    """

    output: Path
    tokens: Path
    ranks: Ranks
    job: dict[str, Any]
    callbacks: Callbacks
