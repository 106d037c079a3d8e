"""A process that has imported the tools' libraries, and forks a child for each start of a tool.

``python -m synthtools.warm.server SOCKET PID FOLDER``, with the descriptor of a listening socket; it ends
with the process PID, and then removes FOLDER.

Importing torch, transformers and scipy takes seconds, and scripts start tools by the hundred.
``client`` replaces ``synth``: it sends its arguments, directory, environment and open files here, a child
takes them over and runs ``python -m synthtools``, and the client exits with the child's status.

The process has a single thread; otherwise a fork would copy locks that are never released.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, NoReturn

from synthtools.warm.client import inherited_state

# Modules that tools import lazily: most of them, and all slow ones.
HEAVY = (
    *("httpx", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "peft"),
    *("pyarrow.compute", "pyarrow.parquet", "rich.progress", "safetensors.torch"),
    *("scipy.optimize", "scipy.stats", "sklearn.manifold"),
    "transformers.models.auto.modeling_auto",
    *(f"transformers.models.{kind}.modeling_{kind}" for kind in ("llama", "gpt2", "gpt_neox")),
    *("torch.distributed.fsdp", "torch.nn.attention.varlen", "zstandard"),
)
# Tools that import little start at once.
LIGHT_TOOLS = {"cat", "--help", "--version"}

Request = dict[str, Any]


def own_modules() -> list[str]:
    """All modules of the toolkit except ``__main__``."""
    import synthtools

    modules = pkgutil.walk_packages(synthtools.__path__, "synthtools.")
    return [module.name for module in modules if not module.name.endswith("__main__")]


def warm_up(modules: Iterable[str]) -> None:
    for module in modules:
        with contextlib.suppress(ImportError):  # an extra; its tool reports it
            importlib.import_module(module)


def warm_up_computing() -> None:
    """Initialises libraries by a first kernel and a first model, with one thread: torch's thread pool does
    not survive a fork."""
    import numpy as np
    import torch

    from synthtools.compiled import load
    from synthtools.errors import SynthError
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.pretrained import load_tokenizer, load_weights

    load(np.zeros(8, np.uint8), np.uint64(0))
    with contextlib.suppress(SynthError):  # the model has not been trained yet
        load_tokenizer("builtin")
        load_weights(ModelName("builtin"), torch.float32, "cpu")


def _warm_up_all() -> bool:
    """Imports and initialises what tools share; whether forking is safe afterwards."""
    warm_up((*HEAVY, *own_modules()))
    if os.environ.get("OMP_NUM_THREADS") == "1":
        warm_up_computing()
    # A thread that was just joined may need a moment to disappear.
    deadline = time.monotonic() + 10
    while threads := (len(os.listdir("/proc/self/task")) > 1):
        if time.monotonic() > deadline:
            print("synth: a library keeps threads; tools start as usual", file=sys.stderr)
            break
        time.sleep(0.01)
    gc.collect()
    gc.freeze()
    return not threads


def serve(listening: socket.socket, end: int) -> Request | None:
    """Starts a child for each request, and sends its client the PID and the exit status; PID 0 makes the
    client start the tool itself.

    Args:
        end: a file that becomes ready when the parent process ends.

    Returns:
        In each child its request; in this process None, at the end.
    """
    own = inherited_state()
    children: dict[int, tuple[int, socket.socket]] = {}  # by a file that becomes ready at its end
    cold = sound = True
    while True:
        clients = [client for _, client in children.values()]
        readers: list[int | socket.socket] = [end, listening, *children, *clients]
        ready = select.select(readers, [], [])[0]
        if end in ready:
            for child, _ in children.values():
                os.kill(child, signal.SIGKILL)
            return None
        for file, (child, client) in list(children.items()):
            if client in ready:  # it was killed
                os.kill(child, signal.SIGKILL)
            if file in ready:
                _send_exit_code(client, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                client.close()
                os.close(file)
                del children[file]
        if listening in ready and (request := _accept(listening)):
            client = request.pop("client")
            if cold and not LIGHT_TOOLS.intersection(request["arguments"][:1]):
                cold, sound = False, _warm_up_all()
            child = os.fork() if sound and request["inherited"] == own else -1
            if child == 0:
                for one in (listening, client, *clients):
                    one.close()
                for file in (end, *children):
                    os.close(file)
                return request
            for file in request["files"].values():
                os.close(file)
            _send_exit_code(client, max(child, 0))
            if child > 0:
                children[os.pidfd_open(child)] = child, client
            else:
                client.close()


def _accept(listening: socket.socket) -> Request | None:
    """A client's request and its connection; None for another user's client, or an empty request."""
    client, _ = listening.accept()
    # An abstract name has no permissions: other users could run tools as this user.
    peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    message = b""
    files: list[int] = []
    if struct.unpack("3i", peer)[1] == os.geteuid():
        message, files, _, _ = socket.recv_fds(client, 1 << 20, 64)
    while message and not message.endswith(b"\n"):
        message += client.recv(1 << 20)
    if not message:
        client.close()
        return None
    request: Request = json.loads(message)
    received = dict(zip(request["files"], files, strict=True))
    return {**request, "client": client, "files": received}


def _send_exit_code(client: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # it was killed
        client.sendall(b"%d\n" % number)


def take_over(request: Request) -> None:
    """Gives this child the files, directory and environment of the request."""
    os.setpgid(0, 0)
    # First move them away from the target descriptors.
    received = request["files"].items()
    files = {int(wanted): fcntl.fcntl(file, fcntl.F_DUPFD, 512) for wanted, file in received}
    for number in (0, 1, 2, *request["files"].values()):
        os.close(number)
    for wanted, file in files.items():
        os.dup2(file, wanted)
        os.close(file)
    os.chdir(request["directory"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    restore_threads()
    sys.argv[1:] = request["arguments"]
    sys.path[0] = request["directory"]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, _standard(number, getattr(sys, name)) if number in files else None)


def restore_threads() -> None:
    """Restores the default number of threads of numpy's OpenBLAS."""
    cores = len(os.sched_getaffinity(0))
    asked = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    wanted = min(cores, int(asked) if asked.isdigit() else cores)
    if wanted > 1 and "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(wanted, "blas")


def _standard(number: int, before: io.TextIOWrapper) -> io.TextIOWrapper:
    """One of the three standard streams, opened as by an interpreter at its start."""
    return io.TextIOWrapper(
        open(number, "rb" if number == 0 else "wb", closefd=False),
        before.encoding,
        before.errors,
        line_buffering=number == 2 or os.isatty(number),
    )


def leave(code: str | int | None) -> NoReturn:
    """Exits like an interpreter, but without freeing objects one by one, which would take longer than a
    short tool runs."""
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(int(code or 0))


def main() -> None:
    listening, folder = socket.socket(fileno=int(sys.argv[1])), sys.argv[3]
    end = os.pidfd_open(int(sys.argv[2]))
    if os.fork():  # no child of the process that waits for us: that one may wait for all it has
        os._exit(0)
    warm_up(["orjson", "synthtools.tools.cat", "synthtools.cli.app"])
    request = serve(listening, end)
    if request is None:
        if folder:
            shutil.rmtree(folder)
        return
    take_over(request)
    try:
        runpy.run_module("synthtools", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        leave(end.code)


if __name__ == "__main__":
    main()
