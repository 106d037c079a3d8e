"""What the process is given: the cores that it may run on, and its rank among those of torchrun."""

from __future__ import annotations

import os


def cores() -> int:
    """The cores that this process may run on (a container or Slurm may give fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def rank_and_size() -> tuple[int, int]:
    """This process's rank and the number of processes that torchrun started: (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
