"""A plain Llama without transformers, for scores and vectors.

It carries out the torch operations of transformers' LlamaForCausalLM (with sdpa attention and without a mask) in
their order, so that hidden states are the same to the bit. Architecture: Touvron et al. 2023, LLaMA; grouped
queries: Ainslie et al. 2023; rotations: Su et al. 2021, in halves as in transformers' files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from synthtools.lm.model_files import read_tensors, refuse_paths
from synthtools.lm.model_name import ModelName
from synthtools.lm.plain_llama import LlamaConfiguration, plain_llama
from synthtools.lm.pretrained import load_weights

# Takes a tensor by its name, with the shape that it must have.
_Take = Callable[..., nn.Parameter]
_STORED = (torch.float32, torch.bfloat16, torch.float16)


class HiddenStates(NamedTuple):
    last_hidden_state: Tensor


class Predictions(NamedTuple):
    logits: Tensor


class _OtherWeightsError(Exception):
    """The weights are not those of the configuration."""


def load_scorer(model: ModelName, dtype: Any, device: str) -> Any:
    """A causal language model for scores and vectors: a plain Llama as ``Llama``, any other by transformers.

    Args and errors: see ``load_weights``, which also reports weights that do not fit.
    """
    configuration = plain_llama(model)
    loaded = None if configuration is None else _load(configuration, dtype)
    return load_weights(model, dtype, device) if loaded is None else loaded.to(device)


def _load(config: LlamaConfiguration, dtype: Any) -> Llama | None:
    """A Llama on the CPU; None if the tensors in its files are not exactly those of the configuration."""
    refuse_paths(config.name_or_path)
    tensors = read_tensors(config.name_or_path)

    def take(name: str, *shape: int) -> nn.Parameter:
        tensor = tensors.pop(f"{name}.weight", None)
        if tensor is None or tensor.shape != shape or tensor.dtype not in _STORED:
            raise _OtherWeightsError
        return nn.Parameter(tensor.to(dtype), requires_grad=False)

    try:
        loaded = Llama(config, take)
    except _OtherWeightsError:
        return None
    return None if tensors else loaded


def _linear(weight: nn.Parameter) -> nn.Linear:
    rows, columns = weight.shape
    layer = nn.Linear(columns, rows, bias=False, device="meta")
    layer.weight = weight
    return layer


class _Norm(nn.Module):
    def __init__(self, weight: nn.Parameter, epsilon: float) -> None:
        super().__init__()
        self.weight = weight
        self._epsilon = epsilon

    def forward(self, states: Tensor) -> Tensor:
        exact = states.float()
        exact = exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + self._epsilon)
        return self.weight * exact.to(states.dtype)


class _Layer(nn.Module):
    def __init__(self, config: LlamaConfiguration, take: _Take, prefix: str) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        heads, key_heads = config.num_attention_heads, config.num_key_value_heads
        self._head = config.head_dim
        self._shares_keys = heads != key_heads

        def linear(name: str, rows: int, columns: int) -> nn.Linear:
            return _linear(take(f"{prefix}.{name}", rows, columns))

        def norm(name: str) -> _Norm:
            return _Norm(take(f"{prefix}.{name}", width), config.rms_norm_eps)

        self.attention_norm = norm("input_layernorm")
        self.query = linear("self_attn.q_proj", heads * self._head, width)
        self.key = linear("self_attn.k_proj", key_heads * self._head, width)
        self.value = linear("self_attn.v_proj", key_heads * self._head, width)
        self.output = linear("self_attn.o_proj", width, heads * self._head)
        self.mlp_norm = norm("post_attention_layernorm")
        self.gate = linear("mlp.gate_proj", inner, width)
        self.up = linear("mlp.up_proj", inner, width)
        self.down = linear("mlp.down_proj", width, inner)

    def forward(self, states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        rows, length, _ = states.shape
        normed = self.attention_norm(states)
        query, key, value = (
            projection(normed).view(rows, length, -1, self._head).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        attended = scaled_dot_product_attention(
            query * cos + _turned(query) * sin,
            key * cos + _turned(key) * sin,
            value,
            scale=self._head**-0.5,
            is_causal=length > 1,
            enable_gqa=self._shares_keys,
        )
        attended = attended.transpose(1, 2).reshape(rows, length, -1)
        states = states + self.output(attended)
        normed = self.mlp_norm(states)
        return states + self.down(silu(self.gate(normed)) * self.up(normed))


def _turned(states: Tensor) -> Tensor:
    """States [..., head] turned by a right angle: (a, b) → (−b, a) for the two halves of a head."""
    first, second = states.chunk(2, -1)
    return torch.cat((-second, first), -1)


class _Layers(nn.Module):
    """The model up to its hidden states."""

    def __init__(self, config: LlamaConfiguration, take: _Take) -> None:
        super().__init__()
        width, head = config.hidden_size, config.head_dim
        weight = take("model.embed_tokens", config.vocab_size, width)
        self.embeddings = nn.Embedding(config.vocab_size, width, _weight=weight, _freeze=True)
        self.layers = nn.ModuleList(
            _Layer(config, take, f"model.layers.{place}")
            for place in range(config.num_hidden_layers)
        )
        self.norm = _Norm(take("model.norm", width), config.rms_norm_eps)
        exponents = torch.arange(0, head, 2, dtype=torch.float32) / head
        self.register_buffer("frequencies", 1.0 / config.rope_theta**exponents)

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> HiddenStates:
        """Hidden states [rows, length, width] of token ids [rows, length].

        Args:
            use_cache: False; for the signature of transformers.
        """
        states = self.embeddings(input_ids)
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        angles = positions[:, None].float() * self.frequencies
        angles = torch.cat((angles, angles), -1)
        cos, sin = angles.cos().to(states.dtype), angles.sin().to(states.dtype)
        for layer in self.layers:
            states = layer(states, cos, sin)
        return HiddenStates(self.norm(states))


class Llama(nn.Module):
    """A causal language model with the part of transformers' interface that ``torch_replica`` uses.

    Args:
        take: takes each tensor by name and shape.
    """

    def __init__(self, config: LlamaConfiguration, take: _Take) -> None:
        super().__init__()
        self.config = config
        self.base_model = _Layers(config, take)
        tied = self.base_model.embeddings.weight
        self._head = _linear(
            tied
            if config.tie_word_embeddings
            else take("lm_head", config.vocab_size, config.hidden_size)
        )

    @property
    def dtype(self) -> torch.dtype:
        return self._head.weight.dtype

    def get_output_embeddings(self) -> nn.Linear:
        return self._head

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> Predictions:
        """Logits [rows, length, vocabulary] in the type of the weights."""
        return Predictions(self._head(self.base_model(input_ids).last_hidden_state))
