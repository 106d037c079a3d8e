"""Presets for training from scratch: a name, a model type of transformers, and its sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synthtools.errors import UsageError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_LLAMA: dict[str, Any] = {"tie_word_embeddings": True, "rope_theta": 10_000.0}

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    # for tests and first tries on a CPU: seconds to minutes
    "llama-tiny": (
        "llama",
        _LLAMA
        | {
            "hidden_size": 128,
            "intermediate_size": 352,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
    ),
    # GPT-2's dropout is for many passes over little data; it would also tie a run to its past draws
    "gpt2-tiny": (
        "gpt2",
        {
            "n_embd": 128,
            "n_layer": 2,
            "n_head": 2,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
        },
    ),
    "gpt-neox-tiny": (
        "gpt_neox",
        {
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
    ),
    # the built-in model
    "llama-prior": (
        "llama",
        _LLAMA
        | {
            "hidden_size": 256,
            "intermediate_size": 704,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
        },
    ),
}


def configuration(
    name: str, vocabulary: int, context: int, begin: int | None, end: int | None
) -> PretrainedConfig:
    """The configuration of a preset for a tokenizer.

    Args:
        vocabulary: number of token ids.
        context: longest row.
        begin, end: ids of the tokens that begin and end a text, None where there are none.

    Raises:
        UsageError: no preset has this name.
    """
    from transformers import AutoConfig

    if name not in ARCHITECTURES:
        raise UsageError(f"--arch {name}: unknown; use one of {', '.join(ARCHITECTURES)}")
    kind, sizes = ARCHITECTURES[name]
    length = "n_positions" if kind == "gpt2" else "max_position_embeddings"
    return AutoConfig.for_model(
        kind,
        **sizes,
        **{length: context, "vocab_size": vocabulary, "bos_token_id": begin, "eos_token_id": end},
    )
