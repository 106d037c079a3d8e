"""Progress of a training run: step lines, TensorBoard, Weights & Biases; signals."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from synthtools.cli import interrupts, terminal
from synthtools.cli.run import Run
from synthtools.errors import SynthError

if TYPE_CHECKING:
    from synthtools.training.parallel import Ranks
    from synthtools.training.plan import Callbacks, Settings, Sizes, Step

# Phases shorter than this, in seconds, are not shown.
_SOON = 1.0


@contextmanager
def watched(
    run: Run, options: Any, job: dict[str, Any], ranks: Ranks, check_folder: Callable[[], None]
) -> Iterator[Callbacks]:
    """Callbacks that show the progress of a training run, and stop it on signals.

    Args:
        options: with ``tensorboard`` and ``wandb``.
        job: the run's arguments and inputs.
        check_folder: raises SynthError if the run's folder is gone.
    """
    from synthtools.training import step_cost
    from synthtools.training.plan import Callbacks

    followers = curves(options.tensorboard, options.wandb, job) if ranks.first else []
    status = StatusLine(run.quiet)
    lines: list[StepLine] = []
    stop = StopOnSignal()

    def remark(words: str) -> None:
        status.close()
        if not run.quiet:
            terminal.remark(words)

    def on_sizes(sizes: Sizes, settings: Settings) -> None:
        remark(
            f"{sizes.parameters:,} parameters, {sizes.trained:,} of them trained; "
            f"{sizes.steps:,} steps of {sizes.tokens_of_step:,} tokens; learning rate "
            f"{settings.learning_rate:g}, {settings.schedule}; about {sizes.memory / 1e9:.1f} GB"
        )
        lines.append(StepLine(status, sizes, step_cost.peak_flops(ranks.device), ranks))

    def on_step(step: Step) -> None:
        check_folder()
        lines[0].show(step)
        run.units["tokens"] = step.new_tokens
        for follow in followers:
            follow(step)

    try:
        with stop:
            phases = PhaseLine(status)
            yield Callbacks(remark, phases.show, on_sizes, on_step, stop.asked, check_folder)
    finally:
        status.close()


class StopOnSignal:
    """The first SIGINT or SIGTERM stops the loop after the step; a second one exits at once."""

    def __init__(self) -> None:
        self._asked = False

    def asked(self) -> bool:
        return self._asked

    def __enter__(self) -> None:
        interrupts.let_tool_handle_signal()
        # Python handles signals only in the main thread.
        main = threading.current_thread() is threading.main_thread()
        self._before = {
            number: signal.signal(number, self._ask)
            for number in (signal.SIGINT, signal.SIGTERM)
            if main
        }

    def __exit__(self, *error: object) -> None:
        interrupts.end_on_signal()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True


class StatusLine:
    """The progress in one line: rewritten in place at a terminal, otherwise every ten seconds."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._next = 0.0
        self._open = False

    def show(self, words: Callable[[], str], keep: bool = False) -> None:
        """Shows a line, if one is due.

        Args:
            keep: show it now, and keep it.
        """
        now = time.monotonic()
        if self._quiet or (now < self._next and not keep):
            return
        self._next = now + (0.2 if self._terminal else 10.0)
        start = "\r\x1b[K" if self._terminal else ""
        end = "\n" if keep or not self._terminal else ""
        self._print(start + words() + end)
        self._open = not end

    def close(self) -> None:
        """Ends an open line."""
        if self._open:
            self._print("\n")
            self._open = False

    @staticmethod
    def _print(text: str) -> None:
        try:
            print(text, end="", file=sys.stderr, flush=True)
        except OSError:
            pass  # no reader, or a full disk: no reason to end a run of days


