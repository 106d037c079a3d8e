"""A real vLLM server of a model, and starts of ``synth`` beside it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

PRIOR = Path(__file__).resolve().parents[1] / "src/synthtools/prior"
CONTEXT = 128


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_server(port, model=PRIOR, context=CONTEXT, cache_bytes=64_000_000, name=None):
    """A vLLM server of a model's directory on loopback, in a process group of its own.

    Args:
        name: that it goes by, None for the directory's.
    """
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(model), "--served-model-name", name or str(model)),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--dtype", "float32", "--enforce-eager", "--max-model-len", str(context + 1)),
            *("--kv-cache-memory-bytes", str(cache_bytes)),
            *("--hf-overrides", '{"head_dtype": "float32"}'),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return process


def wait_for(process, url):
    for _ in range(600):
        assert process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(f"{url}/v1/models", timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the server did not answer in five minutes")


def kill(process):
    """The server with its engine, at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


def synth(*arguments, context=CONTEXT):
    done = subprocess.run(
        [sys.executable, "-m", "synthtools", *map(str, arguments), "--context", str(context)],
        capture_output=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr.decode()
    return done
