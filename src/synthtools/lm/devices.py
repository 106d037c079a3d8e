"""Which device, and how much memory it has left."""

from __future__ import annotations

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
