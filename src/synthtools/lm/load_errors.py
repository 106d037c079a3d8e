"""Loading errors of transformers as one line with a remedy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from synthtools.errors import SynthError
from synthtools.lm.gguf import is_gguf
from synthtools.lm.model_name import BUILTIN

# torch's message for a tensor of the wrong shape.
_MISMATCH = re.compile(
    r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[([^\]]*)\]\) from checkpoint, "
    r"the shape in current model is torch\.Size\(\[([^\]]*)\]\)"
)
_NOT_THERE = (
    "neither a directory nor a model that the Hub gives (is the id right, is the Hub reached, is a login "
    "needed?); a model is builtin, a directory, a Hub id or a GGUF file"
)
_NEEDS_CODE = "needs code from its repository, which is never run here"


@contextmanager
def load_errors(name: str) -> Iterator[None]:
    """Turns transformers' errors about a model into one line, and silences its log."""
    refuse_unreached(name)
    try:
        with quiet_transformers():
            yield
    except SynthError:
        raise
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise SynthError(f"{name}: {_explanation(name, error)}") from error
    except Exception as error:  # damaged safetensors or tokenizer files raise their own types
        if mismatch := _MISMATCH.search(str(error)):
            tensor, stored, wanted = ("×".join(part.split(", ")) for part in mismatch.groups())
            raise SynthError(
                f"{name}: {tensor} has the shape {stored} in its weights, {wanted} in the model that "
                "they are for"
            ) from error
        line = " ".join(str(error).split())[:200]
        raise SynthError(f"{name}: cannot be loaded: {type(error).__name__}: {line}") from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """transformers logs only errors and shows no progress bars."""
    skip_unused_imports()
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


@cache
def skip_unused_imports() -> None:
    """Keeps transformers from importing scikit-learn, scipy and pandas: two seconds of every start, for
    a kind of assisted decoding that is not used here."""
    import transformers.utils

    transformers.utils.is_sklearn_available = lambda: False


def refuse_unreached(name: str) -> None:
    """Raises SynthError if a model can only be on the Hub, the Hub cannot be reached, and its local cache
    does not hold the model. Imports neither torch nor transformers."""
    if name == BUILTIN or os.path.isdir(name) or is_gguf(name) or not _could_be_hub_name(name):
        return
    _check_hub()
    from huggingface_hub import constants

    held = os.path.join(constants.HF_HUB_CACHE, f"models--{name.replace('/', '--')}")
    if constants.is_offline_mode() and not os.path.isdir(held):
        raise SynthError(f"{name}: {_NOT_THERE}")


def _could_be_hub_name(name: str) -> bool:
    return not name.startswith((".", "/", "~")) and name.count("/") <= 1


@cache
def _check_hub() -> None:
    """Switches to the local cache if the Hub cannot be reached.

    Otherwise huggingface_hub tries six times for every file of a model, half a minute each, before it
    uses its cache.
    """
    import huggingface_hub
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return
    try:
        huggingface_hub.get_session().head(constants.ENDPOINT, timeout=10)
    except Exception:  # for any reason; loading then reports what is missing
        constants.HF_HUB_OFFLINE = True


def _explanation(name: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    if "trust_remote_code" in text:
        return _NEEDS_CODE
    if os.path.isdir(name):
        suffixes = {os.path.splitext(file)[1] for file in os.listdir(name)}
        if not os.path.exists(os.path.join(name, "config.json")):
            return "not a model directory: it has no config.json"
        if ".safetensors" not in suffixes and suffixes & {".bin", ".pt", ".pth"}:
            return (
                "its weights are pickle files, which can run code when loaded; convert them to "
                "safetensors (save_pretrained does)"
            )
        if ".safetensors" not in suffixes and "safetensors" in text:
            return "has no weights (model.safetensors)"
    elif not _could_be_hub_name(name):
        return "no such model directory"
    elif "safetensors" in text and "does not appear" in text:
        return "has no safetensors weights; ask for a revision that has, or convert it"
    elif isinstance(error, OSError) and name != BUILTIN:
        return _NOT_THERE
    return f"cannot be loaded: {text[:200]}"
