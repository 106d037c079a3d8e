"""``synth stats``: its numbers against scipy and plain forms, and through the binary."""

import json
import math
import re
from collections import Counter
from pydoc_data.topics import topics

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import curve_fit

import kernel_reference as reference
import running
from synthtools.cli.app import build
from synthtools.errors import SynthError
from synthtools.measure import group_statistics
from synthtools.measure.diversity import (
    compression,
    heaps,
    matched,
    openings,
    semantic_diversity,
)
from synthtools.measure.frequencies import kernel_density
from synthtools.measure.record_numbers import RecordNumbers, summaries
from synthtools.measure.significance import compared, corrected_by_holm, mann_whitney
from synthtools.records.text_buffer import TextBuffer
from synthtools.reports import document
from synthtools.reports import stats as stats_report
from synthtools.text.sentences import sentence_bounds

NAMES = sorted(topics)


def synth(*words, code=0, **more):
    found = running.synth("stats", *words, code=code, **more)
    return found if code else json.loads(found)


# ---------------------------------------------------------------- numbers


def test_heaps_is_the_least_squares_of_scipy():
    n = np.arange(1, 60) * 1000
    v = (12 * n**0.6 + 40 * np.sin(n / 3000)).astype(np.int64)
    found = heaps(n, v)
    best, covariance = curve_fit(lambda n, k, b: k * n**b, n.astype(float), v, p0=(10, 0.5))
    reach = stats.t.ppf(0.975, len(n) - 2) * np.sqrt(np.diag(covariance))
    for name, value, width in zip(("k", "beta"), best, reach, strict=True):
        assert found[name] == pytest.approx(value, rel=1e-5)
        assert found[f"{name}_interval"] == pytest.approx([value - width, value + width], rel=1e-5)
    assert found["curve"]["words"] == n.tolist() and found["r_squared"] > 0.99


@pytest.mark.parametrize("points", [0, 1, 3])
def test_no_fit_of_few_words(points):
    found = heaps(np.arange(points), np.arange(points))
    assert found["beta"] is None and "4,000 words" in found["reason"]


def test_heaps_of_a_vocabulary_that_does_not_grow():
    found = heaps(np.arange(1, 9) * 1000, np.full(8, 5))
    assert found["beta"] == pytest.approx(0, abs=1e-12) and found["reason"] is None


GENERATOR = np.random.default_rng(5)
SAMPLES = [
    (GENERATOR.normal(size=30), GENERATOR.normal(0.4, size=45)),
    (GENERATOR.integers(0, 5, 40).astype(float), GENERATOR.integers(1, 6, 33).astype(float)),
    (GENERATOR.normal(size=5), GENERATOR.normal(size=90)),
    (np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 2.0])),
    (np.array([0.0, 0.0]), np.array([1.0, 1.0])),
    (np.ones(20), np.ones(30)),
]


@pytest.mark.parametrize("left, right", SAMPLES)
def test_mann_whitney_is_that_of_scipy(left, right):
    expected = stats.mannwhitneyu(left, right)
    u, p = mann_whitney(np.sort(left), np.sort(right))
    assert u == expected.statistic and p == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize("decimals", [1, 9])  # with ties and without
