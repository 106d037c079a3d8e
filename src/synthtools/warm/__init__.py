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

from synthtools.closeable import Closeable

_CLIENT = Path(__file__).with_name("client.py")


class Warm(Closeable):
    """A warm process; it ends with the context, or with this process.

    Attributes:
        command: the beginning of a command line that is ``synth``.
    """

    def __init__(self) -> None:
        name = f"synth-{os.getpid()}-{secrets.token_hex(8)}"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"\0{name}")  # an abstract name: not a file, gone with its process
            listening.listen(64)
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter)
                [sys.executable, "-m", "synthtools.warm.server", str(listening.fileno())],
                stdin=subprocess.PIPE,  # its end is the end of the process
                stdout=subprocess.DEVNULL,
                pass_fds=[listening.fileno()],
                # Arrow's allocator and numpy's OpenBLAS would start threads, and none survives a fork.
                env={
                    **os.environ,
                    "JE_ARROW_MALLOC_CONF": "background_thread:false",
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )
        self.command = (sys.executable, "-I", "-S", str(_CLIENT), name)

    def close(self) -> None:
        self._process.communicate()
