"""On a CPU a text's numbers are the same bit for bit, whatever it is batched with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from synthtools.lm import devices
from synthtools.lm.scorer import LanguageModel, Tokenised
from synthtools.lm.scores import ScoreRequest, Scores
from synthtools.lm.torch import torch_replica
from synthtools.lm.torch.torch_engine import padded_length

REQUEST = ScoreRequest(8)


@pytest.fixture(scope="module")
def texts(documents: list[str], paragraphs: list[str]) -> list[str]:
    """Of every length from nothing to several windows."""
    words = documents[3].split(" ")
    growing = [" ".join(words[:n]) for n in range(0, 60, 5)]
    return [*growing, *paragraphs[:8], documents[1][:1500], "", "a"]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def same(left: Scores, right: Scores) -> bool:
    assert left.candidates is not None
    assert right.candidates is not None
    pairs = [
        (left.ids, right.ids),
        (left.logprobs, right.logprobs),
        *zip(left.candidates, right.candidates, strict=True),
    ]
    return all(np.array_equal(a, b, equal_nan=a.dtype == np.float32) for a, b in pairs)


def differing(
    model: LanguageModel, tokens: list[Tokenised], expected: list[Scores], order: list[int]
) -> list[int]:
    found = model.score([tokens[i] for i in order], REQUEST)
    return [i for i, score in zip(order, found, strict=True) if not same(score, expected[i])]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_company_order_batches_and_copies_change_nothing(
    architecture: Path,
    open_on_cpu: Callable[..., LanguageModel],
    texts: list[str],
    dtype: str,
) -> None:
    if dtype == "bfloat16":  # slow on a CPU
        texts = texts[::4]
    model = open_on_cpu(architecture, dtype=dtype)
    tokens = model.tokenise(texts)
    whole = list(range(len(texts)))
    expected = model.score(tokens, REQUEST)
    assert not differing(model, tokens, expected, whole)
    assert not differing(model, tokens, expected, whole[::-1])
    assert not differing(model, tokens, expected, whole[1::2])
    alone = [i for i in whole if differing(model, tokens, expected, [i])]
    assert not alone
    for settings in (
        {"batch_tokens": 1},
        {"batch_tokens": 300, "cores": 3},
        {"devices": "cpu,cpu"},
    ):
        other = open_on_cpu(architecture, dtype=dtype, **settings)
        assert not differing(other, tokens, expected, whole), settings


def test_threads_change_nothing(
    architecture: Path,
    open_on_cpu: Callable[..., LanguageModel],
    texts: list[str],
    request: pytest.FixtureRequest,
) -> None:
    # A copy named twice leaves torch its threads.
    model = open_on_cpu(architecture, devices="cpu,cpu")
    tokens = model.tokenise(texts)
    assert torch.get_num_threads() == 1
    expected = model.score(tokens, REQUEST)
    request.getfixturevalue("two_threads")
    model = open_on_cpu(architecture, devices="cpu,cpu")
    assert torch.get_num_threads() == 2
    assert not differing(model, tokens, expected, list(range(len(texts))))
    assert not [i for i in range(len(texts)) if differing(model, tokens, expected, [i])]


def test_a_model_that_a_long_text_changes_is_given_one_text_at_a_time(
    make_model: Callable[..., Path], open_on_cpu: Callable[..., LanguageModel], texts: list[str]
) -> None:
    folder = make_model(
        "llama",
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=128,
        initializer_range=0.35,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 16,
            "long_factor": [4.0] * 16,
            "original_max_position_embeddings": 32,
            "factor": 4.0,
        },
    )
    model = open_on_cpu(folder, cores=4, batch_tokens=128)
    tokens = model.tokenise(texts)
    assert model._engine._pool._max_workers == 1  # type: ignore[attr-defined]
    alone = [model.score([t], REQUEST)[0] for t in tokens]
    assert not differing(model, tokens, alone, list(range(len(texts))))


def test_the_chunks_of_the_output_layer_change_nothing(
    tiny: LanguageModel, llama: Path, open_on_cpu: Callable[..., LanguageModel], texts: list[str]
) -> None:
    model = open_on_cpu(llama)
    replica = model._engine._replicas[0]  # type: ignore[attr-defined]
    assert replica._rows > 2 * torch_replica._LEAST_ROWS
    replica._rows = 2 * torch_replica._LEAST_ROWS
    tokens = tiny.tokenise(texts)
    expected = tiny.score(tokens, REQUEST)
    assert not differing(model, tokens, expected, list(range(len(texts))))


def test_these_tests_can_fail(
    llama: Path,
    tiny: LanguageModel,
    open_on_cpu: Callable[..., LanguageModel],
    texts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Without its least number of rows a product of few rows is computed in another order.
    tokens = tiny.tokenise(texts)
    expected = tiny.score(tokens, REQUEST)
    monkeypatch.setattr(torch_replica, "_LEAST_ROWS", 1)
    model = open_on_cpu(llama)
    alone = [i for i in range(len(texts)) if differing(model, tokens, expected, [i])]
    if not alone:
        pytest.skip("this machine's BLAS computes few rows as it computes many")


def test_no_chunk_is_so_short_that_its_rounding_differs() -> None:
    least = torch_replica._LEAST_ROWS
    for rows in range(least, 40 * least, 7):
        for size in (2 * least, 3 * least + 1, 1000):
            chunks = torch_replica._chunks(rows, size)
            assert [a for a, _ in chunks] == [0, *(b for _, b in chunks[:-1])]
            assert chunks[-1][1] == rows
            assert all(least <= b - a <= size for a, b in chunks)
    assert torch_replica._chunks(0, 100) == []


def test_padded_lengths() -> None:
    for context in (16, 100, 128, 1000, 2048):
        found = [padded_length(n, context) for n in range(1, context + 1)]
        assert found == sorted(found)
        assert all(n <= p <= context for n, p in enumerate(found, 1))
        # Little is wasted, and few lengths occur.
        assert all(p - n <= max(15, n / 7) for n, p in enumerate(found, 1))
        assert len(set(found)) <= 8 * max(1, context.bit_length() - 6) + 8


def test_the_last_engine_leaves_torch_its_threads(
    monkeypatch: pytest.MonkeyPatch, two_threads: None
) -> None:
    monkeypatch.setattr(devices, "_users", 0)  # fixtures hold engines open
    first, second = devices.single_threaded(), devices.single_threaded()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.get_num_threads() == 1
    second.__exit__(None, None, None)
    assert torch.get_num_threads() == 2
