"""The key–value cache of a batch of rows that end at different times, and attention to it.

Rows are grouped by the padded lengths of their prompts, ascending; all prompts end at the same position.
"""

from __future__ import annotations

from contextvars import ContextVar
from itertools import accumulate, groupby, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, Cache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

# Positions by which the cache grows, at least.
_STEP = 64


class _GrowingLayer(DynamicLayer):
    """A layer's keys and values in a buffer that grows in steps instead of at every token."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self._length = 0
        self._buffers = [
            s.new_empty((*s.shape[:2], 0, s.shape[3])) for s in (key_states, value_states)
        ]
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self._length + key_states.shape[-2]
        for place, states in enumerate((key_states, value_states)):
            held = self._buffers[place]
            if end > held.shape[2]:
                room = states.new_empty(
                    (*states.shape[:2], end + max(_STEP, end // 4), states.shape[3])
                )
                room[:, :, : self._length] = held[:, :, : self._length]
                self._buffers[place] = held = room
            held[:, :, self._length : end] = states
        self._length = end
        self.keys, self.values = (held[:, :, :end] for held in self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keeps these rows, in this order; only those that change their place are copied."""
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero()[:, 0]
        for held in self._buffers:
            held[moved] = held[indices[moved]]
        self._buffers = [held[: len(indices)] for held in self._buffers]
        self.keys, self.values = (held[:, :, : self._length] for held in self._buffers)


def new_cache() -> Cache:
    return Cache(layer_class_to_replicate=_GrowingLayer)


def rows_left(widths: list[int], alive: list[int]) -> list[int]:
    """The places of the rows that stay, grouped by width as before, in an order in which few move.

    Args:
        widths: of all rows, ascending.
        alive: places of the rows that stay, ascending.
    """
    order: list[int] = []
    for _, same in groupby(alive, key=widths.__getitem__):
        members = list(same)
        places = range(len(order), len(order) + len(members))
        staying = set(members).intersection(places)
        moving = iter([place for place in members if place not in staying])
        order += [place if place in staying else next(moving) for place in places]
    return order


# For the rows of each padded length in a step of decoding: the first, the one after the last, and the first
# position of the cache from which on they attend.
Parts = list[tuple[int, int, int]]
attending: ContextVar[Parts | None] = ContextVar("attending", default=None)


def parts_of(widths: list[int], width: int) -> Parts:
    """Of rows with these padded lengths, ascending, whose prompts end at position ``width`` of the cache."""
    ends = accumulate((len(list(same)) for _, same in groupby(widths)), initial=0)
    return [(first, end, width - widths[first]) for first, end in pairwise(ends)]


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention on a CPU, with the signature that transformers calls.

    In a step of decoding, rows attend to no more of the cache's padding than up to their own padded length.
    Query heads that share a key's head read the same memory: where there is a mask, transformers copies the
    keys for each of them, which takes ten times as long.
    """
    if attention_mask is None or more.get("position_bias") is not None:
        attended: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **more
        )
        return attended
    attended_parts = [
        scaled_dot_product_attention(
            query[first:end],
            key[first:end, :, start:],
            value[first:end, :, start:],
            attn_mask=attention_mask[first:end, ..., start:],
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )
        for first, end, start in attending.get() or [(0, len(query), 0)]
    ]
    return torch.cat(attended_parts).transpose(1, 2).contiguous(), None


ATTENTION = "synth_decoding"
AttentionInterface.register(ATTENTION, attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
