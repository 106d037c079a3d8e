"""Documents longer than the context: every token once, with enough before it, none of the prompt."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from synthtools.errors import SynthError, UsageError
from synthtools.lm.scorer import LanguageModel, Tokenised
from synthtools.lm.scores import ScoreRequest
from synthtools.lm.windows import windows


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """length, first, capacity, stride."""
    capacity = draw(st.integers(1, 40))
    stride = draw(st.integers(1, capacity))
    length = draw(st.integers(0, 200))
    first = draw(st.integers(0, length + 2))
    return length, first, capacity, stride


@given(layouts())
def test_every_token_is_scored_once_with_enough_before_it(
    layout: tuple[int, int, int, int],
) -> None:
    length, first, capacity, stride = layout
    found = list(windows(*layout))
    scored = [token for w in found for token in range(w.first, w.end)]
    assert scored == list(range(first, length))
    for window in found:
        assert 0 <= window.start <= window.first < window.end <= length
        assert window.end - window.start <= capacity
        assert window.start % stride == 0
        # All that precedes where it fits, else what the overlap leaves.
        before = window.first - window.start
        assert before >= min(window.first, capacity - stride)


def test_a_document_that_fits_is_one_window() -> None:
    assert list(windows(10, 1, 10, 3)) == [(0, 10, 1)]
    assert list(windows(11, 1, 10, 3)) == [(0, 10, 1), (3, 11, 10)]
    assert list(windows(0, 1, 10, 3)) == []
    assert list(windows(1, 1, 10, 3)) == []
    # Windows that would hold nothing but the prompt are not run.
    assert list(windows(30, 28, 10, 5)) == [(20, 30, 28)]


@torch.inference_mode()
def slowly(
    reference: Any, text: Tokenised, bos: bool, context: int, stride: int
) -> tuple[np.ndarray, list[int]]:
    """Log-probabilities [n, vocabulary] by one forward pass for each token, and how many tokens
    stood before each.

    Token t is read in the first window that reaches it: windows begin at multiples of the stride
    and hold as many tokens as the context leaves beside begin-of-text.
    """
    tokens = np.concatenate([text.prompt, text.ids]).astype(np.int64)
    capacity = context - bos
    rows, before = [], []
    for place in range(len(text.prompt), len(tokens)):
        start = 0
        while start + capacity <= place:
            start += stride
        seen = np.concatenate([[0] * bos, tokens[start:place]]).astype(np.int64)
        before.append(len(seen))
        if not len(seen):
            rows.append(np.full(reference.config.vocab_size, np.nan))
            continue
        logits = reference(input_ids=torch.from_numpy(seen)[None]).logits[0, -1].double()
        rows.append(torch.log_softmax(logits, 0).numpy())
    return np.array(rows).reshape(len(rows), reference.config.vocab_size), before


def check(model: LanguageModel, reference: Any, text: Tokenised, context: int, stride: int) -> None:
    bos = model.description["begin_of_text"]
    (scores,) = model.score([text], ScoreRequest(3))
    slow, before = slowly(reference, text, bos, context, stride)
    observed = slow[np.arange(len(text.ids)), text.ids]
    np.testing.assert_allclose(scores.logprobs, observed, rtol=0, atol=2e-4)
    assert scores.candidates is not None
    assert scores.candidates.present.tolist() == (~np.isnan(observed)).tolist()
    np.testing.assert_allclose(
        scores.candidates.logprobs,
        -np.sort(-slow[scores.candidates.present], 1)[:, :3],
        rtol=0,
        atol=2e-4,
    )
    assert len(scores.ids) == len(text.ids)
    place = len(text.prompt) + np.arange(len(text.ids))
    assert (np.array(before) >= np.minimum(place + bos, context - stride)).all()


@pytest.mark.parametrize("bos", ["always", "never"])
@pytest.mark.parametrize(("context", "stride"), [(16, 8), (16, 15), (33, 7), (128, 64)])
def test_windows_give_what_single_passes_give(
    architecture: Path,
    open_on_cpu: Callable[..., LanguageModel],
    paragraphs: list[str],
    bos: str,
    context: int,
    stride: int,
) -> None:
    model = open_on_cpu(architecture, context=context, stride=stride, bos=bos)
    reference = AutoModelForCausalLM.from_pretrained(architecture).eval()
    (text,) = model.tokenise([" ".join(paragraphs[:3])])
    text = text._replace(ids=text.ids[: 70 if context < 128 else 150])
    check(model, reference, text, context, stride)


@pytest.mark.parametrize("bos", ["always", "never"])
def test_prompts_are_context_and_are_not_scored(
    llama: Path,
    tiny: LanguageModel,
    open_on_cpu: Callable[..., LanguageModel],
    paragraphs: list[str],
    bos: str,
) -> None:
    model = open_on_cpu(llama, context=16, stride=6, bos=bos)
    reference = AutoModelForCausalLM.from_pretrained(llama).eval()
    first, second = tiny.tokenise([" ".join(paragraphs[10:14]), " ".join(paragraphs[4:8])])
    for prompt, length in itertools.product((0, 1, 15, 16, 17, 64), (0, 1, 20)):
        check(model, reference, Tokenised(first.ids[:length], second.ids[:prompt]), 16, 6)


def test_a_text_has_the_same_tokens_after_every_prompt(tiny: LanguageModel) -> None:
    texts = tiny.tokenise(["ing the answer", "ing the answer"], ["compar", ""])
    np.testing.assert_array_equal(texts[0].ids, texts[1].ids)
    assert [len(t.prompt) > 0 for t in texts] == [True, False]
    found = tiny.score(texts, ScoreRequest())
    assert len(found[0].logprobs) == len(found[1].logprobs)
    assert (found[0].logprobs != found[1].logprobs).all()


def test_windows_equal_the_full_context_where_it_fits(
    llama: Path, tiny: LanguageModel, open_on_cpu: Callable[..., LanguageModel]
) -> None:
    model = open_on_cpu(llama, context=64, stride=16)
    texts = model.tokenise(["a text of some tokens", "another one, not long"])
    for one, other in zip(
        model.score(texts, ScoreRequest(8)), tiny.score(texts, ScoreRequest(8)), strict=True
    ):
        np.testing.assert_array_equal(one.logprobs, other.logprobs)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"context": 129}, SynthError),
        ({"context": 2, "bos": "always"}, UsageError),
        ({"context": 1, "bos": "never"}, UsageError),
        ({"context": 16, "stride": 16, "bos": "always"}, UsageError),
        ({"context": 16, "stride": 16, "bos": "never"}, UsageError),
        ({"stride": 128}, UsageError),
    ],
)
def test_layouts_that_cannot_be_are_refused(
    llama: Path,
    open_on_cpu: Callable[..., LanguageModel],
    settings: dict[str, Any],
    error: type[Exception],
) -> None:
    with pytest.raises(error, match=r"--context|--stride|--bos") as raised:
        open_on_cpu(llama, **settings)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("context", "bos"), [(3, "always"), (2, "never")])
def test_the_narrowest_windows(
    llama: Path,
    open_on_cpu: Callable[..., LanguageModel],
    paragraphs: list[str],
    context: int,
    bos: str,
) -> None:
    model = open_on_cpu(llama, context=context, bos=bos)
    reference = AutoModelForCausalLM.from_pretrained(llama).eval()
    (text,) = model.tokenise([paragraphs[0]])
    check(model, reference, text, context, model.description["stride"])
