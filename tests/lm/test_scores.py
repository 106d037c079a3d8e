"""What the torch backend says of a text is what transformers says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from synthtools.errors import SynthError
from synthtools.lm.scorer import LanguageModel, Tokenised
from synthtools.lm.scores import ScoreRequest, Scores, Sequence

CONTEXT = 128


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.inference_mode()
def slow_logprobs(reference: Any, tokens: np.ndarray) -> np.ndarray:
    """log P of every token but the first, and all others at its place: float32 [n − 1, vocabulary]."""
    ids = torch.from_numpy(tokens.astype(np.int64))[None]
    logits = reference(input_ids=ids).logits[0].double()
    return torch.log_softmax(logits, 1)[:-1].numpy()


def fitting(model: LanguageModel, texts: list[str]) -> list[Tokenised]:
    """The texts that fit into one window, of two tokens or more."""
    tokens = model.tokenise(texts)
    return [t for t in tokens if 2 <= len(t.ids) < CONTEXT]


@pytest.mark.parametrize("bos", ["always", "never"])
def test_nll_is_the_loss_of_transformers(
    architecture: Path, open_on_cpu: Callable[..., LanguageModel], paragraphs: list[str], bos: str
) -> None:
    model = open_on_cpu(architecture, bos=bos)
    reference = load(architecture)
    texts = fitting(model, paragraphs[:120:4])
    assert len(texts) > 20
    for text, scores in zip(texts, model.score(texts, ScoreRequest()), strict=True):
        tokens = text.ids if bos == "never" else np.concatenate([[0], text.ids])
        ids = torch.from_numpy(tokens.astype(np.int64))[None]
        with torch.inference_mode():
            loss = float(reference(input_ids=ids, labels=ids).loss)
        assert np.isnan(scores.logprobs).tolist() == [bos == "never"] + [False] * (
            len(text.ids) - 1
        )
        assert -np.nanmean(scores.logprobs) == pytest.approx(loss, rel=1e-4)


def assert_same(scores: Scores, slow: np.ndarray, k: int) -> None:
    """Scores of a text after begin-of-text are those of the slow way.

    Args:
        slow: log-probabilities [n, vocabulary].
    """
    observed = slow[np.arange(len(scores.ids)), scores.ids]
    np.testing.assert_allclose(scores.logprobs, observed, rtol=0, atol=2e-4)
    assert scores.candidates is not None
    present, ids, logprobs = scores.candidates
    rows = slow[present]
    # Their own values, then the order: equal ones by id.
    np.testing.assert_allclose(logprobs, np.take_along_axis(rows, ids, 1), rtol=0, atol=2e-4)
    np.testing.assert_allclose(logprobs, -np.sort(-rows, 1)[:, :k], rtol=0, atol=2e-4)
    following = -np.diff(logprobs, axis=1)
    assert (following >= 0).all()
    assert (np.diff(ids, axis=1)[following == 0] > 0).all()
    assert all(len(set(row)) == k for row in ids.tolist())


def test_candidates_are_the_most_probable_tokens(
    architecture: Path, open_on_cpu: Callable[..., LanguageModel], paragraphs: list[str]
) -> None:
    model = open_on_cpu(architecture)
    reference = load(architecture)
    texts = fitting(model, paragraphs[:60:4])
    for text, scores in zip(texts, model.score(texts, ScoreRequest(8)), strict=True):
        slow = slow_logprobs(reference, np.concatenate([[0], text.ids]))
        assert scores.candidates is not None
        assert scores.candidates.present.all()
        assert_same(scores, slow, 8)


@pytest.mark.parametrize(
    ("at_least", "at_most"), [(0.05, None), (None, 1e-6), (0.05, 1e-6), (1.0, None), (0.0, None)]
)
def test_candidates_only_where_they_are_asked_for(
    tiny: LanguageModel, paragraphs: list[str], at_least: float | None, at_most: float | None
) -> None:
    texts = tiny.tokenise(paragraphs[:40])
    everywhere = tiny.score(texts, ScoreRequest(8))
    some = tiny.score(texts, ScoreRequest(8, at_least, at_most))
    found = 0
    for whole, part in zip(everywhere, some, strict=True):
        np.testing.assert_array_equal(whole.logprobs, part.logprobs)
        assert part.candidates is not None
        assert whole.candidates is not None
        probability = np.exp(whole.logprobs.astype(np.float64))
        wanted = np.zeros(len(whole.ids), bool)
        if at_least is not None:
            wanted |= probability >= at_least
        if at_most is not None:
            wanted |= probability <= at_most
        np.testing.assert_array_equal(part.candidates.present, wanted)
        np.testing.assert_array_equal(part.candidates.ids, whole.candidates.ids[wanted])
        np.testing.assert_array_equal(part.candidates.logprobs, whole.candidates.logprobs[wanted])
        found += wanted.sum()
    assert (found > 0) == (at_least != 1.0)


def test_no_candidates_without_a_request(tiny: LanguageModel, paragraphs: list[str]) -> None:
    scores = tiny.score(tiny.tokenise(paragraphs[:5]), ScoreRequest())
    assert all(s.candidates is None for s in scores)


def test_fewer_candidates_are_the_first_of_more(tiny: LanguageModel, paragraphs: list[str]) -> None:
    texts = tiny.tokenise(paragraphs[:40])
    many = tiny.score(texts, ScoreRequest(40))
    for k in (1, 8, 39):
        for few, more in zip(tiny.score(texts, ScoreRequest(k)), many, strict=True):
            assert few.candidates is not None
            assert more.candidates is not None
            np.testing.assert_array_equal(few.candidates.ids, more.candidates.ids[:, :k])
            np.testing.assert_array_equal(few.candidates.logprobs, more.candidates.logprobs[:, :k])


def test_of_equal_candidates_those_of_the_lowest_ids(
    make_model: Callable[..., Path], open_on_cpu: Callable[..., LanguageModel]
) -> None:
    # Whatever the search finds first: three rows of the output layer are one and the same.
    folder = make_model(
        "llama",
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=0.35,
    )
    model = load(folder)
    with torch.no_grad():
        model.lm_head.weight[[11, 200, 377]] = 3 * model.lm_head.weight[200]
    model.save_pretrained(folder)
    opened = open_on_cpu(folder)
    texts = opened.tokenise(["a text about nothing in particular, of some forty tokens"])
    reached = 0
    for k in (1, 2, 3, 4):
        candidates = opened.score(texts, ScoreRequest(k))[0].candidates
        assert candidates is not None
        for row in candidates.ids.tolist():
            twins = [token for token in row if token in (11, 200, 377)]
            assert twins == [11, 200, 377][: len(twins)]
            reached += len(twins) in (1, 2)
    assert reached


def test_more_candidates_than_tokens(tiny: LanguageModel) -> None:
    scores = tiny.score(tiny.tokenise(["all of them"]), ScoreRequest(10_000))
    assert scores[0].candidates is not None
    assert scores[0].candidates.ids.shape[1] == 600
    np.testing.assert_allclose(np.exp(scores[0].candidates.logprobs).sum(1), 1, atol=1e-5)


def test_bfloat16_is_near_float32(
    architecture: Path, open_on_cpu: Callable[..., LanguageModel], paragraphs: list[str]
) -> None:
    mean = {}
    for dtype in ("float32", "bfloat16"):
        model = open_on_cpu(architecture, dtype=dtype)
        scores = model.score(model.tokenise(paragraphs[:60]), ScoreRequest())
        mean[dtype] = -np.mean(np.concatenate([s.logprobs for s in scores]))
    assert mean["bfloat16"] != mean["float32"]
    assert mean["bfloat16"] == pytest.approx(mean["float32"], rel=1e-2)


BENT: dict[str, dict[str, Any]] = {
    "gemma2": {
        "final_logit_softcapping": 8.0,
        "head_dim": 32,
        "num_key_value_heads": 2,
        "query_pre_attn_scalar": 32,
    },
    "granite": {"logits_scaling": 4.0},
    "cohere": {"logit_scale": 0.25},
    "phi": {},  # a bias in its output layer
    "opt": {"ffn_dim": 128, "word_embed_proj_dim": 32},  # a projection before it
    "bloom": {},  # no sdpa
    "recurrent_gemma": {"logits_soft_cap": 8.0, "block_types": ["recurrent", "attention"]},
}


@pytest.mark.parametrize("kind", BENT)
def test_models_that_bend_their_logits(
    make_model: Callable[..., Path],
    open_on_cpu: Callable[..., LanguageModel],
    paragraphs: list[str],
    kind: str,
) -> None:
    sizes = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.35,
        "pad_token_id": 0,
    }
    folder = make_model(kind, **sizes | BENT[kind])
    if kind == "phi":
        model = load(folder)
        torch.nn.init.normal_(model.lm_head.bias)
        model.save_pretrained(folder)
    model = open_on_cpu(folder, context=CONTEXT)
    # RecurrentGemma keeps the states of a batch in its modules: two at once would mix them up.
    assert model._engine._replicas[0].changes_itself == (kind == "recurrent_gemma")
    reference = load(folder)
    texts = fitting(model, paragraphs[:24:4])
    for text, scores in zip(texts, model.score(texts, ScoreRequest(8)), strict=True):
        assert_same(scores, slow_logprobs(reference, np.concatenate([[0], text.ids])), 8)


def test_a_model_with_an_unknown_output_is_refused(
    make_model: Callable[..., Path],
    open_on_cpu: Callable[..., LanguageModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers import GPT2LMHeadModel

    forward = GPT2LMHeadModel.forward

    def bent(self: Any, *arguments: Any, **more: Any) -> Any:
        output = forward(self, *arguments, **more)
        output.logits = output.logits * 1.01
        return output

    folder = make_model("gpt2", n_embd=64, n_layer=1, n_head=2)
    open_on_cpu(folder)
    monkeypatch.setattr(GPT2LMHeadModel, "forward", bent)
    with pytest.raises(SynthError, match="in a way that the torch backend does not know"):
        open_on_cpu(folder)


def test_a_model_that_sees_what_follows_is_refused(
    make_model: Callable[..., Path], open_on_cpu: Callable[..., LanguageModel]
) -> None:
    # transformers opens an encoder as a causal model.
    folder = make_model(
        "bert",
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=0.35,
    )
    with pytest.raises(SynthError, match="is not a causal language model"):
        open_on_cpu(folder)


class NotANumber:
    """An engine whose numbers have left the range of its type."""

    context = CONTEXT
    chunk_bytes = calls = 1

    def run(self, sequences: list[Sequence], request: ScoreRequest) -> list[Any]:
        from synthtools.lm.scores import SequenceScores

        return [
            SequenceScores(np.full(len(s.tokens) - s.first, np.nan, np.float32), None)
            for s in sequences
        ]

    def close(self) -> None: ...


def test_probabilities_that_are_no_numbers_are_not_taken_for_unscored(
    tiny: LanguageModel,
) -> None:
    model = LanguageModel(
        tiny.tokenizer, NotANumber(), stride=64, bos=True, description={"name": "narrow"}
    )
    with pytest.raises(SynthError, match=r"narrow: .* not numbers.* --dtype"):
        model.score(model.tokenise(["some text"]), ScoreRequest())


@pytest.mark.parametrize("bos", ["always", "never"])
def test_empty_and_short_texts(
    llama: Path, open_on_cpu: Callable[..., LanguageModel], bos: str
) -> None:
    model = open_on_cpu(llama, bos=bos)
    texts = model.tokenise(["", "a", "", "ab"])
    assert [len(t.ids) for t in texts] == [0, 1, 0, 2]
    for request in (ScoreRequest(), ScoreRequest(8), ScoreRequest(8, 0.99)):
        found = model.score(texts, request)
        assert [np.isnan(s.logprobs).tolist() for s in found] == (
            [[], [False], [], [False, False]]
            if bos == "always"
            else [[], [True], [], [True, False]]
        )
        for scores in found if request.candidates else ():
            assert scores.candidates is not None
            assert len(scores.candidates.present) == len(scores.ids)
            assert scores.candidates.ids.shape == (scores.candidates.present.sum(), 8)
            assert scores.candidates.logprobs.shape == scores.candidates.ids.shape
        if request == ScoreRequest(8):
            assert [s.candidates.present.sum() for s in found] == (  # type: ignore[union-attr]
                [0, 1, 0, 2] if bos == "always" else [0, 0, 0, 1]
            )
    assert model.score([], ScoreRequest(8)) == []


def test_the_name_of_a_special_token_is_text(tiny: LanguageModel) -> None:
    text = "before <|endoftext|> after"
    (tokens,) = tiny.tokenise([text])
    assert 0 not in tokens.ids
    assert b"".join(tiny.tokenizer.surfaces[i] for i in tokens.ids) == text.encode()
    assert np.isfinite(tiny.score([tokens], ScoreRequest())[0].logprobs).all()


def test_a_very_long_document(tiny: LanguageModel, documents: list[str]) -> None:
    text = "".join(documents)[:300_000]
    assert len(text) == 300_000
    (tokens,) = tiny.tokenise([text])
    (scores,) = tiny.score([tokens], ScoreRequest(1, 0.5))
    assert len(scores.ids) > 100_000
    assert np.isfinite(scores.logprobs).all()


def test_every_token_is_scored_in_the_light_of_what_precedes_it_only(tiny: LanguageModel) -> None:
    (one, other) = tiny.tokenise(["the same beginning, one end", "the same beginning, another"])
    shared = int(np.argmax(one.ids[: len(other.ids)] != other.ids[: len(one.ids)]))
    assert shared > 5
    first, second = tiny.score([one, other], ScoreRequest())
    np.testing.assert_array_equal(first.logprobs[:shared], second.logprobs[:shared])
    assert first.logprobs[shared] != second.logprobs[shared]


def test_builtin(builtin: str, open_on_cpu: Callable[..., LanguageModel]) -> None:
    from synthtools.lm.model_name import ModelName

    model = open_on_cpu(builtin)
    reference = load(Path(ModelName(builtin).location))
    texts = model.tokenise(
        ["The cat sat on the mat, and looked out of the window.", "def f(x):\n    return x + 1\n"]
    )
    assert model.description["begin_of_text"]
    begin = model.tokenizer.bos_id
    for text, scores in zip(texts, model.score(texts, ScoreRequest(8)), strict=True):
        assert_same(scores, slow_logprobs(reference, np.concatenate([[begin], text.ids])), 8)
        # It has learnt English: far better than chance (ln 6,144 = 8.7).
        assert -scores.logprobs.mean() < 6
