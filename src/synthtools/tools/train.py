"""Train a language model on records: from scratch, from another model, or on conversations.

Documents are packed into rows without attending to each other; the first token of each is not
predicted. Conversations (--sft) are never split; those longer than a row are truncated and
counted. AdamW or Muon, float32 master weights. Ctrl-C or SIGTERM saves a checkpoint; --resume continues
from the newest complete one and ends with the same weights as an uninterrupted run. Under torchrun
the parameters are sharded over all processes. The result is a Hugging Face directory (safetensors,
tokenizer, card) that every tool takes as --model DIR; its training/log.jsonl has one line per
step. Beside each perplexity of --valid the report has that of the unigram model of the training tokens
(valid_unigram): a model that is not below it has learned no more than the frequencies of tokens.

\b
Examples:
  synth train human/ --arch llama-tiny --train-tokenizer 2048 --context 256 \\
      --tokens 300K -o base/
  synth train human/=0.75 answers.jsonl=0.25 --from base/ --tokens 200K \\
      --valid wiki=held.jsonl -o continued/
  synth train chat.jsonl --sft --from base/ --lora-rank 8 -o tuned/
  torchrun --nproc-per-node 2 -m synthtools train human/ --arch gpt2-tiny \\
      --tokenizer builtin --tokens 300K -o two/

Memory: four times the model (weights, gradients, two moments; divided among the processes; with
adapters once), the activations of one micro-batch, 24 bytes per document and 10 per row; token ids
are mapped from disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli import quantities
from synthtools.cli.kinds import Context, Count, ModelId, Revision, SharedPath
from synthtools.cli.parameters import operand, option
from synthtools.cli.quantities import NamedNumber, PathShare
from synthtools.cli.terminal import remark
from synthtools.cli.training_run import (
    CONTINUED,
    Work,
    check_sources,
    source_name,
    training_run,
    with_context,
)
from synthtools.errors import UsageError
from synthtools.records.shapes import ShapeName, described
from synthtools.tools.training_options import TrainingOptions

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.records.batch import Batch
    from synthtools.training.parallel import Ranks
    from synthtools.training.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of ``synth train``."""

    files: list[SharedPath] | None = operand(
        help="Files or directories of records in any format. With shares (human/=0.75 "
        "synthetic.jsonl=0.25) each source supplies that share of the rows; without, all of every "
        "source is used."
    )
    arch: str | None = option(
        metavar="NAME|FILE",
        help="Architecture of a new model: llama-tiny (default), gpt2-tiny, gpt-neox-tiny, "
        "olmo-tiny, qwen3-tiny, llama-prior, gpt2, gpt2-medium, olmo-237m, olmo-1b, llama-2b, "
        "pythia-70m, pythia-160m, pythia-410m, pythia-1b, pythia-1.4b, pythia-2.8b, pythia-6.9b, "
        "pythia-12b; or a config.json.",
    )
    model: ModelId | None = option(
        None,
        "--from",
        help="Continue training this model instead: builtin, a directory or a Hub id.",
    )
    revision: Revision | None = option(help="Commit, tag or branch of a Hub model.")
    train_tokenizer: int | None = option(
        metavar="SIZE",
        parse=quantities.count,
        min=1,
        help="Train a byte-level BPE tokenizer of SIZE tokens from the data.",
    )
    tokenizer: ModelId | None = option(
        help="Use this model's tokenizer (default with --from: its own)."
    )
    context: Context | None = option(
        help="Tokens of a row (default: 512; with --from the model's own, at most 2048)."
    )
    tokens: Count | None = option(
        help="Train on N tokens (300K, 8.4B), that is as many rows of --context as they fill; else "
        "--epochs. Prompts and padding count; the report's tokens are the predicted ones."
    )
    epochs: float = option(
        1.0,
        metavar="N",
        min=0,
        help="Passes over the data; with shares, over the source that ends first.",
    )
    sft: bool = option(
        False,
        help="Records are conversations (messages, or prompt and response), rendered by the "
        "tokenizer's chat template; only answers are learned.",
    )
    shape: ShapeName | None = option(
        help="With --sft: the shape of all records. By default each record's fields tell it: "
        "--messages-field, --prompt-field and --response-field, else any of these shapes."
    )
    learn_all: bool = option(False, help="With --sft: learn the prompts too.")
    pack: bool = option(
        True,
        "--pack/--no-pack",
        help="Pack several documents into a row; without, one document per row.",
    )
    stream: bool = option(
        False,
        help="Tokenize beside the training, not before it; needs --tokens. Documents are shuffled "
        "within windows of the files' order, of 1M tokens at first and of 64M later, and a budget "
        "below the data takes their beginning: sorted files must be shuffled first.",
    )
    loss_weight: list[NamedNumber] | None = option(
        metavar="SOURCE=W",
        parse=quantities.named_number,
        help="Weight of a source's mean loss (by its file or directory name); repeatable. The "
        "other sources share the rest in proportion to their tokens.",
    )
    golden: str | None = option(
        metavar="SOURCE",
        help="Weight this source, the real text, by the golden-ratio rule: (√(k²+4k) − k)/2, k "
        "real to synthetic rows (arXiv 2502.18049).",
    )

    def check(self) -> None:
        super().check()
        if not self.files:
            raise UsageError("name the files or directories to train on")
        check_sources(self.sources)
        if self.model and self.arch:
            raise UsageError("--arch is for a new model, --from for one that exists: give one")
        if self.train_tokenizer and (self.tokenizer or self.model):
            raise UsageError("--train-tokenizer goes with neither --tokenizer nor --from")
        if not (self.model or self.train_tokenizer or self.tokenizer):
            raise UsageError("a new model needs --train-tokenizer SIZE or --tokenizer MODEL")
        if self.stream and (self.tokens is None or self.sft or not self.pack):
            raise UsageError("--stream needs --tokens, and goes with neither --sft nor --no-pack")
        if self.stream and len(self.sources) > 1 and self.sources[0].share is None:
            raise UsageError("--stream of several sources needs their shares (PATH=SHARE)")
        if self.learn_all and not self.sft:
            raise UsageError("--learn-all goes with --sft")
        if self.shape and not self.sft:
            raise UsageError("--shape goes with --sft")
        if self.sft and self.train_tokenizer:
            raise UsageError(
                "--sft trains no tokenizer: name one with --tokenizer, or a model with --from"
            )
        if self.lora_rank and not self.model:
            raise UsageError("--lora-rank adapts a model: name it with --from")
        self.weights()

    @property
    def sources(self) -> list[PathShare]:
        """Paths and shares; records of the calling program are a path that has no share."""
        return [
            one if isinstance(one, PathShare) else PathShare(one, None) for one in self.files or ()
        ]

    def weights(self) -> list[tuple[float | None, bool]]:
        """Loss weight of each source, and whether it is the golden one. Raises UsageError: a source is unknown,
        or the weights make no whole."""
        names = [source_name(path) for path, _ in self.sources]
        for name in names:
            if names.count(name) > 1 and (self.loss_weight or self.golden):
                raise UsageError(f"two sources are called {name}: rename one to give it a weight")
        weights: dict[str, float] = {}
        for name, weight in self.loss_weight or ():
            if not 0 <= weight <= 1:
                raise UsageError(f"--loss-weight {name}={weight:g}: give a weight from 0 to 1")
            weights[_known(name, names, "--loss-weight")] = weight
        if self.golden is not None:
            if weights:
                raise UsageError("--golden sets the weights: leave out --loss-weight")
            golden = _known(self.golden, names, "--golden")
            if len(names) < 2:
                raise UsageError("--golden needs a second source: the synthetic text")
            return [(None, name == golden) for name in names]
        total = sum(weights.values())
        if total > 1 + 1e-9 or (len(weights) == len(names) and total < 1 - 1e-6):
            raise UsageError(f"the loss weights sum to {total:g}, not to 1")
        return [(weights.get(name), False) for name in names]

    def plan(self) -> Plan:
        """The options as the trainer takes them; a context of 0 is the model's own."""
        from synthtools.training.plan import Plan, StartModel

        return Plan(
            StartModel(
                None if self.model else self.arch or "llama-tiny", self.model, self.revision
            ),
            self.lora(),
            self.tokenizer,
            self.train_tokenizer,
            self.context or (0 if self.model else 512),
            self.tokens,
            self.epochs,
            self.seed,
            self.sft,
            self.learn_all,
            self.pack,
            self.stream,
            self.save_dtype,
        )


