"""One worker against two: by ``--jobs`` and by ``--ray``, beside ``--shard i/n``.

Two numbers. The efficiency is the time with one over twice the time with two, without what a start
costs (a run on one record); it needs a machine whose two cores are idle. The other says what working
together costs on any machine: the time of two processes of one worker that know nothing of each
other, a half of the data each, over the time with two workers. The runs take turns.

What the one process does that reads, tokenises, draws and writes for all GPUs of ``edit --ray``:
tokens a second of one core. (pip install 'synthtools[ray]')

And whether the speed stays as inputs grow (BENCH_GIGABYTES), and what a file costs (BENCH_FILES of one
record each, beside the same records in one file). BENCH_CASES=driver,workers,sizes,files names some.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import orjson

from benchmarks.common import machine, model_name, texts
from benchmarks.data import written

MEGABYTES = float(os.environ.get("BENCH_MEGABYTES", 600))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
SHARDS = 8
GIGABYTES = [float(size) for size in os.environ.get("BENCH_GIGABYTES", "0.1,1,4").split(",")]
FILES = int(os.environ.get("BENCH_FILES", 100_000))
TOOL = ("ngram-hash", "--hash", "sha256", "--json", "-q")


def timed(*commands: tuple[object, ...]) -> float:
    """Seconds of runs of ``synth`` that go side by side."""
    start = time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "synthtools", *map(str, command)], stdout=subprocess.DEVNULL
        )
        for command in commands
    ]
    for process in running:
        if process.wait():
            raise SystemExit(f"{process.args}: failed")
    return time.perf_counter() - start


def halves(folder: Path) -> float:
    """Two processes, half of the data each."""
    return timed(*((*TOOL, folder, "--jobs", 1, "--shard", f"{i}/2") for i in (1, 2)))


def compared(
    name: str, megabytes: float, run: Callable[[int, Path], float], data: Path, one: Path
) -> None:
    """A line of what two workers are worth beside one.

    Args:
        run: seconds with so many workers on a directory.
        one: a directory of as many shards with one record each.
    """
    ways = [partial(run, 1), partial(run, 2), halves]
    for way in ways:
        way(one)  # compiled, and in the system's cache
    starts = [way(one) for way in ways]
    rounds = [[way(data) for way in ways] for _ in range(ROUNDS)]
    alone, together, apart = (statistics.median(column) for column in zip(*rounds, strict=True))
    net = [[a - b for a, b in zip(row, starts, strict=True)] for row in rounds]
    efficiency = statistics.median(row[0] / (2 * row[1]) for row in net)
    beside = statistics.median(row[2] / row[1] for row in net)
    print(
        f"{name:8} one {alone:5.1f} s ({megabytes / alone:.1f} MB/s), two {together:5.1f} s, two apart "
        f"{apart:5.1f} s; of it start {starts[0]:.1f}, {starts[1]:.1f}, {starts[2]:.1f} s; efficiency "
        f"{efficiency:.2f}; beside two apart {beside:.2f}",
        flush=True,
    )


@contextmanager
def clusters() -> Iterator[dict[int, str]]:
    """Addresses of a Ray cluster of one node and of one of two, of a CPU each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 200 << 20}
    found: dict[int, Cluster] = {}
    try:
        for count in (1, 2):
            found[count] = Cluster(True, head_node_args={**node, "include_dashboard": False})
            for _ in range(count - 1):
                found[count].add_node(**node)
            found[count].wait_for_nodes()
        yield {count: cluster.address for count, cluster in found.items()}
    finally:
        for cluster in found.values():
            cluster.shutdown()


def driver() -> None:
    """Tokenising, and the draws of editing, with the scores that a model would send."""
    import numpy as np

    from synthtools.curate.token_edit import Rules, edit
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.open_models import open_tokenizer
    from synthtools.lm.scores import Candidates, Scores

    tokenizer = open_tokenizer(ModelName(model_name()))
    rules = Rules(threshold=0.99)
    random = np.random.default_rng(0)
    whole = "\n".join(texts(1))
    for size in (500, 4000):
        documents = [whole[i : i + size] for i in range(0, 400_000, size)]
        start = time.process_time()
        ids = tokenizer.encode(documents)
        tokenising = time.process_time() - start
        scores = []
        for tokens in ids:
            certain = random.random(len(tokens)) < 0.03
            logprobs = np.where(certain, -0.001, -3).astype(np.float32)
            shape = (int(certain.sum()), 8)
            found = np.sort(random.exponential(2, shape)).astype(np.float32)
            some = random.integers(5, 400, shape).astype(np.int32)
            scores.append(Scores(tokens, logprobs, Candidates(certain, some, -found)))
        start = time.process_time()
        for key, (text, score) in enumerate(zip(documents, scores, strict=True)):
            edit(text, score, rules, tokenizer, seed=0, record=key, generation=0)
        drawing = time.process_time() - start
        count = sum(map(len, ids))
        print(
            f"driver, documents of {size:,} characters: tokenising {count / tokenising:,.0f} tokens/s a "
            f"core, editing (3 % flagged) {count / drawing:,.0f}",
            flush=True,
        )


