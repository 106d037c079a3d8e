"""Checks of a model's configuration and the shapes of its weights, before the model is built.

Errors name the key of config.json, or the tensor with both shapes. Only the headers of the weights are read,
and the model is built on the meta device, so that a configuration that asks for more than the files hold
costs no memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from synthtools.errors import SynthError
from synthtools.lm.model_name import ADAPTERS, ModelName

_H = TypeVar("_H")

_WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# Keys of config.json, by the values that they allow.
_COUNTS = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("intermediate_size", "vocab_size", "head_dim", "max_position_embeddings", "n_positions"),
    *("n_embd", "n_layer", "n_head", "n_inner", "d_model", "num_layers", "max_seq_len"),
    *("seq_length", "embedding_size"),
)
_LAYER = re.compile(r"\.\d+\.")
_POSITIVE = ("rope_theta", "layer_norm_eps", "rms_norm_eps", "layer_norm_epsilon", "norm_eps")


def content_digest(model: ModelName) -> str | None:
    """A hash of a model's files and those of its base model; None for a Hub id, which has a commit."""
    digest = hashlib.blake2b(digest_size=16)
    location = Path(model.location)
    if not location.exists():
        return None
    for path in sorted(location.iterdir()) if location.is_dir() else [location]:
        if path.is_file():
            digest.update(f"{path.name}\0".encode())
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    base = model.base()
    return digest.hexdigest() + (content_digest(base) or "" if base else "")


def check_configuration(name: str, location: str, configuration: Any = None) -> None:
    """Refuses impossible numbers.

    Args:
        location: the directory of config.json, which is read unparsed.
        configuration: of a model that is not a directory.

    Raises:
        SynthError: a size is not a positive whole number, or a scale is not above 0.
    """
    held = read_object(os.path.join(location, "config.json"))
    if held is None and configuration is not None:
        held = configuration.to_dict()
    for key, value in _numbers(held or {}):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if key in _COUNTS and not (whole and value > 0):
            raise SynthError(
                f"{name}: config.json: {key} is {value}; it must be a whole number from 1"
            )
        if key not in _COUNTS and not (
            (whole or isinstance(value, float)) and math.isfinite(value) and value > 0
        ):
            raise SynthError(f"{name}: config.json: {key} is {value}; it must be a number above 0")


def read_object(path: str) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is none, or something else, which the loader reports."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _numbers(held: dict[str, Any], inside: str = "") -> Iterator[tuple[str, Any]]:
    """The keys to check in a configuration and its nested ones."""
    for key, value in held.items():
        if isinstance(value, dict):
            yield from _numbers(value, key if key.startswith("rope") else inside)
        elif value is None or isinstance(value, list):
            continue  # one value per layer, in a few architectures
        elif key in _COUNTS or key in _POSITIVE or (key == "factor" and inside):
            yield key, value


def check_weights(name: str, location: str, configuration: Any, kind: Any) -> None:
    """Refuses weights that do not fit the configuration, for models in a directory, by name of tensor.

    Args:
        kind: one of transformers' Auto classes.

    Raises:
        SynthError: there are fewer tensors than layers, or a tensor has another shape.
    """
    if getattr(configuration, "quantization_config", None) is not None:
        return  # quantised: the stored shapes are packed
    stored = _headers(location, lambda tensor: tuple(tensor.get_shape()))
    if not stored:
        return  # reported by the loader
    layers = getattr(configuration.get_text_config(), "num_hidden_layers", 0)
    if layers > len(stored):
        raise SynthError(
            f"{name}: config.json: num_hidden_layers is {layers:,}, but there are only "
            f"{len(stored):,} tensors in its weights"
        )
    for tensor, (wanted, shape) in _differences(configuration, kind, stored):
        raise SynthError(
            f"{name}: {tensor} has the shape {_shape(shape)} in its weights, {_shape(wanted)} by "
            "config.json: the files are not of one model"
        )


def _shape(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes)) or "of a number"


def stored_types(location: str) -> set[str]:
    """The types of the tensors in a directory, ``F32``, ``BF16``, …; empty if headers cannot be read."""
    return set(_headers(location, lambda tensor: tensor.get_dtype()).values())


