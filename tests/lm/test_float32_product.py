"""Logits are float32 sums of what the types of states and weights hold."""

from __future__ import annotations

import pytest
import torch

from synthtools.lm.torch.float32_product import float32_product, operands

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_logits_are_rounded_once(device: str, kind: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    states = torch.randn(100, 576, generator=random).to(device, kind)
    weight = torch.randn(5000, 576, generator=random).to(device)  # as a trainer keeps it
    one, other = operands(states, weight)
    logits = float32_product(one, other.T)
    assert logits.dtype == torch.float32
    # A product that came out in bfloat16 would be off by a 256th of its size, 0.1 and more here.
    exact = one.double() @ other.double().T
    assert (logits - exact).abs().max() < 2e-3
    if device == "cpu":
        # Nothing is rounded before, and it is bit for bit the plain layer.
        assert torch.equal(other, weight)
        assert torch.equal(logits, torch.nn.functional.linear(states.float(), weight))