def tools(source: Path, output: Path) -> dict[str, tuple[object, ...]]:
    """What is run on an input of some size."""
    written_to = ("-o", output, "--force", "-q")
    return {
        "ngram-hash": ("ngram-hash", source, "--json", "-q"),
        "cat": ("cat", source, *written_to),
        "mix": ("mix", f"{source}=1", *written_to),
    }


def sizes() -> None:
    """MB/s beyond the start against the size of the input, in files of 100 MB."""
    with tempfile.TemporaryDirectory() as name:
        few, data, output = (Path(name) / part for part in ("few.jsonl", "data", "out.jsonl"))
        data.mkdir()
        written(few, 0.01)
        starts = {tool: timed(words) for tool, words in tools(few, output).items()}
        starts = {tool: timed(words) for tool, words in tools(few, output).items()}
        megabytes = written(data / "0.jsonl", 100)
        for size in GIGABYTES:
            count = max(1, round(1000 * size / megabytes))
            for number in range(1, count):
                shutil.copy(data / "0.jsonl", data / f"{number}.jsonl")
            for tool, words in tools(data, output).items():
                spent = timed(words)
                speed = count * megabytes / (spent - starts[tool])
                print(
                    f"{tool}: {count * megabytes:,.0f} MB in {spent:.1f} s, {speed:.0f} MB/s",
                    flush=True,
                )


def files() -> None:
    """Seconds of many small files beside those of the same records in one."""
    with tempfile.TemporaryDirectory() as name:
        one, data, output = (Path(name) / part for part in ("one.jsonl", "data", "out.jsonl"))
        data.mkdir()
        whole = "\n".join(texts(1))
        with open(one, "wb") as file:
            for number in range(FILES):
                start = 9 * number % (len(whole) - 1000)
                line = orjson.dumps({"id": number, "text": whole[start : start + 1000]}) + b"\n"
                file.write(line)
                (data / f"{number}.jsonl").write_bytes(line)
        for tool, words in tools(one, output).items():
            together, apart = timed(words), timed(tools(data, output)[tool])
            each = 1000 * (apart - together) / FILES
            print(
                f"{tool}: {FILES:,} files {apart:.1f} s, one file {together:.1f} s: {each:.2f} ms a file",
                flush=True,
            )


def main() -> None:
    cases = {"driver": driver, "workers": workers, "sizes": sizes, "files": files}
    for name in os.environ.get("BENCH_CASES", ",".join(cases)).split(","):
        cases[name]()
    print(f"({machine()}; load {os.getloadavg()[0]:.1f})")


def workers() -> None:
    """One worker beside two."""
    with tempfile.TemporaryDirectory() as name:
        data, one = Path(name) / "data", Path(name) / "one"
        for folder in (data, one):
            folder.mkdir()
        size = sum(written(data / f"{shard}.jsonl", MEGABYTES / SHARDS) for shard in range(SHARDS))
        for shard in range(SHARDS):
            (one / f"{shard}.jsonl").write_text('{"text":"a word or two"}\n')
        print(f"ngram-hash --hash sha256 of {size:.0f} MB in {SHARDS} shards, {ROUNDS} pairs")

        def by_jobs(count: int, folder: Path) -> float:
            return timed((*TOOL, folder, "--jobs", count))

        compared("--jobs", size, by_jobs, data, one)
        if find_spec("ray") is None:
            print("--ray: needs Ray; left out")
            return
        with clusters() as addresses:

            def by_ray(count: int, folder: Path) -> float:
                return timed((*TOOL, folder, "--ray", addresses[count]))

            compared("--ray", size, by_ray, data, one)
