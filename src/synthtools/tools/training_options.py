"""Options that ``synth train`` and ``synth unlearn`` share, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli.kinds import (
    FieldName,
    FolderName,
    LabelledPath,
    Name,
    Natural,
    Positive,
    Probability,
    Steps,
    StepsOrShare,
)
from synthtools.cli.options import BadRecords, Jobs, Picture, Report, Seed, TextField
from synthtools.cli.parameters import Group, option
from synthtools.environment import rank_and_size
from synthtools.errors import UsageError

if TYPE_CHECKING:
    from synthtools.records.shapes import ShapeName
    from synthtools.training.documents import DocumentFormat
    from synthtools.training.plan import Lora, Settings


@dataclass(frozen=True)
class Conversations(Group):
    """Where conversations are in records."""

    group = "Input"
    messages_field: FieldName = option("messages", help="Field of a conversation's messages.")
    prompt_field: FieldName = option("prompt", help="Field of a prompt.")
    response_field: FieldName = option("response", help="Field of the answer to it.")


@dataclass(frozen=True)
class Optimizer(Group):
    """How the weights are optimized."""

    group = "Training"
    batch: int = option(8, metavar="ROWS", min=1, help="Rows per optimizer step.")
    micro_batch: int | None = option(
        metavar="ROWS",
        min=1,
        help="Rows per forward pass of a process (default: all its rows); gradients add up.",
    )
    optimizer: Literal["adamw", "muon"] = option(
        "adamw",
        help="muon: Muon for the matrices within the layers, scaled to AdamW's steps, AdamW for "
        "embeddings, output layer, norms and biases.",
    )
    lr: float | None = option(
        metavar="RATE",
        min=0,
        help="Peak learning rate (default: the architecture's; 5e-5 for a model whose "
        "training is continued).",
    )
    schedule: Literal["cosine", "wsd", "linear", "constant"] = option(
        "wsd", help="Learning-rate schedule."
    )
    warmup: StepsOrShare = option(
        0, help="Warm-up, in steps (200) or as a share of all (3%); 0: 2 %."
    )
    decay: StepsOrShare = option(
        0, help="Decay at the end of wsd, in steps (400) or as a share of all (10%); 0: 20 %."
    )
    lr_floor: float = option(
        0.1, metavar="SHARE", min=0, max=1, help="Where cosine ends, as a share of the peak."
    )
    weight_decay: float = option(
        0.1, metavar="W", min=0, help="Weight decay, decoupled, on matrices only."
    )
    beta2: float = option(
        0.95, metavar="B", min=0, max=1, help="β2 of AdamW: decay of the second moment."
    )
    clip: float = option(1.0, metavar="NORM", min=0, help="Maximum gradient norm; 0: none.")
    skip_outliers: float = option(
        6.0,
        metavar="SIGMA",
        min=0,
        help="Skip a step whose loss or gradient norm is this many standard deviations above the "
        "last 128; 0: never. Steps with non-finite numbers are always skipped. Skipped steps are "
        "counted.",
    )
    dtype: Literal["float32", "bfloat16"] = option(
        "float32", help="Type of the computation; weights and moments stay in float32."
    )
    compile: bool = option(False, help="Compile the layers first (slower start, faster steps).")
    activation_checkpointing: bool = option(
        False,
        help="Keep only each layer's input and recompute the rest: less memory, a third more "
        "computation.",
    )
    device: str = option("auto", metavar="auto|cpu|cuda", help="Where to train; also cuda:1, …")

    def micro_rows(self) -> int:
        """Rows of one pass of one process. Raises UsageError: the rows cannot be divided."""
        ranks = rank_and_size()[1]
        if self.batch % ranks:
            raise UsageError(f"--batch {self.batch} cannot be divided among {ranks} processes")
        micro = min(self.micro_batch or self.batch, self.batch // ranks)
        if self.batch // ranks % micro:
            times = "" if ranks == 1 else f"{ranks} times "
            raise UsageError(
                f"--batch {self.batch}: must be a multiple of {times}--micro-batch {micro}"
            )
        return micro

    def check(self) -> None:
        super().check()
        self.micro_rows()


@dataclass(frozen=True)
class Adapters(Group):
    """Low-rank adapters instead of all weights."""

    group = "Adapters"
    lora_rank: int | None = option(
        metavar="R", min=1, help="Train LoRA adapters of this rank (peft)."
    )
    lora_alpha: float | None = option(
        metavar="A", help="Scale of the adapters (default: twice the rank)."
    )
    lora_dropout: Probability = option(0.0, help="Dropout before adapters.")
    lora_targets: list[Name] | None = option(
        commas=True,
        help="Layers that get adapters (default: all linear layers but the output layer).",
    )
    merge: bool = option(False, help="Save one model: weights plus adapters.")

    def check(self) -> None:
        super().check()
        others = self.merge or self.lora_targets or self.lora_dropout or self.lora_alpha is not None
        if others and self.lora_rank is None:
            raise UsageError("--merge and --lora-… need --lora-rank")

    def lora(self) -> Lora | None:
        """The adapters, None where all weights are trained."""
        from synthtools.training.plan import Lora

        if self.lora_rank is None:
            return None
        alpha = 2.0 * self.lora_rank if self.lora_alpha is None else self.lora_alpha
        targets = tuple(name for name in self.lora_targets or () if name)
        return Lora(self.lora_rank, alpha, self.lora_dropout, targets, self.merge)


@dataclass(frozen=True)
class Checkpoints(Group):
    """What is kept, and how a run is resumed."""

    group = "Output"
    output: FolderName | None = option(None, "-o", help="The model directory to write.")
    save_dtype: Literal["float32", "bfloat16"] = option(
        "float32", help="Type of the saved weights."
    )
    checkpoint_every: Steps = option(
        500, help="Steps between checkpoints; 0: only when interrupted."
    )
    keep: Positive = option(2, help="Checkpoints to keep.")
    resume: bool = option(
        False, help="Continue from the newest complete checkpoint; print a finished run's report."
    )
    force: bool = option(False, help="Overwrite an existing model.")
    cache: FolderName | None = option(
        help="Keep tokenized data here, to be used by other runs on the same data too (default: in "
        "the model directory)."
    )


@dataclass(frozen=True)
class Validation(Group):
    """What is measured and shown during training."""

    group = "Validation"
    valid: list[LabelledPath] | None = option(
        help="Perplexity of these records during training and at the end; repeatable."
    )
    valid_every: Steps = option(0, help="Steps between validations; 0: only at the end.")
    patience: Natural = option(
        0, help="Stop after N validations without a better loss, and keep the best weights."
    )
    tensorboard: FolderName | None = option(help="Write curves for TensorBoard.")
    wandb: str | None = option(metavar="PROJECT", help="Send curves to Weights & Biases.")

    def check(self) -> None:
        super().check()
        if self.patience and not (self.valid and self.valid_every):
            raise UsageError("--patience needs --valid and --valid-every")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(
    BadRecords,
    TextField,
    Conversations,
    Optimizer,
    Adapters,
    Checkpoints,
    Validation,
    Report,
    Picture,
    Seed,
    Jobs,
):
    """The options of both tools."""

    group = "Training"
    dry_run: bool = option(
        False, help="Print the plan (parameters, tokens, steps, memory, time) and exit."
    )

    def check(self) -> None:
        super().check()
        if self.output is None and not self.dry_run:
            raise UsageError("name the model directory to make: it needs -o DIR (or --dry-run)")
        if self.plot is not None and self.dry_run:
            raise UsageError("--plot draws a run that was made: it does not go with --dry-run")

    def document_format(
        self,
        kind: Literal["text", "conversation", "answered", "pair"],
        shape: ShapeName | None = None,
    ) -> DocumentFormat:
        """What records are read as."""
        from synthtools.training.documents import DocumentFormat, Fields

        fields = Fields(self.messages_field, self.prompt_field, self.response_field)
        return DocumentFormat(kind, self.text_field, fields, shape)

    def settings(self, learning_rate: float, **more: Any) -> Settings:
        """The options as the loop takes them; ``steps`` is left open. ``learning_rate``: unless the user named
        one."""
        from synthtools.training.plan import Settings

        return Settings(
            steps=0,
            rows=self.batch,
            micro_rows=self.micro_rows(),
            learning_rate=learning_rate if self.lr is None else self.lr,
            schedule=self.schedule,
            warmup=self.warmup,
            decay=self.decay,
            floor=self.lr_floor,
            weight_decay=self.weight_decay,
            beta2=self.beta2,
            clip=self.clip,
            outlier=self.skip_outliers,
            bfloat16=self.dtype == "bfloat16",
            compile=self.compile,
            recompute=self.activation_checkpointing,
            checkpoint_every=self.checkpoint_every,
            keep=self.keep,
            valid_every=self.valid_every,
            patience=self.patience,
            optimizer=self.optimizer,
            **more,
        )