def test_tests_are_those_of_scipy(decimals):
    groups = [GENERATOR.normal(m, s, 40).round(decimals) for m, s in ((0, 1), (0.5, 1), (0, 3))]
    found = compared(["a", "b", "c"], [np.append(groups[0], np.nan), *groups[1:]])
    h, w = stats.kruskal(*groups), stats.levene(*groups)
    assert found["kruskal_wallis"] == pytest.approx({"h": h.statistic, "p": h.pvalue})
    assert found["levene"] == pytest.approx({"w": w.statistic, "p": w.pvalue})
    ps = [pair["p"] for pair in found["pairs"]]
    expected = [
        stats.mannwhitneyu(groups[i], groups[j]).pvalue for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert ps == pytest.approx(expected)
    assert [p["p_bonferroni"] for p in found["pairs"]] == [min(1, 3 * p) for p in ps]


def test_holm():
    # The example of Holm's procedure by hand: 0.01·4, 0.02·3, then the largest so far.
    found = corrected_by_holm(np.array([0.04, 0.01, 0.02, 0.03]))
    assert found == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_what_cannot_be_tested_has_a_reason():
    one, same = np.array([1.0]), np.ones(5)
    assert "fewer than two groups" in compared(["a", "b"], [one, same])["reason"]
    assert compared(["a", "b"], [one, same])["left_out"] == ["a"]
    assert "equal" in compared(["a", "b"], [same, same])["reason"]
    assert "Levene" in compared(["a", "b"], [same, same + 1])["reason"]
    many = compared([str(i) for i in range(201)], [np.array([i, i + 1.0]) for i in range(201)])
    assert many["pairs"] is None and many["kruskal_wallis"] and "200" in many["reason"]


def test_semantic_diversity_is_the_mean_over_pairs():
    vectors = GENERATOR.normal(size=(30, 4)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [1 - unit[i] @ unit[j] for i in range(30) for j in range(30) if i != j]
    found = semantic_diversity(np.vstack([vectors, np.zeros((1, 4))]))
    assert found["value"] == pytest.approx(np.mean(pairs), abs=1e-6)
    assert (found["vectors"], found["without_direction"]) == (30, 1)
    assert semantic_diversity(np.ones((3, 2)))["value"] == pytest.approx(0, abs=1e-12)
    assert semantic_diversity(np.zeros((0, 1)))["reason"]


def test_the_density_of_token_ids_is_that_of_scipy():
    ids, counts = np.array([3, 40, 41, 90]), np.array([5, 60, 2, 9])
    found = kernel_density(ids, counts, 100)
    expected = stats.gaussian_kde(np.repeat(ids, counts))(found["token_ids"])
    assert found["density"] == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert kernel_density(np.array([7]), np.array([10]), 100) is None


def test_compression_openings_and_summaries():
    texts = ["As a model I cannot say that. As an expert I cannot say it."] * 3 + ["Other words."]
    packed = zstandard.ZstdCompressor(level=3, write_content_size=False)
    texts_in_bytes = [text.encode() for text in texts]
    data = b"\n".join(texts_in_bytes)
    assert compression(texts_in_bytes)["ratio"] == len(data) / len(packed.compress(data))
    assert compression([])["ratio"] is None
    found = openings_of(texts)
    assert found["openings"] == [["as a model i", 0.75]] and found["distinct_share"] == 0.5
    assert openings_of([""])["reason"] == "no text"
    (short,) = summaries(np.array([np.nan, 2.0]), np.array([0, 2]))
    assert (short["documents"], short["without"], short["standard_deviation"]) == (1, 1, None)


def openings_of(texts):
    buffer = TextBuffer.of(texts)
    return openings(buffer, sentence_bounds(buffer))


def repeated(counts, texts):
    rows = sorted(
        ((name, n) for name, n in counts.items() if n > 1), key=lambda row: (-row[1], row[0])
    )
    return [[name, n / texts] for name, n in rows[:10]]


def plain_openings(texts):
    firsts = Counter(" ".join(reference.beginning(text, 400, 4)) for text in texts)
    del firsts[""]
    starts = [[reference.beginning(s, 120, 6) for s in reference.sentences(text)] for text in texts]
    words = Counter(word for of_text in starts for tokens in of_text for word in tokens)
    frame = sorted(words, key=lambda word: (-words[word], word))[:100]
    templates = Counter()
    for of_text in starts:
        own = [[t if t in frame else "*" for t in tokens] for tokens in of_text if len(tokens) == 6]
        templates.update({" ".join(one) for one in own if 1 <= one.count("*") <= 3})
    share = len(firsts) / firsts.total() if firsts else None
    return share, repeated(firsts, len(texts)), repeated(templates, len(texts))


def test_openings_are_those_that_are_counted_plainly():
    texts = [topics[name] for name in NAMES] + ["* * *", "", "İt's * ΟΔΟΣ 中 i\u0301s x_1 " * 9] * 2
    found = openings_of(texts)
    assert len(found["openings"]) == 3 and len(found["templates"]) == 10
    assert (found["distinct_share"], found["openings"], found["templates"]) == plain_openings(texts)
    few = texts[:9]
    assert openings_of(few)["templates"] == plain_openings(few)[2]


VALUES = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan) | st.integers(0, 3).map(float))


