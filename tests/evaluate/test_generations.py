"""``diff --generations``: loops that are known to collapse or not, and tests beside the slow obvious ones."""

import json
import random
from collections import defaultdict
from itertools import permutations
from pydoc_data.topics import topics

import numpy as np
import pytest
from scipy.stats import binom

import running
from synthtools.evaluate.generations import COLLAPSE, NONE, SLIGHT, followed
from synthtools.measure.record_numbers import summaries

run = running.synth
LONG = 80
PASSAGES = [
    words[at : at + LONG]
    for words in (topics[name].split() for name in sorted(topics))
    for at in range(0, len(words) - LONG, LONG)
][:300]


def bigrams(documents):
    following = defaultdict(list)
    for words in documents:
        for left, right in zip(words, words[1:] + words[:1], strict=True):
            following[left].append(right)
    return following


def written(documents, draw):
    """As many documents by a bigram model of these."""
    following = bigrams(documents)
    made = []
    for _ in PASSAGES:
        words = [draw.choice(documents)[0]]
        while len(words) < LONG:
            words.append(draw.choice(following[words[-1]]))
        made.append(words)
    return made


def loop(keeps_all):
    """Six generations of what bigram models write, each model fitted to the last one's text, or to all
    that there is."""
    draw = random.Random(1)
    pool, made = list(PASSAGES), []
    for _ in range(6):
        made.append(written(pool, draw))
        pool = [*pool, *made[-1]] if keeps_all else made[-1]
    return made


@pytest.fixture(scope="module", params=["replace", "accumulate"])
def reports(request, tmp_path_factory):
    """Reports of stats and ngram-hash by generation."""
    path = tmp_path_factory.mktemp(request.param)
    found = {"stats": [], "ngram-hash": []}
    for number, documents in enumerate(loop(request.param == "accumulate")):
        text = path / f"text-{number}.jsonl"
        text.write_text("".join(json.dumps({"text": " ".join(d)}) + "\n" for d in documents))
        for tool, names in found.items():
            names.append(path / f"{tool}-{number}.json")
            run(tool, text, "--report", names[-1])
    return request.param == "replace", found


@pytest.mark.parametrize("tool", ["stats", "ngram-hash"])
def test_a_loop_that_replaces_collapses_and_one_that_accumulates_does_not(reports, tool, tmp_path):
    collapses, found = reports
    picture = tmp_path / "generations.svg"
    report = json.loads(run("diff", *found[tool], "--generations", "--plot", picture))
    result = report["generations"]
    assert result["verdict"] == ("collapsing" if collapses else "no collapse seen")
    drifting = {row["figure"]: row for row in result["trends"] if row["state"] == COLLAPSE}
    assert bool(drifting) == collapses and not result["left_out"] and picture.stat().st_size
    if collapses and tool == "stats":
        first, last = result["trends"][0]["values"][0], result["trends"][0]["values"][-1]
        assert drifting["groups.vocabulary.types"]["drift"] < -0.04 and last < first
        assert len(drifting) > len(result["trends"]) / 2


def of_values(values):
    """A report like that of ``ppl --summary``."""
    (known,) = summaries(np.asarray(values), np.array([0, len(values)]))
    return {"kind": "ppl-summary", "made_by": {}, **known}


def gaussians(keeps_all, draw):
    """Shumailov et al.'s Gaussian: 400 draws, mean and deviation estimated, 60 for the estimate."""
    pool = draw.standard_normal(60)
    made = []
    for _ in range(12):
        made.append(of_values(draw.normal(pool.mean(), pool.std(ddof=1), 400)))
        fresh = draw.normal(pool.mean(), pool.std(ddof=1), 60) * 0.9  # sampled a little too likely
        pool = np.concatenate([pool, fresh]) if keeps_all else fresh
    return made


def test_tails_of_a_gaussian_that_feeds_on_itself_leave_the_interval():
    found = followed(gaussians(False, np.random.default_rng(3)), [])
    assert found["verdict"] == "collapsing" and found["warning"] is not None
    by_name = {row["figure"]: row for row in found["tails"]}
    assert by_name["percentiles.95"]["side"] == "below"
    assert by_name["percentiles.5"]["side"] == "above"
    for row in found["tails"]:
        low, high = row["interval"]
        outside = [g for g, value in enumerate(row["values"]) if not low <= value <= high]
        assert row["left"] == (outside[0] if outside else None)


