"""The options of ``synth generate`` about who answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from synthtools.cli import quantities
from synthtools.cli.model_options import Bos, Engine
from synthtools.cli.parameters import option

if TYPE_CHECKING:
    from synthtools.lm.generation import ServerTraffic
    from synthtools.lm.model_settings import ModelSettings


@dataclass(frozen=True)
class Generators(Engine):
    """Models that answer, each for itself, and how servers are asked."""

    model: list[str] | None = option(  # type: ignore[assignment]
        None,
        "-m",
        metavar="MODEL",
        help="A model that answers: builtin (the default), a directory, a Hub id, or a name that a "
        "server knows; repeatable. Pickle weights are never loaded; code from a model's repository "
        "is never run.",
    )
    context: int | None = option(
        None,
        metavar="TOKENS",
        min=2,
        help="Maximum tokens of prompt and answer together (default: the model's own length). A "
        "prompt that leaves no room is a bad record; nothing is truncated.",
    )
    bos: Bos = option(
        "auto",
        help="Prepend the begin-of-text token to a text that is continued; auto: as the tokenizer "
        "does. Conversations begin as their template says.",
    )
    server: list[str] | None = option(  # type: ignore[assignment]
        None,
        metavar="URL",
        help="An OpenAI-compatible server, such as http://127.0.0.1:8000; repeatable. Requests for "
        "a model go to all servers that have it. OPENAI_API_KEY is sent.",
    )
    kv_cache: int | None = option(
        None,
        metavar="SIZE",
        parse=quantities.size_in_bytes,
        help="Size of vLLM's key-value cache (default: the rest of a GPU's memory, at most 2GB on "
        "a CPU).",
    )
    requests: int = option(
        64, metavar="N", min=1, help="Concurrent requests, on all servers together."
    )
    tokens_in_flight: int | None = option(
        None,
        metavar="N",
        min=1,
        help="Maximum tokens of prompts (estimated from their bytes) and answers in flight.",
    )
    timeout: float = option(600.0, metavar="SECONDS", min=0.1, help="Time limit of a request.")

    def names(self) -> list[str]:
        """The models asked for."""
        return self.model or ["builtin"]

    def settings(self, name: str | None = None) -> ModelSettings:
        """The options as ``lm`` takes them (see ``LoadedModel``)."""
        first = self.server[0] if self.server else None
        return replace(super().settings(name), server=first)

    def traffic(self) -> ServerTraffic:
        """How servers are asked."""
        from synthtools.lm.generation import ServerTraffic

        return ServerTraffic(self.requests, self.tokens_in_flight, self.timeout, self.patience)
