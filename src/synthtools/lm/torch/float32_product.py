"""The output layer: float32 logits from states and weights of any type."""

from __future__ import annotations

import torch
from torch import Tensor


def operands(states: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the input type of ``float32_product``: bfloat16 on a GPU, otherwise float32."""
    if states.is_cuda and states.dtype == torch.bfloat16:
        return states, weight.to(torch.bfloat16)
    return states.float(), weight.float()


def float32_product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b in float32; for bfloat16 on a GPU, tensor cores accumulate in float32 without rounding the result."""
    if a.is_cuda and a.dtype == torch.bfloat16:
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()
