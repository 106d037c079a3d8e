"""How Python functions become machine code: one decorator for all kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """Compiles at the first call, releases the interpreter lock, keeps the code on disk.

    Where no directory for the code can be written, it is compiled anew in each process.
    """
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)
