"""Options that ``synth train`` and ``synth unlearn`` share, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from synthtools.cli import quantities
from synthtools.cli.options import BadRecords, Group, Jobs, Picture, Report, Seed, TextField
from synthtools.cli.parameters import option
from synthtools.cli.quantities import NamedPath
from synthtools.environment import rank_and_size
from synthtools.errors import UsageError

if TYPE_CHECKING:
    from synthtools.training.plan import Lora, Settings


@dataclass(frozen=True)
class Conversations(Group):
    """Where conversations are in records."""

    group = "Input"
    messages_field: Annotated[
        str, option("--messages-field", metavar="FIELD", help="Field of a conversation's messages.")
    ] = "messages"
    prompt_field: Annotated[
        str, option("--prompt-field", metavar="FIELD", help="Field of a prompt.")
    ] = "prompt"
    response_field: Annotated[
        str, option("--response-field", metavar="FIELD", help="Field of the answer to it.")
    ] = "response"


@dataclass(frozen=True)
class Optimizer(Group):
    """How the weights are optimized."""

    group = "Training"
    batch: Annotated[
        int, option("--batch", metavar="ROWS", min=1, help="Rows per optimizer step.")
    ] = 8
    micro_batch: Annotated[
        int | None,
        option(
            "--micro-batch",
            metavar="ROWS",
            min=1,
            help="Rows per forward pass of a process (default: all its rows); gradients add up.",
        ),
    ] = None
    lr: Annotated[
        float | None,
        option(
            "--lr",
            metavar="RATE",
            min=0,
            help="Peak learning rate of AdamW (default: the architecture's; 5e-5 for a model whose "
            "training is continued).",
        ),
    ] = None
    schedule: Annotated[
        Literal["cosine", "wsd", "linear", "constant"],
        option("--schedule", help="Learning-rate schedule."),
    ] = "wsd"
    warmup: Annotated[
        float,
        option(
            "--warmup",
            metavar="STEPS|SHARE",
            parse=quantities.span,
            min=0,
            help="Warm-up, in steps (200) or as a share of all (3%); 0: 2 %.",
        ),
    ] = 0
    decay: Annotated[
        float,
        option(
            "--decay",
            metavar="STEPS|SHARE",
            parse=quantities.span,
            min=0,
            help="Decay at the end of wsd, in steps (400) or as a share of all (10%); 0: 20 %.",
        ),
    ] = 0
    lr_floor: Annotated[
        float,
        option(
            "--lr-floor",
            metavar="SHARE",
            min=0,
            max=1,
            help="Where cosine ends, as a share of the peak.",
        ),
    ] = 0.1
    weight_decay: Annotated[
        float,
        option(
            "--weight-decay", metavar="W", min=0, help="Weight decay, decoupled, on matrices only."
        ),
    ] = 0.1
    beta2: Annotated[
        float, option("--beta2", metavar="B", min=0, max=1, help="Second moment of AdamW.")
    ] = 0.95
    clip: Annotated[
        float,
        option("--clip", metavar="NORM", min=0, help="Maximum gradient norm; 0: none."),
    ] = 1.0
    skip_outliers: Annotated[
        float,
        option(
            "--skip-outliers",
            metavar="SIGMA",
            min=0,
            help="Skip a step whose loss or gradient norm is this many standard deviations above "
            "the last 128; 0: never. Steps with non-finite numbers are always skipped. "
            "Skipped steps are counted.",
        ),
    ] = 6.0
    dtype: Annotated[
        Literal["float32", "bfloat16"],
        option("--dtype", help="Type of the computation; weights and moments stay in float32."),
    ] = "float32"
    compile: Annotated[
        bool,
        option("--compile", help="Compile the layers first (slower start, faster steps)."),
    ] = False
    activation_checkpointing: Annotated[
        bool,
        option(
            "--activation-checkpointing",
            help="Keep only each layer's input and recompute the rest: less memory, a third more "
            "computation.",
        ),
    ] = False
    device: Annotated[
        str, option("--device", metavar="auto|cpu|cuda", help="Where to train; also cuda:1, …")
    ] = "auto"

    def micro_rows(self) -> int:
        """Rows of one pass of one process.

        Raises:
            UsageError: the rows cannot be divided.
        """
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
    lora_rank: Annotated[
        int | None,
        option("--lora-rank", metavar="R", min=1, help="Train LoRA adapters of this rank (peft)."),
    ] = None
    lora_alpha: Annotated[
        float | None,
        option(
            "--lora-alpha", metavar="A", help="Scale of the adapters (default: twice the rank)."
        ),
    ] = None
    lora_dropout: Annotated[
        float,
        option("--lora-dropout", metavar="P", min=0, max=1, help="Dropout before adapters."),
    ] = 0.0
    lora_targets: Annotated[
        list[str] | None,
        option(
            "--lora-targets",
            metavar="NAME,…",
            commas=True,
            help="Layers that get adapters (default: all linear layers but the output layer).",
        ),
    ] = None
    merge: Annotated[bool, option("--merge", help="Save one model: weights plus adapters.")] = False

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
    output: Annotated[
        str | None, option("--output", "-o", metavar="DIR", help="The model directory to write.")
    ] = None
    save_dtype: Annotated[
        Literal["float32", "bfloat16"],
        option("--save-dtype", help="Type of the saved weights."),
    ] = "float32"
    checkpoint_every: Annotated[
        int,
        option(
            "--checkpoint-every",
            metavar="STEPS",
            min=0,
            help="Steps between checkpoints; 0: only when interrupted.",
        ),
    ] = 500
    keep: Annotated[int, option("--keep", metavar="N", min=1, help="Checkpoints to keep.")] = 2
    resume: Annotated[
        bool,
        option(
            "--resume",
            help="Continue from the newest complete checkpoint; print a finished run's report.",
        ),
    ] = False
    force: Annotated[bool, option("--force", help="Overwrite an existing model.")] = False
    cache: Annotated[
        str | None,
        option(
            "--cache",
            metavar="DIR",
            help="Keep tokenized data here, to be used by other runs on the same data too "
            "(default: in the model directory).",
        ),
    ] = None


@dataclass(frozen=True)
class Validation(Group):
    """What is measured and shown during training."""

    group = "Validation"
    valid: Annotated[
        list[NamedPath] | None,
        option(
            "--valid",
            metavar="NAME=PATH",
            parse=quantities.named_path,
            help="Perplexity of these records during training and at the end; repeatable.",
        ),
    ] = None
    valid_every: Annotated[
        int,
        option("--valid-every", metavar="STEPS", min=0, help="Steps between; 0: at the end only."),
    ] = 0
    patience: Annotated[
        int,
        option(
            "--patience",
            metavar="N",
            min=0,
            help="Stop after N validations without a better loss, and keep the best weights.",
        ),
    ] = 0
    tensorboard: Annotated[
        str | None,
        option("--tensorboard", metavar="DIR", help="Write curves for TensorBoard."),
    ] = None
    wandb: Annotated[
        str | None,
        option("--wandb", metavar="PROJECT", help="Send curves to Weights & Biases."),
    ] = None

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
    dry_run: Annotated[
        bool,
        option(
            "--dry-run",
            help="Print the plan (parameters, tokens, steps, memory, time) and exit.",
        ),
    ] = False

    def check(self) -> None:
        super().check()
        if self.output is None and not self.dry_run:
            raise UsageError("name the model directory to make: it needs -o DIR (or --dry-run)")
        if self.plot is not None and self.dry_run:
            raise UsageError("--plot draws a run that was made: it does not go with --dry-run")

    def settings(self, learning_rate: float, **more: Any) -> Settings:
        """The options as the loop takes them; ``steps`` is left open.

        Args:
            learning_rate: unless the user named one.
        """
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
            **more,
        )
