"""A model on a Ray cluster of one node against two, of a CPU each: ``eval`` of the built-in model's
perplexity, without what a start costs (a run on one record). The runs take turns.

Two ratios: of the seconds, which needs a machine whose two cores are idle; and of the CPU seconds of the
actor that worked most, which is what two idle cores could give at best, and holds on a busy machine as well.
(pip install 'synthtools[ray]')
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import machine, model_name
from benchmarks.data import written
from benchmarks.scaling import clusters

MEGABYTES = float(os.environ.get("BENCH_MEGABYTES", 2))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
SAMPLED = 0.3  # seconds between two looks at the processes


class Cost(NamedTuple):
    """Seconds of a run, CPU seconds of the actor that worked most, and of the process that asks them."""

    wall: float
    actor: float
    driver: float


def cost(*words: object) -> Cost:
    """What a run of ``synth`` takes."""
    import psutil

    before = set(psutil.pids())
    start = time.perf_counter()
    command = [sys.executable, "-m", "synthtools", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    driver, actors = 0.0, {0: 0.0}
    while process.poll() is None:
        for one in psutil.process_iter(["cmdline", "cpu_times"]):
            seconds = sum((one.info["cpu_times"] or (0, 0))[:2])
            if one.pid == process.pid:
                driver = max(driver, seconds)
            elif one.pid not in before and "".join(one.info["cmdline"] or ()).startswith(
                "ray::ActorHolder"
            ):
                actors[one.pid] = seconds
        time.sleep(SAMPLED)
    if process.returncode:
        raise SystemExit(f"{command}: failed")
    return Cost(time.perf_counter() - start, max(actors.values()), driver)


def main() -> None:
    with tempfile.TemporaryDirectory() as name, clusters() as addresses:
        data, one = Path(name) / "data.jsonl", Path(name) / "one.jsonl"
        size = written(data, MEGABYTES)
        one.write_text('{"text":"a word or two"}\n')

        def of(nodes: int, file: Path) -> Cost:
            words = ("eval", model_name(), "--suite", "perplexity", "--valid", f"text={file}")
            return cost(*words, "--bootstrap", 0, "-q", "--ray", addresses[nodes])

        starts = {nodes: of(nodes, one) for nodes in (1, 2)}

        def beyond_the_start(nodes: int) -> Cost:
            return Cost(*(a - b for a, b in zip(of(nodes, data), starts[nodes], strict=True)))

        rounds = [[beyond_the_start(nodes) for nodes in (1, 2)] for _ in range(ROUNDS)]
        print(f"eval --ray of {size:.1f} MB, one node and two, beyond the start:")
        for field in Cost._fields:
            pairs = [[getattr(run, field) for run in both] for both in rounds]
            alone, together = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(first / second for first, second in pairs)
            begin = ", ".join(f"{getattr(run, field):.1f}" for run in starts.values())
            what = "seconds" if field == "wall" else f"CPU seconds of the {field}"
            print(f"  {what}: {alone:.1f}, {together:.1f} (starts {begin}): {ratio:.2f}")
    print(f"({machine()}; load {os.getloadavg()[0]:.1f})")
