"""Clocks that jump, and files of odd times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from faults.cases import (
    Seen,
    case,
    human,
    run,
    silent,
    sound,
)

_CLOCK = """
import sys, time
start, real, calls = time.time(), time.time, 0
def jumping():
    global calls
    calls += 1
    return real() + (-1e9 if calls % 2 else 1e9)
time.time = jumping
time.time_ns = lambda: int(jumping() * 1e9)
sys.argv = ["synth", *sys.argv[1:]]
from synthtools.cli.app import main
main()
"""


@case("the clock jumps thirty years forth and back at every look", quick=True)
def clock_jumps(folder: Path) -> Seen:
    data = human(folder, 40)
    report = folder / "r.json"
    command = [sys.executable, "-c", _CLOCK, "cat", data, "-o", folder / "o.jsonl"]
    silent(
        subprocess.run(
            [*command, "--report", report], stdin=subprocess.DEVNULL, capture_output=True
        )
    )
    sound((folder / "o.jsonl").read_bytes() == data.read_bytes(), "records are gone")
    made = json.loads(report.read_text())["made_by"]
    sound(0 <= made["seconds"] < 60, f"the run took {made['seconds']} s")
    sound(made["throughput"]["records_per_second"] > 0, "records a second")
    return Seen()


@case("inputs whose times lie in the future and before 1970", quick=True)
def odd_times(folder: Path) -> Seen:
    for when in (-(2**31), 0, 2**33):
        data = human(folder, 4)
        os.utime(data, (when, when))
        done = run("cat", data)
        silent(done)
        sound(done.stdout == data.read_bytes(), "records are gone")
    return Seen()
