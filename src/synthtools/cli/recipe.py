"""The options of tools that train a model, and how they become the trainer's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from synthtools.cli import quantities
from synthtools.cli.parameters import option
from synthtools.errors import UsageError

if TYPE_CHECKING:
    from synthtools.training.plan import Lora, Settings


@dataclass(frozen=True)
class Recipe:
    """How the weights are moved."""

    batch: Annotated[
        int, option("--batch", metavar="ROWS", min=1, help="Rows of an optimizer step.")
    ] = 8
    micro_batch: Annotated[
        int | None,
        option(
            "--micro-batch",
            metavar="ROWS",
            min=1,
            help="Rows of one pass of one process (default: all of its rows); gradients add up.",
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        option(
            "--lr",
            metavar="RATE",
            min=0.0,
            help="Peak learning rate of AdamW (default: the architecture's, 5e-5 for a model that "
            "is continued).",
        ),
    ] = None
    schedule: Annotated[
        str,
        option(
            "--schedule", metavar="cosine|wsd|linear|constant", help="How the learning rate goes."
        ),
    ] = "wsd"
    warmup: Annotated[
        str,
        option("--warmup", metavar="STEPS|SHARE", help="Warm-up: 200 steps, or 3% of all; 0: 2 %."),
    ] = "0"
    decay: Annotated[
        str,
        option(
            "--decay",
            metavar="STEPS|SHARE",
            help="The fall at the end of wsd: 400 steps, or 10% of all; 0: 20 %.",
        ),
    ] = "0"
    floor: Annotated[
        float,
        option(
            "--lr-floor",
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="Where cosine ends, as a share of the peak.",
        ),
    ] = 0.1
    weight_decay: Annotated[
        float,
        option(
            "--weight-decay",
            metavar="W",
            min=0.0,
            help="Weight decay, decoupled, on matrices only.",
        ),
    ] = 0.1
    beta2: Annotated[
        float, option("--beta2", metavar="B", min=0.0, max=1.0, help="Second moment of AdamW.")
    ] = 0.95
    clip: Annotated[
        float, option("--clip", metavar="NORM", min=0.0, help="Largest gradient norm; 0: none.")
    ] = 1.0
    skip_outliers: Annotated[
        float,
        option(
            "--skip-outliers",
            metavar="SIGMA",
            min=0.0,
            help="Skip a step whose loss or gradient norm lies this many standard deviations above "
            "the last 128; 0: never. Steps that are not finite are always skipped. All are counted.",
        ),
    ] = 6.0


@dataclass(frozen=True)
class Compute:
    """On what it runs, and how."""

    dtype: Annotated[
        str,
        option(
            "--dtype",
            metavar="float32|bfloat16",
            help="Type of the computation; weights and moments stay in float32.",
        ),
    ] = "float32"
    compile_model: Annotated[
        bool,
        option("--compile", help="Compile the layers first (slower start, faster steps)."),
    ] = False
    recompute: Annotated[
        bool,
        option(
            "--activation-checkpointing",
            help="Keep only each layer's input and compute the rest again: less memory, a third "
            "more work.",
        ),
    ] = False
    device: Annotated[
        str, option("--device", metavar="auto|cpu|cuda", help="Where to train; also cuda:1, …")
    ] = "auto"


@dataclass(frozen=True)
class Adapters:
    """Low-rank adapters instead of all weights."""

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
        option("--lora-dropout", metavar="P", min=0.0, max=1.0, help="Dropout before adapters."),
    ] = 0.0
    lora_targets: Annotated[
        str | None,
        option(
            "--lora-targets",
            metavar="NAME,…",
            help="Layers that get adapters (default: all linear ones but the output layer).",
        ),
    ] = None
    merge: Annotated[bool, option("--merge", help="Save one model: weights plus adapters.")] = False

    def lora(self) -> Lora | None:
        """The options as the trainer takes them.

        Raises:
            UsageError: options of adapters without --lora-rank.
        """
        from synthtools.training.plan import Lora

        if self.lora_rank is None:
            if self.merge or self.lora_targets or self.lora_alpha is not None or self.lora_dropout:
                raise UsageError("--merge and --lora-… need --lora-rank")
            return None
        targets = tuple(t.strip() for t in (self.lora_targets or "").split(",") if t.strip())
        alpha = 2.0 * self.lora_rank if self.lora_alpha is None else self.lora_alpha
        return Lora(self.lora_rank, alpha, self.lora_dropout, targets, self.merge)


@dataclass(frozen=True)
class Conversations:
    """Where conversations stand in records."""

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
class Keeping:
    """What is kept, and how a run goes on."""

    checkpoint_every: Annotated[
        int,
        option(
            "--checkpoint-every",
            metavar="STEPS",
            min=0,
            help="Steps between checkpoints; 0: only when stopped.",
        ),
    ] = 500
    keep: Annotated[int, option("--keep", metavar="N", min=1, help="Checkpoints that stay.")] = 2
    resume: Annotated[
        bool,
        option(
            "--resume",
            help="Go on from the newest whole checkpoint; tell the report of a run that had ended.",
        ),
    ] = False
    force: Annotated[bool, option("--force", help="Replace a model that is there.")] = False
    save_dtype: Annotated[
        str, option("--save-dtype", metavar="float32|bfloat16", help="Type of the saved weights.")
    ] = "float32"
    cache: Annotated[
        str | None,
        option(
            "--cache",
            metavar="DIR",
            help="Keep tokens here, for other runs on the same data too (default: in the model "
            "directory).",
        ),
    ] = None


@dataclass(frozen=True)
class Watching:
    """What is shown while it runs."""

    valid: Annotated[
        list[str] | None,
        option(
            "--valid",
            metavar="NAME=PATH",
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
        str | None, option("--tensorboard", metavar="DIR", help="Write curves for TensorBoard.")
    ] = None
    wandb: Annotated[
        str | None,
        option("--wandb", metavar="PROJECT", help="Send curves to Weights & Biases."),
    ] = None
    dry_run: Annotated[
        bool,
        option(
            "--dry-run",
            help="Print the plan (parameters, tokens, steps, memory, time) and end.",
        ),
    ] = False
    json_output: Annotated[
        bool, option("--json", help="Print the report as JSON at a terminal too.")
    ] = False


def checked(recipe: Recipe, compute: Compute, keeping: Keeping, watching: Watching) -> None:
    """Refuses what no trainer can do.

    Raises:
        UsageError: an option's value is unknown, or options do not go together.
    """
    from synthtools.training.schedule import SCHEDULES

    for name, value in (("--dtype", compute.dtype), ("--save-dtype", keeping.save_dtype)):
        if value not in ("float32", "bfloat16"):
            raise UsageError(f"{name} {value}: use float32 or bfloat16")
    if recipe.schedule not in SCHEDULES:
        raise UsageError(f"--schedule {recipe.schedule}: use one of {', '.join(SCHEDULES)}")
    if watching.patience and not (watching.valid and watching.valid_every):
        raise UsageError("--patience needs --valid and --valid-every")


def settings(
    recipe: Recipe,
    compute: Compute,
    keeping: Keeping,
    watching: Watching,
    *,
    learning_rate: float,
    ranks: int,
) -> Settings:
    """The options as the loop takes them; ``steps`` is left open.

    Args:
        learning_rate: unless the user named one.
        ranks: processes that share a step's rows.

    Raises:
        UsageError: rows cannot be divided.
    """
    from synthtools.training.plan import Settings

    if recipe.batch % ranks:
        raise UsageError(f"--batch {recipe.batch} cannot be divided among {ranks} processes")
    mine = recipe.batch // ranks
    micro = min(recipe.micro_batch or mine, mine)
    if mine % micro:
        raise UsageError(
            f"--batch {recipe.batch} is no multiple of {'' if ranks == 1 else f'{ranks} times '}"
            f"--micro-batch {micro}"
        )
    return Settings(
        steps=0,
        rows=recipe.batch,
        micro_rows=micro,
        learning_rate=learning_rate if recipe.learning_rate is None else recipe.learning_rate,
        schedule=recipe.schedule,
        warmup=_span(recipe.warmup, "--warmup"),
        decay=_span(recipe.decay, "--decay"),
        floor=recipe.floor,
        weight_decay=recipe.weight_decay,
        beta2=recipe.beta2,
        clip=recipe.clip,
        outlier=recipe.skip_outliers,
        bfloat16=compute.dtype == "bfloat16",
        compile=compute.compile_model,
        recompute=compute.recompute,
        checkpoint_every=keeping.checkpoint_every,
        keep=keeping.keep,
        valid_every=watching.valid_every,
        patience=watching.patience,
    )


def _span(text: str, name: str) -> float:
    """Steps (a whole number) or a share of all (below 1): ``200``, ``3%``, ``0.03``."""
    if text.strip() == "0":
        return 0
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if 0 < share < 1:
        return share
    if text.endswith("%") or share < 0:
        raise UsageError(f"{name} {text}: give steps (200) or a share of all (3%)")
    return quantities.count(text, name)
