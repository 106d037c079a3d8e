"""A whole run from scratch: tokenizer, corpus, model, loop, model directory and card."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from synthtools import __version__
from synthtools.errors import SynthError, UsageError
from synthtools.training.architectures import configuration
from synthtools.training.corpus import tokenise
from synthtools.training.loop import Settings, Step, train
from synthtools.training.objectives import CROSS_ENTROPY
from synthtools.training.packing import Packing
from synthtools.training.tokenizer import train_tokenizer

WORK = "training"  # inside the model directory: tokens, checkpoints, log


@dataclass(frozen=True)
class Plan:
    """What is trained, on how much.

    Attributes:
        architecture: a preset's name.
        tokenizer: a model whose tokenizer is used, or None to train one of ``vocabulary`` tokens.
        context: tokens of a row.
        tokens: budget; None for ``epochs`` passes over the data.
        seed: of the initial weights and the order of the data.
        save_dtype: of the saved weights, ``float32`` or ``bfloat16``.
    """

    architecture: str
    tokenizer: str | None
    vocabulary: int | None
    context: int
    tokens: int | None
    epochs: float
    seed: int
    save_dtype: str = "float32"


@dataclass(frozen=True)
class Outcome:
    """What came out: sizes, steps done, the loss of the last steps (nats per token)."""

    parameters: int
    corpus_documents: int
    corpus_tokens: int
    corpus_bytes: int
    steps: int
    done: int
    final_loss: float | None


def pretrain(
    texts: Callable[[], Iterable[list[str]]],
    plan: Plan,
    settings: Settings,
    output: Path,
    *,
    job: dict[str, Any],
    load_tokenizer: Callable[[str], Any],
    tell: Callable[[str], None],
    on_step: Callable[[Step, int], None],
    stop: Callable[[], bool],
    device: str,
) -> Outcome:
    """Trains a model from scratch and saves it as a Hugging Face directory.

    Args:
        texts: gives the documents, in lists; called once or twice.
        settings: ``steps`` 0 means: from the plan's tokens or epochs.
        output: the directory; ``training/`` inside it holds what is needed to resume.
        job: what defines the run.
        tell: given remarks for the user; on_step: given each step and the number of steps.
        stop: asked after every step.

    Raises:
        UsageError: the budget or the batch does not fit.
        SynthError: too little data, or the directory cannot be written.
    """
    work = output / WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SynthError(f"{output}: cannot be made: {error.strerror}") from error
    tokenizer = _tokenizer(texts, plan, work, load_tokenizer, tell)
    corpus = tokenise(texts(), tokenizer, work / "tokens.bin")
    documents = len(corpus.starts) - 1
    tell(f"{documents:,} documents, {len(corpus.tokens):,} tokens")
    try:
        packing = Packing(corpus.tokens, corpus.starts, plan.context, plan.seed)
    except ValueError as error:
        raise SynthError(f"{error}; give more text or a smaller --context") from error
    budget = plan.tokens or int(plan.epochs * len(corpus.tokens))
    steps = max(1, budget // (settings.rows * plan.context))
    settings = replace(settings, steps=steps, **_spans(settings, steps))

    torch.manual_seed(plan.seed)
    from transformers import AutoModelForCausalLM

    config = configuration(
        plan.architecture,
        len(tokenizer),
        plan.context,
        tokenizer.bos_token_id,
        tokenizer.eos_token_id,
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").to(device)
    parameters = sum(p.numel() for p in model.parameters())
    tell(f"{parameters:,} parameters, {steps:,} steps of {settings.rows * plan.context:,} tokens")
    log = work / "log.jsonl"
    losses: list[float] = []

    def logged(step: Step) -> None:
        losses.append(step.loss)
        with open(log, "a") as file:
            file.write(json.dumps(step._asdict()) + "\n")
        on_step(step, steps)

    done = train(
        model,
        lambda step: packing.batch(step, settings.rows),
        CROSS_ENTROPY,
        settings,
        checkpoints=work / "checkpoints",
        job=job,
        on_step=logged,
        stop=stop,
    )
    last = losses[-50:]
    outcome = Outcome(
        parameters,
        documents,
        len(corpus.tokens),
        corpus.utf8_bytes,
        steps,
        done,
        sum(last) / len(last) if last else None,
    )
    if done == steps:
        _save(model, tokenizer, output, plan, settings, outcome, job)
    return outcome


def _spans(settings: Settings, steps: int) -> dict[str, int]:
    # Given as steps, or left at 0 for the usual shares.
    return {
        "warmup": settings.warmup or min(steps // 10, max(1, steps // 50)),
        "decay": settings.decay or steps // 5,
    }


def _tokenizer(
    texts: Callable[[], Iterable[list[str]]],
    plan: Plan,
    work: Path,
    load_tokenizer: Callable[[str], Any],
    tell: Callable[[str], None],
) -> Any:
    if plan.vocabulary is None:
        if plan.tokenizer is None:
            raise UsageError("name a tokenizer with --tokenizer, or train one: --train-tokenizer")
        return load_tokenizer(plan.tokenizer)
    kept = work / "tokenizer"
    if not kept.is_dir():
        tell(f"training a tokenizer of {plan.vocabulary:,} tokens")
        flat = (text for batch in texts() for text in batch)
        try:
            tokenizer = train_tokenizer(flat, plan.vocabulary, plan.context)
        except ValueError as error:
            raise UsageError(f"--train-tokenizer: {error}") from error
        partial = work / ".tokenizer.partial"
        shutil.rmtree(partial, ignore_errors=True)
        tokenizer.save_pretrained(partial)
        os.replace(partial, kept)
    return load_tokenizer(str(kept))


def _save(
    model: Any,
    tokenizer: Any,
    output: Path,
    plan: Plan,
    settings: Settings,
    outcome: Outcome,
    job: dict[str, Any],
) -> None:
    partial = output / WORK / ".model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    model.to(getattr(torch, plan.save_dtype)).save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    (partial / "README.md").write_text(_card(plan, settings, outcome, job))
    # The weights last: a directory with weights is a whole model.
    for file in sorted(partial.iterdir(), key=lambda f: f.suffix == ".safetensors"):
        os.replace(file, output / file.name)
    partial.rmdir()


def _card(plan: Plan, settings: Settings, outcome: Outcome, job: dict[str, Any]) -> str:
    inputs = "\n".join(f"- {i['name']} ({i['bytes']:,} bytes)" for i in job.get("inputs", []))
    details = json.dumps(
        {
            "synthtools": __version__,
            "torch": torch.__version__,
            "plan": asdict(plan),
            "settings": asdict(settings),
            "outcome": asdict(outcome),
        },
        indent=1,
    )
    return (
        f"# A {plan.architecture} model made by `synth train`\n\n"
        f"{outcome.parameters:,} parameters, trained from scratch for {outcome.steps:,} steps of "
        f"{settings.rows * plan.context:,} tokens. Final training loss "
        f"{outcome.final_loss:.4f} nats per token.\n\n"
        f"## Data\n\n{inputs}\n\n{outcome.corpus_documents:,} documents, "
        f"{outcome.corpus_tokens:,} tokens, {outcome.corpus_bytes:,} bytes of UTF-8.\n\n"
        f"## Everything else\n\n```json\n{details}\n```\n"
    )
