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
import selectors
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
AT_IMPORT = ("ARROW", "CUDA", "HF_", "HOME", "LANG", "LC_", "MKL", "MPL", "NUMBA", "OMP", "PYTHON")
AT_IMPORT += ("TRANSFORMERS", "XDG_")

Request = dict[str, Any]


def relevant(environment: dict[str, str]) -> dict[str, str]:
    """The part of an environment that must be this process's own."""
    return {name: value for name, value in environment.items() if name.startswith(AT_IMPORT)}


ENVIRONMENT = relevant(dict(os.environ))
CORES = sorted(os.sched_getaffinity(0))


def own_modules() -> list[str]:
    """All modules of the toolkit but ``__main__``."""
    import synthtools

    found = pkgutil.walk_packages(synthtools.__path__, "synthtools.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def warm_up(modules: Iterable[str]) -> None:
    """Imports modules where they are installed."""
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
    from synthtools.lm.loading import ModelName, load_tokenizer, load_weights

    load(np.zeros(8, np.uint8), np.uint64(0))
    try:
        load_tokenizer("builtin")
        load_weights(ModelName("builtin"), torch.float32, "cpu")
    except SynthError:
        pass  # it has not been trained yet


def alone() -> bool:
    """Whether no thread is left; one that has just been joined may take a moment to be gone."""
    deadline = time.monotonic() + 10
    while len(os.listdir("/proc/self/task")) > 1:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Server:
    """Listens, forks, and tells clients how their children ended."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.clients: dict[int, socket.socket] = {}
        self.cold = True
        self.unfit = False  # a fork would not be sound
        self.selector = selectors.DefaultSelector()
        self.woken, waking = socket.socketpair()
        waking.setblocking(False)
        self.sockets = [listening, self.woken, waking]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: for the command, not for us
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking.fileno())
        for source in (listening, self.woken, 0):
            self.selector.register(source, selectors.EVENT_READ)

    def serve(self) -> Request | None:
        """Serves; returns in each child with its request, and here (None) when stdin has ended."""
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listening:
                    request = self.accept()
                    if request is not None:
                        return request
                elif key.fileobj is self.woken:
                    self.woken.recv(1 << 12)
                    self.reap()
                elif key.fileobj == 0:  # whoever started us is gone
                    for pid in self.clients:
                        os.kill(pid, signal.SIGKILL)
                    return None
                elif key.data in self.clients:  # the client was killed
                    os.kill(key.data, signal.SIGKILL)
                    self.selector.unregister(key.fileobj)

    def accept(self) -> Request | None:
        client, _ = self.listening.accept()
        # A name that is no file has no permissions: others could have us work for them, as us.
        peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", peer)[1] != os.geteuid():
            client.close()
            return None
        message, files, _, _ = socket.recv_fds(client, 1 << 20, 64)
        while message and not message.endswith(b"\n"):
            message += client.recv(1 << 20)
        if not message:
            client.close()
            return None
        request: Request = json.loads(message)
        if self.cold and not LIGHT_TOOLS.intersection(request["arguments"][:1]):
            warm_up((*HEAVY, *own_modules()))
            if os.environ.get("OMP_NUM_THREADS") == "1":
                warm_up_computing()
            if not alone():
                print("synth: a library keeps threads; tools start as usual", file=sys.stderr)
                self.unfit = True
            gc.collect()
            gc.freeze()
            self.cold = False
        pid = os.fork()
        if pid == 0:
            for open_one in (*self.sockets, client, *self.clients.values()):
                open_one.close()
            self.selector.close()
            opened = dict(zip(request["files"], files, strict=True))
            return {**request, "unfit": self.unfit, "files": opened}
        for file in files:
            os.close(file)
        self.clients[pid] = client
        self.selector.register(client, selectors.EVENT_READ, pid)
        client.sendall(b"%d\n" % pid)
        return None

    def reap(self) -> None:
        while self.clients:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            client = self.clients.pop(pid)
            if client in self.selector.get_map():
                self.selector.unregister(client)
            try:
                client.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            except OSError:
                pass  # killed
            client.close()


def take_over(request: Request) -> None:
    """Makes this child what the request's process was: its files, directory, environment."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    # First out of the way of the numbers that are wanted.
    files = {
        wanted: fcntl.fcntl(file, fcntl.F_DUPFD, 512) for wanted, file in request["files"].items()
    }
    for file in request["files"].values():
        os.close(file)
    for number in range(3):
        os.close(number)
    for wanted, file in files.items():
        os.dup2(file, wanted)
        os.close(file)
    for number, limit in request.get("limits", {}).items():
        if tuple(limit) != resource.getrlimit(int(number)):
            resource.setrlimit(int(number), tuple(limit))
    if request.get("niceness", 0) > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, request["niceness"])
    cores = request.get("cores", CORES)
    os.sched_setaffinity(0, cores)
    os.chdir(request["directory"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    # OpenMP has counted the cores when it was loaded.
    other = relevant(request["environment"]) != ENVIRONMENT or cores != CORES
    if request["unfit"] or other:
        command = [sys.executable, "-m", "synthtools", *request["arguments"]]
        os.execv(sys.executable, command)  # noqa: S606 (no shell)
    restore_threads()
    sys.argv[1:] = request["arguments"]
    sys.path[0] = request["directory"]
    sys.stdin, sys.stdout, sys.stderr = map(standard, range(3), (sys.stdin, sys.stdout, sys.stderr))


def restore_threads() -> None:
    """Lets numpy's OpenBLAS use as many threads as it would have of itself."""
    asked = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    wanted = min(len(CORES), int(asked) if asked.isdigit() else len(CORES))
    if wanted > 1 and "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(wanted, "blas")


def standard(number: int, before: io.TextIOWrapper) -> io.TextIOWrapper | None:
    """One of the three standard streams, as an interpreter would open it at its start."""
    try:
        os.fstat(number)
    except OSError:
        return None
    return io.TextIOWrapper(
        open(number, "rb" if number == 0 else "wb", closefd=False),
        before.encoding,
        before.errors,
        line_buffering=number == 2 or os.isatty(number),
    )


def leave(code: int | None) -> NoReturn:
    """Ends as an interpreter does, but leaves memory to the system: taking it apart object by
    object takes longer than a short tool works."""
    threading._shutdown()  # waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code or 0)


def main() -> None:
    listening = socket.socket(fileno=int(sys.argv[1]))
    warm_up(["orjson", "pydantic", "synthtools.tools.cat", "synthtools.cli.app"])
    warm_up_parsing()
    request = Server(listening).serve()
    if request is None:
        return
    take_over(request)
    try:
        runpy.run_module("synthtools", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        leave(end.code)


if __name__ == "__main__":
    main()
