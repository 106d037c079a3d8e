"""Which device, and how much memory it has left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from synthtools.errors import UsageError


def choose(name: str, option: str = "--device") -> str:
    """A torch device: ``auto`` is the first GPU, else the CPU.

    Args:
        option: that named it, for errors.

    Raises:
        UsageError: the device is not there.
    """
    import torch

    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"{option} {name}: not a device (cpu, cuda, cuda:1, …)") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"{option} {name}: not supported (cpu, cuda, cuda:1, …)")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"{option} {name}: this machine has {torch.cuda.device_count()} GPUs")
    return name


_lock = threading.Lock()
_users = 0
_threads = 1


@contextmanager
def single_threaded() -> Iterator[None]:
    """Torch computes with one thread an operation meanwhile, for workers that take a core each; the
    last of overlapping users restores the number."""
    global _users, _threads
    import torch

    with _lock:
        if not _users:
            _threads = torch.get_num_threads()
        _users += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                torch.set_num_threads(_threads)
