"""A model's name → its tokenizer, configuration and weights, or one line that says why not.

Weights are safetensors and code from a model's repository is never run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthtools.errors import SynthError
from synthtools.lm.gguf import converted, is_gguf
from synthtools.lm.model_files import INDEX, check_configuration, check_weights, extra_layers
from synthtools.lm.tokenizer_faults import refuse_growth

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

BUILTIN = "builtin"
_ADAPTERS = "adapter_config.json"
# What torch says of a tensor that does not fit.
_MISMATCH = re.compile(
    r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[([^\]]*)\]\) from checkpoint, "
    r"the shape in current model is torch\.Size\(\[([^\]]*)\]\)"
)
_PRIOR = Path(__file__).resolve().parent.parent / "prior"


# What configurations call the longest sequence.
LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


@dataclass(frozen=True)
class ModelName:
    """Which model.

    Attributes:
        name: ``builtin``, a directory, a Hub id, or a GGUF file (see ``lm.gguf``).
        revision: commit, tag or branch on the Hub.
        tokenizer: another model's tokenizer, None for the model's own.
    """

    name: str = BUILTIN
    revision: str | None = None
    tokenizer: str | None = None

    @property
    def location(self) -> str:
        """What transformers and vLLM are given."""
        if is_gguf(self.name):
            return converted(self.name, self.revision)
        return str(_PRIOR) if self.name == BUILTIN else self.name

    def base(self) -> ModelName | None:
        """The model under the adapters, where the directory holds adapters (peft); else None."""
        path = os.path.join(self.name, _ADAPTERS)
        if self.name == BUILTIN or not os.path.exists(path):
            return None
        try:
            with open(path, encoding="utf-8") as file:
                config = json.load(file)
            return ModelName(config["base_model_name_or_path"], config.get("revision"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SynthError(f"{path}: does not name the model that it adapts") from error


@cache
def _lighten() -> None:
    """Keeps transformers from importing scikit-learn, and with it scipy and pandas, where they are
    installed: two seconds of every start, for a kind of assisted decoding that nothing here uses."""
    import transformers.utils

    transformers.utils.is_sklearn_available = lambda: False


def load_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer of a model.

    Raises:
        SynthError: there is none, or it is not a fast tokenizer.
    """
    _lighten()
    location = ModelName(name, revision).location
    with _explained(name):
        if _is_plain(location):
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
            "convert it with transformers, or name another with --tokenizer"
        )
    if not isinstance(tokenizer.model_max_length, int | float):
        raise SynthError(f"{name}: tokenizer_config.json: model_max_length is not a number")
    refuse_growth(name, tokenizer.backend_tokenizer)
    return tokenizer


def _is_plain(location: str) -> bool:
    """Whether a directory's tokenizer is of the class that needs nothing but its file.

    The class that looks for the right one imports all of torch and half of transformers, five seconds
    of the start of tools that only count tokens.
    """
    if not os.path.isfile(os.path.join(location, "tokenizer.json")):
        return False
    try:
        with open(os.path.join(location, "tokenizer_config.json"), encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError, RecursionError):
        return False
    return (
        isinstance(config, dict)
        and config.get("tokenizer_class") in ("PreTrainedTokenizerFast", "TokenizersBackend")
        and "auto_map" not in config
    )


def load_configuration(model: ModelName) -> PretrainedConfig:
    """The configuration of a model.

    Raises:
        SynthError: there is none, or it needs code from its repository.
    """
    _lighten()
    from transformers import AutoConfig

    model = model.base() or model
    with _explained(model.name):
        check_configuration(model.name, model.location)
        found = AutoConfig.from_pretrained(
            model.location, revision=model.revision, trust_remote_code=False
        )
    classes = found.architectures
    if classes and not (isinstance(classes, list) and all(isinstance(c, str) for c in classes)):
        raise SynthError(f"{model.name}: config.json: architectures is not a list of names")
    check_configuration(model.name, model.location, found)
    return found


