"""Attention that keeps the documents of a packed row apart, for every model of transformers.

It is registered with transformers under the name ``NAME``. The documents' boundaries are keyword arguments
of the model's forward pass (``boundaries``), which transformers passes to each layer. On a GPU in half
precision PyTorch's variable-length kernel skips the space between documents; elsewhere a block-diagonal mask
is used.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from synthtools.errors import SynthError

NAME = "synth_documents"


def boundaries(positions: Tensor, variable_length: bool) -> dict[str, Any]:
    """The keyword arguments of a forward pass that separate its documents.

    Args:
        positions: int64 [rows, length]; restart at 0 at the start of each document.
        variable_length: for PyTorch's variable-length kernel, otherwise as a mask.

    Returns:
        Empty if each row is one document: plain causal attention suffices.
    """
    rows, length = positions.shape
    begins = positions == 0
    begins[:, 0] = True
    if int(begins.sum()) == rows and not variable_length:
        return {}
    if variable_length:
        starts = begins.flatten().nonzero().squeeze(1).to(torch.int32)
        # Padded with empty documents to a power of two, so that a compiled model is not recompiled
        # for every number of documents.
        entries = 1 << len(starts).bit_length()
        cumulative = torch.full((entries + 1,), rows * length, dtype=torch.int32)
        cumulative[: len(starts)] = starts.cpu()
        return {"document_starts": cumulative.to(positions.device), "longest": length}
    document = begins.cumsum(1)
    same = document[:, :, None] == document[:, None, :]
    causal = torch.ones(length, length, dtype=torch.bool, device=positions.device).tril()
    return {"document_mask": (same & causal)[:, None]}


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    document_mask: Tensor | None = None,
    document_starts: Tensor | None = None,
    longest: int = 0,
    **more: Any,
) -> tuple[Tensor, None]:
    """Causal attention within documents, with the signature that transformers calls.

    Args:
        query: [rows, heads, length, width]; key, value: with the same or fewer heads.

    Returns:
        [rows, length, heads, width], and no attention weights.
    """
    if more.get("softcap") is not None or more.get("s_aux") is not None:
        raise SynthError(
            f"{type(module).__name__}: attention with soft-capped logits or sinks is not supported "
            "by the trainer"
        )
    rows, heads, length, _ = query.shape
    if document_starts is not None:
        from torch.nn.attention.varlen import varlen_attn

        # The kernel takes half precision alone; norms of queries and keys give float32 under autocast.
        flat = [
            x.transpose(1, 2).reshape(rows * length, x.shape[1], -1).to(torch.bfloat16)
            for x in (query, key, value)
        ]
        window = (-1, 0) if sliding_window is None else (sliding_window - 1, 0)
        out = varlen_attn(
            *flat,
            document_starts,
            document_starts,
            longest,
            longest,
            scale=scaling,
            window_size=window,
            enable_gqa=key.shape[1] != heads,
        )
        return out.reshape(rows, length, heads, -1), None
    if key.shape[1] != heads:
        key, value = (x.repeat_interleave(heads // x.shape[1], 1) for x in (key, value))
    mask = document_mask
    if sliding_window is not None and sliding_window < length:
        place = torch.arange(length, device=query.device)
        near = (place[:, None] - place[None, :]).abs() < sliding_window
        mask = near.tril()[None, None] if mask is None else mask & near
    out = scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scaling
    )
    return out.transpose(1, 2), None


@cache
def register() -> str:
    """Registers the attention with transformers; returns its name for ``attn_implementation``."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    return NAME
