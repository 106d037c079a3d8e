"""A model's name → its tokenizer, configuration and weights, or one line that says why not.

Weights are safetensors and code from a model's repository is never run.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthtools.errors import SynthError, parameter
from synthtools.lm.load_errors import load_errors, skip_unused_imports
from synthtools.lm.model_files import (
    check_configuration,
    check_weights,
    extra_layers,
    refuse_adapters,
    refuse_kernels,
    refuse_paths,
    stored_types,
)
from synthtools.lm.model_name import ModelName
from synthtools.lm.plain_llama import LlamaConfiguration, plain_llama
from synthtools.lm.plain_tokenizer import own_configuration
from synthtools.lm.tokenizer_faults import refuse_growth

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

# Names of the context length in configurations.
LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
# The names of floating-point types in headers of safetensors.
_STORED = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def load_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer of a model.

    Raises:
        SynthError: the model has none, or not a fast one.
    """
    skip_unused_imports()
    location = ModelName(name, revision).location
    with load_errors(name):
        if own_configuration(location) is not None:
            # AutoTokenizer imports torch and half of transformers, five seconds.
            from transformers import PreTrainedTokenizerFast

            tokenizer = PreTrainedTokenizerFast.from_pretrained(location)
        else:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(
                location, revision=revision, use_fast=True, trust_remote_code=False
            )
    if not getattr(tokenizer, "is_fast", False):
        raise SynthError(
            f"{name}: has no fast tokenizer (tokenizer.json), which exact token positions need; "
            f"convert it with transformers, or name another with {parameter('tokenizer')}"
        )
    if not isinstance(tokenizer.model_max_length, int | float):
        raise SynthError(f"{name}: tokenizer_config.json: model_max_length is not a number")
    refuse_growth(name, tokenizer.backend_tokenizer)
    return tokenizer


def read_configuration(model: ModelName) -> LlamaConfiguration | PretrainedConfig:
    """The configuration of a model for what runs it through ``torch.llama.load_scorer``.

    Errors: see ``load_configuration``.
    """
    return plain_llama(model) or load_configuration(model)


def load_configuration(model: ModelName) -> PretrainedConfig:
    """The configuration of a model, by transformers.

    Raises:
        SynthError: the model has none, or needs code from its repository.
    """
    skip_unused_imports()
    from transformers import AutoConfig

    model = model.base() or model
    with load_errors(model.name):
        check_configuration(model.name, model.location)
        configuration = AutoConfig.from_pretrained(
            model.location, revision=model.revision, trust_remote_code=False
        )
    classes = configuration.architectures
    if classes and not (isinstance(classes, list) and all(isinstance(c, str) for c in classes)):
        raise SynthError(f"{model.name}: config.json: architectures is not a list of names")
    check_configuration(model.name, model.location, configuration)
    return configuration


def load_weights(model: ModelName, dtype: Any, device: str) -> Any:
    """A causal language model, ready for inference.

    Args:
        dtype: a torch dtype.
        device: ``cpu``, ``cuda:0``, …

    Raises:
        SynthError: the model has no safetensors weights, or is not a causal language model.
    """
    skip_unused_imports()
    from transformers import AutoModelForCausalLM

    base = model.base()
    if base is not None:
        return _adapted(model, load_weights(base, dtype, device))
    return _loaded(AutoModelForCausalLM, model, dtype, device, "causal language model")


def load_mapped(model: ModelName) -> Any:
    """A causal language model on the CPU in its stored type, with weights mapped from its files: they are read
    on access, so that taking a part of them needs memory for that part only.

    In float32 in memory instead if the files hold several types, the model keeps constants of the stored
    type, or adapters are merged into it.

    Errors: see ``load_weights``.
    """
    import torch
    from transformers.utils import cached_file

    dtype = load_configuration(model).dtype or torch.float32
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    if model.base() is None and dtype != torch.float32:
        loaded = load_weights(model, dtype, "cpu")
        config = cached_file(model.location, "config.json", revision=model.revision)
        stored = {_STORED.get(name) for name in stored_types(os.path.dirname(config or ""))}
        constants = {one.dtype for one in loaded.buffers() if one.is_floating_point()}
        if stored == {str(dtype).removeprefix("torch.")} and constants <= {torch.float32}:
            return loaded
    return load_weights(model, torch.float32, "cpu")


