"""Quick starts: a process that has imported what the tools import, and forks a child for each start.

- ``server``: that process
- ``client``: what stands for ``synth`` meanwhile
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
    """Starts a warm process, which ends with this one, also where this one becomes another program.

    Args:
        folder: removed at its end.

    Returns:
        The beginning of a command line that is ``synth``.
    """
    name = f"synth-{os.getpid()}-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")  # an abstract name: not a file, gone with its process
        listening.listen(64)
        words = (str(listening.fileno()), str(os.getpid()), folder)
        subprocess.run(  # noqa: S603 (our own interpreter)
            [sys.executable, "-m", "synthtools.warm.server", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # signals of the terminal are for the command
            pass_fds=[listening.fileno()],
            # Arrow's allocator and numpy's OpenBLAS would start threads, and none survives a fork.
            env={
                **os.environ,
                "JE_ARROW_MALLOC_CONF": "background_thread:false",
                "OPENBLAS_NUM_THREADS": "1",
            },
            check=True,
        )
    return sys.executable, "-I", "-S", str(_CLIENT), name
