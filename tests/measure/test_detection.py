"""Numbers of detectors are their authors' formulas, over logits in float64."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import running
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_model
from synthtools.lm.scorer import LanguageModel
from synthtools.lm.scores import ScoreRequest, Scores, TokenDistribution
from synthtools.measure.scored_records import DetectorScore, detector_score

REQUEST = ScoreRequest(distribution=True)


@torch.inference_mode()
def logits_of(folder: Path, ids: np.ndarray) -> torch.Tensor:
    """float64 [n − 1, vocabulary], of the tokens after the first."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    return model(input_ids=torch.from_numpy(ids.astype(np.int64))[None]).logits[0, :-1]


def authors(logits: torch.Tensor, labels: torch.Tensor, observer: torch.Tensor) -> dict[str, float]:
    """As the papers' repositories compute them, step for step."""
    logp = torch.log_softmax(logits, -1)
    p = torch.softmax(logits, -1)
    token = logp.gather(-1, labels[:, None])[:, 0]
    # fast-detect-gpt: get_sampling_discrepancy_analytic with one model for both.
    mean = (p * logp).sum(-1)
    variance = (p * logp.square()).sum(-1) - mean.square()
    # mink-plus-plus: run.py at ratio 0.2.
    count = int(len(token) * 0.2)
    plus = (token - mean) / variance.sqrt()
    # detect-gpt: get_rank with log=True.
    ranks = (logits.argsort(-1, descending=True) == labels[:, None]).nonzero()[:, 1] + 1.0
    # Binoculars: perplexity(performer) / entropy(observer, performer), of the predicted tokens.
    cross = torch.nn.functional.cross_entropy(logits, torch.softmax(observer, -1))
    return {
        "entropy": float(-mean.mean()),
        "log_rank": float(ranks.log().mean()),
        "top_1": float((ranks == 1).double().mean()),
        "fast_detect": float((token.sum() - mean.sum()) / variance.sum().sqrt()),
        "min_k": float(np.mean(np.sort(token.numpy())[:count])),
        "min_k_plus": float(np.mean(np.sort(plus.numpy())[:count])),
        "spread": float(token.std(correction=0)),
        "entropy_spread": float(mean.std(correction=0)),
        "binoculars": float(-token.mean() / cross),
    }


def test_each_number_is_its_authors_formula(
    make_model: Callable[..., Path], paragraphs: list[str]
) -> None:
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 128, "initializer_range": 0.3}
    performer, observer = make_model("gpt2", **sizes), make_model("gpt2", **sizes, seed=1)
    settings = ModelSettings(
        ModelName(str(performer)), backend="torch", devices="cpu", bos="never",
        observer=ModelName(str(observer)),
    )  # fmt: skip
    with open_model(settings, REQUEST) as model:
        texts = [t for t in model.tokenise(paragraphs[:60:3]) if 10 <= len(t.ids) <= 128]
        found = model.score(texts, REQUEST)
        assert len(texts) > 5
        for text, scores in zip(texts, found, strict=True):
            labels = torch.from_numpy(text.ids[1:].astype(np.int64))
            both = logits_of(performer, text.ids), logits_of(observer, text.ids)
            expected = authors(both[0], labels, both[1])
            assert detector_score(scores)._asdict() == pytest.approx(expected, rel=2e-4, abs=2e-5)


def test_the_pass_is_that_of_plain_scoring(tiny: LanguageModel, documents: list[str]) -> None:
    """Long texts too: the numbers of windows are joined, and the log-probabilities the same bits."""
    texts = tiny.tokenise([documents[3], "", "a"])
    plain = tiny.score(texts, ScoreRequest(8, at_least=0.5))
    more = tiny.score(texts, replace(REQUEST, candidates=8, at_least=0.5))
    for one, other in zip(plain, more, strict=True):
        np.testing.assert_array_equal(one.logprobs, other.logprobs)
        assert one.candidates is not None
        assert other.candidates is not None
        np.testing.assert_array_equal(one.candidates.ids, other.candidates.ids)
        assert other.distribution is not None
        assert all(len(numbers) == len(one.ids) for numbers in other.distribution)
        assert np.isnan(other.distribution.entropy).tolist() == np.isnan(one.logprobs).tolist()


def scores_of(logprobs: list[float], **numbers: list[float]) -> Scores:
    n = len(logprobs)
    known = {"entropy": [1.0] * n, "variance": [1.0] * n, "rank": [1.0] * n} | numbers
    unknown = {"cross_entropy": [np.nan] * n} | known
    told = TokenDistribution(**{k: np.array(v, np.float32) for k, v in unknown.items()})
    return Scores(np.zeros(n, np.int32), np.array(logprobs, np.float32), None, told)


def test_null_where_a_document_is_too_short() -> None:
    assert detector_score(scores_of([])) == DetectorScore()
    assert detector_score(scores_of([np.nan])) == DetectorScore()
    one = detector_score(scores_of([-1.0]))
    assert {k for k, v in one._asdict().items() if v is None} == {
        *("min_k", "min_k_plus", "spread", "entropy_spread", "binoculars")
    }
    five = detector_score(scores_of([-1.0, -2.0, -3.0, -4.0, -7.0]))
    assert (five.min_k, five.min_k_plus, five.fast_detect) == (-7.0, -6.0, -12.0 / 5**0.5)
    certain = detector_score(scores_of([0.0] * 5, entropy=[0.0] * 5, variance=[0.0] * 5))
    assert (certain.fast_detect, certain.min_k_plus, certain.spread) == (None, 0.0, 0.0)


def test_a_backend_that_tells_ranks_alone() -> None:
    told = TokenDistribution.of_ranks(np.array([1, 2, 1, 8, 1]))
    scores = Scores(np.zeros(5, np.int32), np.full(5, -1, np.float32), None, told)
    found = detector_score(scores)
    assert found.log_rank == pytest.approx(np.log(16) / 5)
    assert (found.top_1, found.min_k, found.spread) == (0.6, -1.0, 0.0)
    assert found.entropy is found.fast_detect is found.min_k_plus is found.binoculars is None
    assert found.entropy_spread is None


def test_fields_of_ppl(llama: Path, tmp_path: Path, paragraphs: list[str]) -> None:
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"text": t}) + "\n" for t in [paragraphs[3], ""])
    )

    def ppl(*arguments: Any) -> list[dict[str, Any]]:
        done = running.run("ppl", "a.jsonl", "--model", llama, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    plain, detected = ppl(), ppl("--detector", "--observer", llama)
    assert list(detected[0]) == [*plain[0], *DetectorScore._fields]
    assert {k: detected[0][k] for k in plain[0]} == plain[0]
    assert all(detected[1][name] is None for name in DetectorScore._fields)
    # A model beside itself: the cross-entropy is the entropy.
    assert detected[0]["binoculars"] == pytest.approx(detected[0]["nll"] / detected[0]["entropy"])
    assert list(ppl("--detector")[0]) == [*plain[0], *DetectorScore._fields[:-1]]
    refused = running.synth(
        "ppl", "a.jsonl", "--detector", "--observer", llama, cwd=tmp_path, code=2
    )
    assert "has other tokens than builtin" in refused
