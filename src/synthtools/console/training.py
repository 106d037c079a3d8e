"""A run of ``synth train`` at a terminal: checks, the line of each step, signals, the report."""

from __future__ import annotations

import itertools
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from synthtools.console import quantities, reports, terminal
from synthtools.console.options import Reading, Text
from synthtools.console.run import Run
from synthtools.errors import OutputExistsError, UsageError

# What a resumed run may choose anew: none of it changes the weights.
_FREE = frozenset(
    (
        *("output", "resume", "force", "quiet", "json_output"),
        *("checkpoint_every", "jobs", "device", "on_error", "rejects"),
    )
)


def run_training(
    reading: Reading,
    text: Text,
    seed: int,
    jobs: int | None,
    *,
    output: str | None,
    architecture: str,
    vocabulary: str | None,
    tokenizer: str | None,
    context: int,
    tokens: str | None,
    epochs: float,
    rows: int,
    micro_rows: int,
    learning_rate: float,
    schedule: str,
    warmup: int,
    decay: int,
    weight_decay: float,
    clip: float,
    dtype: str,
    save_dtype: str,
    compile_model: bool,
    checkpoint_every: int,
    device: str,
    resume: bool,
    force: bool,
    json_output: bool,
) -> None:
    """Trains from the records and saves a model directory; see ``synth train --help``."""
    from synthtools.training.schedule import SCHEDULES

    if output is None:
        raise UsageError("train needs -o DIR for the model")
    if (vocabulary is None) == (tokenizer is None):
        raise UsageError("give one of --train-tokenizer SIZE and --tokenizer MODEL")
    for name, value in (("--dtype", dtype), ("--save-dtype", save_dtype)):
        if value not in ("float32", "bfloat16"):
            raise UsageError(f"{name} {value}: use float32 or bfloat16")
    if schedule not in SCHEDULES:
        raise UsageError(f"--schedule {schedule}: use one of {', '.join(SCHEDULES)}")
    if rows % micro_rows:
        raise UsageError(f"--batch {rows} is no multiple of --micro-batch {micro_rows}")
    if not reading.files or "-" in reading.files:
        raise UsageError("train reads its data more than once: name files, not stdin")
    folder = Path(output)
    _prepare(folder, resume, force)

    with Run("train", reading, text_field=text.text_field) as run:
        import torch

        from synthtools.lm.devices import choose
        from synthtools.lm.loading import load_tokenizer
        from synthtools.training.loop import Settings, Step
        from synthtools.training.pretrain import Plan, pretrain

        if jobs:
            torch.set_num_threads(jobs)
        stop = _StopOnSignal()
        plan = Plan(
            architecture,
            tokenizer,
            None if vocabulary is None else quantities.count(vocabulary, "--train-tokenizer"),
            context,
            None if tokens is None else quantities.count(tokens, "--tokens"),
            epochs,
            seed,
            save_dtype,
        )
        settings = Settings(
            steps=0,
            rows=rows,
            micro_rows=micro_rows,
            learning_rate=learning_rate,
            schedule=schedule,
            warmup=warmup,
            decay=decay,
            weight_decay=weight_decay,
            clip=clip,
            bfloat16=dtype == "bfloat16",
            compile=compile_model,
            checkpoint_every=checkpoint_every,
        )

        passes = itertools.count()  # the data is read twice where a tokenizer is trained

        def texts() -> Iterator[list[str]]:
            for batch in run.batches(again=next(passes) > 0):
                yield batch.column(text.text_field)

        lines = _StepLines(reading.quiet)

        def on_step(step: Step, steps: int) -> None:
            lines.show(step, steps)
            run.units["tokens"] = step.tokens

        with stop:
            outcome = pretrain(
                texts,
                plan,
                settings,
                folder,
                job=_job(run),
                load_tokenizer=load_tokenizer,
                tell=(lambda _: None) if reading.quiet else terminal.remark,
                on_step=on_step,
                stop=stop.asked,
                device=choose(device),
            )
        if outcome.done < outcome.steps:
            terminal.remark(
                f"stopped after step {outcome.done:,} of {outcome.steps:,}; --resume goes on"
            )
            raise KeyboardInterrupt
        run.count(outcome.corpus_documents)
        report = run.finish(
            {
                "model": output,
                "parameters": outcome.parameters,
                "documents": outcome.corpus_documents,
                "corpus_tokens": outcome.corpus_tokens,
                "steps": outcome.steps,
                "final_loss": outcome.final_loss,
            }
        )
    names = ("model", "parameters", "documents", "corpus_tokens", "steps", "final_loss")
    rows_shown = [(name.replace("_", " "), _shown(report[name])) for name in names]
    reports.show(report, json_output, reports.table(rows_shown))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else reports.number(value)


def _prepare(folder: Path, resume: bool, force: bool) -> None:
    from synthtools.training.pretrain import WORK

    weights = folder / "model.safetensors"
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder}: is a file; name a directory")
    if force:
        shutil.rmtree(folder / WORK, ignore_errors=True)
        weights.unlink(missing_ok=True)
    elif weights.exists():
        raise OutputExistsError(f"{folder}: holds a model already; --force replaces it")
    elif (folder / WORK).exists() and not resume:
        raise OutputExistsError(
            f"{folder}: holds an unfinished run; --resume goes on with it, --force begins anew"
        )


def _job(run: Run) -> dict[str, Any]:
    job = run.job()
    job["arguments"] = {k: v for k, v in run.arguments.items() if k not in _FREE}
    return job


class _StopOnSignal:
    """The first SIGINT or SIGTERM asks the loop to stop; a second one leaves at once."""

    def __init__(self) -> None:
        self._asked = False

    def asked(self) -> bool:
        return self._asked

    def __enter__(self) -> None:
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
        }

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True


class _StepLines:
    """One line a step: rewritten in place at a terminal, every tenth second elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._next = 0.0
        self._before: int | None = None

    def show(self, step: Any, steps: int) -> None:
        if self._before is None:
            self._before = step.step - 1
        last = step.step == steps
        now = time.monotonic()
        if self._quiet or (now < self._next and not last):
            return
        self._next = now + (0.2 if self._terminal else 10.0)
        rate = step.tokens / max(step.seconds, 1e-9)
        # A resumed run begins at a later step: only the steps of this process tell its speed.
        left = step.seconds / (step.step - self._before) * (steps - step.step)
        line = (
            f"step {step.step:,}/{steps:,}  loss {step.loss:.4f}  lr {step.learning_rate:.2e}  "
            f"norm {step.gradient_norm:.2f}  {rate:,.0f} tokens/s  {left / 60:.1f} min left"
        )
        end = "\n" if last or not self._terminal else ""
        start = "\r" if self._terminal else ""
        print(start + line, end=end, file=sys.stderr, flush=True)
