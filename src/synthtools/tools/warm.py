"""Run a command whose synth tools start in tenths of a second.

One process imports torch, transformers and the other libraries, and forks for each start of a tool:
a start takes tenths of a second instead of seconds. The tool behaves as usual, with its caller's
directory, environment, open files, limits and signals. The exit code is the command's.

Each tool that uses a GPU initializes it itself. If the environment changes variables that libraries
read on import (OMP_NUM_THREADS, HF_HOME, PYTHONPATH, …), the tool starts the usual way. Linux only.

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
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import typer

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
    """Runs the command to its end with a ``synth`` before all others on its path that is started warm;
    ends with its exit code, 128 and the number of a signal that ended it, as of a shell.

    SIGTERM and SIGHUP are handed on; SIGINT reaches the command by the terminal.
    """
    from synthtools.cli import interrupts
    from synthtools.warm import Warm

    interrupts.release()  # signals are the command's
    command = options.command
    with tempfile.TemporaryDirectory(prefix="synth-warm-") as folder, Warm() as warm:
        script = Path(folder) / "synth"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(warm.command)} "$@"\n')
        script.chmod(0o700)
        path = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        process: subprocess.Popen[bytes] | None = None
        early: list[int] = []  # signals that came before there was a command

        def hand_on(number: int, frame: FrameType | None) -> None:
            if process is None:
                early.append(number)
            else:
                process.send_signal(number)

        before = {n: signal.signal(n, hand_on) for n in (signal.SIGTERM, signal.SIGHUP)}
        try:
            process = subprocess.Popen(  # noqa: S603 (the user's command, no shell)
                command, env={**os.environ, "PATH": path}
            )
        except FileNotFoundError as error:
            raise UsageError(f"{command[0]}: no such command") from error
        except OSError as error:
            raise SynthError(f"{command[0]}: {error.strerror}") from error
        for number in early:
            process.send_signal(number)
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            code = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    raise typer.Exit(code if code >= 0 else 128 - code)
