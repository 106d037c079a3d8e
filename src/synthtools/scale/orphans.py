"""A separate program that ends processes of a local Ray or an engine whose parent was killed.

Ray's servers die with the driver by a signal from the kernel; the agents of its raylet do not, nor do vLLM's
processes, which would keep their memory, and a GPU's, forever. The driver runs it as ``python orphans.py PID``;
it waits for the driver's end, and imports nothing from this package.
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
# Number of scans after the end, for processes that were just starting.
_LOOKS = 25


def watch() -> subprocess.Popen[bytes] | None:
    """Starts a process that cleans up if this one is killed; None without /proc."""
    import subprocess

    if not os.path.isdir("/proc/self"):
        return None
    words, null = [sys.executable, "-I", "-S", __file__, str(os.getpid())], subprocess.DEVNULL
    return subprocess.Popen(  # noqa: S603 (our own words)
        words, stdin=null, stdout=null, stderr=null, start_new_session=True
    )


def engine_log(driver: int) -> str:
    """The prefix of the log files that the engines of a process hold open."""
    return f"synth-vllm-of-{driver}-"


def _processes_of(session: re.Pattern[str]) -> list[int]:
    """Processes of a session, in this PID namespace (a host also sees those of its containers).

    A process with a changed title is recognised by the session's logs that it holds open.
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
    """Paths of a process's open files, as far as permissions allow."""
    paths = []
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            paths.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return paths


def main(driver: int) -> None:
    """Waits for the driver's end, then ends the remaining processes of its sessions."""
    while os.getppid() == driver:
        time.sleep(_PAUSE)
    session = re.compile(rf"/session_[0-9_-]+_{driver}(?![0-9])|/{engine_log(driver)}")
    for _ in range(_LOOKS):
        for pid in _processes_of(session):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main(int(sys.argv[1]))
