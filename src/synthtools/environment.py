"""What the process is given: its cores, its rank among those of torchrun, how memory is allocated, where
it may keep what can be made again."""

from __future__ import annotations

import gc
import os
from pathlib import Path


def cores() -> int:
    """The cores that this process may run on (a container or Slurm may give fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def rank_and_size() -> tuple[int, int]:
    """This process's rank and the number of processes that torchrun started: (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def user_cache(name: str) -> Path:
    """This user's directory of that name for what can be made again; it need not exist."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root, "synthtools", name)


def collect_rarely() -> None:
    """Has Python look for cycles of dead objects every 100,000 new ones instead of every 700.

    Importing and reading records make many objects and few cycles: of a tool that starts, reads a
    little and ends, a third of the CPU time goes into that search.
    """
    gc.set_threshold(100_000, 20, 50)


def return_freed_tensors() -> None:
    """Has glibc return what is freed of 1 MB and more to the system at once, also between what is still held.

    Otherwise it keeps freed blocks of up to 32 MB between what stays: of a model that is sharded layer by layer, as
    much again as the model's part. The price: the system clears the pages of each tensor.
    """
    _glibc_allocates({_MMAP_THRESHOLD: 1 << 20})


def keep_freed_memory() -> None:
    """Has glibc keep up to 64 MB that are freed instead of returning them to the system at once.

    Tools that read allocate and free buffers of a megabyte all the time: without it a fifth of their
    CPU time is the system clearing the same pages again.
    """
    # The last as glibc would raise it by itself.
    _glibc_allocates({_TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 16 << 20, _MMAP_THRESHOLD: 32 << 20})


# Parameters of mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def _glibc_allocates(sizes: dict[int, int]) -> None:
    """Elsewhere, and where the user has set glibc's own variables, nothing changes."""
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, size in sizes.items():
            mallopt(parameter, size)
