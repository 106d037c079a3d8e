"""Which model, on which backend and devices, with which windows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from synthtools.errors import SynthError, parameter
from synthtools.lm.generation import ServerTraffic
from synthtools.lm.model_name import ModelName
from synthtools.lm.pretrained import LENGTHS
from synthtools.lm.windows import stride_of


@dataclass(frozen=True)
class ModelSettings:
    """Which model, on which backend and devices, with which windows.

    Attributes:
        model: its name.
        backend: ``auto``, ``torch``, ``vllm`` or ``server``; auto is the server if one is named, vLLM if it is
            installed and there is a GPU, otherwise torch.
        server: URL of a vLLM server (OpenAI-compatible).
        answers_as: other names that a server may report for the model, with ``*`` and ``?``.
        traffic: limits of requests to the server.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``; auto is float32 on a CPU and
            bfloat16 on a GPU.
        context: tokens of a window, None for the model's own length.
        stride: tokens between the starts of windows, None for three quarters of a window [ours].
        bos: ``auto`` (as the tokenizer does), ``always`` or ``never``.
        devices: ``auto``, ``cpu``, or GPUs by number (``0,1``).
        batch_tokens: tokens of a batch, None for as many as fit into memory.
        cores: cores to use, None for all.
        kv_cache_bytes: size of vLLM's key–value cache.
        observer: a second model with the same tokenizer, for cross-entropies
            (``scores.TokenDistribution``); torch only.
        ray: address of a Ray cluster whose nodes hold the model, None for this machine; ``cores``
            and ``devices`` are then those of each copy.
        bits: round weights to so many bits (``torch.rounded_weights``), None for no rounding; torch only.
    """

    model: ModelName = field(default_factory=ModelName)
    backend: str = "auto"
    server: str | None = None
    answers_as: str | None = None
    traffic: ServerTraffic = field(default_factory=ServerTraffic)
    dtype: str = "auto"
    context: int | None = None
    stride: int | None = None
    bos: str = "auto"
    devices: str = "auto"
    batch_tokens: int | None = None
    cores: int | None = None
    kv_cache_bytes: int | None = None
    observer: ModelName | None = None
    ray: str | None = None
    bits: int | None = None

    def refuse_long_stride(self) -> None:
        """Raises UsageError if windows would not overlap, as far as the model's length is known without
        loading it."""
        context = self.context or _stated_length(self.model)
        if self.stride is not None and context is not None:
            stride_of(self.stride, context, bos=False)


def _stated_length(model: ModelName) -> int | None:
    """The context length in a model's config.json; None if not available."""
    try:
        config = json.loads((Path(model.location) / "config.json").read_bytes())
        lengths = [config.get("text_config", config).get(name) for name in LENGTHS]
    except (OSError, ValueError, AttributeError):
        return None  # reported when the model is loaded
    return next((n for n in lengths if type(n) is int and n > 0), None)


def context_of(settings: ModelSettings, longest: int | None) -> int:
    """Tokens of a window.

    Args:
        longest: the model's context length, None if unknown.

    Raises:
        SynthError: the settings ask for more.
    """
    if settings.context is None:
        return longest or 2048
    if longest is not None and settings.context > longest:
        raise SynthError(
            f"{parameter('context', settings.context)}: {settings.model.name} takes at most {longest} "
            "tokens; longer documents go through overlapping windows anyway"
        )
    return settings.context