def load_encoder(model: ModelName, dtype: Any, device: str) -> Any:
    """A model up to its last hidden states (without output layer), ready for inference.

    Args and errors: see ``load_weights``.
    """
    skip_unused_imports()
    from transformers import AutoModel

    # BERT's pooler, after the last hidden states, is not used.
    return _loaded(AutoModel, model, dtype, device, "encoder", without="pooler.")


def refuse_unfit(model: ModelName) -> None:
    """Checks that a causal model's weights fit its configuration, for callers that load it themselves.

    Raises:
        SynthError: they do not fit.
    """
    from transformers import AutoModelForCausalLM

    with load_errors(model.name):
        refuse_paths(model.location)
        check_weights(model.name, model.location, load_configuration(model), AutoModelForCausalLM)


def _loaded(
    kind: Any, model: ModelName, dtype: Any, device: str, word: str, without: str | None = None
) -> Any:
    """A model of one of transformers' Auto classes.

    Args:
        word: what the class loads, for messages.
        without: weights with this prefix may be missing.
    """
    with load_errors(model.name):
        refuse_paths(model.location)
        configuration = load_configuration(model)
        refuse_kernels(model.name, configuration)
        check_weights(model.name, model.location, configuration, kind)
        loaded, info = kind.from_pretrained(
            model.location,
            revision=model.revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        # transformers would initialise them randomly.
        names = sorted(
            name for name in info["missing_keys"] if not without or not name.startswith(without)
        )
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise SynthError(
                f"{model.name}: its weights lack {names[0]}{more}: the files are not complete, or "
                f"this is not a {word} ({loaded.config.model_type})"
            )
        extra = extra_layers(loaded, info["unexpected_keys"])
        if extra:
            raise SynthError(
                f"{model.name}: its weights hold {extra[0]}, of a layer that config.json does not "
                "count: the files are not of one model"
            )
        return loaded.eval().to(device)


def _adapted(model: ModelName, base: Any) -> Any:
    """The base model with a directory's adapters merged into its weights."""
    refuse_adapters(model.name)
    try:
        from peft import PeftModel
    except ImportError as error:
        raise SynthError(
            f"{model.name}: holds LoRA adapters, which need peft: pip install 'synthtools[lora]'"
        ) from error
    with load_errors(model.name):
        adapted = PeftModel.from_pretrained(base, model.name, use_safetensors=True)
    # peft froze the base weights.
    return adapted.merge_and_unload().eval().requires_grad_(True)


def is_causal(configuration: LlamaConfiguration | PretrainedConfig) -> bool:
    """Whether a configuration is a causal language model's, by the class that it was saved from."""
    if isinstance(configuration, LlamaConfiguration):
        return True
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    saved = set(configuration.architectures or [])
    if saved:
        return bool(saved & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()))
    kind = configuration.model_type
    return (
        kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )


def read_json(model: ModelName, name: str) -> Any:
    """A JSON file beside a model's configuration, None if there is none.

    Raises:
        SynthError: it cannot be read.
    """
    path = _file_of(model, name)
    if path is None:
        return None
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        raise SynthError(f"{model.name}: {name}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise SynthError(f"{model.name}: {name} is not JSON") from error


def _file_of(model: ModelName, name: str) -> str | None:
    """The path of a file of a model, None if there is none."""
    if os.path.isdir(model.location):
        path = os.path.join(model.location, name)
        return path if os.path.isfile(path) else None
    with load_errors(model.name):
        from transformers.utils import cached_file

        found: str | None = cached_file(
            model.location,
            name,
            revision=model.revision,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return found


def context_length(configuration: LlamaConfiguration | PretrainedConfig) -> int | None:
    """A model's context length, None if its configuration does not give one."""
    text = configuration.get_text_config()
    for name in LENGTHS:
        value = getattr(text, name, None)
        if isinstance(value, int) and 0 < value < 1 << 30:
            return value
    return None


def describe(
    model: ModelName, configuration: LlamaConfiguration | PretrainedConfig | None
) -> dict[str, Any]:
    """A model's entry in reports: its name, commit and kind."""
    return {
        "name": model.name,
        "revision": getattr(configuration, "_commit_hash", None) or model.revision,
        "architecture": getattr(configuration, "model_type", None),
    }
