"""Vectors of texts from any model: the hidden states of a causal language model, or a sentence encoder.

A directory counts as a sentence encoder if it has the ``modules.json`` of sentence-transformers or
was saved from a model that is not causal (BERT).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from synthtools.closeable import Closeable
from synthtools.errors import SynthError, UsageError, parameter
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings, context_of
from synthtools.lm.open_models import open_model
from synthtools.lm.pretrained import (
    context_length,
    describe,
    is_causal,
    load_configuration,
    load_encoder,
    load_tokenizer,
    read_configuration,
    read_json,
)
from synthtools.lm.scorer import Tokenised
from synthtools.lm.scores import ScoreRequest
from synthtools.lm.text_tokenizer import TextTokenizer, refuse_few_embeddings
from synthtools.lm.windows import default_stride

# sentence-transformers' names of the supported pooling modes.
_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
}
_NAMES = {"cls": "cls", "mean": "mean", "lasttoken": "last"}


class EmbeddingModel(Closeable):
    """Texts → vectors; a context manager that releases the device.

    Args:
        model: a ``LanguageModel`` or a ``SentenceEncoder``.
        unit: scale vectors to length 1.
        most: use only so many tokens from the beginning of a text, None for all.

    Attributes:
        description: the model's entry in reports.
        chunk_bytes, calls: see ``scorer.LanguageModel``.
    """

    def __init__(self, model: Any, pooling: str, unit: bool, most: int | None) -> None:
        self._model = model
        self._pooling = pooling
        self._unit = unit
        self._most = most
        self.description: dict[str, Any] = {
            **model.description,
            "pooling": pooling,
            "unit_length": unit,
            "max_tokens": most,
        }
        self.chunk_bytes: int = model.chunk_bytes
        self.calls: int = model.calls

    def close(self) -> None:
        self._model.close()

    def tokenise(self, texts: list[str]) -> list[Tokenised]:
        """Tokens of texts; a text that has none has no vector."""
        tokenised: list[Tokenised] = self._model.tokenise(texts)
        if self._most is None:
            return tokenised
        return [text._replace(ids=text.ids[: self._most]) for text in tokenised]

    def embed(self, texts: list[Tokenised]) -> np.ndarray:
        """Vectors, float32 [texts, width]; zeros for a text without tokens.

        Raises:
            SynthError: the model returns numbers that are not finite.
        """
        vectors: np.ndarray = self._model.embed(texts, self._pooling)
        if not np.isfinite(vectors).all():
            raise SynthError(
                f"{self.description['name']}: gives vectors that are not numbers; float16 is too "
                f"narrow for some models: try another {parameter('dtype')}"
            )
        return unit_length(vectors) if self._unit else vectors


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Vectors scaled to length 1, float32; a zero vector stays zero."""
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    scaled: np.ndarray = vectors / np.where(lengths == 0, 1, lengths)
    return scaled.astype(np.float32)


def open_embedding_model(
    settings: ModelSettings,
    pooling: str | None = None,
    unit: bool = False,
    most: int | None = None,
    remark: Callable[[str], None] = lambda _: None,
) -> EmbeddingModel:
    """Loads a model for vectors, on the torch backend.

    Args:
        pooling: mean, last or cls; None for what a sentence encoder's configuration says, otherwise
            mean.
        unit: scale vectors to length 1 (an encoder's configuration may ask for it too).
        most: use only so many tokens from the beginning of a text, None for all.
        remark: receives remarks for the user.

    Raises:
        SynthError: the model cannot be loaded, or has a module that is not supported.
        UsageError: settings that do not fit the model or each other.
    """
    settings = replace(settings, backend="torch")
    layout = _layout(settings.model, pooling, remark)
    named = layout.model if layout else settings.model
    configuration: Any = read_configuration(named) if layout is None else load_configuration(named)
    if layout is None and is_causal(configuration):
        if pooling == "cls":
            raise UsageError(
                f"{parameter('pooling', 'cls')}: {named.name} is a causal language model, whose first token has "
                "seen nothing of the text; use mean or last"
            )
        return EmbeddingModel(
            open_model(settings, ScoreRequest(), remark), pooling or "mean", unit, most
        )
    if configuration.is_encoder_decoder:
        raise SynthError(
            f"{named.name}: is a model of two parts ({configuration.model_type}); vectors come from "
            "causal language models and from encoders"
        )
    layout = layout or _Layout(named, pooling or "mean")
    encoder = _open_encoder(replace(settings, model=named), configuration, layout, remark)
    encoder.description["name"] = settings.model.name
    return EmbeddingModel(encoder, layout.pooling, unit or layout.unit, most)


@dataclass
class _Layout:
    """The configuration in a directory of sentence-transformers.

    Attributes:
        model: the transformer in it.
        longest: the maximal number of tokens, None if not given.
    """

    model: ModelName
    pooling: str
    unit: bool = False
    longest: int | None = None
    lower: bool = False


