"""Ends what a local Ray leaves behind when the process that started it is killed: a program of its own.

Ray's own servers die with the driver, as the kernel tells them; the agents that its raylet started do not.
Run as ``python remains.py PID`` by the driver, whose end it waits for; imports nothing of this package.
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


def _of(session: re.Pattern[bytes]) -> list[int]:
    """Processes of a session of Ray, in this namespace of processes (a host sees its containers')."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            same = os.readlink(f"/proc/{name}/ns/pid") == os.readlink("/proc/self/ns/pid")
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if same and session.search(file.read()):
                    found.append(int(name))
    return found


def main(driver: int) -> None:
    """Waits for the driver's end and ends what is left of its sessions."""
    while os.getppid() == driver:
        time.sleep(_PAUSE)
    session = re.compile(rb"/session_[0-9_-]+_%d(?![0-9])" % driver)
    for _ in range(_LOOKS):
        for pid in _of(session):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main(int(sys.argv[1]))
