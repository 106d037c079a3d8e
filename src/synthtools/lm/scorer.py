"""A language model that scores texts, whatever the backend."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from synthtools.closeable import Closeable
from synthtools.errors import SynthError, UsageError
from synthtools.lm.model_settings import ModelSettings, choose_backend
from synthtools.lm.pretrained import (
    ModelName,
    context_length,
    describe,
    load_configuration,
    load_tokenizer,
    load_weights,
)
from synthtools.lm.scores import (
    Candidates,
    ScoreRequest,
    Scores,
    ScoringEngine,
    Sequence,
    SequenceScores,
)
from synthtools.lm.scoring_progress import ScoringProgress
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.lm.windows import stride_of, windows

if TYPE_CHECKING:
    from synthtools.lm.torch_backend import TorchEngine


class Tokenised(NamedTuple):
    """A text as tokens, after a prompt that is only context.

    Attributes:
        ids: int32 [n]; prompt: int32 [m].
    """

    ids: np.ndarray
    prompt: np.ndarray


NO_PROMPT = np.zeros(0, np.int32)


class LanguageModel(Closeable):
    """Scores texts; a context manager that gives the device back.

    Attributes:
        tokenizer: text ↔ tokens.
        description: what a report says of the model.
        chunk_bytes: about how much text one call should bring.
        calls: how many it takes at once to advantage.
        progress: how far it is.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        engine: ScoringEngine,
        *,
        stride: int,
        bos: bool,
        description: dict[str, Any],
    ) -> None:
        self.tokenizer = tokenizer
        self.description = description
        self.chunk_bytes = engine.chunk_bytes
        self.calls: int = getattr(engine, "calls", 1)
        self.progress = ScoringProgress()
        engine.passed = self.progress.passed
        self._engine = engine
        self._begin = np.array([tokenizer.bos_id], np.int32) if bos else NO_PROMPT
        self._capacity = engine.context - len(self._begin)
        self._stride = stride

    def close(self) -> None:
        self._engine.close()

    @property
    def capacity(self) -> int:
        """Tokens of text that one pass of the model holds."""
        return self._capacity

    def tokenise(self, texts: list[str], prompts: list[str] | None = None) -> list[Tokenised]:
        """Tokens of texts, and of the prompts before them (tokenised apart, so that a text has the
        same tokens after every prompt [ours])."""
        ids = self.tokenizer.encode(texts)
        if prompts is None:
            return [Tokenised(i, NO_PROMPT) for i in ids]
        before = self.tokenizer.encode(prompts)
        return [Tokenised(i, p) for i, p in zip(ids, before, strict=True)]

    def score(self, texts: list[Tokenised], request: ScoreRequest) -> list[Scores]:
        """Scores of texts, in their order."""
        sequences: list[Sequence] = []
        parts: list[tuple[int, int]] = []  # of each text: its sequences
        for text in texts:
            start = len(sequences)
            sequences.extend(self._sequences(text))
            parts.append((start, len(sequences)))
        found = self._engine.run(sequences, request)
        if any(np.isnan(part.logprobs).any() for part in found):
            raise SynthError(
                f"{self.description['name']}: gives probabilities that are not numbers; float16 is "
                "too narrow for some models: try another --dtype"
            )
        return [
            _assembled(text.ids, found[start:end], request)
            for text, (start, end) in zip(texts, parts, strict=True)
        ]

    def embed(self, texts: list[Tokenised], pooling: str = "mean") -> np.ndarray:
        """Vectors of texts from the last hidden states, float32 [texts, width]; zeros for a text
        without tokens.

        Args:
            pooling: ``mean`` over a text's tokens [ours]: long texts go through the windows of
                scoring, and each token counts once. ``last``: the state of the last token, with as
                many tokens before it as the context holds.

        Raises:
            SynthError: the backend gives no hidden states.
        """
        pooled = getattr(self._engine, "pooled", None)
        if pooled is None:
            raise SynthError("vectors come from the torch backend: use --backend torch")
        sequences: list[Sequence] = []
        parts: list[tuple[int, int]] = []
        shift = len(self._begin)
        for text in texts:
            start = len(sequences)
            found = self._sequences(text)
            if pooling == "last" and len(text.ids):
                end = np.concatenate([text.prompt, text.ids])[-self._capacity :]
                tokens = np.concatenate([self._begin, end])
                found = [Sequence(tokens, len(tokens) - 1)]
            elif found:
                # A first token without a probability has a hidden state all the same.
                found[0] = found[0]._replace(first=shift + len(text.prompt))
            elif len(text.ids):
                found = [Sequence(np.concatenate([self._begin, text.ids]), shift)]
            sequences += found
            parts.append((start, len(sequences)))
        sums = pooled(sequences)
        vectors = np.zeros((len(texts), self._engine.width), np.float32)  # type: ignore[attr-defined]
        for row, (text, (start, end)) in enumerate(zip(texts, parts, strict=True)):
            for one in sums[start:end]:
                vectors[row] += one
            if pooling == "mean":
                vectors[row] /= max(1, len(text.ids))
        return vectors

    def _sequences(self, text: Tokenised) -> list[Sequence]:
        tokens = np.concatenate([text.prompt, text.ids]) if len(text.prompt) else text.ids
        shift = len(self._begin)
        # Without anything before it, the first token has no probability.
        first = max(len(text.prompt), 0 if shift else 1)
        return [
            Sequence(
                np.concatenate([self._begin, tokens[window.start : window.end]]),
                window.first - window.start + shift,
            )
            for window in windows(len(tokens), first, self._capacity, self._stride)
        ]