def read_tensors(location: str) -> dict[str, Any]:
    """The tensors in a directory, mapped from its files; None for numbers. Empty if they cannot be read."""
    return _headers(location, lambda tensor: tensor[...] if tensor.get_shape() else None)


def _headers(location: str, read: Callable[[Any], _H]) -> dict[str, _H]:
    """``read`` of each tensor in a directory by its name; empty if one cannot be read."""
    from safetensors import SafetensorError, safe_open

    files = [_WEIGHTS]
    try:
        if not os.path.isfile(os.path.join(location, _WEIGHTS)):
            index = read_object(os.path.join(location, INDEX)) or {}
            files = sorted(set(index["weight_map"].values()))
        headers = {}
        for file_name in files:
            with safe_open(os.path.join(location, file_name), "pt") as held:
                for tensor in held.keys():  # noqa: SIM118 (not a dict)
                    headers[tensor] = read(held.get_slice(tensor))
        return headers
    except (OSError, KeyError, AttributeError, TypeError, SafetensorError):
        return {}


def _differences(
    configuration: Any, kind: Any, stored: dict[str, tuple[int, ...]]
) -> Iterator[tuple[str, tuple[tuple[int, ...], tuple[int, ...]]]]:
    """Tensors whose shapes differ from the model's: name, the model's shape, the stored shape."""
    import torch

    with torch.device("meta"):
        model = kind.from_config(configuration, trust_remote_code=False)
    prefix = f"{model.base_model_prefix}."
    wanted = {tensor: tuple(value.shape) for tensor, value in model.state_dict().items()}
    for tensor, shape in stored.items():
        for known in (tensor, prefix + tensor, tensor.removeprefix(prefix)):
            if known in wanted:
                if wanted[known] != shape:
                    yield tensor, (wanted[known], shape)
                break


def extra_layers(model: Any, unexpected: Iterable[str]) -> list[str]:
    """Of the tensors that a model did not load, those of layers that it does not have."""
    known = model.state_dict().keys()
    prefix = f"{model.base_model_prefix}."
    extra = []
    for tensor in unexpected:
        first = _LAYER.sub(".0.", tensor, count=1)
        same = (first, prefix + first, first.removeprefix(prefix))
        if first != tensor and any(one in known for one in same):
            extra.append(tensor)
    return sorted(extra)


def refuse_adapters(name: str) -> None:
    """Refuses adapters for which peft would run their code.

    peft loads pickle files if there are no others, and imports the module that an adapter for
    Megatron names.
    """
    if not os.path.exists(os.path.join(name, "adapter_model.safetensors")):
        raise SynthError(
            f"{name}: has no adapter_model.safetensors; adapters of pickle files, which can run code "
            "when loaded, are not read"
        )
    with open(os.path.join(name, ADAPTERS), encoding="utf-8") as file:
        if json.load(file).get("megatron_config"):
            raise SynthError(f"{name}: its adapters are for Megatron, which is not used here")


def refuse_kernels(name: str, configuration: Any) -> None:
    """Refuses a configuration that names a kernel on the Hub: compiled code, which transformers
    would download and run."""
    parts = [configuration, *(v for v in vars(configuration).values() if hasattr(v, "model_type"))]
    for part in parts:
        asked = getattr(part, "_attn_implementation", None)
        for wanted in asked.values() if isinstance(asked, dict) else [asked]:
            if "/" in str(wanted):
                raise SynthError(
                    f"{name}: asks for the attention {wanted!r}, which is code from the Hub and never "
                    "run here; take it out of config.json"
                )


def refuse_paths(name: str) -> None:
    """Refuses a directory whose index of weights names files outside it."""
    path = os.path.join(name, INDEX)
    if not os.path.isfile(path):
        return
    try:
        with open(path, encoding="utf-8") as file:
            files = list(json.load(file)["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SynthError(f"{path}: not an index of weights") from error
    for file_name in files:
        if not isinstance(file_name, str) or os.path.basename(file_name) != file_name:
            raise SynthError(f"{path}: names a file outside the directory: {file_name!r}")