def load_weights(model: ModelName, dtype: Any, device: str) -> Any:
    """A causal language model, ready for inference.

    Args:
        dtype: a torch dtype.
        device: ``cpu``, ``cuda:0``, …

    Raises:
        SynthError: there are no safetensors weights, or the architecture is no causal model.
    """
    _lighten()
    from transformers import AutoModelForCausalLM

    base = model.base()
    if base is not None:
        return _adapted(model, load_weights(base, dtype, device))
    return _loaded(AutoModelForCausalLM, model, dtype, device, "causal language model")


def load_encoder(model: ModelName, dtype: Any, device: str) -> Any:
    """A model as far as its last hidden states (without an output layer), ready for inference.

    Args and errors: see ``load_weights``.
    """
    _lighten()
    from transformers import AutoModel

    # The pooler, which BERT has behind its last hidden states, is not asked.
    return _loaded(AutoModel, model, dtype, device, "encoder", without="pooler.")


def refuse_unfit(model: ModelName) -> None:
    """Refuses a causal model whose weights do not fit its configuration, for those who load it
    themselves.

    Raises:
        SynthError: so it is.
    """
    from transformers import AutoModelForCausalLM

    with _explained(model.name):
        _refuse_paths(model.location)
        check_weights(model.name, model.location, load_configuration(model), AutoModelForCausalLM)


