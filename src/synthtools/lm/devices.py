"""Devices, data types and threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from synthtools.errors import UsageError, parameter


def choose(name: str, called: str = "device") -> str:
    """A torch device: ``auto`` is the first GPU, else the CPU.

    Args:
        called: the parameter's name, for errors.

    Raises:
        UsageError: the device does not exist.
    """
    import torch

    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    place = parameter(called, name)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"{place}: not a device (cpu, cuda, cuda:1, …)") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"{place}: not supported (cpu, cuda, cuda:1, …)")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"{place}: this machine has {torch.cuda.device_count()} GPUs")
    return name


def device_list(devices: str) -> list[str]:
    """``auto``, ``cpu``, ``0,1`` → torch devices.

    Raises:
        UsageError: a device does not exist.
    """
    if devices == "auto":
        import torch

        return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]
    names = [name.strip() for name in devices.split(",")]
    return [choose(f"cuda:{name}" if name.isdigit() else name, "devices") for name in names]


def torch_dtype(name: str, on_gpu: bool) -> str:
    """The type of weights and activations; auto is bfloat16 on a GPU, float32 on a CPU."""
    if name == "auto":
        return "bfloat16" if on_gpu else "float32"
    return name


def emulates_bfloat16(cpu: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU has no bfloat16 instructions (False where the system does not say).

    Without them torch emulates bfloat16, several times slower than float32.
    """
    try:
        lines = cpu.read_text().splitlines()
    except OSError:
        return False
    flags = next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])
    return bool(flags) and not {"avx512_bf16", "amx_bf16", "bf16"} & {*flags}


def remark_emulation(device: str, remark: Callable[[str], None]) -> None:
    """Says so where bfloat16 was asked of a device that emulates it."""
    if device == "cpu" and emulates_bfloat16():
        remark(
            f"this CPU has no bfloat16 instructions: {parameter('dtype', 'float32')} is several "
            "times as fast"
        )


_lock = threading.Lock()
_users = 0
_threads = 1


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limits torch to one thread per operation, for workers that use one core each; the last of
    overlapping users restores the number."""
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
