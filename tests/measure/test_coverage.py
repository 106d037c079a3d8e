"""Distributions of perplexity against scipy's forms, and the comparison of ``synth ppl``."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

import running
from synthtools.lm.scores import ScoreRequest
from synthtools.measure import coverage
from synthtools.measure.perplexity import document_score
from synthtools.measure.perplexity_comparison import Sampling, log_ratio
from synthtools.reports import ppl_comparison

PPL = st.lists(st.floats(1, 1e6), min_size=2, max_size=60).map(sorted).map(np.array)


def corpora(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Human-like and synthetic-like perplexities."""
    draw = np.random.default_rng(seed)
    human = np.concatenate([draw.lognormal(3.2, 0.6, 400), [787_256.0]])
    return np.sort(human), np.sort(draw.lognormal(2.2, 0.3, 300))


@given(PPL, PPL)
def test_distances_are_those_of_scipy(left: np.ndarray, right: np.ndarray) -> None:
    distance, statistic = coverage.apart(left, right)
    assert distance == pytest.approx(stats.wasserstein_distance(left, right), rel=1e-9, abs=1e-9)
    assert statistic == pytest.approx(
        stats.ks_2samp(left, right, method="asymp").statistic, abs=1e-12
    )


@given(PPL.filter(lambda sample: np.log(sample).std() > 1e-6), st.booleans())
def test_the_density_is_that_of_scipy(sample: np.ndarray, log: bool) -> None:
    axis = coverage.common_axis([sample], log)
    assert axis is not None and len(axis.points) == coverage.GRID_POINTS
    found = coverage.density(axis.of(sample), axis.points)
    expected = stats.gaussian_kde(axis.of(sample))(axis.points)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_overlap_and_jensen_shannon() -> None:
    left, right = corpora()
    axis = coverage.common_axis([left, right])
    assert axis is not None
    f, g = (stats.gaussian_kde(np.log(side))(axis.points) for side in (left, right))
    found = coverage.compare(left, right, axis, 0, 0)
    assert found["js"] == pytest.approx(jensenshannon(f, g) ** 2, rel=1e-9)
    expected = np.trapezoid(np.minimum(f, g), axis.points)
    assert found["overlap"] == pytest.approx(expected, rel=1e-9)
    assert 0.1 < found["overlap"] < 0.6
    assert coverage.overlap(f, f, axis.points) == pytest.approx(1, abs=1e-3)


def test_the_known_overlap_of_two_normals() -> None:
    # OVL of N(0, 1) and N(2, 1) is 2Φ(−1).
    grid = np.linspace(-8, 10, 2001)
    found = coverage.overlap(stats.norm.pdf(grid), stats.norm.pdf(grid, 2), grid)
    assert found == pytest.approx(2 * stats.norm.cdf(-1), rel=1e-4)


@given(PPL, PPL)
def test_shares_are_counts(left: np.ndarray, right: np.ndarray) -> None:
    found = coverage.figures(left, right)
    for name, one, other in (("left", left, right), ("right", right, left)):
        outside = np.mean((one < other.min()) | (one > other.max()))
        assert found[f"{name}_outside"] == pytest.approx(outside)
        assert found[f"{name}_above_maximum"] == pytest.approx(np.mean(one > other.max()))
        p99 = np.percentile(other, 99)
        assert found[f"{name}_above_p99"] == pytest.approx(np.mean(one > p99))


