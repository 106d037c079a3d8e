"""The configuration of a plain Llama, read without transformers.

Importing transformers takes longer than importing torch and scoring a short text. A configuration is read here
only if each key of config.json is known and has a usual value. All others, faulty ones among them, are left to
transformers and to the checks of ``model_files``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from synthtools.lm.model_files import read_object
from synthtools.lm.model_name import ModelName

_Number = int | float

# Positive whole numbers, which must be given.
_COUNTS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "max_position_embeddings"),
)
# Keys that change the computation, with the values that the module ``torch.llama`` knows; the first is the default.
_VALUES: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "tie_word_embeddings": (False, True),
    "architectures": (None, ["LlamaForCausalLM"]),
    "rope_scaling": (None,),
}
_TYPES = (None, "float32", "bfloat16", "float16")
# Keys that do not change scores, with the types that transformers accepts.
_UNUSED: dict[str, tuple[type, ...]] = {
    "model_type": (str,),
    "attention_dropout": (int, float),
    "initializer_range": (float,),
    "use_cache": (bool,),
    "pretraining_tp": (int,),
    "transformers_version": (str,),
    "_name_or_path": (str,),
    "_model_name_or_path": (str,),
    **dict.fromkeys(
        ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"), (int, type(None))
    ),
}
# Up to this size of a head, transformers leaves it to torch that query heads share keys.
_WIDEST_HEAD = 256


@dataclass(frozen=True)
class LlamaConfiguration:
    """What scoring reads of a Llama's configuration, under the names of transformers.

    Attributes:
        name_or_path: the model's directory.
    """

    model_type: ClassVar[str] = "llama"

    name_or_path: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: _Number
    tie_word_embeddings: bool

    def get_text_config(self) -> Self:
        return self


def plain_llama(model: ModelName) -> LlamaConfiguration | None:
    """The configuration of a model in a directory; None if it is not a plain Llama's.

    Raises:
        SynthError: a GGUF file cannot be converted, or adapters do not name their model.
    """
    if model.base() is not None:
        return None
    location = model.location
    held = read_object(os.path.join(location, "config.json")) or {}
    if held.get("model_type") != "llama":
        return None
    counts = {key: held.pop(key, None) for key in _COUNTS}
    heads, width = counts["num_attention_heads"], counts["hidden_size"]
    if not all(_is_count(count) for count in counts.values()) or width % heads:
        return None
    key_heads, head = held.pop("num_key_value_heads", None), held.pop("head_dim", None)
    key_heads = heads if key_heads is None else key_heads
    head = width // heads if head is None else head
    epsilon, theta = held.pop("rms_norm_eps", None), _rope_theta(held)
    values = {key: held.pop(key, allowed[0]) for key, allowed in _VALUES.items()}
    types = [held.pop(key, None) for key in ("dtype", "torch_dtype")]
    padding, spread = held.get("pad_token_id"), held.get("initializer_range", 0.0)
    plain = (
        all(_among(value, _VALUES[key]) for key, value in values.items())
        and all(_among(value, _TYPES) for value in types)
        and all(type(value) in _UNUSED.get(key, ()) for key, value in held.items())
        and (_is_count(key_heads) and heads % key_heads == 0)
        and (_is_count(head) and head % 2 == 0 and head <= _WIDEST_HEAD)
        and (type(epsilon) is float and _is_scale(epsilon) and _is_scale(theta))
        and (padding is None or 0 <= padding < counts["vocab_size"])
        and 0.0 <= spread <= 1.0
    )
    if not plain:
        return None
    return LlamaConfiguration(
        name_or_path=location,
        num_key_value_heads=key_heads,
        head_dim=head,
        rms_norm_eps=epsilon,
        rope_theta=theta,
        tie_word_embeddings=values["tie_word_embeddings"],
        **counts,
    )


def _rope_theta(held: dict[str, Any]) -> Any:
    """Takes the base of the rotations out of a configuration, in either spelling; None for other rotations."""
    theta, parameters = held.pop("rope_theta", None), held.pop("rope_parameters", None)
    if parameters is None:
        return theta
    if theta is not None or not isinstance(parameters, dict):
        return None
    parameters = dict(parameters)
    theta = parameters.pop("rope_theta", None)
    return theta if parameters in ({}, {"rope_type": "default"}) else None


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_scale(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < 1e18


def _among(value: Any, allowed: tuple[Any, ...]) -> bool:
    """Whether it is one of these, of the same type: false is not 0."""
    return any(type(value) is type(one) and value == one for one in allowed)
