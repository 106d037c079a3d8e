"""Perplexity and its distribution against numpy and scipy in their plainest form."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import running
from synthtools.measure.perplexity import (
    PERCENTILES,
    DocumentScore,
    Summary,
    distribution,
    document_score,
)
from synthtools.reports import ppl_comparison

Corpus = list[tuple[np.ndarray, int]]


def corpus(documents: int, seed: int = 0, outliers: int = 3) -> Corpus:
    """Log-probabilities and bytes of documents, some unscored, some odd."""
    random = np.random.default_rng(seed)
    found: Corpus = []
    for number in range(documents):
        length = int(random.integers(1, 200))
        logprobs = -random.exponential(random.uniform(1, 4), length).astype(np.float32)
        if number < outliers:
            logprobs -= 8
        if number % 2:
            logprobs[0] = np.nan
        found.append((logprobs, int(random.integers(length, 8 * length))))
    return found


def summary(documents: Corpus, cuts: tuple[int, ...] = ()) -> dict[str, Any]:
    """The summary of documents that come in batches ending at the cuts."""
    result = Summary()
    ends = [0, *cuts, len(documents)]
    for start, end in zip(ends, ends[1:], strict=False):
        part = documents[start:end]
        result.add(
            [document_score(logprobs, size) for logprobs, size in part],
            [size for _, size in part],
            [logprobs for logprobs, _ in part],
        )
    return result.result()


@given(st.lists(st.floats(-50, 0, width=32), min_size=1, max_size=50), st.integers(1, 1000))
def test_a_document(logprobs: list[float], size: int) -> None:
    for unscored in (False, True):
        values = np.array([math.nan] * unscored + logprobs, np.float32)
        score = document_score(values, size)
        nll = -sum(logprobs) / len(logprobs)
        assert score.n_tokens == len(logprobs)
        assert score.nll == pytest.approx(nll, rel=1e-12, abs=1e-12)
        assert score.ppl == pytest.approx(math.exp(nll), rel=1e-9)
        bits = -sum(logprob / math.log(2) for logprob in logprobs) / size
        assert score.bits_per_byte == pytest.approx(bits, rel=1e-9, abs=1e-12)


def test_documents_that_tell_nothing() -> None:
    nothing = DocumentScore(None, None, 0, None)
    assert document_score(np.zeros(0, np.float32), 0) == nothing
    assert document_score(np.array([np.nan], np.float32), 1) == nothing


def test_certainty_is_no_negative_zero() -> None:
    score = document_score(np.zeros(3, np.float32), 3)
    assert repr(score) == "DocumentScore(ppl=1.0, nll=0.0, n_tokens=3, bits_per_byte=0.0)"


def test_a_perplexity_beyond_all_numbers() -> None:
    score = document_score(np.full(2, -800, np.float32), 2)
    assert score.ppl == math.inf
    assert score.nll == 800
    assert document_score(np.array([-np.inf, -1], np.float32), 2).ppl == math.inf


def test_sums_are_taken_in_double_precision() -> None:
    logprobs = np.full(1_000_000, -0.1, np.float32)
    assert document_score(logprobs, 1).nll == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_the_summary_of_a_corpus() -> None:
    documents = corpus(300)
    found = summary(documents)
    scored = [logprobs[~np.isnan(logprobs)].astype(float) for logprobs, _ in documents]
    known = [
        (values, size) for values, (_, size) in zip(scored, documents, strict=True) if len(values)
    ]
    everything = np.concatenate(scored)
    assert len(known) < 300
    assert found["documents"] == 300
    assert found["unscored"] == 300 - len(known)
    assert found["infinite"] == 0
    assert found["tokens"] == len(everything)
    assert found["bytes"] == sum(size for _, size in known)
    assert found["nll"] == pytest.approx(-everything.mean(), rel=1e-12)
    assert found["perplexity"] == pytest.approx(np.exp(-everything.mean()), rel=1e-12)
    bits = -everything.sum() / math.log(2) / found["bytes"]
    assert found["bits_per_byte"] == pytest.approx(bits, rel=1e-12)
    ppl = np.array([np.exp(-values.mean()) for values, _ in known])
    assert found["median"] == pytest.approx(np.median(ppl), rel=1e-9)
    # Weighted by tokens, not by documents.
    assert found["perplexity"] != pytest.approx(np.exp(np.log(ppl).mean()), rel=1e-3)

    table = found["token_probability"]
    assert table["edges"] == pytest.approx(np.arange(11) / 10)
    counts, _ = np.histogram(np.exp(everything), bins=10, range=(0, 1))
    # A probability within a rounding of an edge may fall on either side.
    assert np.abs(np.array(table["counts"]) - counts).max() <= 1
    assert sum(table["counts"]) == len(everything)
    assert table["shares"] == pytest.approx(np.array(table["counts"]) / len(everything))


def test_a_certain_token_is_in_the_last_bin() -> None:
    found = summary([(np.array([0, np.log(0.95), np.log(0.05)], np.float32), 3)])
    assert found["token_probability"]["counts"] == [1, *[0] * 8, 2]


@given(st.integers(1, 40), st.integers(0, 1000), st.data())
def test_batches_change_no_bit(documents: int, seed: int, data: st.DataObject) -> None:
    texts = corpus(documents, seed)
    cuts = data.draw(st.lists(st.integers(0, documents), max_size=5).map(sorted))
    assert summary(texts, tuple(cuts)) == summary(texts)


def test_the_distribution_against_plain_forms() -> None:
    random = np.random.default_rng(1)
    ppl = np.concatenate([random.lognormal(3, 0.5, 500), [787_256.0, 900.0], [0.001]])
    found = distribution(ppl)
    first, third = np.quantile(ppl, 0.25), np.quantile(ppl, 0.75)
    spread = stats.iqr(ppl)
    kept = [p for p in ppl if first - 1.5 * spread <= p <= third + 1.5 * spread]
    assert found["mean"] == pytest.approx(np.mean(ppl))
    assert found["mean"] > 1000
    assert found["mean_cleaned"] == pytest.approx(np.mean(kept))
    assert found["mean_cleaned"] < 30
    assert found["outliers"] == len(ppl) - len(kept)
    assert found["outliers"] >= 2
    assert found["standard_deviation"] == pytest.approx(stats.tstd(ppl))
    assert (found["min"], found["max"]) == (ppl.min(), 787_256.0)
    for p in PERCENTILES:
        assert found["percentiles"][str(p)] == pytest.approx(
            stats.scoreatpercentile(ppl, p), rel=1e-12
        )

    histogram = found["histogram"]
    edges, counts = histogram["edges"], histogram["counts"]
    assert len(edges) == len(counts) + 1
    assert (edges[0], edges[-1]) == (min(kept), max(kept))
    for place, count in enumerate(counts):
        last = place == len(counts) - 1
        inside = [
            p for p in kept if edges[place] <= p < edges[place + 1] or (last and p == edges[-1])
        ]
        assert count == len(inside)
    assert histogram["below"] == sum(p < edges[0] for p in ppl)
    assert histogram["above"] == sum(p > edges[-1] for p in ppl)
    assert sum(counts) + histogram["below"] + histogram["above"] == len(ppl)


@pytest.mark.parametrize("ppl", [[5.0], [5.0, 5.0, 5.0], [1.0, 2.0]])
def test_distributions_of_hardly_anything(ppl: list[float]) -> None:
    found = distribution(np.array(ppl))
    assert found["median"] == np.median(ppl)
    assert found["mean_cleaned"] == np.mean(ppl)
    assert found["outliers"] == 0
    assert (found["standard_deviation"] is None) == (len(ppl) == 1)
    assert sum(found["histogram"]["counts"]) == len(ppl)


def test_nothing_at_all() -> None:
    found = Summary().result()
    assert found.pop("outliers") == 0
    zeros = {"documents", "unscored", "infinite", "tokens", "bytes"}
    assert {name: value for name, value in found.items() if value is not None} == dict.fromkeys(
        zeros, 0
    )
    # The report has the same members with much to tell and with nothing.
    assert set(Summary().result()) == set(summary(corpus(20)))


def test_documents_none_of_which_could_be_scored() -> None:
    found = summary([(np.array([np.nan], np.float32), 1), (np.zeros(0, np.float32), 0)])
    assert (found["documents"], found["unscored"], found["tokens"]) == (2, 2, 0)
    assert found["perplexity"] is found["median"] is found["token_probability"] is None


def test_infinite_documents_are_counted_and_left_out() -> None:
    documents = corpus(50, outliers=0)
    endless = (np.array([-np.inf, -1], np.float32), 5)
    found = summary([*documents, endless, (np.full(3, -900, np.float32), 3)])
    assert found["infinite"] == 2
    assert found["median"] == summary(documents)["median"]
    assert found["max"] == summary(documents)["max"]
    assert found["perplexity"] == math.inf
    assert summary([endless])["median"] is None


def test_without_tokens_there_is_no_histogram_of_them() -> None:
    documents = corpus(10)
    result = Summary()
    result.add([document_score(*d) for d in documents], [size for _, size in documents], None)
    assert result.result() == summary(documents) | {"token_probability": None}


def test_a_comparison_tells_the_probabilities_of_tokens(
    tmp_path: Path, paragraphs: list[str], tiny_models: dict[str, Path]
) -> None:
    texts = tmp_path / "t.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in paragraphs[:20]))
    scored = tmp_path / "scored.jsonl"
    running.synth("ppl", texts, "--tokens", "-o", scored, "--model", tiny_models["llama"])
    words = ("--compare", "--bootstrap", 0, "--model", tiny_models["llama"])
    report = json.loads(running.synth("ppl", texts, scored, *words))
    left, right = report["inputs"]
    counts = [0] * 10
    for line in scored.read_text().splitlines():
        for logprob in json.loads(line)["token_logprobs"]:
            if logprob is not None:
                counts[min(9, int(10 * math.exp(logprob)))] += 1
    assert left["token_probability"]["counts"] == counts
    shares = " ".join(f"{100 * count / sum(counts):.1f}" for count in counts)
    assert "\n".join(ppl_comparison.lines(report)).count(f"{shares}\n") == 1
    assert right["token_probability"] is None  # records that were scored before