def test_text_of_one_distribution_raises_no_alarm():
    """200 times ten generations of one distribution: at most one in twenty has any warning."""
    draw = np.random.default_rng(0)
    found = [
        followed([of_values(draw.gamma(3, 50, 300)) for _ in range(10)], []) for _ in range(200)
    ]
    assert sum(one["warning"] is not None for one in found) <= 10
    assert sum(one["verdict"] == "collapsing" for one in found) <= 10


def test_the_interval_holds_the_quantile_of_a_second_sample():
    """Against order statistics: the 95th percentile of 200 lies between ranks that a binomial gives, here
    widened for the second sample; of 400 pairs one in a hundred or so is outside."""
    draw = np.random.default_rng(1)
    outside = 0
    for _ in range(400):
        pair = [of_values(draw.standard_normal(200)) for _ in range(2)]
        (low, high) = followed(pair, [])["tails"][1]["interval"]
        outside += not low <= pair[1]["percentiles"]["95"] <= high
    assert outside <= binom.ppf(0.999, 400, 0.05)


def plain(values, **more):
    return [{"kind": "x", "made_by": {}, "accuracy": float(value), **more} for value in values]


def test_mann_and_kendall_by_all_orders():
    values = [0.8, 0.7, 0.75, 0.5, 0.4, 0.45]
    (row,) = followed(plain(values), [])["trends"]

    def score(order):
        return sum(np.sign(b - a) for i, a in enumerate(order) for b in order[i + 1 :])

    scores = [score(order) for order in permutations(values)]
    expected = np.mean([one <= score(values) for one in scores])
    assert row["p"] == pytest.approx(expected, rel=1e-9) and row["collapse"] == "lower"
    slopes = [
        (b - a) / (j - i) for i, a in enumerate(values) for j, b in enumerate(values) if j > i
    ]
    assert row["slope"] == pytest.approx(np.median(slopes), rel=1e-12)


def test_states():
    steady, slight, up = (
        np.linspace(0.9, 0.6, 8),
        np.linspace(0.9, 0.895, 8),
        np.linspace(0.5, 0.9, 8),
    )
    found = {state: followed(plain(v), [])["trends"][0]["state"] for state, v in
             ((COLLAPSE, steady), (SLIGHT, slight), (NONE, up))}  # fmt: skip
    assert all(state == got for state, got in found.items())


def test_holm_over_the_measures():
    reports = plain(np.linspace(0.9, 0.6, 5), gini=0.5)
    for place, report in enumerate(reports):
        report["gini"] = [0.5, 0.6, 0.55, 0.7, 0.65][place]
    rows = {row["figure"]: row for row in followed(reports, [])["trends"]}
    assert rows["accuracy"]["p_holm"] == pytest.approx(2 / 120)
    assert rows["gini"]["p_holm"] == pytest.approx(max(2 / 120, rows["gini"]["p"]))


def test_measures_of_the_amount_of_text_are_left_out_where_it_differs():
    reports = [
        {"kind": "x", "made_by": {}, "words": 1000 * (g + 1), "vocabulary": {"types": 500 - g, "mtld": 50 - g}}
        for g in range(6)
    ]  # fmt: skip
    found = followed(reports, [])
    assert found["left_out"] == ["vocabulary.types"]
    assert [row["figure"] for row in found["trends"]] == ["vocabulary.mtld"]
    assert "1,000 to 6,000 words" in found["notes"][0]


def test_files_of_generations_are_one_input():
    def report(number):
        name = f"gen-{number}.jsonl"
        pair = {"left": "human.jsonl", "right": name, "overlap": 0.9 - 0.1 * number}
        return {
            "kind": "x",
            "made_by": {"arguments": {"files": ["human.jsonl", name]}},
            "pairs": [pair],
        }

    (row,) = followed([report(number) for number in range(6)], [])["trends"]
    assert row["figure"] == "pairs.input 1–input 2.overlap" and row["state"] == COLLAPSE


def test_too_few_generations_are_said():
    assert "too few" in followed(plain([0.9, 0.8, 0.7]), [])["notes"][0]
    assert "four reports" in run("diff", "a", "b", "c", "--generations", code=2)


def test_chosen_figures_are_tested_in_both_directions():
    reports = [{"kind": "x", "made_by": {}, "length": 10.0 + g} for g in range(7)]
    found = followed(reports, [])
    assert found["trends"] == [] and found["verdict"] == "nothing to test"
    (row,) = followed(reports, ["length"])["trends"]
    assert (
        row["collapse"] is None and row["state"] == "trend" and row["p"] == pytest.approx(2 / 5040)
    )