def _layout(model: ModelName, pooling: str | None, remark: Callable[[str], None]) -> _Layout | None:
    modules = read_json(model, "modules.json")
    if modules is None:
        return None
    if not isinstance(modules, list) or not all(
        isinstance(module, dict) and isinstance(module.get("type"), str) for module in modules
    ):
        raise SynthError(f"{model.name}: modules.json is not a list of modules with a type each")
    layout = _Layout(model, pooling or "mean")
    for place, module in enumerate(modules):
        kind, folder = module["type"].rsplit(".", 1)[-1], module.get("path", "")
        if kind == "Transformer" and place == 0:
            layout.model = _inside(model, folder)
            config = read_json(layout.model, "sentence_bert_config.json") or {}
            layout.longest = config.get("max_seq_length")
            layout.lower = bool(config.get("do_lower_case"))
        elif kind == "Pooling" and place == 1:
            if pooling is None:
                config = read_json(model, f"{folder}/config.json") or {}
                layout.pooling = _pooling_of(model, config)
        elif kind == "Normalize":
            layout.unit = True
        else:
            raise SynthError(
                f"{model.name}: has a module {kind} of sentence-transformers that is not known here "
                "(known: Transformer, Pooling, Normalize); embed with that package and give the "
                f"vectors with {parameter('vector_field')}"
            )
    prompts = read_json(model, "config_sentence_transformers.json") or {}
    if prompts.get("default_prompt_name"):
        remark(
            f"{model.name}: has a default prompt ({prompts['default_prompt_name']}), which is not "
            "put before texts here"
        )
    return layout


def _inside(model: ModelName, folder: str) -> ModelName:
    if not folder:
        return model
    if not Path(model.location).is_dir():
        raise SynthError(
            f"{model.name}: its transformer is in a folder of its own ({folder}); download it and "
            "name the directory"
        )
    return replace(model, name=str(Path(model.location) / folder))


def _pooling_of(model: ModelName, config: dict[str, Any]) -> str:
    modes = [name for name, on in config.items() if name.startswith("pooling_mode_") and on is True]
    named = config.get("pooling_mode")
    modes += [named] if isinstance(named, str) else list(named or [])
    known = [_MODES.get(mode) or _NAMES.get(mode) for mode in modes]
    if len(known) != 1 or known[0] is None:
        raise SynthError(
            f"{model.name}: pools by {', '.join(modes) or 'nothing'}, which is not known here; choose "
            f"with {parameter('pooling')} mean, last or cls"
        )
    return known[0]


def _open_encoder(
    settings: ModelSettings, configuration: Any, layout: _Layout, remark: Callable[[str], None]
) -> Any:
    from synthtools.lm.torch.sentence_encoder import SentenceEncoder

    loaded = load_tokenizer(*settings.model.of_tokenizer)
    tokenizer = TextTokenizer(loaded)
    refuse_few_embeddings(tokenizer, settings.model, configuration)
    padding = configuration.pad_token_id
    padding = loaded.pad_token_id if padding is None else padding
    limits = [
        _positions(configuration),
        layout.longest,
        loaded.model_max_length if loaded.model_max_length < 1 << 30 else None,
    ]
    longest = min((limit for limit in limits if limit), default=None)
    context = context_of(settings, longest) if settings.context else longest or 512
    around = sum(map(len, tokenizer.around()))
    if context <= around:
        raise UsageError(
            f"{parameter('context', context)}: leaves no room beside {around} special tokens"
        )
    capacity = context - around
    stride = settings.stride or default_stride(capacity)
    if stride > capacity:
        raise UsageError(
            f"{parameter('stride', stride)}: at most {capacity} with windows of {context} tokens"
        )
    opener = partial(_encoder_engine, context, padding or 0)
    if settings.ray:
        from synthtools.lm.ray_backend import RayEngine

        engine: Any = RayEngine(settings, context, opener, remark)
    else:
        engine = opener(settings, remark)
    description = {
        **describe(settings.model, configuration),
        "backend": "torch",
        "context": context,
        "stride": stride,
    }
    return SentenceEncoder(
        tokenizer, engine, stride=stride, lower=layout.lower, description=description
    )


def _encoder_engine(
    context: int, padding: int, settings: ModelSettings, remark: Callable[[str], None]
) -> Any:
    from synthtools.lm.torch.sentence_encoder import EncoderReplica
    from synthtools.lm.torch.torch_engine import torch_engine

    replica = partial(EncoderReplica, padding=padding)
    return torch_engine(settings, context, remark, replica, load_encoder)


def _positions(configuration: Any) -> int | None:
    """The number of usable positions."""
    longest = context_length(configuration)
    if longest is None or configuration.model_type not in _COUNTS_FROM_PADDING:
        return longest
    return longest - (configuration.pad_token_id or 0) - 1


# These families number positions from the one after the padding index.
_COUNTS_FROM_PADDING = frozenset(
    (
        *("camembert", "data2vec-text", "esm", "ibert", "longformer", "luke", "mpnet", "roberta"),
        *("roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
    )
)
