"""The benchmark of a GPU runs where there is none, on a tiny shape."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.nightly
def test_a_rank_holds_what_was_estimated_however_many_micro_batches_it_has():
    command = [sys.executable, "-m", "benchmarks", "sharded_memory"]
    for pieces in (1, 3):
        more = {"BENCH_LAYERS": "4", "BENCH_FILES": "", "BENCH_PIECES": str(pieces)}
        output = subprocess.run(
            command, cwd=ROOT, env=os.environ | more, check=True, capture_output=True, text=True
        ).stdout
        (held,) = re.findall(r"steps: own memory at most (\S+)", output)
        (estimate,) = re.findall(r"estimated for the steps: (\S+)", output)
        assert float(held) == pytest.approx(float(estimate), rel=0.15)


@pytest.mark.nightly
def test_the_benchmark_of_a_gpu_runs():
    command = [sys.executable, "-m", "benchmarks", "gpu"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for words in (
        "k=0: ",
        "k=8: ",
        "bare forward pass: ",
        "output layer of ",
        "packed: ",
        "padded: ",
        "FSDP ",
        "KL): ",
    ):
        assert words in output
    assert ": failed: " not in output
