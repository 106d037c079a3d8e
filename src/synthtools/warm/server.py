"""A process that has imported what the tools import, and forks a child for each start of one.

``python -m synthtools.warm.server SOCKET``, with the number of a listening socket; the end of its
stdin is its end.

Importing torch, transformers and scipy takes seconds, and scripts start tools by the hundred.
``client`` stands for ``synth``: it sends its arguments, directory, environment, limits and open files
here, a child takes them over and runs ``python -m synthtools`` from its first line, and the client
ends as the child ended.

The process has one thread, or a fork would copy locks that nobody would ever open again.
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
import resource
import runpy
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, NoReturn

# What tools import while they work: the most of it, and all that takes long.
HEAVY = (
    *("httpx", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "peft"),
    *("pyarrow.compute", "pyarrow.parquet", "rich.progress", "safetensors.torch"),
    *(
        "scipy.optimize",
        "scipy.stats",
        "sklearn.manifold",
        "transformers.models.auto.modeling_auto",
    ),
    *(f"transformers.models.{kind}.modeling_{kind}" for kind in ("llama", "gpt2", "gpt_neox")),
    *("torch.distributed.fsdp", "torch.nn.attention.varlen", "zstandard"),
)
# Tools that load next to nothing wait for nothing.
LIGHT_TOOLS = {"cat", "--help", "--version"}

# What modules may read of the environment while they are imported.
AT_IMPORT = (
    *("ARROW", "CUDA", "HF_", "HOME", "LANG", "LC_", "MKL", "MPL", "NUMBA", "OMP", "PYTHON"),
    *("TRANSFORMERS", "XDG_"),
)

Request = dict[str, Any]


def relevant(environment: dict[str, str]) -> dict[str, str]:
    """The part of an environment that must be this process's own."""
    return {name: value for name, value in environment.items() if name.startswith(AT_IMPORT)}


ENVIRONMENT = relevant(dict(os.environ))
CORES = sorted(os.sched_getaffinity(0))


def own_modules() -> list[str]:
    """All modules of the toolkit but ``__main__``."""
    import synthtools

    modules = pkgutil.walk_packages(synthtools.__path__, "synthtools.")
    return [module.name for module in modules if not module.name.endswith("__main__")]


def warm_up(modules: Iterable[str]) -> None:
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            pass  # an extra that is not here; the tool that needs it says so


def warm_up_parsing() -> None:
    """A command line whose file is not there: options are read, nothing else is done."""
    from synthtools.cli import app as cli

    sys.argv = ["synth", "cat", "/no/such/file"]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        cli._run()


def warm_up_computing() -> None:
    """What libraries set up at the first kernel and the first model; with more than one thread they
    would start them here, and torch's pool does not survive a fork."""
    import numpy as np
    import torch

    from synthtools.compiled import load
    from synthtools.errors import SynthError
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.pretrained import load_tokenizer, load_weights

    load(np.zeros(8, np.uint8), np.uint64(0))
    try:
        load_tokenizer("builtin")
        load_weights(ModelName("builtin"), torch.float32, "cpu")
    except SynthError:
        pass  # it has not been trained yet


def _warm_up_all() -> bool:
    """Imports and sets up all that tools share; whether a fork is sound after it."""
    warm_up((*HEAVY, *own_modules()))
    if os.environ.get("OMP_NUM_THREADS") == "1":
        warm_up_computing()
    # A thread that has just been joined may take a moment to be gone.
    deadline = time.monotonic() + 10
    while threads := (len(os.listdir("/proc/self/task")) > 1):
        if time.monotonic() > deadline:
            print("synth: a library keeps threads; tools start as usual", file=sys.stderr)
            break
        time.sleep(0.01)
    gc.collect()
    gc.freeze()
    return not threads