def test_ratios_and_shifts() -> None:
    left, right = corpora()
    found = coverage.figures(left, right)
    assert found["variance_ratio"] == pytest.approx(right.var(ddof=1) / left.var(ddof=1))
    # One outlier makes the plain variance and mean meaningless.
    assert found["variance_ratio"] < 1e-6 < 0.01 < found["variance_ratio_cleaned"] < 0.1
    assert found["mean_shift"] == pytest.approx(right.mean() - left.mean())
    assert found["mean_shift"] < -1000 < -30 < found["mean_shift_cleaned"] < 0
    assert found["median_shift"] == pytest.approx(np.median(right) - np.median(left))
    assert found["wasserstein_log"] == pytest.approx(
        stats.wasserstein_distance(np.log(left), np.log(right))
    )
    spans = [np.percentile(side, [1, 99]) for side in (left, right)]
    inside = min(spans[0][1], spans[1][1]) - max(spans[0][0], spans[1][0])
    assert found["range_covered"] == pytest.approx(inside / (spans[0][1] - spans[0][0]))


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = {"median_shift": 0, "ks": 0, "wasserstein_log": 0}
    big = [
        np.sort(np.random.default_rng(s).lognormal(m, 0.4, 50_000)) for s, m in ((1, 3), (2, 2.5))
    ]
    truth = coverage.figures(*big)
    for trial in range(40):
        draw = np.random.default_rng(100 + trial)
        sides = [np.sort(draw.lognormal(m, 0.4, 80)) for m in (3, 2.5)]
        axis = coverage.common_axis(sides)
        assert axis is not None
        found = coverage.compare(*sides, axis, 100, trial)["intervals"]
        for name in held:
            held[name] += found[name][0] <= truth[name] <= found[name][1]
    # 95 % nominal; of 40 trials fewer than 32 would be out of all chance.
    assert min(held.values()) >= 32, held


def test_intervals_lie_around_the_exact_densities() -> None:
    left, right = corpora()
    for log in (True, False):
        axis = coverage.common_axis([left, right], log)
        assert axis is not None
        found = coverage.compare(left, right, axis, 100, 0)
        for name in ("overlap", "js"):
            low, high = found["intervals"][name]
            assert low < found[name] < high and high - low < 0.2


def test_pairs_are_drawn_together() -> None:
    draw = np.random.default_rng(0)
    first = draw.lognormal(3, 0.5, 200)
    second = first * 1.1  # the same documents, each a tenth higher
    axis = coverage.common_axis([np.sort(first), np.sort(second)])
    assert axis is not None
    apart = coverage.compare(np.sort(first), np.sort(second), axis, 200, 0)
    paired = coverage.compare(first, second, axis, 200, 0, paired=True)
    for name in coverage.figures(np.sort(first), np.sort(second)):
        assert paired[name] == apart[name]
    widths = [np.diff(found["intervals"]["median_shift"])[0] for found in (apart, paired)]
    assert widths[1] < widths[0] / 3


@pytest.mark.parametrize("log", [True, False])
def test_one_outlier_does_not_stretch_the_linear_axis(log: bool) -> None:
    left, right = corpora()
    axis = coverage.common_axis([left, right], log)
    assert axis is not None
    assert (max(axis.ppl(axis.points)) > 787_256) == log
    found = coverage.side(left, axis, 20, 0)
    assert found["histogram"]["above"] >= 1
    parts = found["histogram"]
    assert sum(parts["counts"]) + parts["below"] + parts["above"] == len(left)
    assert found["mean"] > 1000 > found["mean_cleaned"]
    low, high = found["intervals"]["median"]
    assert low < found["median"] < high


def test_corpora_without_spread() -> None:
    same, one = np.full(5, 7.0), np.array([3.0])
    axis = coverage.common_axis([same, one])
    assert axis is not None and coverage.common_axis([np.zeros(0)]) is None
    found = coverage.compare(same, one, axis, 10, 0)
    assert found["overlap"] is found["js"] is None
    assert found["intervals"]["js"] is None
    assert found["left_above_maximum"] == 1 and found["ks"] == 1
    assert coverage.side(np.zeros(0), axis, 10, 0)["density"] is None


def test_the_log_ratio() -> None:
    draw = np.random.default_rng(3)
    tokens = draw.integers(50, 200, 300)
    # Two Bernoulli models of tokens, data by the first: KL is known.
    p, q = 0.7, 0.5
    ones = draw.binomial(tokens, p)
    nats = [-(ones * math.log(x) + (tokens - ones) * math.log(1 - x)) for x in (p, q)]
    kl = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    plain = {Sampling(1.0, 1.0): 200, Sampling(): 100}

    def ratio(same: bool, epsilon: float, sampled: dict[Sampling, int]) -> dict[str, Any]:
        bytes_ = (3 * tokens, 3 * tokens)
        two = (nats[0], nats[1])
        return log_ratio(two, (tokens, tokens), bytes_, same, epsilon, 200, 0, sampled)

    found = ratio(True, 0.05, plain)
    low, high = found["intervals"]["kl_per_token"]
    assert low < kl < high and found["verdict"] == "pure"
    assert found["kl_per_byte"] == pytest.approx(found["kl_per_token"] / 3)
    assert found["sampling"][0] == {
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": None,
        "documents": 200,
    }
    assert ratio(True, 0.2, plain)["verdict"] == "semi-synthetic"
    assert ratio(True, kl, plain)["verdict"] == "undecided"
    other = ratio(False, 0.05, plain)
    assert other["kl_per_token"] is None and other["verdict"] == "undecided"
    # Drawn from another distribution than the model's own, if only in part.
    for warped in (Sampling(0.7, 1.0), Sampling(1.0, 0.9), Sampling(1.0, 1.0, 50), Sampling(0, 1)):
        assert ratio(True, 0.05, plain | {warped: 1})["verdict"] == "withheld"


