"""``synth train``: a language model from records."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.options import BadRecords, Inputs, Jobs, Picture, Seed, TextField
from synthtools.cli.parameters import operand, option
from synthtools.cli.recipe import Adapters, Compute, Conversations, Keeping, Recipe, Watching


def train(
    bad: BadRecords,
    text: TextField,
    conversations: Conversations,
    seed: Seed,
    jobs: Jobs,
    recipe: Recipe,
    compute: Compute,
    adapters: Adapters,
    keeping: Keeping,
    watching: Watching,
    plotting: Picture,
    files: Annotated[
        list[str] | None,
        operand(
            metavar="PATH[=SHARE]",
            help="Files or directories of records in any format. With shares (human/=0.75 "
            "synthetic.jsonl=0.25) each source gives that part of the rows; without, each gives "
            "all it has.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        option("--output", "-o", metavar="DIR", help="The model directory to make."),
    ] = None,
    arch: Annotated[
        str | None,
        option(
            "--arch",
            metavar="NAME|FILE",
            help="Architecture of a new model: llama-tiny (default), gpt2-tiny, gpt-neox-tiny, "
            "olmo-tiny, qwen3-tiny, llama-prior, gpt2, gpt2-medium, olmo-237m, olmo-1b, llama-2b, "
            "pythia-70m, pythia-160m, pythia-410m, pythia-1b, pythia-1.4b, pythia-2.8b, pythia-6.9b, "
            "pythia-12b; or a config.json.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        option(
            "--from",
            metavar="MODEL",
            help="Continue this model instead: builtin, a directory or a Hub id.",
        ),
    ] = None,
    revision: Annotated[
        str | None,
        option("--revision", metavar="REV", help="Commit, tag or branch of a Hub model."),
    ] = None,
    train_tokenizer: Annotated[
        str | None,
        option(
            "--train-tokenizer",
            metavar="SIZE",
            help="Train a byte-level BPE tokenizer of SIZE tokens from the data.",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        option(
            "--tokenizer",
            metavar="MODEL",
            help="Use this model's tokenizer (default with --from: its own).",
        ),
    ] = None,
    context: Annotated[
        int | None,
        option(
            "--context",
            metavar="TOKENS",
            min=2,
            help="Tokens of a row (default: 512; with --from the model's own, at most 2048).",
        ),
    ] = None,
    tokens: Annotated[
        str | None,
        option("--tokens", metavar="N", help="Train on N tokens (300K, 8.4B); else --epochs."),
    ] = None,
    epochs: Annotated[
        float,
        option(
            "--epochs",
            metavar="N",
            min=0.0,
            help="Passes over the data; with shares, over the source that ends first.",
        ),
    ] = 1.0,
    sft: Annotated[
        bool,
        option(
            "--sft",
            help="Records are conversations (messages, or prompt and response), written by the "
            "tokenizer's chat template; only answers are learned.",
        ),
    ] = False,
    learn_all: Annotated[
        bool, option("--learn-all", help="With --sft: learn the prompts too.")
    ] = False,
    pack: Annotated[
        bool,
        option("--pack/--no-pack", help="Let documents share a row; without, each row has one."),
    ] = True,
    loss_weight: Annotated[
        list[str] | None,
        option(
            "--loss-weight",
            metavar="SOURCE=W",
            help="Weight of a source's mean loss (by its file or directory name); repeatable. The "
            "other sources divide the rest by their tokens.",
        ),
    ] = None,
    golden: Annotated[
        str | None,
        option(
            "--golden",
            metavar="SOURCE",
            help="Weigh this source, the real text, by the golden-ratio rule: (√(k²+4k) − k)/2, k "
            "real to synthetic rows (arXiv 2502.18049).",
        ),
    ] = None,
    report: Annotated[
        str | None, option("--report", metavar="FILE", help="Write the report here as JSON too.")
    ] = None,
) -> None:
    """Train a language model on the text of records: new, continued, or on conversations.

    Documents are packed into rows and kept apart; the first token of each is not predicted.
    Conversations (--sft) are never divided; what is longer than a row is cut and counted. AdamW,
    float32 master weights. Ctrl-C or SIGTERM saves a checkpoint; --resume goes on from the newest
    whole one and ends with the same weights as a run that was not disturbed. Under torchrun the
    parameters are sharded over all processes. The result is a Hugging Face directory (safetensors,
    tokenizer, card) that every tool takes as --model DIR; training/log.jsonl in it has a line a
    step.

    \b
    Examples:
      synth train human/ --arch llama-tiny --train-tokenizer 2048 --context 256 \\
          --tokens 300K -o base/
      synth train human/=0.75 answers.jsonl=0.25 --from base/ --tokens 200K \\
          --valid wiki=held.jsonl -o continued/
      synth train chat.jsonl --sft --from base/ --lora-rank 8 -o tuned/
      torchrun --nproc-per-node 2 -m synthtools train human/ --arch gpt2-tiny \\
          --tokenizer builtin --tokens 300K -o two/

    Memory: the model four times over (weights, gradients, two moments; divided by the processes;
    with adapters once), the activations of one micro-batch, 24 bytes a document and 10 a row; token
    ids are mapped from disk.
    """
    from synthtools.cli.training import What, run_training

    run_training(
        Inputs(bad.on_error, bad.rejects, bad.quiet),
        text,
        conversations,
        seed.seed,
        jobs.jobs,
        What(
            tuple(files or ()),
            arch,
            model,
            revision,
            train_tokenizer,
            tokenizer,
            context,
            tokens,
            epochs,
            sft,
            learn_all,
            pack,
            tuple(loss_weight or ()),
            golden,
        ),
        recipe,
        compute,
        adapters,
        keeping,
        watching,
        output,
        report,
        plotting.plot,
    )