def _assembled(ids: np.ndarray, parts: list[SequenceScores], request: ScoreRequest) -> Scores:
    """Scores of a text from those of its windows."""
    scored = sum(len(part.logprobs) for part in parts)
    missing = len(ids) - scored  # 0, or 1 for a first token without anything before it
    logprobs = np.concatenate(
        [np.full(missing, np.nan, np.float32), *(part.logprobs for part in parts)]
    )
    if not request.candidates:
        return Scores(ids, logprobs, None)
    found = [part.candidates for part in parts if part.candidates is not None]
    k = found[0].ids.shape[1] if found else request.candidates
    candidates = Candidates(
        np.concatenate([np.zeros(missing, bool), *(c.present for c in found)]),
        np.concatenate([np.zeros((0, k), np.int32), *(c.ids for c in found)]),
        np.concatenate([np.zeros((0, k), np.float32), *(c.logprobs for c in found)]),
    )
    return Scores(ids, logprobs, candidates)


def open_model(
    settings: ModelSettings, request: ScoreRequest, tell: Callable[[str], None] = lambda _: None
) -> LanguageModel:
    """Loads a model on a backend.

    Args:
        request: what will be asked of it (an engine may have to know the number of candidates).
        tell: given remarks for the user.

    Raises:
        SynthError: the model, the backend or the server cannot be had.
        UsageError: settings that do not fit the model or each other.
    """
    backend = choose_backend(settings)
    configuration = None
    if backend == "server" and not settings.ray:
        from synthtools.lm.server_backend import connect

        server = connect(settings, tell)
        name, revision = server.tokenizer_name(settings.model), None
        context = server.context
        description = {**describe(settings.model, None), "name": server.server.model}
    else:
        configuration = load_configuration(settings.model)
        name = settings.model.tokenizer or settings.model.name
        revision = None if settings.model.tokenizer else settings.model.revision
        context = context_of_model(settings, configuration)
        description = describe(settings.model, configuration)
    tokenizer = TextTokenizer(load_tokenizer(name, revision))
    bos = tokenizer.adds_bos if settings.bos == "auto" else settings.bos == "always"
    if bos and tokenizer.bos_id is None:
        raise UsageError(f"--bos always: the tokenizer of {name} has no begin-of-text token")
    stride = stride_of(settings.stride, context, bos)
    engine: ScoringEngine
    if configuration is None:
        from synthtools.lm.server_probe import probe

        probe(server, tokenizer, name, request.candidates, tell)
        engine = server
    else:
        refuse_other_vocabulary(name, tokenizer, configuration)
        # Last of all: an engine may take a minute to start.
        opener = partial(_open_engine, context, request)
        if settings.ray:
            from synthtools.lm.ray_backend import RayEngine

            engine = found = RayEngine(settings, context, opener, tell)
            backend = found.backend
        else:
            engine = opener(settings, tell)
    description |= {
        "backend": backend,
        "context": context,
        "stride": stride,
        "begin_of_text": bos,
    }
    return LanguageModel(tokenizer, engine, stride=stride, bos=bos, description=description)