def _loaded(
    kind: Any, model: ModelName, dtype: Any, device: str, word: str, without: str | None = None
) -> Any:
    """A model of one of transformers' Auto classes.

    Args:
        word: what the class is, for messages.
        without: weights of this prefix may be missing.
    """
    with _explained(model.name):
        _refuse_paths(model.location)
        configuration = load_configuration(model)
        _refuse_kernels(model.name, configuration)
        check_weights(model.name, model.location, configuration, kind)
        loaded, told = kind.from_pretrained(
            model.location,
            revision=model.revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        # transformers would fill them with random numbers.
        names = sorted(
            name for name in told["missing_keys"] if not without or not name.startswith(without)
        )
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise SynthError(
                f"{model.name}: its weights lack {names[0]}{more}: the files are not complete, or "
                f"this is not a {word} ({loaded.config.model_type})"
            )
        extra = extra_layers(loaded, told["unexpected_keys"])
        if extra:
            raise SynthError(
                f"{model.name}: its weights hold {extra[0]}, of a layer that config.json does not "
                "count: the files are not of one model"
            )
        return loaded.eval().to(device)


def _adapted(model: ModelName, base: Any) -> Any:
    """The base with the adapters of a directory added to its weights."""
    _refuse_adapters(model.name)
    try:
        from peft import PeftModel
    except ImportError as error:
        raise SynthError(
            f"{model.name}: holds LoRA adapters, which need peft: pip install 'synthtools[lora]'"
        ) from error
    with _explained(model.name):
        adapted = PeftModel.from_pretrained(base, model.name, use_safetensors=True)
        return adapted.merge_and_unload().eval()


def _refuse_adapters(name: str) -> None:
    """Refuses adapters that peft would load in a way that runs what they bring.

    peft takes pickle files where there is no other, and imports the module that an adapter for
    Megatron names.
    """
    if not os.path.exists(os.path.join(name, "adapter_model.safetensors")):
        raise SynthError(
            f"{name}: has no adapter_model.safetensors; adapters of pickle files, which can run code "
            "when loaded, are not read"
        )
    with open(os.path.join(name, _ADAPTERS), encoding="utf-8") as file:
        if json.load(file).get("megatron_config"):
            raise SynthError(f"{name}: its adapters are for Megatron, which is not used here")


def _refuse_kernels(name: str, configuration: Any) -> None:
    """Refuses a configuration that asks for a kernel of the Hub: compiled code, which transformers
    would fetch and load."""
    parts = [configuration, *(v for v in vars(configuration).values() if hasattr(v, "model_type"))]
    for part in parts:
        asked = getattr(part, "_attn_implementation", None)
        for wanted in asked.values() if isinstance(asked, dict) else [asked]:
            if "/" in str(wanted):
                raise SynthError(
                    f"{name}: asks for the attention {wanted!r}, which is code from the Hub and never "
                    "run here; take it out of config.json"
                )


def _refuse_paths(name: str) -> None:
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


def is_causal(configuration: PretrainedConfig) -> bool:
    """Whether a configuration is of a causal language model, by the class it was saved from."""
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
    """A JSON file beside a model's configuration, None where there is none.

    Raises:
        SynthError: it cannot be read.
    """
    from transformers.utils import cached_file

    with _explained(model.name):
        path = cached_file(
            model.location,
            name,
            revision=model.revision,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        if path is None:
            return None
        try:
            return json.loads(Path(path).read_bytes())
        except ValueError as error:
            raise SynthError(f"{model.name}: {name} is not JSON") from error


def context_length(configuration: PretrainedConfig) -> int | None:
    """The longest sequence a model takes, None where its configuration does not say."""
    text = configuration.get_text_config()
    for name in LENGTHS:
        value = getattr(text, name, None)
        if isinstance(value, int) and 0 < value < 1 << 30:
            return value
    return None


def describe(model: ModelName, configuration: PretrainedConfig | None) -> dict[str, Any]:
    """What a report says of a model: its name, the commit it was loaded from, its kind."""
    return {
        "name": model.name,
        "revision": getattr(configuration, "_commit_hash", None) or model.revision,
        "architecture": getattr(configuration, "model_type", None),
    }


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """transformers logs errors alone meanwhile, and shows no progress bars."""
    _lighten()
    import transformers

    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)
        if bars:
            transformers.utils.logging.enable_progress_bar()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turns what transformers says of a model it cannot load into one line with a remedy."""
    if name != BUILTIN and not os.path.isdir(name) and not is_gguf(name):
        _look_for_the_hub()
    try:
        with quiet_transformers():
            yield
    except SynthError:
        raise
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise SynthError(f"{name}: {_why(name, error)}") from error
    except Exception as error:  # a damaged safetensors or tokenizer file raises types of its own
        if mismatch := _MISMATCH.search(str(error)):
            tensor, found, wanted = ("×".join(part.split(", ")) for part in mismatch.groups())
            raise SynthError(
                f"{name}: {tensor} has the shape {found} in its weights, {wanted} in the model that "
                "they are for"
            ) from error
        line = " ".join(str(error).split())[:200]
        raise SynthError(f"{name}: cannot be loaded: {type(error).__name__}: {line}") from error


@cache
def _look_for_the_hub() -> None:
    """Where no Hub can be reached, takes models from the local cache at once.

    Without this huggingface_hub asks six times for every file of a model, half a minute each, before
    it looks into its cache.
    """
    import huggingface_hub
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return
    try:
        huggingface_hub.get_session().head(constants.ENDPOINT, timeout=10)
    except Exception:  # whatever the reason: what follows says what is missing
        constants.HF_HUB_OFFLINE = True


def _why(name: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    if os.path.isdir(name):
        files = sorted(os.listdir(name))
        if "trust_remote_code" in text:
            return "needs code from its repository, which is never run here"
        if "config.json" not in files:
            return "not a model directory: it has no config.json"
        if any(f.endswith((".bin", ".pt", ".pth")) for f in files) and not any(
            f.endswith(".safetensors") for f in files
        ):
            return (
                "its weights are pickle files, which can run code when loaded; convert them to "
                "safetensors (save_pretrained does)"
            )
        if not any(f.endswith(".safetensors") for f in files) and "safetensors" in text:
            return "has no weights (model.safetensors)"
        return f"cannot be loaded: {text[:200]}"
    if "trust_remote_code" in text:
        return "needs code from its repository, which is never run here"
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        return "no such model directory"
    if "safetensors" in text and "does not appear" in text:
        return "has no safetensors weights; ask for a revision that has, or convert it"
    if isinstance(error, OSError):
        return (
            "neither a directory nor a model that the Hub gives (is the id right, is the Hub "
            "reached, is a login needed?); --model takes builtin, a directory or a Hub id"
        )
    return f"cannot be loaded: {text[:200]}"