def serve(listening: socket.socket) -> Request | None:
    """Starts a child for each request, and lets its client know how it ended.

    Returns:
        In each child its request; here None, when stdin has ended.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: for the command, not for us
    signal.signal(signal.SIGCHLD, lambda *_: None)
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    signal.set_wakeup_fd(waking.fileno())
    clients: dict[int, socket.socket] = {}  # by child
    cold, unfit = True, False
    while True:
        readers: list[int | socket.socket] = [0, listening, woken, *clients.values()]
        ready = select.select(readers, [], [])[0]
        if 0 in ready:  # whoever started us is gone
            for child in clients:
                os.kill(child, signal.SIGKILL)
            return None
        for child, client in clients.items():
            if client in ready:  # it was killed
                os.kill(child, signal.SIGKILL)
        if woken in ready:
            woken.recv(1 << 12)
            _reap(clients)
        if listening in ready and (request := _accept(listening)):
            client = request.pop("client")
            if cold and not LIGHT_TOOLS.intersection(request["arguments"][:1]):
                cold, unfit = False, not _warm_up_all()
            child = os.fork()
            if child == 0:
                for one in (listening, woken, waking, client, *clients.values()):
                    one.close()
                return {**request, "unfit": unfit}
            for file in request["files"].values():
                os.close(file)
            clients[child] = client
            _tell(client, child)


def _accept(listening: socket.socket) -> Request | None:
    """What a client asks for, and the client; None of one that is another user's, or says nothing."""
    client, _ = listening.accept()
    # An abstract name has no permissions: others could have us work for them, as us.
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
    return {
        **request,
        "client": client,
        "files": dict(zip(request["files"], files, strict=True)),
    }


def _reap(clients: dict[int, socket.socket]) -> None:
    """Tells the clients of children that have ended."""
    for child in list(clients):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            client = clients.pop(child)
            _tell(client, os.waitstatus_to_exitcode(status))
            client.close()


def _tell(client: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # it was killed
        client.sendall(b"%d\n" % number)


def take_over(request: Request) -> None:
    """Makes this child what the request's process was: its files, directory, environment."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    # First out of the way of the numbers that are wanted.
    received = request["files"].items()
    files = {int(wanted): fcntl.fcntl(file, fcntl.F_DUPFD, 512) for wanted, file in received}
    for number in (0, 1, 2, *request["files"].values()):
        os.close(number)
    for wanted, file in files.items():
        os.dup2(file, wanted)
        os.close(file)
    for number, limit in request["limits"].items():
        if tuple(limit) != resource.getrlimit(int(number)):
            resource.setrlimit(int(number), tuple(limit))
    if request["niceness"] > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, request["niceness"])
    os.sched_setaffinity(0, request["cores"])
    os.chdir(request["directory"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    # OpenMP has counted the cores when it was loaded.
    other = relevant(request["environment"]) != ENVIRONMENT or request["cores"] != CORES
    if request["unfit"] or other:
        command = [sys.executable, "-m", "synthtools", *request["arguments"]]
        os.execv(sys.executable, command)  # noqa: S606 (no shell)
    restore_threads()
    sys.argv[1:] = request["arguments"]
    sys.path[0] = request["directory"]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, _standard(number, getattr(sys, name)) if number in files else None)


def restore_threads() -> None:
    """Lets numpy's OpenBLAS use as many threads as it would have of itself."""
    asked = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    wanted = min(len(CORES), int(asked) if asked.isdigit() else len(CORES))
    if wanted > 1 and "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(wanted, "blas")


def _standard(number: int, before: io.TextIOWrapper) -> io.TextIOWrapper:
    """One of the three standard streams, as an interpreter would open it at its start."""
    return io.TextIOWrapper(
        open(number, "rb" if number == 0 else "wb", closefd=False),
        before.encoding,
        before.errors,
        line_buffering=number == 2 or os.isatty(number),
    )


def leave(code: str | int | None) -> NoReturn:
    """Ends as an interpreter does, but leaves memory to the system: taking it apart object by
    object takes longer than a short tool works."""
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(int(code or 0))


def main() -> None:
    listening = socket.socket(fileno=int(sys.argv[1]))
    warm_up(["orjson", "pydantic", "synthtools.tools.cat", "synthtools.cli.app"])
    warm_up_parsing()
    request = serve(listening)
    if request is None:
        return
    take_over(request)
    try:
        runpy.run_module("synthtools", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        leave(end.code)


if __name__ == "__main__":
    main()
