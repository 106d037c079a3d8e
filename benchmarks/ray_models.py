"""A model on a Ray cluster of one node against two, of a CPU each: ``eval`` of the built-in model's
perplexity, and the time that a run takes beyond its start (one on a record). The runs take turns; it
needs a machine whose two cores are idle. (pip install 'synthtools[ray]')
"""

import os
import statistics
import tempfile
from pathlib import Path

from benchmarks.common import machine, model_name
from benchmarks.data import written
from benchmarks.scaling import clusters, timed

MEGABYTES = float(os.environ.get("BENCH_MEGABYTES", 2))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))


def main() -> None:
    with tempfile.TemporaryDirectory() as name, clusters() as addresses:
        data, one = Path(name) / "data.jsonl", Path(name) / "one.jsonl"
        size = written(data, MEGABYTES)
        one.write_text('{"text":"a word or two"}\n')

        def seconds(nodes: int, file: Path) -> float:
            words = ("eval", model_name(), "--suite", "perplexity", "--valid", f"text={file}")
            return timed((*words, "--bootstrap", 0, "-q", "--ray", addresses[nodes]))

        starts = {nodes: seconds(nodes, one) for nodes in (1, 2)}
        rounds = [[seconds(n, data) - starts[n] for n in (1, 2)] for _ in range(ROUNDS)]
        alone, together = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(first / second for first, second in rounds)
        print(
            f"eval --ray of {size:.1f} MB: one node {alone:.1f} s, two {together:.1f} s (starts "
            f"{starts[1]:.1f}, {starts[2]:.1f} s beside); two over one {ratio:.2f}"
        )
    print(f"({machine()}; load {os.getloadavg()[0]:.1f})")
