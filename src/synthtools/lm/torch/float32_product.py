"""The product of the output layer: float32 logits, whatever the type of states and weights."""

from __future__ import annotations

import torch
from torch import Tensor


def operands(states: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the type that ``float32_product`` multiplies them in: bfloat16 where the states are on a
    GPU, else float32."""
    if states.is_cuda and states.dtype == torch.bfloat16:
        return states, weight.to(torch.bfloat16)
    return states.float(), weight.float()


def float32_product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b in float32; of bfloat16 on a GPU the tensor cores sum in float32 and nothing is rounded."""
    if a.is_cuda and a.dtype == torch.bfloat16:
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()
