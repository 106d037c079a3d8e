"""Fast starts: a process that has imported the tools' libraries forks a child for each start.

- ``server``: that process
- ``client``: a light replacement of ``synth`` that uses it
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

_CLIENT = Path(__file__).with_name("client.py")


def start(folder: str = "") -> tuple[str, ...]:
    """Starts a warm process, which ends with this one, even after an exec.

    Args:
        folder: removed at its end.

    Returns:
        The start of a command line that replaces ``synth``.
    """
    name = f"synth-{os.getpid()}-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")  # an abstract name: no file, ends with its process
        listening.listen(64)
        words = (str(listening.fileno()), str(os.getpid()), folder)
        subprocess.run(  # noqa: S603 (our own interpreter)
            [sys.executable, "-m", "synthtools.warm.server", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # the terminal's signals are for the command
            pass_fds=[listening.fileno()],
            # Arrow's allocator and numpy's OpenBLAS would start threads, which do not survive a fork.
            env={
                **os.environ,
                "JE_ARROW_MALLOC_CONF": "background_thread:false",
                "OPENBLAS_NUM_THREADS": "1",
            },
            check=True,
        )
    return sys.executable, "-I", "-S", str(_CLIENT), name
