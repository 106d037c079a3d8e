"""Run a command whose synth tools start in tenths of a second.

One process imports torch, transformers and the other libraries, and forks for each start of a tool:
a start takes tenths of a second instead of seconds. The tool behaves as usual, with its caller's
directory, environment, open files and signals. The exit code is the command's.

Each tool that uses a GPU initializes it itself. If the script changes limits, niceness, cores or variables
that libraries read on import (OMP_NUM_THREADS, HF_HOME, PYTHONPATH, …), the tool starts the usual way.
Linux only.

\b
Examples:
  synth warm ./study.sh data/
  synth warm sh -c 'for f in *.jsonl; do synth ppl "$f" --summary > "$f.json"; done'
  synth warm bash

Memory: about 700 MB, shared by all running tools.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from synthtools.cli.parameters import Group, operand
from synthtools.errors import SynthError, UsageError


@dataclass(frozen=True, kw_only=True)
class Options(Group):
    """Options of ``synth warm``."""

    command: list[str] = operand(
        ..., metavar="COMMAND", help="The command and its arguments: a script, or a line for sh -c."
    )

    def check(self) -> None:
        super().check()
        if not sys.platform.startswith("linux"):
            raise UsageError("needs Linux: a process is forked for each start")


def run(options: Options) -> None:
    """Becomes the command, with a ``synth`` before all others on its path that is started warm."""
    from synthtools.cli import interrupts
    from synthtools.warm import start

    interrupts.release()  # signals are the command's
    folder = tempfile.mkdtemp(prefix="synth-warm-")
    script = Path(folder) / "synth"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(start(folder))} "$@"\n')
    script.chmod(0o700)
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
        signal.signal(number, signal.SIG_DFL)
    command = options.command
    try:
        os.execvpe(command[0], command, {**os.environ, "PATH": path})  # noqa: S606 (no shell)
    except FileNotFoundError as error:
        raise UsageError(f"{command[0]}: no such command") from error
    except OSError as error:
        raise SynthError(f"{command[0]}: {error.strerror}") from error