class PhaseLine:
    """The progress of phases before and after the steps, with rate and remaining time."""

    def __init__(self, status: StatusLine) -> None:
        self._status = status
        self._words = ""
        self._begun = (0.0, 0, 0.0)  # seconds, tokens and share at the first call

    def show(self, words: str, tokens: int, share: float | None) -> None:
        """Shows the progress.

        Args:
            words: the phase; tokens: so far; share: of all, None if unknown.
        """
        now = time.monotonic()
        if words != self._words:
            self._words, self._begun = words, (now, tokens, share or 0.0)
        elif now > self._begun[0] + _SOON:
            self._status.show(lambda: self._line(now, tokens, share))

    def _line(self, now: float, tokens: int, share: float | None) -> str:
        start, tokens_before, share_before = self._begun
        seconds = now - start
        line = f"{self._words}  {tokens:,} tokens"
        if tokens > tokens_before and seconds:
            line += f"  {(tokens - tokens_before) / seconds:,.0f} tokens/s"
        if share is not None:
            line += f"  {100 * share:.0f} %"
            if share > share_before:
                left = seconds * (1 - share) / (share - share_before)
                line += f"  {left / 60:.1f} min left"
        return line


class StepLine:
    """The line of a step.

    Args:
        peak: FLOP/s of the device, None if unknown.
    """

    def __init__(self, status: StatusLine, sizes: Sizes, peak: float | None, ranks: Ranks) -> None:
        self._status = status
        self._sizes = sizes
        self._peak = peak
        self._ranks = ranks
        self._first: int | None = None

    def show(self, step: Step) -> None:
        if self._first is None:
            self._first = step.step - 1
        keep = step.skip or step.valid is not None or step.step == self._sizes.steps
        self._status.show(lambda: self._line(step), keep=keep)

    def _line(self, step: Step) -> str:
        from synthtools.training.step_cost import memory_used

        rate = step.new_tokens / max(step.seconds, 1e-9)
        # In a resumed run only the steps of this process give the speed.
        assert self._first is not None
        left = step.seconds / (step.step - self._first) * (self._sizes.steps - step.step)
        speed = rate * self._sizes.flops_per_token
        if self._peak is not None:
            work = f"MFU {100 * speed / (self._peak * self._ranks.count):.1f} %"
        else:
            work = f"{speed / 1e9:,.1f} GFLOP/s"
        parts = [
            f"step {step.step:,}/{self._sizes.steps:,}",
            f"loss {step.loss:.4f}",
            f"lr {step.learning_rate:.2e}",
            f"norm {step.gradient_norm:.2f}",
            f"{rate:,.0f} tokens/s",
            work,
            f"{memory_used(self._ranks.device) / 1e9:.1f} GB",
            f"{left / 60:.1f} min left",
        ]
        if "weighted_loss" in step.parts:
            parts.insert(2, f"weighted {step.parts['weighted_loss']:.4f}")
        if step.skip:
            parts.insert(1, f"SKIPPED ({step.skipped} so far)")
        if step.valid:
            parts.append(", ".join(f"{name} ppl {ppl:.2f}" for name, ppl in step.valid.items()))
        return "  ".join(parts)


def curves(tensorboard: str | None, wandb: str | None, job: dict[str, Any]) -> list[Callable]:
    """Functions that log steps to TensorBoard and Weights & Biases.

    Raises:
        SynthError: the package is not installed.
    """
    followers: list[Callable] = []
    if tensorboard is not None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise SynthError(
                "--tensorboard needs tensorboard: pip install 'synthtools[watch]'"
            ) from error
        writer = EventFileWriter(str(Path(tensorboard)))

        def to_tensorboard(step: Step) -> None:
            values = [Summary.Value(tag=k, simple_value=v) for k, v in _numbers(step).items()]
            writer.add_event(
                Event(wall_time=time.time(), step=step.step, summary=Summary(value=values))
            )
            writer.flush()

        followers.append(to_tensorboard)
    if wandb is not None:
        try:
            import wandb as weights_and_biases
        except ImportError as error:
            raise SynthError("--wandb needs wandb: pip install 'synthtools[watch]'") from error
        run = weights_and_biases.init(project=wandb, config=job)
        followers.append(lambda step: run.log(_numbers(step), step=step.step))
    return followers


def _numbers(step: Step) -> dict[str, float]:
    valid = {f"perplexity/{name}": ppl for name, ppl in (step.valid or {}).items()}
    return {
        "loss": step.loss,
        "learning_rate": step.learning_rate,
        "gradient_norm": step.gradient_norm,
        "skipped": float(step.skipped),
        "tokens": float(step.tokens),
        **step.parts,
        **valid,
    }
