"""Shared options for language models, in groups that a tool's ``Options`` inherit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli.kinds import (
    ByteSize,
    Context,
    FolderName,
    ModelId,
    Name,
    Natural,
    Positive,
    Revision,
    Url,
)
from synthtools.cli.parameters import Group, option
from synthtools.errors import UsageError
from synthtools.redaction import key_in_file

if TYPE_CHECKING:
    from synthtools.lm.generation import ServerTraffic
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.records.value_cache import ValueCache


Bos = Literal["auto", "always", "never"]
_DEVICES = re.compile(r"auto|(cpu|cuda(:\d+)?|\d+)(\s*,\s*(cpu|cuda(:\d+)?|\d+))*")


def _devices(text: str) -> str:
    if not _DEVICES.fullmatch(text):
        raise ValueError("use auto, cpu, or GPUs by number (0,1)")
    return text


@dataclass(frozen=True)
class Cached(Group):
    """The cache of answers and scores."""

    group = "Model"
    cache: FolderName | None = option(
        help="Keep what the model says in this directory, and do not ask for what it holds. Known by "
        "the model (its files, or its name on a server), how it is run, sampling, seed and prompt; "
        "shared by runs, also at once. Does not change results; --budget does not count it."
    )

    def opened_cache(self) -> ValueCache | None:
        """The cache; raises SynthError if it cannot be written."""
        from synthtools.records.value_cache import ValueCache

        return None if self.cache is None else ValueCache(Path(self.cache))


@dataclass(frozen=True, kw_only=True)
class LoadedModel(Group):
    """A model in this process; for options that also inherit ``Jobs``."""

    if TYPE_CHECKING:
        jobs: int | None
        ray: str | None

    group = "Model"
    model: ModelId = option(
        "builtin",
        "-m",
        help="The language model: builtin, smollm2, a directory, a Hub id, or a GGUF file "
        "(FILE.gguf, REPO:FILE.gguf). Pickle weights are never loaded; code from a model's "
        "repository is never run.",
    )
    revision: Revision | None = option(help="Commit, tag or branch of a Hub model.")
    tokenizer: ModelId | None = option(
        help="Use the tokenizer of this model (default: the model's own)."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto",
        help="Data type of the computation; auto: float32 on a CPU, bfloat16 on a GPU. The output "
        "layer is always float32. A CPU with bfloat16 instructions (avx512_bf16, amx_bf16) is "
        "twice as fast in bfloat16; a document's perplexity then differs by 0.2 %.",
    )
    context: Context | None = option(
        help="Context length in tokens (default: the model's own). Longer documents are processed "
        "in overlapping windows."
    )
    bos: Bos = option(
        "auto",
        help="Prepend the begin-of-text token to each window, so that the first token is scored "
        "too; auto: as the tokenizer does.",
    )
    devices: str = option(
        "auto",
        metavar="LIST",
        parse=_devices,
        help="Where the model runs: auto, cpu, or GPUs by number (0,1): a copy on each (torch), or "
        "one model across them (vLLM).",
    )
    batch_tokens: Positive | None = option(
        help="Tokens per batch (default: as many as free memory allows). Does not change results."
    )

    def settings(self, name: str | None = None) -> ModelSettings:
        """The options as settings for ``lm``.

        Args:
            name: another model than the option's.

        Raises:
            UsageError: the options contradict each other.
        """
        from synthtools.lm.model_name import ModelName
        from synthtools.lm.model_settings import ModelSettings

        model = ModelName(name or self.model, self.revision, self.tokenizer)
        if not getattr(self, "server", None):  # a server's models have their own names
            model.refuse_absent()
        return ModelSettings(
            model,
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
    """A model with overlapping windows over texts."""

    stride: int | None = option(
        metavar="TOKENS",
        min=1,
        help="Tokens from the start of one window to the next (default: three quarters of the "
        "context). Every token is scored once, with at least context - stride tokens before it.",
    )

    def settings(self, name: str | None = None) -> ModelSettings:
        settings = replace(super().settings(name), stride=self.stride)
        settings.refuse_long_stride()
        return settings


@dataclass(frozen=True)
class VectorModel(LocalModel):
    """The model for vectors; also as ``--vector-model``, as in other tools."""

    model: ModelId = option(
        "builtin",
        "--model",
        "-m",
        "--vector-model",
        help="Model whose hidden states are the vectors: builtin, a directory, or a Hub id; a "
        "causal language model or a sentence encoder (in the layout of sentence-transformers, or "
        "of the BERT family).",
    )


@dataclass(frozen=True)
class Traffic(Group):
    """Limits of requests to servers, for all servers and models of a run together."""

    group = "Servers"
    api_key_file: Any = option(
        metavar="FILE",
        parse=key_in_file,
        help="Send the key in this file, instead of OPENAI_API_KEY's, to the servers that are named. It "
        "must be yours alone to read (chmod 600).",
    )
    requests: Positive | None = option(
        help="Concurrent requests to all servers together (default: 64 answers, 16 texts that are "
        "scored)."
    )
    tokens_in_flight: Positive | None = option(
        help="Maximum tokens of prompts (estimated from their bytes) and answers in flight."
    )
    requests_per_minute: Positive | None = option(
        help="Maximum requests a minute, evenly spread, to all servers."
    )
    tokens_per_minute: Positive | None = option(
        help="Maximum tokens a minute, likewise: of prompts (estimated), and of the longest answer for "
        "each."
    )
    timeout: float = option(600.0, metavar="SECONDS", min=0.1, help="Time limit of a request.")
    patience: float = option(
        300.0,
        metavar="SECONDS",
        min=0.0,
        help="How long to wait for a server that is unreachable or overloaded. A server that asks "
        "for a longer wait (Retry-After) is given up at once.",
    )

    def traffic(self) -> ServerTraffic:
        """The options as settings for ``lm``."""
        from synthtools.lm.generation import ServerTraffic

        return ServerTraffic(
            requests=self.requests,
            tokens=self.tokens_in_flight,
            timeout=self.timeout,
            patience=self.patience,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            key=self.api_key_file,
        )


@dataclass(frozen=True)
class Engine(LoadedModel, Traffic):
    """The backend of a language model."""

    backend: Literal["auto", "torch", "vllm", "server"] = option(
        "auto",
        help="What runs the model. auto: the server if one is given, vLLM if it is installed and "
        "there is a GPU, else torch.",
    )
    server: Url | None = option(
        help="An OpenAI-compatible server of vLLM, such as http://127.0.0.1:8000."
    )
    answers_as: Name | None = option(
        help="Another model name that the server may answer under, such as 'gpt-4o-*' (* and ? are "
        "wildcards). Answers of any other model are refused."
    )
    kv_cache: ByteSize | None = option(
        help="Size of vLLM's key-value cache (1GB): small by default, so that two tools in a pipe "
        "can share a GPU."
    )

    def settings(self, name: str | None = None) -> ModelSettings:
        if self.server and self.backend not in ("auto", "server"):
            raise UsageError(f"--server does not go with --backend {self.backend}")
        if self.backend == "server" and not self.server:
            raise UsageError("--backend server needs --server URL")
        if self.server and self.ray:
            raise UsageError(
                "--ray places the model on a cluster, --server asks one: leave one out"
            )
        settings = replace(
            super().settings(name), backend=self.backend, kv_cache_bytes=self.kv_cache
        )
        if not self.server:
            return settings
        return replace(
            settings, server=self.server, answers_as=self.answers_as, traffic=self.traffic()
        )


@dataclass(frozen=True)
class Model(Engine, LocalModel):
    """A language model and its backend."""


@dataclass(frozen=True)
class Models(Model):
    """Like ``Model``, with several models to compare."""

    model: list[ModelId] | None = option(  # type: ignore[assignment]
        None,
        "-m",
        help="The language model: builtin (the default), smollm2, a directory, a Hub id, or a GGUF "
        "file; with --compare, two or more to compare. Pickle weights are never loaded; code from "
        "a model's repository is never run.",
        show_default=False,
    )

    def names(self) -> list[str]:
        """The names of the models."""
        return self.model or ["builtin"]

    def settings(self, name: str | None = None) -> ModelSettings:
        return super().settings(name or self.names()[0])


@dataclass(frozen=True)
class JudgeReplies(Group):
    """How a judge is asked."""

    group = "Answers and judges"
    judge_tokens: Positive = option(512, help="Maximum length of a judge's reply, in tokens.")
    judge_retries: Natural = option(
        2,
        max=100,
        help="How often to ask a judge again when its reply has no verdict [ours]. What "
        "remains unreadable is counted, and in synth eval left out for all models alike.",
    )
    judge_guided: bool = option(
        False,
        help="The last time that a judge is asked, it gives the verdict alone, kept to its form (vLLM "
        "and its servers), so that the verdict of any model can be read. With --judge-retries 0 that "
        "is the only time.",
    )

    def require_guidable(self, judges: Iterable[ModelSettings]) -> None:
        """Raises UsageError where a judge's replies shall be kept to a form and its engine cannot."""
        from synthtools.lm.open_models import choose_backend

        if self.judge_guided and any(choose_backend(one) == "torch" for one in judges):
            raise UsageError(
                "--judge-guided needs vLLM: --backend vllm, --server or --judge-server"
            )
