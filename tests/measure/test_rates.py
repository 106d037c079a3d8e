"""Rates of patterns: counts, intervals against scipy's bootstrap, and ``synth stats --rate``."""

import json
import re

import numpy as np
import pytest
from scipy import stats

import running
from synthtools.measure.frequencies import matches, named_pattern, rate
from synthtools.reports.document import number
from synthtools.reports.stats import lines


def documents(count, seed=0):
    """Matches and words of documents in which matches come in clusters."""
    generator = np.random.default_rng(seed)
    words = generator.integers(20, 400, count)
    found = generator.poisson(generator.gamma(0.7, 0.02, count) * words)
    return found.astype(float), words.astype(float)


@pytest.mark.parametrize("count", [12, 150])
def test_the_interval_is_that_of_scipy(count):
    found, words = documents(count)
    report = rate(found, words, 0, 4000)
    expected = stats.bootstrap(
        (found, words),
        lambda m, w, axis: 1000 * m.sum(axis=axis) / w.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=4000,
        # Their correction for acceleration is one that ours leaves out.
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = expected.high - expected.low
    assert report["value"] == 1000 * found.sum() / words.sum()
    assert report["interval"] == pytest.approx([*expected], abs=0.12 * width)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(200):
        low, high = rate(*documents(120, seed), 0, 300)["interval"]
        held += low <= 1000 * 0.7 * 0.02 <= high
    assert 180 <= held < 200


def test_blocks_of_documents_vary_as_documents_do():
    widths = []
    for seed in range(8):
        found, words = documents(6000, seed)
        low, high = rate(found, words, 0, 1000)["interval"]
        # The delta method's standard error of a ratio.
        rest = found - words * found.sum() / words.sum()
        error = 1000 * rest.std(ddof=1) * np.sqrt(len(words)) / words.sum()
        widths.append((high - low) / (2 * 1.96 * error))
    assert np.mean(widths) == pytest.approx(1, abs=0.05)  # one has a noise of 0.05


@pytest.mark.parametrize(
    "found, words, reason",
    [
        ([], [], "no words"),
        ([0.0], [0.0], "no words"),
        ([3.0], [9.0], "one document"),
        ([0.0, 0.0], [9.0, 9.0], "no match"),
        ([2.0, 0.0], [9.0, 0.0], "some resamples have no words"),
    ],
)
def test_what_has_no_interval_has_a_reason(found, words, reason):
    report = rate(np.array(found), np.array(words), 0, 1000)
    assert report["interval"] is None and reason in report["reason"]


def test_matches_do_not_overlap():
    patterns = dict(map(named_pattern, ["a=aa", "word=(?i)\\bno\\b", "lines=(?m)^", "x=(a)|(b)=c"]))
    texts = ["aaaaa", "No, no. nor\nno", "", "ab=c"]
    found = {name: counts.tolist() for name, counts in matches(patterns, texts).items()}
    assert found == {
        "a": [2, 0, 0, 0],
        "word": [0, 3, 0, 0],
        "lines": [1, 2, 1, 1],
        "x": [5, 0, 0, 2],
    }


@pytest.mark.parametrize("given", ["x", "=x", "x=", "x=(", "x=a{9999999999}"])
def test_what_is_not_a_pattern(given):
    with pytest.raises(ValueError, match="use NAME=REGEX|regular expression"):
        named_pattern(given)


# ---------------------------------------------------------------- through the binary


def synth(*words, **more):
    found = running.synth("stats", *words, **more)
    return found if more.get("code") else json.loads(found)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("rates") / "in.jsonl"
    records = [
        {"text": "Question: who? " * (i % 4) + "Answer: no one else. " * 3, "by": "ab"[i % 2]}
        for i in range(60)
    ]
    path.write_text(
        "".join(json.dumps(record) + "\n" for record in [*records, {"text": "", "by": "c"}])
    )
    return path


def test_groups_cores_and_the_table(source):
    options = ["--by", "by", "--rate", "headings=(Question|Answer):", "--rate", "one=one"]
    reports = [synth(source, *options, "--jobs", jobs) for jobs in (1, 2)]
    groups = [report["groups"] for report in reports]
    assert groups[0] == groups[1] and "rates" in reports[0]["measures"]
    texts = [json.loads(line)["text"] for line in source.read_text().splitlines()[:60]]
    for group, own in zip(groups[0], (texts[::2], texts[1::2]), strict=False):
        found = group["rates"]["headings"]
        assert found["matches"] == sum(len(re.findall("Question:|Answer:", text)) for text in own)
        assert found["words"] == sum(len(text.split()) for text in own)
        assert found["value"] == 1000 * found["matches"] / found["words"]
        assert found["interval"][0] < found["value"] < found["interval"][1]
        assert group["rates"]["one"]["matches"] == 90
    assert groups[0][2]["rates"]["one"]["reason"] == "no words"
    heading, first, *_ = lines(reports[0])
    assert "headings/1,000" in heading and "one/1,000" in heading
    assert number(groups[0][0]["rates"]["headings"]["value"]) in first
    other = synth(source, *options, "--seed", "1", "--measures", "rates", "--tests", "none")
    assert set(other["groups"][0]) == {"name", "documents", "rates"}
    mine, others = (found["groups"][0]["rates"]["headings"] for found in (reports[0], other))
    assert others["interval"] != mine["interval"] and others["value"] == mine["value"]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--rate", "x=("], "--rate x=(: not a regular expression"),
        (["--measures", "rates"], "--measures rates needs --rate"),
        (["--rate", "x=a", "--rate", "x=b"], "--rate x=…: is given twice"),
        (["--rate", "x=a", "--measures", "lengths"], "--measures rates"),
    ],
)
def test_wrong_usage(options, words, source):
    assert words in synth(source, *options, code=2)
