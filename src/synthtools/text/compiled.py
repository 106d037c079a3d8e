"""Compiled functions: numba, with machine code kept on disk where that is possible."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import config

_HERE = Path(__file__).resolve().parent


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code that runs without the interpreter's lock.

    It is compiled at its first call. The code is kept below the first of these directories that can
    be written: ``NUMBA_CACHE_DIR``, ``__pycache__`` beside this file, numba's directory of the user.
    Where none can be, every process compiles anew.
    """
    for directory in _directories():
        with _cache_directory(directory):
            try:
                return numba.njit(nogil=True, cache=True)(function)
            except RuntimeError:  # numba found no place for the cache
                continue
    return numba.njit(nogil=True)(function)


@cache
def _directories() -> tuple[str, ...]:
    """Where to look, in order; empty means the directory that numba chooses itself.

    A digest of the sources is part of the name: numba looks at the file of a function alone, and
    would go on using code that was compiled with an earlier version of what the function calls.
    """
    digest = hashlib.sha256()
    for path in sorted(_HERE.glob("*.py")):
        digest.update(path.read_bytes())
    name = f"kernels-{digest.hexdigest()[:16]}"
    if config.CACHE_DIR:
        return (os.path.join(config.CACHE_DIR, name),)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return (os.path.join(_HERE, "__pycache__", name), os.path.join(home, "synthtools", name))


@contextmanager
def _cache_directory(directory: str) -> Any:
    before = config.CACHE_DIR
    config.CACHE_DIR = directory
    try:
        yield
    finally:
        config.CACHE_DIR = before
