"""A model's name and revision, and where its files are."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from synthtools.errors import SynthError
from synthtools.lm.gguf import converted, is_gguf

BUILTIN = "builtin"
ADAPTERS = "adapter_config.json"
_PRIOR = Path(__file__).resolve().parent.parent / "prior"


@dataclass(frozen=True)
class ModelName:
    """A model's name.

    Attributes:
        name: ``builtin``, a directory, a Hub id, or a GGUF file (see ``lm.gguf``).
        revision: commit, tag or branch on the Hub.
        tokenizer: the model whose tokenizer to use, None for its own.
    """

    name: str = BUILTIN
    revision: str | None = None
    tokenizer: str | None = None

    def refuse_absent(self) -> None:
        """Raises SynthError if a name can only be a directory and does not exist. Loads nothing."""
        for name in (self.name, self.tokenizer or BUILTIN):
            directory = (
                name.startswith((".", "/", "~")) or name.endswith("/") or name.count("/") > 1
            )
            if directory and not is_gguf(name) and not os.path.exists(name):
                raise SynthError(
                    f"{name}: no such model directory (a model is builtin, a directory, a Hub id or a "
                    "GGUF file)"
                )

    @property
    def location(self) -> str:
        """The path or Hub id for transformers and vLLM."""
        if is_gguf(self.name):
            return converted(self.name, self.revision)
        return str(_PRIOR) if self.name == BUILTIN else self.name

    @property
    def of_tokenizer(self) -> tuple[str, str | None]:
        """Name and revision of the model whose tokenizer is used."""
        return (self.tokenizer, None) if self.tokenizer else (self.name, self.revision)

    def base(self) -> ModelName | None:
        """The base model, if the directory holds adapters (peft); otherwise None."""
        path = os.path.join(self.name, ADAPTERS)
        if self.name == BUILTIN or not os.path.exists(path):
            return None
        try:
            with open(path, encoding="utf-8") as file:
                config = json.load(file)
            return ModelName(config["base_model_name_or_path"], config.get("revision"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SynthError(f"{path}: does not name the model that it adapts") from error