def test_models_that_leave_first_tokens_of_other_lengths_unscored() -> None:
    nats, tokens = np.array([30.0, 50.0]), np.array([10, 20])
    found = log_ratio(
        (nats, 2 * nats),
        (tokens, tokens - 1),
        (np.array([40, 60]), np.array([35, 45])),
        False,
        0.1,
        0,
        0,
        {Sampling(): 2},
    )
    assert found["kl_per_byte"] == pytest.approx(160 / 80 - 80 / 100)


# ---------------------------------------------------------------- the tool


run = partial(running.run, "ppl", text=True)


def write(path: Path, ppl: Any, **more: Any) -> Path:
    path.write_text("".join(json.dumps({"ppl": p, **more}) + "\n" for p in ppl))
    return path


def test_scored_records_are_used_as_they_are(tmp_path: Path) -> None:
    left, right = corpora()
    one = write(tmp_path / "a.jsonl", [*left, None], n_tokens=10)
    two = tmp_path / "b.jsonl"
    two.write_text("".join(json.dumps({"nll": math.log(p)}) + "\n" for p in right))
    done = run(one, two, "--compare", "--plot", tmp_path / "p.svg")
    assert done.returncode == 0 and not done.stderr, done.stderr
    found = json.loads(done.stdout)
    assert found["kind"] == "ppl-compare" and found["made_by"]["model"] is None
    assert [side["documents"] for side in found["inputs"]] == [402, 300]
    assert [side["unscored"] for side in found["inputs"]] == [1, 0]
    assert [side["tokens"] for side in found["inputs"]] == [4010, None]
    nll = np.log(left).mean()
    assert found["inputs"][0]["perplexity"] == pytest.approx(math.exp(nll))
    (pair,) = found["pairs"]
    axis = coverage.common_axis([left, right])
    assert axis is not None
    expected = coverage.compare(left, right, axis, 200, 0)
    assert pair["js"] == pytest.approx(expected["js"])
    assert pair["intervals"]["js"] == pytest.approx(expected["intervals"]["js"])
    assert (tmp_path / "p.svg").read_bytes().startswith(b"<?xml")
    # The order of records changes nothing.
    write(tmp_path / "a.jsonl", [None, *left[::-1]], n_tokens=10)
    again = json.loads(run(one, two, "--compare").stdout)
    assert again["pairs"] == found["pairs"]


def test_inputs_without_documents(tmp_path: Path) -> None:
    empty, some = write(tmp_path / "e.jsonl", []), write(tmp_path / "s.jsonl", [3, 4.5])
    found = json.loads(run(empty, some, "--compare").stdout)
    assert found["inputs"][0]["documents"] == 0 and "js" not in found["pairs"][0]
    done = run(empty, write(tmp_path / "f.jsonl", []), "--compare")
    assert done.returncode == 0 and json.loads(done.stdout)["grid"] is None


