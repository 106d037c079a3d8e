"""Tools of one pipe on one core and on two, and Arrow between them beside JSONL.

Wall and CPU seconds of whole pipes, without what they take on a few records; the least of BENCH_ROUNDS
turns. BENCH_MEGABYTES of JSONL, of which every document is an order of words of its own.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import machine
from benchmarks.mix import written

MEGABYTES = float(os.environ.get("BENCH_MEGABYTES", 200))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 2))
SYNTH = f"{sys.executable} -m synthtools"


class Spent(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(pipe: str, folder: Path, cores: int) -> Spent:
    """One run of a pipe of tools, each written as ``synth``."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    start, before = time.perf_counter(), _cpu()
    subprocess.run(
        ["bash", "-o", "pipefail", "-c", pipe.replace("synth ", f"{SYNTH} ")],
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    return Spent(time.perf_counter() - start, _cpu() - before)


def net(pipe: str, folder: Path, cores: int) -> Spent:
    """Of the large file, without the start: the same on a few records."""
    few = pipe.replace("large.", "few.")
    starts, wholes = ([timed(p, folder, cores) for _ in range(ROUNDS)] for p in (few, pipe))
    start, whole = (Spent(*map(min, zip(*runs, strict=True))) for runs in (starts, wholes))
    return Spent(*(max(1e-9, a - b) for a, b in zip(whole, start, strict=True)))


# One tool that decompresses, parses, computes, compresses and writes; tools that share a pipe.
OVERLAP = {
    "ngram-hash --per-record minhash, zst → zst": "synth ngram-hash large.jsonl.zst --per-record "
    "minhash -q --force -o out.jsonl.zst",
    "cat | mix | ngram-hash, from zst": "synth cat large.jsonl.zst -q | synth mix /dev/stdin=1 -q | "
    "synth ngram-hash -q --json",
}
# Records come as rows; FORM is what passes between the tools.
BETWEEN = {
    "cat | cat": "synth cat large.parquet -q --format FORM | synth cat -q --format FORM",
    "cat | ngram-hash": "synth cat large.parquet -q --format FORM | synth ngram-hash -q --json",
    "cat | cat --where | ngram-hash": "synth cat large.parquet -q --format FORM | synth cat --where "
    "'id!=0-1' -q --format FORM | synth ngram-hash -q --json",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, megabytes in (("large", MEGABYTES), ("few", 0.01)):
            size = written(folder / f"{part}.jsonl.zst", megabytes, 0)
            timed(f"synth cat {part}.jsonl.zst -q -o {part}.parquet", folder, 2)
            if part == "large":
                print(f"{size:.0f} MB of JSONL", flush=True)
        for what, pipe in OVERLAP.items():
            one, two = (net(pipe, folder, cores) for cores in (1, 2))
            print(
                f"{what}: one core {one.wall:.1f} s, two {two.wall:.1f} s, × {one.wall / two.wall:.2f}; "
                f"two use {two.cpu / two.wall:.2f} cores",
                flush=True,
            )
        for what, pipe in BETWEEN.items():
            lines, rows = (
                net(pipe.replace("FORM", form), folder, 2) for form in ("jsonl", "arrow")
            )
            print(
                f"{what}, JSONL and Arrow: wall {lines.wall:.2f} and {rows.wall:.2f} s, × "
                f"{lines.wall / rows.wall:.2f}; CPU {lines.cpu:.2f} and {rows.cpu:.2f} s, × "
                f"{lines.cpu / rows.cpu:.2f}",
                flush=True,
            )
        print(f"({machine()}; load {os.getloadavg()[0]:.1f})")
