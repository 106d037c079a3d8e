"""Readers of what a model directory holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from faults.cases import model
from faults.readers.reader import Reader, place


@cache
def _model_copy() -> Path:
    copy = place() / "model"
    shutil.copytree(model(), copy, ignore=shutil.ignore_patterns("training"))
    return copy


def _read_model_file(name: str) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        import torch

        from synthtools.lm import pretrained
        from synthtools.lm.text_tokenizer import open_tokenizer
        from synthtools.lm.torch.llama import load_scorer

        path = _model_copy() / name
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(data)
        name_ = pretrained.ModelName(str(path.parent))
        try:
            if name.startswith("tokenizer"):
                open_tokenizer(name_).encode(["some text"])
                pretrained.load_tokenizer(str(path.parent))("some text")
            elif name == "config.json":
                _small(pretrained.read_configuration(name_))
                _small(pretrained.load_configuration(name_))
            else:
                load_scorer(name_, torch.float32, "cpu")
                pretrained.load_weights(name_, torch.float32, "cpu")
        finally:
            if before is None:
                path.unlink()
            else:
                path.write_bytes(before)

    return read


def _small(configuration: Any) -> None:
    from synthtools.lm.pretrained import context_length, is_causal

    is_causal(configuration)
    context_length(configuration)


def _of_model(name: str) -> Callable[[], list[bytes]]:
    return lambda: [(_model_copy() / name).read_bytes()]


def _weights() -> list[bytes]:
    """The beginning is what is interesting; the file is cut to some kilobytes of numbers."""
    import torch
    from safetensors.torch import save

    return [save({"model.embed_tokens.weight": torch.zeros(4, 4), "b": torch.ones(3)})]


def _index() -> list[bytes]:
    weights = {"model.norm.weight": "model-00001-of-00001.safetensors"}
    return [json.dumps({"metadata": {"total_size": 4}, "weight_map": weights}).encode()]


READERS: dict[str, Reader] = {
    "safetensors": Reader(_read_model_file("model.safetensors"), _weights),
    "safetensors-index": Reader(_read_model_file("model.safetensors.index.json"), _index, True),
    "tokenizer": Reader(_read_model_file("tokenizer.json"), _of_model("tokenizer.json"), True),
    "tokenizer-config": Reader(
        _read_model_file("tokenizer_config.json"), _of_model("tokenizer_config.json"), True
    ),
    "config": Reader(_read_model_file("config.json"), _of_model("config.json"), True),
}
