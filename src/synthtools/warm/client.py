"""Replaces ``synth``: lets a child of the warm process do the work, and exits with its status.

``python -I -S client.py NAME [ARGUMENTS…]``. It imports almost nothing, to start fast. If the warm process
is gone, or has another environment, it starts the tool itself.
"""

import json
import os
import resource
import signal
import socket
import sys

LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Environment variables that modules may read on import.
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
    # A signal that arrives before the child starts is passed on later.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    request_child(server, sys.argv[2:], {number: number for number in files})
    answers = server.makefile("r")
    child = int(answers.readline() or exit_server_gone())
    if not child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        start_cold()
    for number in files:
        os.close(number)
    for number in SIGNALS:
        signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    code = int(answers.readline() or exit_server_gone())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def request_child(server: socket.socket, arguments: list[str], files: dict[int, int]) -> None:
    """Requests a child with this process's files, directory and environment.

    Args:
        files: open file descriptors: in the child → here.
    """
    os.umask(umask := os.umask(0))
    request = {
        "arguments": arguments,
        "directory": os.getcwd(),
        "environment": dict(os.environ),
        "files": list(files),
        "umask": umask,
        "inherited": inherited_state(),
    }
    message = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(server, [message], list(files.values()))
    if rest := message[sent:]:  # it may have closed already, so that sending fails
        server.sendall(rest)


def inherited_state() -> list[object]:
    """Properties that a child inherits from the warm process and cannot change in time."""
    environment = {n: value for n, value in os.environ.items() if n.startswith(AT_IMPORT)}
    limits = [list(resource.getrlimit(limit)) for limit in LIMITS]
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    return [environment, limits, niceness, sorted(os.sched_getaffinity(0))]


def start_cold() -> None:
    """Replaces this process by an interpreter that runs the tool."""
    cold = [sys.executable, "-m", "synthtools", *sys.argv[2:]]
    os.execv(sys.executable, cold)  # noqa: S606 (no shell)


def exit_server_gone() -> int:
    """Exits after the warm process has ended; its stderr has the reason."""
    os._exit(125)


def is_open(number: int) -> bool:
    """Whether a file descriptor is open; that of the listing itself is closed by now."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