def run(options: Options) -> dict[str, Any] | None:
    """Trains from the records and saves a model directory."""
    from synthtools.training.architectures import learning_rate

    usual = CONTINUED if options.model else learning_rate(options.arch or "llama-tiny")
    settings = options.settings(usual)
    kind: Literal["conversation", "text"] = "conversation" if options.sft else "text"
    form = options.document_format(kind, options.shape)
    recognized: set[str] = set()

    def check(first: Batch) -> None:
        form.documents(first)
        shape = form.recognized(first)
        if shape is not None and shape not in recognized and not options.quiet:
            recognized.add(shape)
            remark(f"read as {described(shape)} (else --shape or --messages-field)")

    def work(run: Run, ranks: Ranks) -> Work:
        from synthtools.records.inputs import find_shards
        from synthtools.training import dry_run
        from synthtools.training.documents import SourceReader
        from synthtools.training.journal import numbers
        from synthtools.training.train_run import run as train

        plan = with_context(options.plan())
        reader = SourceReader(form, run.rejects_of, hashed=not options.dry_run)
        sources = [
            reader.source(
                source_name(path), run.twice(find_shards([path]), files=True), share, *weight
            )
            for (path, share), weight in zip(options.sources, options.weights(), strict=True)
        ]
        valid = [reader.source(name, find_shards([path])) for name, path in options.valid or ()]
        _remark_validation_on_training_data(run)
        return Work(
            [*sources, *valid],
            lambda: dry_run.of_training(sources, plan, settings, ranks),
            lambda context: train(sources, valid, plan, settings, context),
            lambda outcome: {
                **numbers(outcome, options.output),
                "valid_unigram": outcome.valid_unigram,
            },
        )

    inputs = [path for path, _ in options.sources]
    return training_run("train", options, inputs, check, check, work)


def _known(name: str, names: list[str], flag: str) -> str:
    short = source_name(name) if name else name
    if short not in names:
        raise UsageError(f"{flag} {name}: no such source (sources: {', '.join(names)})")
    return short


def _remark_validation_on_training_data(run: Run) -> None:
    """Says which files are trained on and validated with: their loss says nothing of other text."""
    from synthtools.records.same_file import repeated, same_file_message

    trained = {id(shard) for shard in run.shards}
    for first, again in repeated([*run.shards, *run.shards_beside]):
        if id(first) in trained and not run.quiet:
            remark(f"{same_file_message(first, again)}: --valid measures text that is trained on")
