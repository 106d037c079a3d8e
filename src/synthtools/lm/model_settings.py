"""Which model, on what, and how texts are laid before it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from synthtools.lm.pretrained import LENGTHS, ModelName
from synthtools.lm.windows import stride_of


@dataclass(frozen=True)
class ModelSettings:
    """Which model, on what, and how texts are laid before it.

    Attributes:
        model: which.
        backend: ``auto``, ``torch``, ``vllm`` or ``server``; auto is the server where one is named, vLLM where there is a
            GPU and vLLM is installed, else torch.
        server: URL of an OpenAI-compatible server of vLLM.
        answers_as: other names of the model that a server may answer as, with ``*`` and ``?``.
        patience: seconds of nothing but failures after which a server is given up.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``; auto is float32 on a CPU and
            bfloat16 on a GPU.
        context: tokens of a window, None for the model's own length.
        stride: tokens between the beginnings of windows, None for three quarters of a window [ours].
        bos: ``auto`` (as the tokenizer does), ``always`` or ``never``.
        devices: ``auto``, ``cpu``, or GPUs by number (``0,1``).
        batch_tokens: of a batch, None for what the memory holds.
        cores: of this machine, None for all.
        kv_cache_bytes: vLLM's key–value cache.
        ray: address of a Ray cluster whose nodes hold the model, None for this machine; ``cores``
            and ``devices`` are then those of each copy.
    """

    model: ModelName = field(default_factory=ModelName)
    backend: str = "auto"
    server: str | None = None
    answers_as: str | None = None
    patience: float = 300.0
    dtype: str = "auto"
    context: int | None = None
    stride: int | None = None
    bos: str = "auto"
    devices: str = "auto"
    batch_tokens: int | None = None
    cores: int | None = None
    kv_cache_bytes: int | None = None
    ray: str | None = None

    def refuse_long_stride(self) -> None:
        """Raises UsageError where windows would not overlap, as far as the length of the model is known
        without loading it."""
        context = self.context or _stated_length(self.model)
        if self.stride is not None and context is not None:
            stride_of(self.stride, context, bos=False)


def _stated_length(model: ModelName) -> int | None:
    """Tokens that a model in a directory says it takes; None where that is not to be had."""
    try:
        found = json.loads((Path(model.location) / "config.json").read_bytes())
        lengths = [found.get("text_config", found).get(name) for name in LENGTHS]
    except (OSError, ValueError, AttributeError):
        return None  # told when the model is loaded
    return next((n for n in lengths if type(n) is int and n > 0), None)


def choose_backend(settings: ModelSettings) -> str:
    """The backend that settings ask for: torch, vllm or server."""
    if settings.backend != "auto":
        return settings.backend
    if settings.server:
        return "server"
    if settings.devices == "cpu":
        return "torch"
    from importlib.util import find_spec

    import torch

    return "vllm" if torch.cuda.is_available() and find_spec("vllm") else "torch"
