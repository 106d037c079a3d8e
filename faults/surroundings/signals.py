"""Signals that tell a run to end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from faults.cases import (
    Seen,
    case,
    human,
    nothing_left,
    run,
    running,
    sound,
    well,
)
from faults.tools import content, uninterrupted


@case("SIGTERM and SIGHUP in the middle: cat, mix, edit, train", quick=True)
def sigterm(folder: Path) -> Seen:
    data = human(folder, 4000)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_IGN:
            continue  # under nohup it is ignored, as the user wishes
        out = folder / f"o{number}"
        out.mkdir()
        fifo = out.parent / f"never{number}"
        os.mkfifo(fifo)
        process = subprocess.Popen(
            [*running.COLD, "cat", str(data), str(fifo), "-o", str(out / "a.jsonl")],
            stderr=subprocess.PIPE,
        )
        while not list(out.iterdir()) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        sound(
            process.returncode == 130, f"{number.name}: exit code {process.returncode}: {errors!r}"
        )
        sound(not errors, f"says {errors!r}")
        nothing_left(out)
    return Seen(code=130)


@case("SIGTERM while a model works: `-o DIR`, then `--resume`")
def sigterm_of_models(folder: Path) -> Seen:
    data = human(folder, 150)
    for tool in ("edit", "ppl", "generate", "embed"):
        whole, words = uninterrupted(tool, data, folder)
        for path in (folder / "whole").iterdir():
            path.unlink()
        (folder / "whole").rmdir()
        out = folder / tool
        process = running.start(*words[:1], "--quiet", "-o", out, *words[1:])
        while len(list(out.glob("part-*"))) < 2 and process.poll() is None:
            time.sleep(0.002)
        process.terminate()
        _, errors = process.communicate(timeout=60)
        sound(process.returncode in (130, 0), f"{tool}: exit code {process.returncode}: {errors!r}")
        sound(not errors, f"{tool} says {errors!r}")
        sound(not list(out.glob(".*.partial")), f"{tool}: a temporary file is left")
        well(run(*words[:1], "-o", out, "--resume", *words[1:]))
        sound(content(out) == whole, f"{tool}: the resumed output is another")
    return Seen(code=130)