def _open_engine(
    context: int, request: ScoreRequest, settings: ModelSettings, tell: Callable[[str], None]
) -> ScoringEngine:
    if choose_backend(settings) == "vllm":
        from synthtools.lm.vllm_backend import open_engine

        return open_engine(settings, context, request)
    return torch_engine(settings, context, tell)


def open_tokenizer(model: ModelName) -> TextTokenizer:
    """A model's tokenizer alone, for work on stored scores."""
    revision = None if model.tokenizer else model.revision
    return TextTokenizer(load_tokenizer(model.tokenizer or model.name, revision))


def refuse_other_vocabulary(name: str, tokenizer: TextTokenizer, configuration: Any) -> None:
    """Raises SynthError where a tokenizer has tokens that the model does not know."""
    # A tokenizer may have fewer tokens than the model has rows (padding), never more.
    size = configuration.get_text_config().vocab_size
    if tokenizer.size > size:
        raise SynthError(
            f"{name}: its tokenizer has {tokenizer.size:,} tokens, the model only {size:,}; name "
            "the model's own"
        )


def context_of_model(settings: ModelSettings, configuration: Any) -> int:
    """Tokens of a window of this model (see ``context_of``)."""
    return context_of(settings, context_length(configuration))


def context_of(settings: ModelSettings, longest: int | None) -> int:
    """Tokens of a window.

    Args:
        longest: what the model takes at most, None where it does not say.

    Raises:
        SynthError: more are asked for.
    """
    if settings.context is None:
        return longest or 2048
    if longest is not None and settings.context > longest:
        raise SynthError(
            f"--context {settings.context}: {settings.model.name} takes at most {longest} tokens; "
            "longer documents go through overlapping windows anyway"
        )
    return settings.context


def device_list(devices: str) -> list[str]:
    """``auto``, ``cpu``, ``0,1`` → torch devices.

    Raises:
        UsageError: a device is not there.
    """
    from synthtools.lm.devices import choose

    if devices == "auto":
        import torch

        return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]
    names = [name.strip() for name in devices.split(",")]
    return [choose(f"cuda:{name}" if name.isdigit() else name, "--devices") for name in names]


def torch_engine(
    settings: ModelSettings,
    context: int,
    tell: Callable[[str], None],
    replica: Callable[..., Any] | None = None,
) -> TorchEngine:
    """The torch backend's engine for these settings (see ``torch_backend.TorchEngine``)."""
    import torch

    from synthtools.lm.torch_backend import TorchEngine

    devices = device_list(settings.devices)
    dtype = torch_dtype(settings.dtype, devices[0] != "cpu")
    return TorchEngine(
        lambda device: load_weights(settings.model, getattr(torch, dtype), device),
        devices,
        context,
        settings.batch_tokens,
        settings.cores,
        tell,
        replica,
    )


def torch_dtype(name: str, on_gpu: bool) -> str:
    """The type that weights are computed in; auto is bfloat16 on a GPU."""
    if name == "auto":
        return "bfloat16" if on_gpu else "float32"
    return name
