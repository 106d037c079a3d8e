"""Generation with any causal language model of transformers, on CPUs and GPUs.

Prompts are padded on the left to lengths that depend only on the prompt: in fine steps for prefill, in
coarse ones for decoding with a key–value cache, so that nearly all prompts are decoded together. All rows
of a batch are at the same position, so that the length of every reduction depends only on the row; there is
always padding, because attention without a mask uses another kernel. On a CPU, with enough rows per matrix
product (see ``torch_replica``), an answer then has the same bytes in any batch. If the model uses
transformers' interface for attention, there it reads the cache from the row's own padded length on, and
prompts of any lengths are decoded together. Finished rows leave the batch.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache
from transformers.pytorch_utils import Conv1D

from synthtools.errors import SynthError, parameter
from synthtools.lm.generation import SamplingSettings
from synthtools.lm.torch.decoding_attention import (
    ATTENTION,
    Parts,
    attending,
    new_cache,
    parts_of,
    rows_left,
)
from synthtools.lm.torch.partial_answer import PartialAnswer
from synthtools.lm.torch.token_sampler import choose
from synthtools.lm.torch.torch_replica import ScorerReplica, at_least

_CPU_ROWS = 128
_GPU_ROWS = 512
# Bytes of a batch's key–value cache on a CPU.
_CPU_CACHE_BYTES = 1 << 30
# A step reads the cache of padding too, and multiplies by all weights: up to this length the first cost is
# negligible.
_LEAST_WIDTH = 128


def answering_width(length: int, context: int) -> int:
    """The padded length of a prompt for decoding, above its own: two steps per octave."""
    width = max(_LEAST_WIDTH, 1 << length.bit_length())
    if width > _LEAST_WIDTH and length < 3 * width // 4:
        width = 3 * width // 4
    return min(width, max(context, length + 1))


def _with_enough_rows(module: Any) -> None:
    """Pads matrix products of few rows, so that they round like larger ones."""

    def forward(product: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
        rows = states.numel() // states.shape[-1]
        wanted = at_least(rows, 1)
        if rows in (0, wanted):
            return product(states)
        flat = states.reshape(rows, -1)
        padded = pad(flat, (0, 0, 0, wanted - rows))
        return product(padded)[:rows].view(*states.shape[:-1], -1)

    module.forward = partial(forward, module.forward)


class GeneratorReplica(ScorerReplica):
    def __init__(
        self, model: Any, device: str, batch_tokens: int | None, remark: Callable[[str], None]
    ) -> None:
        if device == "cpu":
            for module in model.modules():
                if isinstance(module, torch.nn.Linear | Conv1D):
                    _with_enough_rows(module)
            if model.config._attn_implementation == "sdpa" and model._can_set_attn_implementation():
                model.set_attn_implementation(ATTENTION)
        self._asked_tokens = batch_tokens
        taken = inspect.signature(model.base_model.forward).parameters
        self._takes_positions = "position_ids" in taken
        super().__init__(model, device, batch_tokens, remark)
        config = getattr(model, "generation_config", None)
        ends = getattr(config, "eos_token_id", None)
        self.end_ids = {ends} if isinstance(ends, int) else set(ends or ())

    def _try_out(self) -> None:
        super()._try_out()
        self._try_steps()

    @torch.inference_mode()
    def _try_steps(self) -> None:
        """Raises SynthError if decoding with cache and padding differs from one pass over the text."""
        name = self._model.config.name_or_path
        ids = torch.arange(1, 10, device=self._device)[None] % len(self._weight)
        whole = self.logits(self._hidden(ids)[0])
        mask = torch.ones((1, 12), dtype=torch.int64, device=self._device)
        mask[0, :3] = 0
        padded = pad(ids, (3, 0))
        try:
            cache = new_cache()
            first = self.logits(self._step(padded[:, :8], mask[:, :8], cache))
            for at in range(8, 12):
                last = self.logits(self._step(padded[:, at : at + 1], mask[:, : at + 1], cache))
            for layer in cache.layers:
                layer.keys[:, :, :2] = layer.values[:, :, :2] = torch.nan
            beside = self._step(ids[:, -1:], pad(mask, (0, 1), value=1), cache, [(0, 1, 2)])
            self._padding_is_read = not bool(beside.isfinite().all())
        except Exception as error:
            raise SynthError(
                f"{name}: the torch backend cannot keep what this model needs of past tokens "
                f"({type(error).__name__}); use {parameter('backend', 'vllm')}"
            ) from error
        allowed = (1e-3 if self._model.dtype == torch.float32 else 3e-2) * float(whole.abs().max())
        if float((first[0] - whole[4]).abs().max()) > allowed or (
            float((last[0] - whole[8]).abs().max()) > allowed
        ):
            raise SynthError(
                f"{name}: goes on with a text in a way that the torch backend does not know; use "
                f"{parameter('backend', 'vllm')}"
            )

    def _step(self, ids: Tensor, mask: Tensor, cache: Cache, parts: Parts | None = None) -> Tensor:
        """The last hidden state [rows, width] after further tokens [rows, n].

        Args:
            mask: int64 [rows, all tokens so far], 0 for padding.
            parts: None: rows attend to the whole cache.
        """
        attending.set(parts)
        more = {}
        if self._takes_positions:
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            more["position_ids"] = positions[:, -ids.shape[1] :]
        output = self._model.base_model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **more
        )
        return output.last_hidden_state[:, -1]

    def rows(self, width: int, new_tokens: int) -> int:
        """The maximal number of prompts of this padded length in a batch."""
        tokens = width + new_tokens
        if self._asked_tokens:
            return max(1, self._asked_tokens // tokens)
        config = self._model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        a_token = 2 * config.num_hidden_layers * heads * head * self._model.dtype.itemsize
        room = _CPU_CACHE_BYTES
        if self._on_gpu:
            free, _ = torch.cuda.mem_get_info(self._device)
            room = free // 3
        return int(
            max(1, min(_GPU_ROWS if self._on_gpu else _CPU_ROWS, room // (a_token * tokens)))
        )

    def batches(
        self, rows: list[PartialAnswer], context: int, workers: int
    ) -> Iterator[tuple[int, list[PartialAnswer]]]:
        """Padded length and prompts of each batch, the longest first.

        Batches of one padded length are of nearly equal size: few rows cost as much as many
        (see ``torch_replica``).
        """
        groups: dict[int, list[PartialAnswer]] = defaultdict(list)
        for row in sorted(rows, key=attrgetter("width"), reverse=True):
            groups[answering_width(len(row.ids), context) if self._padding_is_read else 0].append(
                row
            )
        for width, members in groups.items():
            longest = max(row.room for row in members)
            while members:
                padded = width or members[0].width
                least = -(-len(members) // self.rows(padded, longest))
                pieces = max(least, min(workers, len(members) // at_least(0, 1)))
                size = -(-len(members) // pieces)
                yield padded, members[:size]
                members = members[size:]

    def answer(
        self,
        rows: list[PartialAnswer],
        width: int,
        sampling: SamplingSettings,
        surfaces: list[bytes],
        ends: set[int],
    ) -> None:
        self._halving(
            rows,
            width,
            lambda some: self._answer(some, width, sampling, surfaces, ends),
        )

    @torch.inference_mode()
    def _answer(
        self,
        rows: list[PartialAnswer],
        width: int,
        sampling: SamplingSettings,
        surfaces: list[bytes],
        ends: set[int],
    ) -> list[None]:
        # Some were done before memory ran out.
        live = sorted((row for row in rows if row.answer is None), key=attrgetter("width"))
        for row in live:
            row.restart()
        hidden, mask, cache = self._read(live, width)
        at = 0
        while live:
            draws = np.array([row.uniforms[at] for row in live])
            tokens = choose(
                self.logits(hidden),
                torch.from_numpy(draws).to(self._device),
                sampling.temperature,
                sampling.top_p,
                sampling.top_k,
            )
            at += 1
            alive = [
                place
                for place, (row, token) in enumerate(zip(live, tokens.tolist(), strict=True))
                if not row.take(
                    token, surfaces[token] if token < len(surfaces) else b"", token in ends
                )
            ]
            if len(alive) < len(live):
                order = rows_left([row.width for row in live], alive)
                live = [live[place] for place in order]
                if not live:
                    break
                left = torch.tensor(order, dtype=torch.int64, device=self._device)
                cache.batch_select_indices(left)
                tokens, mask = tokens[left], mask[left]
            mask = pad(mask, (0, 1), value=1)
            parts = parts_of([row.width for row in live], width)
            hidden = self._step(tokens[:, None], mask, cache, parts)
        return [None] * len(rows)

    def _read(self, rows: list[PartialAnswer], width: int) -> tuple[Tensor, Tensor, Cache]:
        """Prefill: last hidden states [rows, width of the model], mask [rows, width] and cache.

        Args:
            rows: grouped by padded length.
        """
        hidden, masks, caches = [], [], []
        for close, same in groupby(rows, key=attrgetter("width")):
            members = list(same)
            some = max(1, self.batch_tokens // close)
            for start in range(0, len(members), some):
                part = members[start : start + some]
                ids = np.zeros((len(part), close), np.int64)
                mask = np.zeros((len(part), width), np.int64)
                for place, row in enumerate(part):
                    ids[place, close - len(row.ids) :] = row.ids
                    mask[place, width - len(row.ids) :] = 1
                masks.append(torch.from_numpy(mask).to(self._device))
                caches.append(new_cache())
                tokens = torch.from_numpy(ids).to(self._device)
                hidden.append(self._step(tokens, masks[-1][:, width - close :], caches[-1]))
        together = new_cache()
        for place in range(len(caches[0].layers)):
            layers: list[Any] = [cache.layers[place] for cache in caches]
            keys, values = (
                torch.cat([pad(s, (0, 0, width - s.shape[2], 0)) for s in states])
                for states in zip(*((one.keys, one.values) for one in layers), strict=True)
            )
            together.update(keys, values, place)
            for layer in layers:
                layer.reset()
        return torch.cat(hidden), torch.cat(masks), together
