"""The options of tools that use a language model, in groups that a tool's ``Options`` inherit."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from synthtools.cli import quantities
from synthtools.cli.options import Group
from synthtools.cli.parameters import option
from synthtools.errors import UsageError

if TYPE_CHECKING:
    from synthtools.lm.model_settings import ModelSettings


Bos = Literal["auto", "always", "never"]
_DEVICES = re.compile(r"auto|(cpu|cuda(:\d+)?|\d+)(\s*,\s*(cpu|cuda(:\d+)?|\d+))*")


def _devices(text: str) -> str:
    if not _DEVICES.fullmatch(text):
        raise ValueError("use auto, cpu, or GPUs by number (0,1)")
    return text


@dataclass(frozen=True)
class LoadedModel(Group):
    """Which model, and how it runs here, in this process; for options that inherit ``Jobs`` too."""

    if TYPE_CHECKING:
        jobs: int | None
        ray: str | None

    group = "Model"
    model: Annotated[
        str,
        option(
            "--model",
            "-m",
            metavar="MODEL",
            help="The language model: builtin, smollm2, a directory, a Hub id, or a GGUF file (FILE.gguf, REPO:FILE.gguf). Weights are never pickle files; code from a "
            "model's repository is never run.",
        ),
    ] = "builtin"
    revision: Annotated[
        str | None,
        option("--revision", metavar="REV", help="Commit, tag or branch of a Hub model."),
    ] = None
    tokenizer: Annotated[
        str | None,
        option(
            "--tokenizer",
            metavar="MODEL",
            help="Take the tokenizer from here (default: the model's own).",
        ),
    ] = None
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        option(
            "--dtype",
            help="Type of the computation; auto: float32 on a CPU, bfloat16 on a GPU. The output "
            "layer is float32 always.",
        ),
    ] = "auto"
    context: Annotated[
        int | None,
        option(
            "--context",
            metavar="TOKENS",
            min=2,
            help="Tokens that the model sees at once (default: its own length). Longer documents "
            "go through overlapping windows.",
        ),
    ] = None
    bos: Annotated[
        Bos,
        option(
            "--bos",
            help="Put the begin-of-text token before each window, so that the first token is "
            "scored too; auto: as the tokenizer does.",
        ),
    ] = "auto"
    devices: Annotated[
        str,
        option(
            "--devices",
            metavar="LIST",
            parse=_devices,
            help="Where the model runs: auto, cpu, or GPUs by number (0,1): a copy on each (torch), "
            "or one spread over them (vLLM).",
        ),
    ] = "auto"
    batch_tokens: Annotated[
        int | None,
        option(
            "--batch-tokens",
            metavar="N",
            min=1,
            help="Tokens of a batch (default: what the free memory holds). Changes no result.",
        ),
    ] = None

    def settings(self, name: str | None = None) -> ModelSettings:
        """The options as ``lm`` takes them.

        Args:
            name: another model than the option's.

        Raises:
            UsageError: the options do not go together.
        """
        from synthtools.lm.model_settings import ModelSettings
        from synthtools.lm.pretrained import ModelName

        return ModelSettings(
            ModelName(name or self.model, self.revision, self.tokenizer),
            dtype=self.dtype,
            context=self.context,
            bos=self.bos,
            devices=self.devices,
            batch_tokens=self.batch_tokens,
            cores=self.jobs,
            ray=self.ray,
        )


@dataclass(frozen=True)
class LocalModel(LoadedModel):
    """A model that goes over texts in windows."""

    stride: Annotated[
        int | None,
        option(
            "--stride",
            metavar="TOKENS",
            min=1,
            help="Tokens from the start of one window to the next (default: three quarters of the "
            "context). Every token is scored once, with at least context - stride tokens before it.",
        ),
    ] = None

    def settings(self, name: str | None = None) -> ModelSettings:
        settings = replace(super().settings(name), stride=self.stride)
        settings.refuse_long_stride()
        return settings


@dataclass(frozen=True)
class VectorModel(LocalModel):
    """The model that gives vectors, under the name that it has in other tools, too."""

    model: Annotated[
        str,
        option(
            "--model",
            "-m",
            "--vector-model",
            metavar="MODEL",
            help="Whose hidden states: builtin, a directory, or a Hub id, of a causal language model "
            "or of a sentence encoder (the layout of sentence-transformers, or BERT and its kin).",
        ),
    ] = "builtin"


@dataclass(frozen=True)
class Engine(LoadedModel):
    """On what a language model runs."""

    backend: Annotated[
        Literal["auto", "torch", "vllm", "server"],
        option(
            "--backend",
            help="What runs the model. auto: the server if one is named, vLLM where there is a GPU and vLLM is "
            "installed, else torch.",
        ),
    ] = "auto"
    server: Annotated[
        str | None,
        option(
            "--server",
            metavar="URL",
            help="An OpenAI-compatible server of vLLM, such as http://127.0.0.1:8000.",
        ),
    ] = None
    answers_as: Annotated[
        str | None,
        option(
            "--answers-as",
            metavar="NAME",
            help="Another name that a server may answer as, such as 'gpt-4o-*': * and ? stand for "
            "anything. Answers of any other model are refused.",
        ),
    ] = None
    patience: Annotated[
        float,
        option(
            "--patience",
            metavar="SECONDS",
            min=0.0,
            help="How long to wait for a server that cannot be reached or is too busy. One that asks "
            "for more (Retry-After) is given up at once.",
        ),
    ] = 300.0
    kv_cache: Annotated[
        int | None,
        option(
            "--kv-cache",
            metavar="SIZE",
            parse=quantities.size_in_bytes,
            help="Key-value cache of vLLM (1GB): small by default, so that two tools of a pipe "
            "share a GPU.",
        ),
    ] = None

    def settings(self, name: str | None = None) -> ModelSettings:
        if self.server and self.backend not in ("auto", "server"):
            raise UsageError(f"--server does not go with --backend {self.backend}")
        if self.backend == "server" and not self.server:
            raise UsageError("--backend server needs --server URL")
        return replace(
            super().settings(name),
            backend=self.backend,
            server=self.server,
            answers_as=self.answers_as,
            patience=self.patience,
            kv_cache_bytes=self.kv_cache,
        )


@dataclass(frozen=True)
class Model(Engine, LocalModel):
    """Which language model, and on what it runs."""


@dataclass(frozen=True)
class Models(Model):
    """Like ``Model``, but several may be named, to be set against each other."""

    model: Annotated[  # type: ignore[assignment]
        list[str] | None,
        option(
            "--model",
            "-m",
            metavar="MODEL",
            help="The language model: builtin (the default), smollm2, a directory, a Hub id, or a GGUF file; with "
            "--compare two or more, to set against each other. Safetensors weights only; code from "
            "a model's repository is never run.",
            show_default=False,
        ),
    ] = None

    def names(self) -> list[str]:
        """The models asked for."""
        return self.model or ["builtin"]

    def settings(self, name: str | None = None) -> ModelSettings:
        return super().settings(name or self.names()[0])
