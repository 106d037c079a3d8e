"""One process or many: ranks under torchrun, parameters sharded over them (FSDP2).

Each rank holds a part of every parameter; a block's parameters are gathered for its computation. All ranks
build the whole batch, a pure function of (seed, step), and take their rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from synthtools.environment import rank_and_size, return_freed_tensors
from synthtools.errors import SynthError, UsageError
from synthtools.lm.devices import choose

# The others may wait for hours while the first rank tokenises.
_PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class Ranks:
    """The processes of a run: this rank (from 0), the number of ranks, this rank's device."""

    rank: int
    count: int
    device: str

    @property
    def first(self) -> bool:
        """Whether this process reports, writes shared files and prepares data."""
        return self.rank == 0

    def wait(self) -> None:
        """A barrier."""
        if self.count > 1:
            distributed.barrier()

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all ranks."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        if self.count == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def leave(self) -> None:
        """Ends the group."""
        if self.count > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


ALONE = Ranks(0, 1, "cpu")


def join(device: str) -> Ranks:
    """This process as a rank of torchrun, or alone.

    Raises:
        UsageError: more ranks on this machine than GPUs.
        SynthError: the ranks cannot connect to each other.
    """
    if rank_and_size()[1] == 1:
        return Ranks(0, 1, choose(device))
    return_freed_tensors()
    chosen = choose(device)
    if chosen.startswith("cuda"):
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise UsageError(
                f"rank {local} on this machine has no GPU ({torch.cuda.device_count()} are here): "
                "lower --nproc-per-node"
            )
        chosen = f"cuda:{local}"
        torch.cuda.set_device(local)
    try:
        distributed.init_process_group("nccl" if chosen != "cpu" else "gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        line = str(error).splitlines()[0]
        raise SynthError(f"the processes cannot connect to each other: {line}") from error
    return Ranks(distributed.get_rank(), distributed.get_world_size(), chosen)


def shard(
    root: torch.nn.Module,
    blocks: list[torch.nn.Module],
    bfloat16: bool,
    dtype: torch.dtype,
    ranks: Ranks,
) -> None:
    """Shards parameters over the ranks, block by block, what is left at the root, and moves them to the
    device; then this rank's rows are converted to ``dtype``."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(ranks.device.split(":")[0], (ranks.count,))
    half = torch.bfloat16 if bfloat16 else None
    policy = MixedPrecisionPolicy(param_dtype=half, reduce_dtype=torch.float32)
    for block in blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
        _convert(block, dtype)
    fully_shard(root, mesh=mesh, mp_policy=policy, reshard_after_forward=False)
    _convert(root, dtype)


def _convert(module: torch.nn.Module, dtype: torch.dtype) -> None:
    """Converts parameters only: the type of buffers, such as rotary frequencies, is part of the model."""
    module._apply(lambda one: one.to(dtype) if isinstance(one, torch.nn.Parameter) else one)


def reshard(root: Any) -> None:
    """Reshards the root's own parameters, which stay gathered after a pass without gradients."""
    if hasattr(root, "reshard"):
        root.reshard()


def local(tensor: Any) -> Tensor:
    """This rank's part of a tensor or DTensor."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def whole(tensor: Any) -> Tensor:
    """A full tensor from a tensor or DTensor, on every rank."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


@contextmanager
def torch_state(threads: int | None) -> Iterator[None]:
    """Sets torch's CPU threads (None: torch's default) and isolates its random state; restores both
    afterwards."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        try:
            torch.set_num_threads(threads or before)
            yield
        finally:
            torch.set_num_threads(before)