@settings(max_examples=60)
@given(st.lists(VALUES, min_size=1, max_size=6))
def test_groups_are_summed_up_as_numpy_does_one_by_one(groups):
    starts = np.cumsum([0, *map(len, groups)])
    found = summaries(np.concatenate([np.array(g, float) for g in groups]), starts, (1, 50, 75))
    for values, one in zip(groups, found, strict=True):
        known = np.array([v for v in values if math.isfinite(v)])
        assert (one["documents"], one["without"]) == (len(known), len(values) - len(known))
        if not len(known):
            assert one["mean"] is None and one["percentiles"] is None
            continue
        expected = np.percentile(known, (1, 50, 75))
        assert list(one["percentiles"].values()) == pytest.approx(expected, rel=1e-12, abs=1e-9)
        assert (one["min"], one["max"]) == (known.min(), known.max())
        assert one["mean"] == pytest.approx(known.mean(), rel=1e-9, abs=1e-9)
        if len(known) > 1:
            spread = known.std(ddof=1)
            assert one["standard_deviation"] == pytest.approx(spread, rel=1e-6, abs=1e-6)


def test_numbers_of_records_keep_their_order_in_each_group():
    kept = RecordNumbers()
    kept.add(np.array([1, 0, 1]), {"a": np.array([3, 5, 4])})
    kept.add(np.array([3, 1]), {"a": np.array([9, 1])})
    kept.order(5)
    assert [kept.values("a", g).tolist() for g in range(5)] == [[5], [3, 4, 1], [], [9], []]
    assert kept.totals("a") == [5, 8, 0, 9, 0]
    assert [s["mean"] for s in kept.summaries("a", (50,))] == [5, 8 / 3, None, 9, None]
    assert kept.values("b", 1).tolist() == []


def test_curves_are_cut_to_one_length():
    n, v = np.arange(1, 9) * 1000, np.arange(1, 9) * 10
    (words, distinct), reason = matched(n, v, 5000, 8765)
    assert (words.tolist(), distinct.tolist(), reason) == (
        [1000, 2000, 3000, 4000, 5000],
        [10, 20, 30, 40, 50],
        None,
    )
    (words, _), reason = matched(n[:3], v[:3], 5000, 3210)
    assert not len(words) and "3,210 words" in reason


# ---------------------------------------------------------------- through the binary


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("stats")
    with open(path / "a.jsonl", "w") as file:
        for index, name in enumerate(NAMES[:60]):
            vector = [index % 3, 1, index % 5]
            record = {"text": topics[name], "model": f"m{index % 3}", "embedding": vector}
            file.write(json.dumps(record) + "\n")
    odd = [
        "",
        "。",
        "日本語のテキスト。もう一つ。",
        "😀😀 😀",
        "مرحبا بالعالم هذا نص",
        "\u202eabc",
        "x",
    ]
    lines = [json.dumps({"text": text, "model": f"g{i}"}) for i, text in enumerate(odd)]
    (path / "odd.jsonl").write_text("\n".join(lines) + "\n")
    (path / "empty.jsonl").write_text("")
    return path


def without_origin(report):
    return {name: value for name, value in report.items() if name != "made_by"}


def test_inputs_are_groups_and_cores_change_nothing(folder):
    inputs = ("a.jsonl", "odd.jsonl", "empty.jsonl")
    reports = [synth(*inputs, "--jobs", jobs, "--tests", "all", cwd=folder) for jobs in (1, 2)]
    assert without_origin(reports[0]) == without_origin(reports[1])
    first, odd, empty = reports[0]["groups"]
    assert [g["name"] for g in (first, odd, empty)] == list(inputs)
    texts = [topics[name] for name in NAMES[:60]]
    assert first["lengths"]["characters"]["total"] == sum(map(len, texts))
    assert first["lengths"]["words"]["total"] == sum(len(reference.words(text)) for text in texts)
    assert 0 < first["heaps"]["beta"] < 1
    assert first["vocabulary"]["ttr"] == first["ngrams"]["1"]["distinct_share"]
    assert odd["documents"] == 7 and odd["heaps"]["reason"]
    assert empty["documents"] == 0
    for part in ("heaps", "vocabulary", "compression", "lexical_diversity", "openings"):
        assert empty[part]["reason"], part
    assert reports[0]["tests"]["words"]["left_out"] == ["empty.jsonl"]


