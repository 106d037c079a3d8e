"""A warm process, and a command in which ``synth`` is started by it."""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from synthtools.closing import Closing
from synthtools.errors import SynthError, UsageError

_CLIENT = Path(__file__).with_name("client.py")


class Warm(Closing):
    """A warm process; it ends with the context, or with this process.

    Attributes:
        command: the beginning of a command line that is ``synth``.
    """

    def __init__(self) -> None:
        name = f"synth-{os.getpid()}-{secrets.token_hex(8)}"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"\0{name}")  # a name that is no file, and ends with its process
            listening.listen(64)
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter)
                [sys.executable, "-m", "synthtools.warm.server", str(listening.fileno())],
                stdin=subprocess.PIPE,  # its end is the end of the process
                stdout=subprocess.DEVNULL,
                pass_fds=[listening.fileno()],
                # Arrow's allocator and numpy's OpenBLAS would start threads, and none survives a fork.
                env={
                    **os.environ,
                    "JE_ARROW_MALLOC_CONF": "background_thread:false",
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )
        self.command = (sys.executable, "-I", "-S", str(_CLIENT), name)

    def close(self) -> None:
        self._process.communicate()


def run(command: Sequence[str]) -> int:
    """Runs a command to its end with a ``synth`` before all others on its path that is started warm.

    SIGTERM and SIGHUP are handed on; SIGINT reaches the command by the terminal.

    Returns:
        Its exit code; 128 and the number of a signal that ended it, as of a shell.

    Raises:
        UsageError: no such command, or a system without what this needs.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError("needs Linux: a process is forked for each start")
    with tempfile.TemporaryDirectory(prefix="synth-warm-") as folder, Warm() as warm:
        script = Path(folder) / "synth"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(warm.command)} "$@"\n')
        script.chmod(0o700)
        path = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        try:
            process = subprocess.Popen(  # noqa: S603 (the user's command, no shell)
                list(command), env={**os.environ, "PATH": path}
            )
        except FileNotFoundError as error:
            raise UsageError(f"{command[0]}: no such command") from error
        except OSError as error:
            raise SynthError(f"{command[0]}: {error.strerror}") from error

        def hand_on(number: int, frame: FrameType | None) -> None:
            process.send_signal(number)

        before = {n: signal.signal(n, hand_on) for n in (signal.SIGTERM, signal.SIGHUP)}
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            code = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return code if code >= 0 else 128 - code
