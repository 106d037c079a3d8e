"""Presets for training from scratch: a name, a model type of transformers, and its sizes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.lm.model_files import check_configuration

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class Preset(NamedTuple):
    """An architecture: model type of transformers, sizes of its configuration, the peak learning rate of
    AdamW (as published, or [ours] for the tiny ones), and the source of both."""

    kind: str
    sizes: dict[str, Any]
    learning_rate: float
    source: str


def _llama(width: int, inner: int, layers: int, heads: int, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        **more,
    }


def _gpt2(width: int, layers: int, heads: int) -> dict[str, Any]:
    # GPT-2's dropout is for many passes over little data; pre-training today goes without.
    none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return {"n_embd": width, "n_layer": layers, "n_head": heads, **none}


_TIED = {"tie_word_embeddings": True}
_OURS = "ours"
_PYTHIA = "Biderman et al. 2023, table 1"
_OLMO = "Groeneveld et al. 2024; weights tied as in OLMo-1B"

ARCHITECTURES: dict[str, Preset] = {
    # for tests and first experiments on a CPU: seconds to minutes
    "llama-tiny": Preset("llama", _llama(128, 352, 2, 2, **_TIED), 2e-3, _OURS),
    "gpt2-tiny": Preset("gpt2", _gpt2(128, 2, 2), 2e-3, _OURS),
    "gpt-neox-tiny": Preset("gpt_neox", _llama(128, 512, 2, 2), 2e-3, _OURS),
    "olmo-tiny": Preset("olmo", _llama(128, 352, 2, 2, **_TIED), 2e-3, _OURS),
    "qwen3-tiny": Preset(
        "qwen3", _llama(128, 352, 2, 4, num_key_value_heads=2, head_dim=32, **_TIED), 2e-3, _OURS
    ),
    # the built-in model
    "llama-prior": Preset("llama", _llama(256, 704, 4, 4, **_TIED), 3e-3, _OURS),
    # models of the papers
    "gpt2": Preset("gpt2", _gpt2(768, 12, 12), 6e-4, "Radford et al. 2019, 124M"),
    "gpt2-medium": Preset("gpt2", _gpt2(1024, 24, 16), 3e-4, "Radford et al. 2019, 355M"),
    "olmo-237m": Preset(
        "olmo", _llama(1024, 4096, 11, 16, **_TIED), 4e-4, f"{_OLMO}; the depth is ours"
    ),
    "olmo-1b": Preset("olmo", _llama(2048, 8192, 16, 16, **_TIED), 4e-4, _OLMO),
    "llama-2b": Preset("llama", _llama(2048, 5504, 32, 32), 3e-4, "Flaws, section 4"),
    "pythia-70m": Preset("gpt_neox", _llama(512, 2048, 6, 8), 1e-3, _PYTHIA),
    "pythia-160m": Preset("gpt_neox", _llama(768, 3072, 12, 12), 6e-4, _PYTHIA),
    "pythia-410m": Preset("gpt_neox", _llama(1024, 4096, 24, 16), 3e-4, _PYTHIA),
    "pythia-1b": Preset("gpt_neox", _llama(2048, 8192, 16, 8), 3e-4, _PYTHIA),
    "pythia-1.4b": Preset("gpt_neox", _llama(2048, 8192, 24, 16), 2e-4, _PYTHIA),
    "pythia-2.8b": Preset("gpt_neox", _llama(2560, 10240, 32, 32), 1.6e-4, _PYTHIA),
    "pythia-6.9b": Preset("gpt_neox", _llama(4096, 16384, 32, 32), 1.2e-4, _PYTHIA),
    "pythia-12b": Preset("gpt_neox", _llama(5120, 20480, 36, 40), 1.2e-4, _PYTHIA),
}

# For a configuration file.
_FILE_LEARNING_RATE = 3e-4


def learning_rate(name: str) -> float:
    """The preset's peak learning rate.

    Raises:
        UsageError: no preset and no file has this name.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name].learning_rate
    if not Path(name).exists():
        raise UsageError(
            f"{parameter('arch', name)}: neither a file nor a preset; use one of {', '.join(ARCHITECTURES)}"
        )
    return _FILE_LEARNING_RATE


def configuration(
    name: str, vocabulary: int, context: int, begin: int | None, end: int | None
) -> PretrainedConfig:
    """The configuration of a preset, or of a file, for a tokenizer.

    Args:
        name: a preset, or a path of a ``config.json`` or of the directory that holds one.
        begin, end: ids of the begin-of-text and end-of-text tokens, None without.

    Raises:
        UsageError: no preset has this name.
        SynthError: the file is not a configuration.
    """
    from transformers import AutoConfig

    ids = {"vocab_size": vocabulary, "bos_token_id": begin, "eos_token_id": end}
    if name in ARCHITECTURES:
        kind, sizes, _, _ = ARCHITECTURES[name]
        length = "n_positions" if kind == "gpt2" else "max_position_embeddings"
        if kind in ("llama", "olmo", "qwen3"):
            sizes = {"rope_theta": 10_000.0, **sizes}
        return AutoConfig.for_model(kind, **sizes, **{length: context}, **ids)
    learning_rate(name)  # raises for an unknown name
    path = Path(name)
    check_configuration(name, str(path if path.is_dir() else path.parent))
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SynthError(f"{name}: not a configuration of transformers: {line}") from error
    for key, value in ids.items():
        setattr(config, key, value)
    for key in ("max_position_embeddings", "n_positions"):
        if isinstance(getattr(config, key, None), int):
            setattr(config, key, max(context, getattr(config, key)))
    return config
