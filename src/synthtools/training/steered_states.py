"""Representation misdirection (RMU, Li et al. 2024, arXiv 2403.03218) as a task of the loop.

    L = w_forget · mean ‖h − c·u‖² / width on forget + w_kl · mean ‖h − h_original‖² / width on replay

h is the output of one transformer block at the predicting positions, u a random direction with entries drawn
from [0, 1), normalised to length 1. Only this block and the two before it are trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from synthtools.errors import UsageError, parameter
from synthtools.training.head import head_odds
from synthtools.training.language_model_task import DeviceRows
from synthtools.training.models import blocks
from synthtools.training.objectives import CROSS_ENTROPY, SteeredStates
from synthtools.training.unlearn_task import StreamRows, UnlearnTask

# Including the block itself.
_TRAINED = 3


@contextmanager
def _block_outputs(block: torch.nn.Module) -> Iterator[list[Tensor]]:
    """Collects a block's outputs, [rows, length, width] each."""
    seen: list[Tensor] = []

    def keep(_: Any, __: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    handle = block.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


@dataclass
class SteeredTask(UnlearnTask):
    """An ``UnlearnTask``; ``layer``: index of the block, None for the last of the first quarter, as in the
    paper; ``seed``: of the direction."""

    layer: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        own, theirs = blocks(self.root.model), blocks(self.original.root.model)
        layer = max(0, len(own) // 4 - 1) if self.layer is None else self.layer
        if layer >= min(len(own), len(theirs)):
            raise UsageError(
                f"{parameter('layer', layer)}: the model has {len(own)} layers, from 0 on"
            )
        self._own, self._theirs = own[layer], theirs[layer]
        trained = {
            parameter
            for block in own[max(0, layer + 1 - _TRAINED) : layer + 1]
            for parameter in block.parameters()
        }
        for weight in self.root.parameters():
            weight.requires_grad_(weight.requires_grad and weight in trained)
        super().__post_init__()
        self.names = ["distance" if name == "kl" else name for name in self.names]
        assert isinstance(self.how.objective, SteeredStates | None)
        width = self.root.model.config.get_text_config().hidden_size
        direction = torch.rand(width, generator=torch.Generator().manual_seed(self.seed))
        norm = self.how.objective.norm if self.how.objective else 0.0
        self._goal = (direction * norm / direction.norm()).to(self.ranks.device)

    def _forget(
        self, piece: StreamRows, weight: float
    ) -> tuple[Tensor, Tensor, dict[str, tuple[Any, int]]]:
        total, apart, odds = self._moved(piece.data, self._goal, weight / piece.tokens)
        nll = CROSS_ENTROPY.value(odds).double().sum()
        seen = {"forget_loss": (apart.double().sum(), len(odds)), "forget_nll": (nll, len(odds))}
        return total, total.detach(), seen

    def _replay(
        self, piece: StreamRows, weight: float, kl_weight: float
    ) -> tuple[Tensor, Tensor, dict[str, tuple[Any, int]]]:
        with _block_outputs(self._theirs) as kept:
            states, output = self.original(piece.data)
        goal = _predicting_states(kept[0], piece.data)
        total, apart, odds = self._moved(piece.data, goal, kl_weight / piece.tokens)
        count = len(odds)
        seen = {
            "distance": (apart.double().sum(), count),
            "replay_nll": (CROSS_ENTROPY.value(odds).double().sum(), count),
        }
        if self.paired:
            original = CROSS_ENTROPY.value(head_odds(states, output, piece.data.labels))
            seen["original_nll"] = (original.double().sum(), count)
        return total, total.detach(), seen

    def _moved(self, data: DeviceRows, goal: Tensor, each: float) -> tuple[Tensor, Tensor, Tensor]:
        """Σ distances · ``each``, the distance at each position [n], the log-odds of its label [n]."""
        with _block_outputs(self._own) as own:

            def head(states: Tensor, output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
                apart = (_predicting_states(own[0], data) - goal).square().mean(1)
                odds = head_odds(states.detach(), output.detach(), data.labels)
                return apart.sum() * each, apart.detach(), odds

            moved: tuple[Tensor, Tensor, Tensor] = self.root(data, head)
        return moved


def _predicting_states(states: Tensor, data: DeviceRows) -> Tensor:
    """Hidden states at the predicting positions, from [rows, length, width] to float32 [n, width]."""
    return states.flatten(0, 1)[data.places].float()
