"""What this machine gives to the process."""

from __future__ import annotations

import os


def cores() -> int:
    """The cores that this process may run on (a container or Slurm may give fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process() -> tuple[int, int]:
    """Which process this is of how many that torchrun started: (0, 1) where it started none."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
