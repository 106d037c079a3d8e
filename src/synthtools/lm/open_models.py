"""Settings → a model on the chosen backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from synthtools.errors import UsageError, parameter
from synthtools.lm.generation import Generator, SamplingSettings
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings, context_of
from synthtools.lm.pretrained import (
    context_length,
    describe,
    load_configuration,
    load_tokenizer,
    read_configuration,
)
from synthtools.lm.scorer import LanguageModel
from synthtools.lm.scores import ScoreRequest, ScoringEngine
from synthtools.lm.text_tokenizer import TextTokenizer, open_tokenizer, refuse_few_embeddings
from synthtools.lm.windows import stride_of

if TYPE_CHECKING:
    from synthtools.lm.server.rate_limit import TrafficLimits

Remark = Callable[[str], None]


def choose_backend(settings: ModelSettings) -> str:
    """The backend for these settings: torch, vllm or server."""
    if settings.backend != "auto":
        return settings.backend
    if settings.server:
        return "server"
    if settings.devices == "cpu":
        return "torch"
    import torch

    return "vllm" if torch.cuda.is_available() and find_spec("vllm") else "torch"


def _begins_texts(settings: ModelSettings, tokenizer: TextTokenizer, name: str) -> bool:
    """Whether every text gets a begin-of-text token.

    Args:
        name: the tokenizer's, for the error.
    """
    bos = tokenizer.adds_bos if settings.bos == "auto" else settings.bos == "always"
    if bos and tokenizer.bos_id is None:
        raise UsageError(
            f"{parameter('bos', 'always')}: the tokenizer of {name} has no begin-of-text token"
        )
    return bos


# ---------------------------------------------------------------- scores


def open_model(
    settings: ModelSettings,
    request: ScoreRequest,
    remark: Remark = lambda _: None,
    limits: TrafficLimits | None = None,
) -> LanguageModel:
    """Loads a model on a backend.

    Args:
        request: the requests to come (an engine may have to know the number of candidates).
        remark: receives remarks for the user.
        limits: limits of server traffic that are shared with other models; None for its own.

    Raises:
        SynthError: the model cannot be loaded, or the backend or server is not available.
        UsageError: settings that do not fit the model or each other.
    """
    backend = choose_backend(settings)
    if backend == "server" and not settings.ray:
        return _open_server(settings, request, remark, limits)
    configuration = read_configuration(settings.model)
    context = context_of(settings, context_length(configuration))
    tokenizer = open_tokenizer(settings.model)
    refuse_few_embeddings(tokenizer, settings.model, configuration)
    bos = _begins_texts(settings, tokenizer, settings.model.of_tokenizer[0])
    stride = stride_of(settings.stride, context, bos)
    if settings.observer is not None:
        _refuse_other_tokens(settings.observer, tokenizer, settings.model.name, context)
    # Last, since an engine may take a minute to start.
    opener = partial(_open_engine, context, request)
    engine: ScoringEngine
    if settings.ray:
        from synthtools.lm.ray_backend import RayEngine

        engine = actors = RayEngine(settings, context, opener, remark)
        backend = actors.backend
    else:
        engine = opener(settings, remark)
    description = {**describe(settings.model, configuration), "backend": backend}
    return LanguageModel(tokenizer, engine, stride=stride, bos=bos, description=description)


def _refuse_other_tokens(
    observer: ModelName, tokenizer: TextTokenizer, name: str, context: int
) -> None:
    """Raises UsageError if the observer has another tokenizer or a shorter context."""
    configuration = read_configuration(observer)
    own = open_tokenizer(observer)
    refuse_few_embeddings(own, observer, configuration)
    if not own.has_tokens_of(tokenizer):
        raise UsageError(
            f"{parameter('observer', observer.name)}: has other tokens than {name}; the two models "
            "must share a tokenizer"
        )
    longest = context_length(configuration)
    if longest is not None and longest < context:
        raise UsageError(
            f"{parameter('observer', observer.name)}: takes at most {longest} tokens; use "
            f"{parameter('context', longest)}"
        )


def _open_server(
    settings: ModelSettings, request: ScoreRequest, remark: Remark, limits: TrafficLimits | None
) -> LanguageModel:
    from synthtools.lm.server.server_engine import connect
    from synthtools.lm.server.server_probe import probe

    engine = connect(settings, remark, limits)
    name = engine.tokenizer_name(settings.model)
    tokenizer = open_tokenizer(ModelName(name))
    bos = _begins_texts(settings, tokenizer, name)
    stride = stride_of(settings.stride, engine.context, bos)
    probe(engine, tokenizer, name, request.candidates, remark)
    description = {**describe(settings.model, None), "name": engine.server.model}
    description["backend"] = "server"
    return LanguageModel(tokenizer, engine, stride=stride, bos=bos, description=description)


def _open_engine(
    context: int, request: ScoreRequest, settings: ModelSettings, remark: Remark
) -> ScoringEngine:
    if choose_backend(settings) == "vllm":
        from synthtools.lm.vllm.vllm_engine import open_engine

        return open_engine(settings, context, request)
    from synthtools.lm.torch.torch_engine import torch_engine

    return torch_engine(settings, context, remark)


# ---------------------------------------------------------------- answers


def open_generator(
    settings: ModelSettings,
    sampling: SamplingSettings,
    seed: int,
    remark: Remark = lambda _: None,
    *,
    servers: Sequence[str] = (),
    limits: TrafficLimits | None = None,
) -> Generator:
    """Loads a model on a backend.

    Args:
        settings: ``stride`` is ignored; ``server`` is the first of the servers.
        remark: receives remarks for the user.
        servers: URLs of further servers of the model.
        limits: see ``open_model``.

    Raises:
        SynthError: the model cannot be loaded, or the backend or server is not available.
        UsageError: settings that do not fit the model or each other.
    """
    if settings.ray:
        from synthtools.lm.ray_backend import RayGenerator

        opener = partial(_open_generator_on_actor, sampling, seed)
        return RayGenerator(settings, sampling, opener, remark)
    backend = choose_backend(settings)
    if backend == "server":
        from synthtools.lm.server.server_generator import ServerGenerator

        urls = [settings.server, *servers] if settings.server else list(servers)
        return ServerGenerator(settings, urls, sampling, seed, remark, limits)
    from synthtools.lm.prompt_tokenizer import PromptTokenizer

    configuration = load_configuration(settings.model)
    loaded = load_tokenizer(*settings.model.of_tokenizer)
    tokenizer = TextTokenizer(loaded)
    refuse_few_embeddings(tokenizer, settings.model, configuration)
    bos = _begins_texts(settings, tokenizer, settings.model.of_tokenizer[0])
    context = context_of(settings, context_length(configuration))
    description = describe(settings.model, configuration) | {
        "backend": backend,
        "context": context,
        "begin_of_text": bos,
    }
    prompting = PromptTokenizer(
        loaded, tokenizer, bos, context, sampling, remark, settings.model.name
    )
    if backend == "vllm":
        from synthtools.lm.vllm.vllm_generator import VllmGenerator

        return VllmGenerator(settings, prompting, seed, description)
    from synthtools.lm.torch.torch_generator import TorchGenerator

    if sampling.schema or sampling.regex:
        raise UsageError(
            "the torch backend has no structured output: use "
            f"{parameter('backend', 'vllm')} or {parameter('server')}"
        )
    return TorchGenerator(settings, prompting, seed, description, remark)


def _open_generator_on_actor(
    sampling: SamplingSettings, seed: int, settings: ModelSettings, remark: Remark
) -> Generator:
    return open_generator(settings, sampling, seed, remark)
