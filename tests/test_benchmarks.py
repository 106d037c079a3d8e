"""The benchmark of a GPU runs where there is none, on a tiny shape."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.nightly
def test_the_benchmark_of_a_gpu_runs():
    command = [sys.executable, "-m", "benchmarks", "gpu"]
    root = Path(__file__).resolve().parents[1]
    output = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
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
