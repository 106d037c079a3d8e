"""Progress bar, remarks and stdout: the only code that writes to a terminal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from synthtools.errors import OutputClosed, SynthError, printable
from synthtools.redaction import hide

# Set by the Python API: nothing is printed.
LOGGED: ContextVar[bool] = ContextVar("logged", default=False)


class _Remarks(logging.Handler):
    """Shows log messages as remarks."""

    def emit(self, record: logging.LogRecord) -> None:
        remark(record.getMessage())


def show_logged(module: str) -> None:
    """Shows a module's log messages, except in the Python API, where they belong to the program's log."""
    logger = logging.getLogger(module)
    if not LOGGED.get() and not logger.handlers:
        logger.setLevel(logging.INFO)
        logger.addHandler(_Remarks())


def remark_once(quiet: bool) -> Callable[[str], None]:
    """A ``remark`` that prints each message once; with ``quiet`` none."""
    printed: set[str] = set()

    def tell(message: str) -> None:
        if message not in printed and not quiet:
            printed.add(message)
            remark(message)

    return tell


def remark_unless(quiet: bool) -> Callable[[str], None]:
    """``remark``, or with ``quiet`` only the log."""
    return (lambda _: None) if quiet and not LOGGED.get() else remark


def remark(message: str) -> None:
    """A line on stderr, or in the log of the calling program."""
    if LOGGED.get():
        logging.getLogger("synthtools").info(hide(message))
        return
    try:
        print(f"synth: {hide(printable(message))}", file=sys.stderr, flush=True)
    except OSError:
        pass  # stderr is closed


def write_stdout(text: str) -> None:
    """Writes text to stdout at once.

    Raises:
        OutputClosed: the reader is gone.
        SynthError: it cannot be written (a full disk behind a redirection).
    """
    if sys.stdout is None:
        raise SynthError("<stdout>: is closed; write to a file with --report or -o")
    data = memoryview(text.encode("utf-8", "backslashreplace"))
    try:
        while data:
            data = data[os.write(sys.stdout.fileno(), data) :]
    except BrokenPipeError as error:
        raise OutputClosed from error
    except OSError as error:
        raise SynthError(f"<stdout>: cannot be written: {error.strerror}") from error


@contextmanager
def progress(
    title: str, quiet: bool, state: Callable[[], tuple[int, int | None, str]]
) -> Iterator[None]:
    """A progress bar on stderr while the block runs, if stderr is a terminal.

    Args:
        state: polled a few times a second: (done, total or None, remark).
    """
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class State(ProgressColumn):
        def render(self, task: Any) -> Text:
            done, total, words = state()
            if done != task.completed or total != task.total:
                bar.update(task.id, completed=done, total=total)
            return Text(words)

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        State(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        refresh_per_second=4,
        transient=True,
    )
    with bar:
        bar.add_task(title, total=state()[1])
        yield
