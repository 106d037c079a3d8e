"""Weights of a model that does not fit one rank: this rank's rows of each, initialised or read from files.

A model on the meta device is sharded like any other; then every rank fills in its rows. Initialised weights
equal those of a single process with the same seed: all draws are made, in order, one tensor at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from synthtools.training.parallel import Ranks, local

_aten = torch.ops.aten
# Operations that do not depend on the previous content of the tensor.
_OVERWRITES = {_aten.normal_, _aten.uniform_, _aten.zero_, _aten.fill_, _aten.copy_}


class _WholeModelNeededError(Exception):
    """An initialisation that cannot be done tensor by tensor."""


class _DrawnRows(TorchDispatchMode):
    """Applies operations on meta parameters to a real tensor; only one is in memory at a time."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self._ranks = ranks
        self._whole: Tensor | None = None
        self._open = 0
        # By storage. Parameters are referenced, too, so that their storage is not reused.
        self._rows: dict[int, tuple[Tensor, Tensor]] = {}
        self._kept: dict[int, Tensor] = {}

    def begin(self, parameter: torch.nn.Parameter) -> torch.nn.Parameter:
        """A meta version of the parameter; existing values become its initial ones."""
        empty = torch.nn.Parameter(parameter.data.to("meta"), parameter.requires_grad)
        self._close()
        self._open, self._whole = _storage_id(empty), parameter.data
        self._kept[self._open] = empty
        return empty

    def rows(self, parameter: Tensor) -> Tensor:
        """This rank's rows of a parameter."""
        self._close()
        return self._rows[_storage_id(parameter)][1]

    def _close(self) -> None:
        if self._whole is None:
            return
        pieces = torch.chunk(self._whole, self._ranks.count)
        rank = self._ranks.rank
        own = pieces[rank] if rank < len(pieces) else self._whole[:0]
        self._rows[self._open] = self._kept[self._open], own.clone()
        self._whole = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        if func._schema.is_mutable and isinstance(args[0], Tensor) and args[0].is_meta:
            whole = self._opened(args[0], func.overloadpacket in _OVERWRITES)
            if any(isinstance(value, Tensor) and value.is_meta for value in args[1:]):
                raise _WholeModelNeededError
            with torch.no_grad():
                func(whole, *args[1:], **given)
        return result

    def _opened(self, tensor: Tensor, overwritten: bool) -> Tensor:
        """The real tensor for a parameter, or for a view of the current one."""
        key = _storage_id(tensor)
        if self._whole is None or key != self._open:
            if not overwritten or key not in self._kept or tensor.shape != self._kept[key].shape:
                raise _WholeModelNeededError
            self._close()
            self._open, self._whole = key, torch.empty_like(tensor, device="cpu")
        return self._whole.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def _storage_id(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def drawn(make: Callable[[], Any], seed: int, ranks: Ranks) -> tuple[Any, dict[str, Tensor]]:
    """A model on the meta device, and this rank's rows of its initial parameters for a seed, by name.

    If the initialisation mixes parameters (not so for any preset), the full model, without rows.

    Args:
        make: makes the model.
    """
    mode = _DrawnRows(ranks)
    register = torch.nn.Module.register_parameter

    def without_memory(module: Any, name: str, parameter: torch.nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:
            parameter = mode.begin(parameter)
        register(module, name, parameter)

    torch.manual_seed(seed)
    torch.nn.Module.register_parameter = without_memory
    try:
        with mode:
            model = make()
        return model, {name: mode.rows(weight) for name, weight in model.named_parameters()}
    except _WholeModelNeededError:
        pass
    finally:
        torch.nn.Module.register_parameter = register
    torch.manual_seed(seed)
    return make(), {}


@torch.no_grad()
def fill(model: Any, rows: dict[str, Tensor], device: str) -> None:
    """Allocates sharded meta parameters and fills in their rows, which are removed from ``rows``."""
    model._apply(lambda one: torch.empty_like(one, device=device) if one.is_meta else one)
    for name, weight in model.named_parameters():
        local(weight).copy_(rows.pop(name))


@contextmanager
def reporting_dtype(model: Any, dtype: torch.dtype) -> Iterator[None]:
    """Makes a model's parameters report another type, without converting them."""
    held = [(weight, weight.data) for weight in model.parameters()]
    try:
        for weight, data in held:
            weight.data = torch.zeros((), dtype=dtype).expand(data.shape)
        yield
    finally:
        for weight, data in held:
            weight.data = data
