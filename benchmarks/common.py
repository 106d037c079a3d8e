"""What the benchmarks share: text, timing in turns, the machine in a line."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pydoc_data.topics import topics


def texts(megabytes: float) -> list[str]:
    """Real English text in documents of some thousand characters, as much as is asked for."""
    pieces = []
    for name in sorted(topics):
        whole = topics[name]
        pieces += [whole[i : i + 3000] for i in range(0, len(whole), 3000)]
    wanted = int(megabytes * 1e6)
    found, size, turn = [], 0, 0
    while size < wanted:
        for piece in pieces:
            # Turns after the first get a mark of their own, so that no two texts are equal.
            text = piece if not turn else f"{turn}. {piece}"
            found.append(text)
            size += len(text)
            if size >= wanted:
                break
        turn += 1
    return found


def in_turns(
    ours: Callable[[], object],
    other: Callable[[], object],
    rounds: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float, float]:
    """Median seconds of both, and the median ratio other / ours of neighbouring runs (1: as fast).

    Both have run once before, uncounted.
    """
    ours()
    other()
    pairs = []
    for _ in range(rounds):
        seconds = []
        for work in (ours, other):
            start = clock()
            work()
            seconds.append(clock() - start)
        pairs.append(seconds)
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return mine, theirs, statistics.median(b / a for a, b in pairs)


def machine() -> str:
    """The hardware and the versions that matter, in a line."""
    import torch

    if torch.cuda.is_available():
        hardware = torch.cuda.get_device_name()
    else:
        hardware = (
            f"{os.cpu_count()} CPU cores ({platform.machine()}), {torch.get_num_threads()} threads"
        )
    return f"{hardware}; torch {torch.__version__}; Python {platform.python_version()}"


def model_name() -> str:
    """The model of the run: SYNTH_BENCHMARK_MODEL, else the built-in one."""
    return os.environ.get("SYNTH_BENCHMARK_MODEL", "builtin")


def apart(module: str, *words: object) -> float:
    """A figure from a process of its own: what a function of a benchmark gives.

    Args:
        words: the function's name, and what it is called with.
    """
    return apart_with_memory(module, *words)[0]


def apart_with_memory(module: str, *words: object) -> tuple[float, float]:
    """The same, and the peak memory of that process in GB: of the GPU, else resident."""
    code = (
        "import importlib, json, sys\n"
        "module, name, *more = json.loads(sys.argv[1])\n"
        "figure = getattr(importlib.import_module(module), name)(*more)\n"
        "import torch\n"
        "from synthtools.training.step_cost import memory_used\n"
        "device = 'cuda' if torch.cuda.is_available() else 'cpu'\n"
        "print('FIGURE', figure, memory_used(device) / 1e9)\n"
    )
    command = [sys.executable, "-c", code, json.dumps([module, *words])]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    line = next(line for line in out.splitlines() if line.startswith("FIGURE"))
    figure, memory = map(float, line.split()[1:])
    return figure, memory


@contextmanager
def reported(what: str) -> Iterator[None]:
    """Prints the failure of one case, so that the others still run on a machine that is lent for minutes."""
    try:
        yield
    except Exception as error:
        output = getattr(error, "stderr", None) or str(error)
        print(f"{what}: failed: {type(error).__name__}: {output.strip()[-500:]}", flush=True)
