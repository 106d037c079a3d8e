"""Weights of a model that no rank holds whole: this rank's rows of each, drawn or read from files.

A model whose parameters have no memory (torch's meta device) is sharded like any other; then every rank
gets its rows. Drawn ones are those of the model that one process draws for the same seed: all draws are
made, in their order, one tensor at a time.
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
# What was in the tensor before makes no difference to these.
_OVERWRITES = {_aten.normal_, _aten.uniform_, _aten.zero_, _aten.fill_, _aten.copy_}


class _WholeModelNeededError(Exception):
    """An initialisation that cannot be followed tensor by tensor."""


class _DrawnRows(TorchDispatchMode):
    """Carries out on a tensor with memory what is done to a parameter without; one has memory at a time."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self._ranks = ranks
        self._whole: Tensor | None = None
        self._open = 0
        # By storage. The parameter is kept, too, so that no other gets the place of its storage.
        self._rows: dict[int, tuple[Tensor, Tensor]] = {}
        self._kept: dict[int, Tensor] = {}

    def begin(self, parameter: torch.nn.Parameter) -> torch.nn.Parameter:
        """The parameter without memory; its values, as far as it has some, are the first ones."""
        empty = torch.nn.Parameter(parameter.data.to("meta"), parameter.requires_grad)
        self._close()
        self._open, self._whole = _key(empty), parameter.data
        self._kept[self._open] = empty
        return empty

    def rows(self, parameter: Tensor) -> Tensor:
        """This rank's rows of a parameter."""
        self._close()
        return self._rows[_key(parameter)][1]

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
        """The tensor with memory that stands for a parameter, or for a view of the open one."""
        key = _key(tensor)
        if self._whole is None or key != self._open:
            if not overwritten or key not in self._kept or tensor.shape != self._kept[key].shape:
                raise _WholeModelNeededError
            self._close()
            self._open, self._whole = key, torch.empty_like(tensor, device="cpu")
        return self._whole.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def drawn(make: Callable[[], Any], seed: int, ranks: Ranks) -> tuple[Any, dict[str, Tensor]]:
    """A model whose parameters have no memory, and this rank's rows of those that a seed draws, by name.

    Where its initialisation mixes parameters (none of the presets' does) the model is whole, and no rows
    are given.

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
    """Gives memory to sharded parameters that have none, and to each its rows, which leave ``rows``."""
    model._apply(lambda one: torch.empty_like(one, device=device) if one.is_meta else one)
    for name, weight in model.named_parameters():
        local(weight).copy_(rows.pop(name))


@contextmanager
def posing_as(model: Any, dtype: torch.dtype) -> Iterator[None]:
    """The parameters of a model seem to be of another type meanwhile; nothing is converted."""
    held = [(weight, weight.data) for weight in model.parameters()]
    try:
        for weight, data in held:
            weight.data = torch.zeros((), dtype=dtype).expand(data.shape)
        yield
    finally:
        for weight, data in held:
            weight.data = data
