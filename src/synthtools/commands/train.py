"""``synth train``: a language model from records."""

from __future__ import annotations

from typing import Annotated

from synthtools.console.options import Jobs, Reading, Seed, Text, option


def train(
    reading: Reading,
    text: Text,
    seed: Seed,
    jobs: Jobs,
    output: Annotated[
        str | None,
        option("--output", "-o", metavar="DIR", help="The model directory to make."),
    ] = None,
    arch: Annotated[
        str,
        option(
            "--arch",
            metavar="llama-tiny|gpt2-tiny|gpt-neox-tiny|llama-prior",
            help="Architecture and size of the new model.",
        ),
    ] = "llama-tiny",
    train_tokenizer: Annotated[
        str | None,
        option(
            "--train-tokenizer",
            metavar="SIZE",
            help="Train a byte-level BPE tokenizer of SIZE tokens from the data.",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, option("--tokenizer", metavar="MODEL", help="Use this model's tokenizer.")
    ] = None,
    context: Annotated[
        int, option("--context", metavar="TOKENS", min=2, help="Tokens of a row.")
    ] = 512,
    tokens: Annotated[
        str | None,
        option("--tokens", metavar="N", help="Train on N tokens (300K, 8.4B); else --epochs."),
    ] = None,
    epochs: Annotated[
        float, option("--epochs", metavar="N", min=0.0, help="Passes over the data.")
    ] = 1.0,
    batch: Annotated[
        int, option("--batch", metavar="ROWS", min=1, help="Rows of an optimizer step.")
    ] = 8,
    micro_batch: Annotated[
        int | None,
        option("--micro-batch", metavar="ROWS", min=1, help="Rows of one pass (default: all)."),
    ] = None,
    learning_rate: Annotated[
        float, option("--lr", metavar="RATE", min=0.0, help="Peak learning rate of AdamW.")
    ] = 2e-3,
    schedule: Annotated[
        str,
        option(
            "--schedule", metavar="cosine|wsd|linear|constant", help="How the learning rate goes."
        ),
    ] = "wsd",
    warmup: Annotated[
        int, option("--warmup", metavar="STEPS", min=0, help="Steps of warm-up; 0: 2 % of all.")
    ] = 0,
    decay: Annotated[
        int,
        option(
            "--decay", metavar="STEPS", min=0, help="Steps of the fall at the end of wsd; 0: 20 %."
        ),
    ] = 0,
    weight_decay: Annotated[
        float,
        option(
            "--weight-decay",
            metavar="W",
            min=0.0,
            help="Weight decay, decoupled, on matrices only.",
        ),
    ] = 0.1,
    clip: Annotated[
        float, option("--clip", metavar="NORM", min=0.0, help="Largest gradient norm; 0: none.")
    ] = 1.0,
    dtype: Annotated[
        str, option("--dtype", metavar="float32|bfloat16", help="Type of the computation.")
    ] = "float32",
    save_dtype: Annotated[
        str, option("--save-dtype", metavar="float32|bfloat16", help="Type of the saved weights.")
    ] = "float32",
    compile_model: Annotated[
        bool, option("--compile", help="Compile the model first (slower start, faster steps).")
    ] = False,
    checkpoint_every: Annotated[
        int,
        option(
            "--checkpoint-every",
            metavar="STEPS",
            min=0,
            help="Steps between checkpoints; 0: only when stopped.",
        ),
    ] = 500,
    device: Annotated[
        str, option("--device", metavar="auto|cpu|cuda", help="Where to train; also cuda:1, …")
    ] = "auto",
    resume: Annotated[
        bool, option("--resume", help="Go on from the newest checkpoint in the directory.")
    ] = False,
    force: Annotated[bool, option("--force", help="Replace a model that is there.")] = False,
    json_output: Annotated[
        bool, option("--json", help="Print the report as JSON at a terminal too.")
    ] = False,
) -> None:
    """Train a language model from scratch on the text of records.

    Documents are packed into rows and kept apart; the first token of each is not predicted. AdamW,
    float32 master weights. Ctrl-C or SIGTERM saves a checkpoint; --resume goes on from it and ends
    with the same weights as a run that was not disturbed. The result is a Hugging Face directory
    (safetensors, tokenizer, card) that every tool takes as --model DIR.

    \b
    Examples:
      synth train human/ --arch llama-tiny --train-tokenizer 2048 --context 256 \\
          --tokens 300K -o base/
      synth ppl held-out.jsonl --model base/ --summary

    Memory: the model four times over (weights, gradients, two moments), the activations of one
    micro-batch, 16 bytes a document; token ids are mapped from disk.
    """
    from synthtools.console.training import run_training

    run_training(
        reading,
        text,
        seed.seed,
        jobs.jobs,
        output=output,
        architecture=arch,
        vocabulary=train_tokenizer,
        tokenizer=tokenizer,
        context=context,
        tokens=tokens,
        epochs=epochs,
        rows=batch,
        micro_rows=micro_batch or batch,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        decay=decay,
        weight_decay=weight_decay,
        clip=clip,
        dtype=dtype,
        save_dtype=save_dtype,
        compile_model=compile_model,
        checkpoint_every=checkpoint_every,
        device=device,
        resume=resume,
        force=force,
        json_output=json_output,
    )