def test_groups_by_a_field(folder):
    arguments = ("--by", "model", "--vector-field", "embedding", "--tokenizer", "builtin")
    report = synth("a.jsonl", *arguments, "--plot", "p.svg", "--report", "r.json", cwd=folder)
    assert [g["name"] for g in report["groups"]] == ["m0", "m1", "m2"]
    assert {g["documents"] for g in report["groups"]} == {20}
    assert len(report["tests"]["mtld"]["pairs"]) == 3
    for group in report["groups"]:
        assert group["semantic_diversity"]["value"] > 0
        assert group["tokens"]["total"] == group["lengths"]["tokens"]["total"]
    assert [row["group"] for row in report["over_represented_tokens"]] == ["m0", "m1", "m2"]
    assert json.loads((folder / "r.json").read_text())["groups"] == report["groups"]
    assert (
        b"Heaps" not in (folder / "p.svg").read_bytes()[:100] and (folder / "p.svg").stat().st_size
    )


def test_records_in_any_order_of_groups_give_the_same_groups(folder, tmp_path):
    lines = (folder / "a.jsonl").read_text().splitlines()
    parted = sorted(lines, key=lambda line: json.loads(line)["model"])
    (tmp_path / "b.jsonl").write_text("\n".join(parted))
    found = [synth(path, "--by", "model") for path in (folder / "a.jsonl", tmp_path / "b.jsonl")]
    assert found[0]["groups"] == found[1]["groups"]


def test_each_odd_text_alone(folder):
    report = synth("odd.jsonl", "--by", "model", "--tests", "all", cwd=folder)
    assert [g["documents"] for g in report["groups"]] == [1] * 7
    assert report["tests"]["words"]["reason"] and report["groups"][0]["heaps"]["beta"] is None
    assert report["groups"][2]["lengths"]["characters"]["total"] == 14


def test_words_of_scripts_with_marks(tmp_path):
    """One each of Hindi, French in NFD, Turkish, Hebrew and Arabic with vowel signs; 中文 are two."""
    text = "नमस्ते e\u0301cole İstanbul שָׁלוֹם مَرْحَبًا don't 3.14 中文"
    (tmp_path / "marks.jsonl").write_text(2 * (json.dumps({"text": text}) + "\n"))
    group = synth("marks.jsonl", cwd=tmp_path)["groups"][0]
    assert group["lengths"]["words"]["total"] == group["vocabulary"]["words"] == 18
    assert group["vocabulary"]["types"] == 9
    assert group["openings"]["openings"] == [["नमस्ते e\u0301cole i\u0307stanbul שָׁלוֹם", 1.0]]
    group = synth("marks.jsonl", "--measures", "lengths", cwd=tmp_path)["groups"][0]
    assert group["lengths"]["words"]["total"] == 18


@pytest.mark.parametrize(
    "options, words",
    [
        (["--measures", "lengths,wit"], "use lengths, vocabulary"),
        (["--measures", "tokens"], "--tokenizer"),
        (["--measures", "semantic"], "--vector-field"),
        (["--tests", "mtld", "--measures", "lengths"], "needs the measure vocabulary"),
        (["--tests", "wit"], "use words"),
        (["--vector-field", "a", "--vector-model", "b"], "give one"),
        (["--plot", "a.gif"], ".png or .svg"),
        (["--sample", "0"], "sample"),
        (["--match-words", "3000"], "from 4,000"),
        (["--match-words", "4500"], "thousands"),
        (["--tests", "all,words"], "--tests all does not go with others"),
    ],
)
def test_wrong_usage(options, words, folder):
    message = synth("a.jsonl", *options, cwd=folder, code=2)
    assert words in message and len(message.splitlines()) == 1