def test_texts_are_scored_and_two_models_are_compared(
    tmp_path: Path, paragraphs: list[str], tiny_models: dict[str, Path], open_on_cpu: Any
) -> None:
    texts = tmp_path / "t.jsonl"
    texts.write_text("".join(json.dumps({"text": t}) + "\n" for t in paragraphs[:30]))
    models = [tiny_models["llama"], tiny_models["gpt2"]]
    words = ["--model", models[0], "--model", models[1], "--compare", "--bootstrap", 50]
    # From a pipe, which is kept to be read twice.
    done = run("-", *words, input=texts.read_text())
    assert done.returncode == 0 and "30 of 30 records do not say how" in done.stderr, done.stderr
    found = json.loads(done.stdout)
    assert found["kind"] == "ppl-models"
    assert [m["name"] for m in found["made_by"]["model"]["models"]] == [str(m) for m in models]
    # Against the scores of the two models one by one.
    nats, tokens, records = [], [], []
    for model in models:
        scorer = open_on_cpu(model)
        scores = scorer.score(scorer.tokenise(paragraphs[:30]), ScoreRequest())
        documents = [document_score(s.logprobs, len(t)) for s, t in zip(scores, paragraphs)]
        nats.append(np.array([d.nll * d.n_tokens for d in documents]))
        tokens.append(np.array([d.n_tokens for d in documents]))
        records.append([d._asdict() for d in documents])
    (pair,) = found["pairs"]
    ratio = (nats[1] - nats[0]).sum() / tokens[0].sum()
    assert pair["log_ratio"]["kl_per_token"] == pytest.approx(ratio, rel=1e-5)
    ppl = [np.exp(n / t) for n, t in zip(nats, tokens)]
    assert pair["mean_shift"] == pytest.approx(ppl[1].mean() - ppl[0].mean(), rel=1e-4)
    # Of text that generate drew with its defaults there is no verdict; of what it does not say, a remark.
    drawn = {"generate_temperature": 0.7, "generate_top_p": 0.9}
    records_of = [{"text": t, **(drawn if n else {})} for n, t in enumerate(paragraphs[:5])]
    texts_drawn = tmp_path / "drawn.jsonl"
    texts_drawn.write_text("".join(json.dumps(r) + "\n" for r in records_of))
    done = run(texts_drawn, *words)
    assert "1 of 5 records do not say how they were sampled" in done.stderr
    report = json.loads(done.stdout)
    ratio_of = report["pairs"][0]["log_ratio"]
    assert ratio_of["verdict"] == "withheld" and ratio_of["kl_per_token"] is not None
    assert [(row["temperature"], row["documents"]) for row in ratio_of["sampling"]] == [
        (None, 1),
        (0.7, 4),
    ]
    assert "4 at temperature 0.7 and top-p 0.9" in "\n".join(ppl_comparison.lines(report))
    # Texts against stored scores of the same model: a remark, and hardly a difference.
    scored = tmp_path / "s.jsonl"
    scored.write_text("".join(json.dumps(r) + "\n" for r in records[0]))
    mixed = run(texts, scored, "--compare", "--model", models[0])
    assert "already scored" in mixed.stderr
    (pair,) = json.loads(mixed.stdout)["pairs"]
    assert pair["median_shift"] == pytest.approx(0, abs=1e-3 * ppl[0].mean())


@pytest.mark.parametrize(
    "words, message, code",
    [
        (["a"], "two inputs", 2),
        (["a", "a", "--model", "x", "--model", "y"], "one data set", 2),
        (["a", "--model", "x", "--model", "x"], "named twice", 2),
        (["a", "a", "--summary"], "give one", 2),
        (["a", "a", "-o", "out.jsonl"], "a report goes to stdout", 2),
        (["a", "a", "--plot", "p.pdf"], "p.pdf", 2),
        (["a", "bad"], "which earlier records", 1),
        (["a", "zero"], "not a perplexity", 1),
        (["a", "word"], "not a perplexity", 1),
        (["a", "count"], "n_tokens", 1),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    words: list[str], message: str, code: int, tmp_path: Path
) -> None:
    files = {name: tmp_path / f"{name}.jsonl" for name in ("a", "bad", "zero", "word", "count")}
    write(files["a"], [1.5, 2])
    files["bad"].write_text('{"ppl": 2}\n{"text": "x"}\n')
    files["zero"].write_text('{"ppl": 0}\n')
    files["word"].write_text('{"ppl": "2"}\n')
    files["count"].write_text('{"ppl": 2, "n_tokens": -1}\n')
    done = run(*[files.get(word, word) for word in words], "--compare")
    assert done.returncode == code and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and message in done.stderr


def test_several_models_are_for_comparisons(tmp_path: Path) -> None:
    done = run(write(tmp_path / "a.jsonl", [2]), "--model", "x", "--model", "y")
    assert done.returncode == 2 and "--compare" in done.stderr
    done = run(write(tmp_path / "a.jsonl", [2]), "--plot", "x.png")
    assert done.returncode == 2 and "--plot belongs to" in done.stderr
