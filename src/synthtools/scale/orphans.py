"""Ends what a local Ray or an engine leaves behind when the process that started it is killed: a program of
its own.

Ray's own servers die with the driver, as the kernel tells them; the agents that its raylet started do not,
nor do vLLM's processes, which would hold their memory, and a GPU's, for ever. Run as ``python orphans.py
PID`` by the driver, whose end it waits for; imports nothing of this package.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

_PAUSE = 0.2
# So often after the end: what was just being started appears a little later.
_LOOKS = 25


def watch() -> subprocess.Popen[bytes] | None:
    """Has a process of its own end what this one leaves behind should it be killed; None without /proc."""
    import subprocess

    if not os.path.isdir("/proc/self"):
        return None
    words, null = [sys.executable, "-I", "-S", __file__, str(os.getpid())], subprocess.DEVNULL
    return subprocess.Popen(  # noqa: S603 (our own words)
        words, stdin=null, stdout=null, stderr=null, start_new_session=True
    )


def engine_log(driver: int) -> str:
    """How the names of the logs begin that the engines of a process hold open."""
    return f"synth-vllm-of-{driver}-"


def _of(session: re.Pattern[str]) -> list[int]:
    """Processes of a session, in this namespace of processes (a host sees its containers').

    One that has given itself another title is known by the session's logs that it holds open.
    """
    pids = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{name}/ns/pid") != os.readlink("/proc/self/ns/pid"):
                continue
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().decode("utf-8", "replace")
            if session.search(words) or any(map(session.search, open_files(name))):
                pids.append(int(name))
    return pids


def open_files(pid: str) -> list[str]:
    """Paths of the files that a process holds open, as far as it may be asked."""
    paths = []
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            paths.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return paths


def main(driver: int) -> None:
    """Waits for the driver's end and ends what is left of its sessions."""
    while os.getppid() == driver:
        time.sleep(_PAUSE)
    session = re.compile(rf"/session_[0-9_-]+_{driver}(?![0-9])|/{engine_log(driver)}")
    for _ in range(_LOOKS):
        for pid in _of(session):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main(int(sys.argv[1]))