@pytest.mark.parametrize("vector", ["[1, NaN, 2]", "[]", '"x"', "[1, 2]", "null"])
def test_bad_vectors_are_one_line(vector, tmp_path):
    path = tmp_path / "v.jsonl"
    path.write_text(f'{{"text": "a", "v": [1, 2, 3]}}\n{{"text": "b", "v": {vector}}}\n')
    message = synth(path, "--vector-field", "v", code=1)
    assert f"{path}:2: " in message and len(message.splitlines()) == 1


def test_words_are_matched(folder):
    inputs = ("a.jsonl", "odd.jsonl", "--measures", "vocabulary,heaps,ngrams", "--tests", "none")
    whole, cut = (synth(*inputs, *more, cwd=folder) for more in ([], ["--match-words", "min"]))
    words = whole["groups"][0]["vocabulary"]["words"]
    assert whole["matched_words"] is None and cut["matched_words"] == words // 1000 * 1000
    full, first = (report["groups"][0] for report in (whole, cut))
    last = first["heaps"]["curve"]["words"][-1]
    assert first["vocabulary"]["taken"] == first["ngrams"]["taken"] == last == cut["matched_words"]
    assert first["vocabulary"]["ttr"] == first["vocabulary"]["types"] / last
    assert first["ngrams"]["1"]["distinct"] == first["vocabulary"]["types"]
    assert full["heaps"]["curve"]["distinct"][-1] == first["heaps"]["curve"]["distinct"][-1]
    few = cut["groups"][1]
    assert few["heaps"]["beta"] is None and "fewer than" in few["heaps"]["reason"]
    assert few["vocabulary"]["ttr"] is None and "fewer than" in few["vocabulary"]["reason"]


def test_many_groups_have_a_short_report(monkeypatch, tmp_path, capfd):
    path = tmp_path / "many.jsonl"
    records = (
        {"text": f"This is text number {i % 7}. And a second sentence.", "by": i}
        for i in range(250)
    )
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    arguments = ["stats", str(path), "--by", "by", "--tests", "words", "--tokenizer", "builtin"]
    monkeypatch.setattr(group_statistics, "MOST_IN_FULL", 249)
    build()([*arguments, "--plot", str(tmp_path / "many.png")], standalone_mode=False)
    report = json.loads(capfd.readouterr().out)
    assert len(report["groups"]) == 250 and not report["in_full"]
    group = report["groups"][249]
    assert group["lengths"]["words"]["percentiles"] == {"50": 9.0} and group["documents"] == 1
    assert group["openings"]["openings"] is None and group["heaps"]["reason"]
    assert report["over_represented_tokens"] is None
    assert len(report["tests"]["words"]["left_out"]) == 250
    assert len(stats_report.lines(report)) < 60
    monkeypatch.setattr(group_statistics, "MOST_GROUPS", 249)
    with pytest.raises(SynthError, match="more than 249 groups; name a field .* --by"):
        build()(arguments, standalone_mode=False)


SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text('a"\n,] é', max_size=9)
VALUE = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


ONE = r'(?:[-+.\deE]+|null|true|false|"(?:[^"\\\n]|\\.)*")'
LISTS = re.compile(rf"\[\n\s+({ONE}(?:,\n\s+{ONE})*)\n\s*\]")


def finite(value):
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def on_one_line(match):
    line = "[" + re.sub(r"\n\s+", " ", match[1]) + "]"
    return match[0] if '"' in line and len(line) > 100 else line


@settings(max_examples=100)
@given(st.dictionaries(st.text(max_size=3), VALUE, max_size=4))
def test_a_report_is_json_with_its_short_lists_on_one_line(report):
    whole = json.dumps(finite(report), indent=2, ensure_ascii=False)
    assert document.to_json(report) == LISTS.sub(on_one_line, whole) + "\n"


def test_a_long_list_of_words_stands_on_many_lines():
    words = ["w" * 30] * 4
    whole = json.dumps({"a": {"b": words, "c": list(range(99))}}, indent=2)
    found = document.to_json({"a": {"b": words, "c": list(range(99))}})
    assert found == LISTS.sub(on_one_line, whole) + "\n" and found.count("\n") == 11
