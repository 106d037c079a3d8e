"""A tiny corpus, and the binary that trains on it."""

import json
import os
import subprocess
import sys
from pydoc_data.topics import topics

import pytest

import running


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Twelve documents of English."""
    path = tmp_path_factory.mktemp("data") / "human.jsonl"
    with open(path, "w") as file:
        for name in sorted(topics)[:12]:
            file.write(json.dumps({"id": name, "text": topics[name]}) + "\n")
    return path


@pytest.fixture(scope="session")
def synth():
    """Starts ``synth train``, or another tool.

    On several ranks with torchrun if ``cold``; else each rank is a warm start with what torchrun sets, which
    saves the seconds in which torchrun itself imports torch. The first rank's process is given.
    """

    def start(*arguments, tool="train", torchrun=0, launcher=(), cold=False, **more):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more}
        words = [*(running.COLD if cold else running.command()), tool, *map(str, arguments)]
        if torchrun and not cold:
            meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(20000 + os.getpid() % 20000)}
            ranks = [
                {**os.environ, **meeting, "WORLD_SIZE": str(torchrun), "RANK": str(rank)}
                for rank in range(torchrun)
            ]
            for environment in ranks[1:]:
                quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                subprocess.Popen(words, **{**more, **quiet}, env=environment)
            return subprocess.Popen(words, **pipes, env=ranks[0])
        if torchrun:
            ranks = ["--nproc-per-node", str(torchrun), "--no-python"]
            where = launcher or ["--master-port", str(20000 + os.getpid() % 20000)]
            words = [sys.executable, "-m", "torch.distributed.run", *ranks, *where, *words]
        return subprocess.Popen(words, **pipes)

    return start


@pytest.fixture(scope="session")
def trained(synth):
    """Runs to the end and gives the report."""

    def run(*arguments, **more):
        process = synth(*arguments, **more)
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        return json.loads(output[output.index("{") :])

    return run


@pytest.fixture(scope="session")
def base(data, trained, tmp_path_factory):
    """A model to be continued."""
    folder = tmp_path_factory.mktemp("model") / "base"
    small = ["--train-tokenizer", 400, "--context", 64, "--batch", 4]
    trained(data, *small, "--tokens", "3K", "-o", folder)
    return folder
