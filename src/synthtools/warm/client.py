"""Stands for ``synth``: has a child of the warm process do the work, and ends as it ended.

``python -I -S client.py NAME [ARGUMENTS…]``. It imports next to nothing: its start is what is saved.
Where the warm process is gone, or is another environment than this one, the interpreter starts the
tool itself.
"""

import json
import os
import resource
import signal
import socket
import sys

LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What modules may read of the environment while they are imported.
AT_IMPORT = (
    *("ARROW", "CUDA", "HF_", "HOME", "LANG", "LC_", "MKL", "MPL", "NUMBA", "OMP", "PYTHON"),
    *("TRANSFORMERS", "XDG_"),
)


def main() -> None:
    listed = (int(name) for name in os.listdir("/dev/fd"))
    files = sorted(number for number in listed if is_open(number))
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(f"\0{sys.argv[1]}")
    except OSError:
        start_cold()
    # A signal that comes before there is a child waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    ask(server, sys.argv[2:], {number: number for number in files})
    answers = server.makefile("r")
    child = int(answers.readline() or gone())
    if not child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        start_cold()
    for number in files:
        os.close(number)
    for number in SIGNALS:
        signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    code = int(answers.readline() or gone())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def ask(server: socket.socket, arguments: list[str], files: dict[int, int]) -> None:
    """Asks the warm process for a child that is as this process is.

    Args:
        files: numbers of open files: there → here.
    """
    os.umask(umask := os.umask(0))
    request = {
        "arguments": arguments,
        "directory": os.getcwd(),
        "environment": dict(os.environ),
        "files": list(files),
        "umask": umask,
        "surroundings": surroundings(),
    }
    message = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(server, [message], list(files.values()))
    if rest := message[
        sent:
    ]:  # it may have answered and closed by now, and even to send nothing fails
        server.sendall(rest)


def surroundings() -> list[object]:
    """What a child of the warm process has from that one, and cannot change or would see too late."""
    environment = {n: value for n, value in os.environ.items() if n.startswith(AT_IMPORT)}
    limits = [list(resource.getrlimit(limit)) for limit in LIMITS]
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    return [environment, limits, niceness, sorted(os.sched_getaffinity(0))]


def start_cold() -> None:
    """Becomes an interpreter that starts the tool."""
    cold = [sys.executable, "-m", "synthtools", *sys.argv[2:]]
    os.execv(sys.executable, cold)  # noqa: S606 (no shell)


def gone() -> int:
    """Ends where the warm process has ended; its stderr says why."""
    os._exit(125)


def is_open(number: int) -> bool:
    """Whether a file is open; the one that listed them is closed by now."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
