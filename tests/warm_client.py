"""Stands for ``synth``: has a child of the warm process do the work, and ends as it ended.

python -I -S warm_client.py NAME [ARGUMENTS…]
"""

import json
import os
import signal
import socket
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    listed = (int(name) for name in os.listdir("/dev/fd"))
    files = sorted(number for number in listed if is_open(number))
    umask = os.umask(0)
    request = {
        "arguments": sys.argv[2:],
        "directory": os.getcwd(),
        "environment": dict(os.environ),
        "files": files,
        "umask": umask,
    }
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"\0{sys.argv[1]}")
    # A signal that comes before there is a child waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    message = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(server, [message], files)
    server.sendall(message[sent:])
    for number in files:
        os.close(number)
    answers = server.makefile("r")
    child = int(answers.readline() or gone())
    for number in SIGNALS:
        signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    code = int(answers.readline() or gone())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def gone() -> int:
    """Ends where the warm process has ended; its stderr says why."""
    os._exit(125)


def is_open(number: int) -> bool:
    """Whether a file is open; the one that listed them is no more."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


main()
