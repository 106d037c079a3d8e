"""Vectors of texts against transformers' own hidden states."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel

from synthtools.errors import SynthError
from synthtools.lm.scorer import LanguageModel

Open = Callable[..., LanguageModel]


@pytest.fixture
def texts(paragraphs: list[str]) -> list[str]:
    return ["", *paragraphs[:5], "a", " ".join(paragraphs[:6])]


def hidden_states(folder: Path, tokens: np.ndarray) -> np.ndarray:
    model: Any = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(torch.from_numpy(tokens.astype(np.int64))[None]).last_hidden_state[0].numpy()


def test_the_mean_of_the_last_hidden_states(
    llama: Path, open_on_cpu: Open, texts: list[str]
) -> None:
    model = open_on_cpu(llama, context=64)
    tokenised = model.tokenise(texts)
    vectors = model.embed(tokenised)
    assert vectors.shape == (len(texts), hidden_states(llama, np.array([1])).shape[1])
    assert not vectors[0].any()
    begin = model._begin
    for text, vector in zip(tokenised[1:-1], vectors[1:-1], strict=True):
        if len(begin) + len(text.ids) > 64:
            continue
        states = hidden_states(llama, np.concatenate([begin, text.ids]))[len(begin) :]
        assert np.abs(vector - states.mean(axis=0)).max() < 1e-4


def test_every_token_of_a_long_text_counts_once(
    llama: Path, open_on_cpu: Open, texts: list[str]
) -> None:
    model = open_on_cpu(llama, context=32, stride=20)
    (text,) = model.tokenise(texts[-1:])
    assert len(text.ids) > 100
    total, counted = np.zeros(1), 0
    begin = model._begin
    for sequence in model._sequences(text):
        states = hidden_states(llama, sequence.tokens)
        first = len(begin) if counted == 0 else sequence.first
        total = total + states[first:].sum(axis=0)
        counted += len(states) - first
    assert counted == len(text.ids)
    assert np.abs(model.embed([text])[0] - total / counted).max() < 1e-4


def test_a_vector_is_a_function_of_its_text(
    llama: Path, open_on_cpu: Open, texts: list[str]
) -> None:
    model = open_on_cpu(llama, context=64)
    together = model.embed(model.tokenise(texts))
    alone = np.concatenate([model.embed(model.tokenise([text])) for text in texts])
    assert np.array_equal(together, alone)


def test_other_backends_say_so(llama: Path, open_on_cpu: Open) -> None:
    model = open_on_cpu(llama)
    model._engine = object()  # type: ignore[assignment]
    with pytest.raises(SynthError, match="--backend torch"):
        model.embed([])
