"""Compiled functions: numba, with machine code kept on disk where that is possible."""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from synthtools.environment import user_cache


def _without_scipy() -> Any:
    """numba, which looks for scipy's linear algebra: half a second for what no kernel asks for."""
    looked_for = "scipy" not in sys.modules
    if looked_for:
        sys.modules["scipy"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("numba.np.arraymath")  # this is what looks
        return importlib.import_module("numba")
    finally:
        if looked_for:
            del sys.modules["scipy"]


numba = _without_scipy()
config = numba.config

event = importlib.import_module("numba.core.event")

PATIENCE = 2.0  # seconds of compilation before it is reported


class SlowCompilation(event.Listener):  # type: ignore[misc]
    """Says once in the log that functions are being compiled, where that takes long.

    What is loaded from disk is not compiled. numba compiles one function at a time, with those that it
    calls within it.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._spent = self._began = 0.0
        self._announced = False
        self._timer = threading.Timer(0, self._tell)

    def on_start(self, event: Any) -> None:
        self._depth += 1
        if self._depth == 1 and not self._announced:
            self._began = time.monotonic()
            self._timer = threading.Timer(max(0.0, PATIENCE - self._spent), self._tell)
            self._timer.daemon = True
            self._timer.start()

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._timer.cancel()
            self._spent += time.monotonic() - self._began

    def _tell(self) -> None:
        self._announced = True
        again = (
            "once"
            if _directory()
            else "at every start: set NUMBA_CACHE_DIR to a writable directory"
        )
        logging.getLogger(__name__).info(f"compiling for this machine, {again}")


event.register("numba:compile", SlowCompilation())

_U = np.uint64
_HERE = Path(__file__).resolve().parent
# Where compiled functions live.
_SOURCES = ("compiled.py", "text/*.py", "records/scan*.py")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code that runs without the interpreter's lock.

    It is compiled at its first call. The code is kept below the first of these directories that can
    be written: ``NUMBA_CACHE_DIR`` where it is set; else ``__pycache__`` beside this file, or
    ``synthtools`` in the user's cache directory. If none can be written, every process
    compiles it again.
    """
    directory = _directory()
    if directory is None:
        return numba.njit(nogil=True)(function)
    before = config.CACHE_DIR
    config.CACHE_DIR = directory  # read when the function is wrapped
    try:
        return numba.njit(nogil=True, cache=True)(function)
    finally:
        config.CACHE_DIR = before


@cache
def _directory() -> str | None:
    """Where the machine code is kept.

    A digest of the sources is part of the name: numba looks at the file of a function alone, and
    would go on using code that was compiled with an earlier version of what the function calls.
    """
    digest = hashlib.sha256()
    for path in sorted(path for names in _SOURCES for path in _HERE.glob(names)):
        digest.update(path.read_bytes())
    name = f"kernels-{digest.hexdigest()[:16]}"
    for place in (
        [config.CACHE_DIR] if config.CACHE_DIR else [_HERE / "__pycache__", user_cache("")]
    ):
        directory = os.path.join(place, name)
        try:
            os.makedirs(directory, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                return directory
        except OSError:
            continue
    return None


@compiled
def load(data, at):
    """Eight bytes from position ``at`` (uint64), the first one lowest; one machine instruction."""
    return (
        _U(data[at])
        | (_U(data[at + _U(1)]) << _U(8))
        | (_U(data[at + _U(2)]) << _U(16))
        | (_U(data[at + _U(3)]) << _U(24))
        | (_U(data[at + _U(4)]) << _U(32))
        | (_U(data[at + _U(5)]) << _U(40))
        | (_U(data[at + _U(6)]) << _U(48))
        | (_U(data[at + _U(7)]) << _U(56))
    )


@compiled
def store(data, at, word):
    """The reverse of ``load``."""
    for index in range(8):
        data[at + _U(index)] = np.uint8((word >> (_U(8) * _U(index))) & _U(0xFF))
