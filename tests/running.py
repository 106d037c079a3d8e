"""Starts of ``synth``, as a user's shell would start it.

Most go through a process that has its imports behind it (``synthtools.warm``), and cost tenths of a second
instead of seconds; the child that does the work runs the same ``__main__`` with the same files,
signals and exit codes. ``COLD`` is an interpreter that starts: for tests of starts and ends, of
memory, of the modules that are loaded, of a kill after which nothing may be left running. With
``SYNTH_TESTS_COLD=1`` all starts are cold.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from typing import Any

from synthtools import warm

COLD = (sys.executable, "-m", "synthtools")


@cache
def command() -> tuple[str, ...]:
    """The beginning of a command line that is ``synth``; starts the warm process."""
    if os.environ.get("SYNTH_TESTS_COLD") or not sys.platform.startswith("linux"):
        return COLD
    return warm.start()


def start(*words: object, **more: Any) -> subprocess.Popen[Any]:
    """Starts ``synth`` with pipes for what it writes; ``more`` is for ``Popen``."""
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([*command(), *map(str, words)], **more)


def run(*words: object, **more: Any) -> subprocess.CompletedProcess[Any]:
    """Runs ``synth`` to its end, on an empty stdin if ``more`` (for ``subprocess.run``) has none."""
    if "stdin" not in more:
        more = {"input": "" if more.get("text") else b"", **more}
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 300, **more}
    return subprocess.run([*command(), *map(str, words)], **more)


def synth(*words: object, code: int = 0, **more: Any) -> Any:
    """Runs ``synth``, which must end with ``code``: its stdout (bytes), or the one line (text) that
    tells of the failure."""
    done = run(*words, **more)
    errors = done.stderr.decode()
    assert done.returncode == code, errors
    assert "Traceback" not in errors and "Warning" not in errors, errors
    return one_line(done, code) if code else done.stdout


def one_line(done: subprocess.CompletedProcess[bytes], code: int) -> str:
    """The one line on stderr that tells why a run failed, as users are promised."""
    assert done.returncode == code, done
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("synth: "), done.stderr
    assert "internal error" not in lines[0]
    return lines[0]
