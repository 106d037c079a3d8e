"""The frozen original of a trained model: its predictions, the distance to it, and negating the change."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from synthtools.training.language_model_task import DeviceRows, ModelWithHead
from synthtools.training.parallel import Ranks, local, reshard, whole


class FrozenModel:
    """The original model, for comparison of outputs.

    Args:
        root: a frozen copy, or the trained model itself if only adapters are trained.
        without_adapters: a context manager that disables the adapters; None for a copy.
    """

    def __init__(
        self, root: ModelWithHead, without_adapters: Callable[[], Any] | None = None
    ) -> None:
        self.root = root
        self._off = without_adapters or nullcontext
        self.own = without_adapters is None

    @torch.no_grad()
    def __call__(self, data: DeviceRows) -> tuple[Tensor, Tensor]:
        """Last hidden states of the predicting positions, and the output layer."""
        training = self.root.training
        self.root.eval()  # no dropout
        try:
            with self._off():
                detached: tuple[Tensor, Tensor] = self.root(
                    data, lambda states, weight: (states.detach(), weight.detach())
                )
                return detached
        finally:
            self.root.train(training)

    def parameters(self) -> dict[str, Tensor]:
        """Parameters by name; only for a copy."""
        return dict(self.root.named_parameters())


class Drift:
    """‖θ − θ₀‖ / ‖θ₀‖ over all parameters [ours]; for adapters from the norms of their products."""

    def __init__(self, root: ModelWithHead, original: FrozenModel, ranks: Ranks) -> None:
        self._root = root
        self._ranks = ranks
        self._original = original.parameters() if original.own else None
        own = {n: p.shape for n, p in root.named_parameters() if p.requires_grad}
        theirs = {n: p.shape for n, p in (self._original or {}).items()}
        # The distance is undefined between models of different architectures.
        self._comparable = all(theirs.get(name) == shape for name, shape in own.items())
        self._adapted = [m for m in root.modules() if hasattr(m, "lora_A")]
        base = (p for n, p in root.named_parameters() if "lora_" not in n)
        values = base if self._original is None else iter(self._original.values())
        self._norm = math.sqrt(self._sum(local(p.detach()).double().square().sum() for p in values))

    @torch.no_grad()
    def __call__(self) -> float | None:
        if self._adapted:
            squares = sum(_square_of_product(module) for module in self._adapted)
        elif not self._comparable:
            return None
        else:
            squares = self._sum(self._differences())
        return math.sqrt(squares) / max(self._norm, 1e-30)

    def _differences(self) -> Iterator[Tensor]:
        assert self._original is not None
        for name, parameter in self._root.named_parameters():
            apart = local(parameter.detach()) - local(self._original[name]).to(parameter.dtype)
            yield apart.square().sum(dtype=torch.float64)

    def _sum(self, values: Iterator[Tensor]) -> float:
        total = torch.zeros((), dtype=torch.float64, device=self._ranks.device)
        for value in values:
            total += value
        return float(self._ranks.sum(total))


def _square_of_product(module: Any) -> float:
    """‖s·B·A‖² of an adapted layer, computed from matrices of the adapters' rank."""
    if not module.lora_A:
        return 0.0
    (name,) = module.lora_A.keys()
    a = whole(module.lora_A[name].weight.detach()).float()
    b = whole(module.lora_B[name].weight.detach()).float()
    return float(module.scaling[name]) ** 2 * float(((b.T @ b) * (a @ a.T)).sum())


@torch.no_grad()
def negated(root: ModelWithHead, original: FrozenModel, strength: float) -> None:
    """θ ← θ₀ − strength · (θ − θ₀), for adapters by their products: the negated change (task vectors,
    Ilharco et al. 2022, arXiv 2212.04089)."""
    reshard(original.root)
    known = original.parameters() if original.own else {}
    for name, parameter in root.named_parameters():
        if "lora_B" in name:
            parameter.mul_(-strength)
        elif known:
            before = local(known[name]).to(parameter.dtype)
            own = local(parameter)
            own.copy_(before - strength * (own - before))


@contextmanager
def adapters_off(model: Any) -> Iterator[None]:
    """Disables a model's adapters, and changes nothing else."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
    # peft's own method also sets requires_grad, which sharded parameters must keep.
    before = [layer._disable_adapters for layer in layers]
    try:
        for layer in layers:
            layer._disable_adapters = True
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer._disable_adapters = was
