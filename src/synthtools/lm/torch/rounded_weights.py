"""Weights rounded to few bits in place, as in a quantised model.

Round to nearest, symmetric: w ← s · round(w / s), s = max |w| / (2^(bits − 1) − 1) of a row of 8 bits or of
a group of 128 columns of fewer bits. The output layer and the embeddings stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_GROUP = 128


def rounded(weight: Tensor, bits: int) -> Tensor:
    """A matrix [rows, columns] rounded to so many bits."""
    rows, columns = weight.shape
    width = _GROUP if bits < 8 and columns % _GROUP == 0 else columns
    grouped = weight.float().reshape(rows, -1, width)
    most = 2 ** (bits - 1) - 1
    scale = grouped.abs().amax(2, keepdim=True).clamp_min(1e-30) / most
    return ((grouped / scale).round() * scale).reshape(rows, columns).to(weight.dtype)


@torch.no_grad()
def round_weights(model: Any, bits: int) -> Any:
    """Rounds all linear layers except the output layer."""
    output = model.get_output_embeddings()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module is not output:
            module.weight.copy_(rounded(module.weight, bits))
    return model
