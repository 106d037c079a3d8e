"""FLOP and memory of a training step, and the FLOP/s of a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthtools.training.plan import Settings

# Dense bfloat16 FLOP/s of tensor cores, from data sheets.
_PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "4090": 165e12,
    "V100": 125e12,
}


def flops_per_token(parameters: int, config: Any, length: int, trained: int | None = None) -> float:
    """FLOP of forward and backward pass per token, without recomputation.

    6 per parameter of matrix products (not for embedding lookups), and 12 · layers ·
    width · length for attention (Chowdhery et al. 2022, appendix B). With adapters the gradients of
    frozen weights are not computed: 4 per parameter and 6 per trained one.
    """
    text = config.get_text_config()
    lookups = (
        0 if getattr(text, "tie_word_embeddings", False) else text.vocab_size * text.hidden_size
    )
    if hasattr(text, "n_positions"):
        lookups += text.n_positions * text.hidden_size
    multiplied = parameters - lookups
    per_weight = 6.0 * multiplied
    if trained is not None and trained < parameters:
        per_weight = 4.0 * multiplied + 2.0 * trained
    return float(per_weight + 12.0 * text.num_hidden_layers * text.hidden_size * length)


def peak_flops(device: str) -> float | None:
    """FLOP/s of the device in bfloat16, None if unknown."""
    import torch

    if not device.startswith("cuda"):
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS.items() if part in name), None)


def measured_flops(device: str, bfloat16: bool) -> float:
    """FLOP/s of a plain matrix product on this device, measured in about a second."""
    import time

    import torch

    size = 1024 if device == "cpu" else 8192
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16 if bfloat16 else torch.float32)
    start = count = 0.0
    for number in range(1_000):
        if number == 2:  # after warm-up
            start = time.monotonic()
        a @ a
        if device != "cpu" and number % 10 == 0:
            torch.cuda.synchronize()
        if number >= 2:
            count += 1
            if time.monotonic() - start > 0.5:
                break
    if device != "cpu":
        torch.cuda.synchronize()
    return 2.0 * size**3 * count / (time.monotonic() - start)


def memory_bytes(
    parameters: int,
    trained: int,
    config: Any,
    length: int,
    settings: Settings,
    ranks: int,
    frozen: int = 0,
) -> int:
    """An estimate of the peak memory of one process [ours].

    Weights, gradients and two moments in float32, and the original, sharded over the ranks. Of a sharded model
    also what is whole at a time: embeddings and output layer, and of the layers two as gathered and the gradients of
    one before they are reduced. Per token and block about 16 activations of the hidden width and 3 of the inner
    width, or only the block's input with activation checkpointing; a chunk of logits.

    Args:
        frozen: bytes of the weights of a copy of the original; 0 without one.
    """
    text = config.get_text_config()
    width = text.hidden_size
    inner = getattr(text, "intermediate_size", None) or 4 * width
    number = 2 if settings.bfloat16 else 4
    weight = 4
    if settings.bfloat16 and ranks == 1:
        # Autocast keeps copies of trained weights for the backward pass; under adapters the base is bfloat16.
        weight = 6 if trained == parameters else 2
    states = (weight * parameters + frozen + 12 * trained) // ranks
    if ranks > 1:
        tied = getattr(text, "tie_word_embeddings", False)
        outer = text.vocab_size * width * (1 if tied else 2)
        layer = (parameters - outer) // text.num_hidden_layers
        states += outer * number * (2 if frozen else 1) + layer * (2 * number + 4)
    block = (16 * width + 3 * inner) * number
    layers = text.num_hidden_layers
    kept = width * number * layers + block if settings.recompute else block * layers
    activations = settings.micro_rows * length * kept
    logits = min(1 << 24, settings.micro_rows * length * text.vocab_size)
    head = 3 * 4 * logits + 8 * text.vocab_size * width
    return int(states + activations + head)


def memory_used(device: str) -> int:
    """Peak memory of this process so far, in bytes: on the GPU, otherwise resident."""
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
