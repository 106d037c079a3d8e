"""A run that is killed leaves nothing of the Ray that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from synthtools.scale import orphans

# A driver that has the watcher and, in sessions of their own, a process of its Ray, one of another's, and one of
# its engine, known by the log that it writes.
DRIVER = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(300)"]
pids = [
    subprocess.Popen([*sleep, f"--log-dir=/tmp/ray/session_2026-01-02_{n}/logs"], start_new_session=True).pid
    for n in (os.getpid(), f"{os.getpid()}1")
]
with open(f"/tmp/synth-vllm-of-{os.getpid()}-1.log", "w") as log:
    pids.append(subprocess.Popen(sleep, stdout=log, start_new_session=True).pid)
    os.unlink(log.name)
from synthtools.scale import orphans
orphans.watch()
print(*pids, flush=True)
time.sleep(300)
"""

RAY = """
import os, time
from synthtools.scale.ray_cluster import connect
connect("local", 1).in_order([1], str)
print(os.getpid(), flush=True)
time.sleep(300)
"""


def runs(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return status != "Z"


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("it did not come to pass in a minute")


def killed(code: str) -> list[int]:
    """Starts a driver, kills it when it has told numbers: those."""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        numbers = [int(word) for word in driver.stdout.readline().split()]
        driver.kill()
    return numbers


def test_what_is_left_is_ended_and_nothing_else() -> None:
    own, other, engine = killed(DRIVER)
    try:
        wait_until(lambda: not runs(own) and not runs(engine))
        assert runs(other)
    finally:
        os.kill(other, signal.SIGKILL)


def test_a_local_ray_whose_driver_is_killed() -> None:
    pytest.importorskip("ray")
    (driver,) = killed(RAY)

    def left() -> list[str]:
        """Files of the driver's session that processes hold open, or name in their arguments."""
        names = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                names += (path / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                names += orphans.open_files(path.name)
        return [name for name in names if "/ray/session_" in name and f"_{driver}/" in name]

    assert left()
    wait_until(lambda: not left())
