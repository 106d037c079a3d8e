"""Ends what a local Ray leaves behind when the process that started it is killed: a program of its own.

Ray's own servers die with the driver, as the kernel tells them; the agents that its raylet started do not.
Run as ``python ray_cleanup.py PID`` by the driver, whose end it waits for; imports nothing of this package.
"""

import contextlib
import os
import re
import signal
import sys
import time

_PAUSE = 0.2
# So often after the end: what was just being started appears a little later.
_LOOKS = 25


def _of(session: re.Pattern[str]) -> list[int]:
    """Processes of a session of Ray, in this namespace of processes (a host sees its containers').

    An agent that has given itself another title is known by the session's logs that it holds open.
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
    session = re.compile(rf"/session_[0-9_-]+_{driver}(?![0-9])")
    for _ in range(_LOOKS):
        for pid in _of(session):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main(int(sys.argv[1]))
