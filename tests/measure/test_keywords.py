"""Keywords: against a slow obvious version, by hand, and under random labels."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import kernel_reference as reference
import running
from synthtools import reports
from synthtools.measure import phrase_counts
from synthtools.measure.keywords import KeywordCounts, log_odds, snippets, tail
from synthtools.records.text_buffer import TextBuffer
from synthtools.text import phrases
from synthtools.text.phrases import KINDS, sentences_of, tabulate_phrases

_ENDS = re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？\n]")


def plain(texts):
    """Kind → phrase → (tokens, documents), by sentences that are cut apart."""
    found = {kind: defaultdict(lambda: [0, 0]) for kind in KINDS}
    for text in texts:
        own = {kind: Counter() for kind in KINDS}
        for sentence in _ENDS.split(text):
            words = reference.words(sentence)
            for kind, n in KINDS.items():
                grams = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
                own[kind].update(grams[:1] if kind == "opening" else grams)
        for kind, counts in own.items():
            for gram, count in counts.items():
                found[kind][gram][0] += count
                found[kind][gram][1] += 1
    return found


def counted(*batches):
    counts = KeywordCounts()
    for texts in batches:
        counts.add(texts)
    return counts


def held(counts, kind):
    hashes, words = counts.kinds[kind].held()
    numbers = counts.kinds[kind].of(hashes)
    rows = zip(words.tolist(), numbers.tolist(), strict=True)
    return {counts.text(words): (tokens, documents) for words, (tokens, documents, _) in rows}


TEXT = st.lists(
    st.sampled_from(
        ["the", "Cat", "don't", "ΟΔΟΣ", "3.14", "日本", ". ", "! ", ' "', '." ', "\n", "… ", "。", ", ",
         " ", " ", "e.g.", "?) ", ".-"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@settings(max_examples=100)
@given(st.lists(TEXT, max_size=5), st.lists(TEXT, max_size=3))
def test_counts_are_those_of_sentences_cut_apart(first, second):
    found = counted(first, second)
    for kind, expected in plain([*first, *second]).items():
        expected = {gram: tuple(numbers) for gram, numbers in expected.items()}
        assert held(found, kind) == expected
        assert found.kinds[kind].total == sum(tokens for tokens, _ in expected.values())
    assert found.documents == len(first) + len(second)


def slow(left, right):
    """Monroe, Colaresi and Quinn's equations in plain floats, and Fisher's test of scipy."""
    sizes, rows = (len(left), len(right)), []
    sides = plain(left), plain(right)
    lengths = [sum(n for n, _ in side["word"].values()) for side in sides]
    for kind in KINDS:
        totals = [sum(n for n, _ in side[kind].values()) for side in sides]
        for gram in {*sides[0][kind], *sides[1][kind]}:
            (y, d), (v, e) = (side[kind].get(gram, (0, 0)) for side in sides)
            prior, all_prior = 0.1 * (y + v), 0.1 * sum(totals)
            own, other = y + prior, v + prior
            odds = math.log(other / (totals[1] + all_prior - other)) - math.log(
                own / (totals[0] + all_prior - own)
            )
            z = odds / math.sqrt(1 / own + 1 / other)
            own, other = (n + 0.1 * (d + e) + 0.5 for n in (d, e))
            rest = [n + 0.1 * sum(sizes) + 1 - m for n, m in zip(sizes, (own, other))]
            z_documents = (math.log(other / rest[1]) - math.log(own / rest[0])) / math.sqrt(
                1 / own + 1 / other + 1 / rest[0] + 1 / rest[1]
            )
            p = 1.0
            if z * z_documents > 0 and abs(z) >= 1.96:
                side, among = (1, e) if z > 0 else (0, d)
                as_words = round(sum(sizes) * lengths[side] / sum(lengths))
                ps = [
                    stats.hypergeom.sf(among - 1, sum(sizes), d + e, n)
                    for n in (sizes[side], as_words)
                ]
                p = 2 * max(ps)
            rows.append((kind, gram, z, z_documents, p, (y, v), (d, e)))
    return rows


def test_log_odds_are_those_of_the_slow_version(paragraphs):
    left, right = paragraphs[:120], [p for p in paragraphs[200:350] if "class" not in p]
    expected = {row[:2]: row[2:] for row in slow(left, right)}
    found = log_odds(counted(left), counted(right), top=10_000)
    assert len(found) > 1000
    tests = {
        round(one["p"] / expected[one["kind"], one["text"]][2], 6) for one in found if one["p"] < 1
    }
    assert len(tests) == 1 and tests.pop() >= 1
    for one in found:
        z, z_documents, _, tokens, documents = expected[one["kind"], one["text"]]
        assert (one["z"], one["z_documents"]) == pytest.approx((z, z_documents), rel=1e-9)
        assert (tuple(one["tokens"]), tuple(one["documents"])) == (tokens, documents)
    listed = {(one["kind"], one["text"]) for one in found}
    rest = [row for key, row in expected.items() if key not in listed]
    assert not any(z * z_documents > 0 for z, z_documents, *_ in rest)


def test_a_case_by_hand():
    # Words: 1 and 3 of "a" among 4 and 4. Prior 0.1 · 4 = 0.4 for each word, 0.8 for both.
    # log(3.4/1.4) − log(1.4/3.4) = 1.77461; variance 1/3.4 + 1/1.4 = 1.00840; z = 1.76720.
    found = log_odds(counted(["a b b b"]), counted(["a a", "a b"]))
    one = next(one for one in found if one["kind"] == "word" and one["text"] == "a")
    assert one["log_odds"] == pytest.approx(1.77461, abs=5e-6)
    assert one["z"] == pytest.approx(1.76720, abs=5e-6)
    assert one["per_million"] == [250_000, 750_000] and one["documents"] == [1, 2]
    assert log_odds(counted([]), counted(["a"])) == []


def test_a_tail_is_that_of_scipy():
    draw = np.random.default_rng(0)
    everything = 500
    marked, drawn = draw.integers(1, 499, (2, 400))
    among = np.minimum(
        np.minimum(marked, drawn) + 1, drawn * marked // everything + draw.integers(1, 60, 400)
    )
    expected = stats.hypergeom.sf(among - 1, everything, marked, drawn)
    assert tail(among, drawn, marked, everything) == pytest.approx(expected, rel=1e-9, abs=1e-300)


WORDS = [f"w{i}" for i in range(400)]


def texts_of(draw, count, length=60):
    weights = 1 / np.arange(1, 401)
    return [
        " ".join(draw.choice(WORDS, length, p=weights / weights.sum())) + "." for _ in range(count)
    ]


def test_what_is_planted_is_found_and_one_document_is_no_finding():
    draw = np.random.default_rng(1)
    left, right = texts_of(draw, 1000), texts_of(draw, 1000)
    left[0] += " zebra" * 400
    for i in draw.choice(1000, 25, replace=False):
        right[i] += " In rich tapestry we trust."
    found = log_odds(counted(left), counted(right), top=10_000)
    claimed = {one["text"] for one in found if one["p"] <= 0.05}
    assert {"tapestry", "rich tapestry", "in rich tapestry", "in rich"} <= claimed
    assert all(
        "tapestry" in text or set(text.split()) & {"in", "rich", "we", "trust"} for text in claimed
    )
    zebra = next(one for one in found if one["text"] == "zebra")
    assert zebra["z"] < -10 and abs(zebra["z_documents"]) < 2 and zebra["p"] > 0.05


def test_longer_documents_are_no_finding():
    draw = np.random.default_rng(2)
    found = log_odds(counted(texts_of(draw, 300)), counted(texts_of(draw, 300, 240)))
    assert not [one for one in found if one["p"] <= 0.05]


def test_random_labels_claim_nothing(paragraphs):
    """Documents of several topics, which repeat their own words, split 100 times at random."""
    draw = np.random.default_rng(3)
    texts = np.array(
        [" ".join([p, p, q]) for p, q in zip(paragraphs[:500], paragraphs[1:501])], object
    )
    claims = 0
    for _ in range(100):
        order = draw.permutation(500)
        sides = counted(texts[order[:250]].tolist()), counted(texts[order[250:]].tolist())
        claims += any(one["p"] <= 0.05 for one in log_odds(*sides))
    assert claims <= 5


def test_bounded_memory_states_its_error(monkeypatch):
    draw = np.random.default_rng(4)
    batches = [texts_of(draw, 60, 100) for _ in range(12)]
    exact = plain([text for batch in batches for text in batch])
    monkeypatch.setattr(phrase_counts, "_HELD", 300)
    monkeypatch.setattr(phrases, "_RARE_BITS", 12)  # each batch leaves out what comes once
    counts = counted(*batches)
    for kind, n in KINDS.items():
        hashes, words = counts.kinds[kind].held()
        assert len(hashes) <= 300 and counts.kinds[kind].missed > 0
        numbers = {
            counts.text(w): row
            for w, row in zip(words.tolist(), counts.kinds[kind].of(hashes).tolist())
        }
        for gram, (tokens, documents) in exact[kind].items():
            low = numbers.get(gram, (0, 0, counts.kinds[kind].missed))
            assert low[0] <= tokens <= low[0] + low[2] and low[1] <= documents <= low[1] + low[2]
        assert n > 1 or sum(row[2] == 0 for row in numbers.values()) < len(numbers)


def test_the_texts_of_words_that_are_gone_are_forgotten(monkeypatch):
    monkeypatch.setattr(phrase_counts, "_HELD", 50)
    counts = KeywordCounts()
    for start in range(0, 4000, 100):
        counts.add(
            [" ".join(f"u{i}" for i in range(start, start + 100))] + ["the same words here"] * 3
        )
        assert len(counts._texts) <= 500
    assert held(counts, "three_words")["the same words"] == (120, 120)


def test_tables_are_those_of_any_batch_in_threads(paragraphs):
    tables = tabulate_phrases(TextBuffer.of(paragraphs[:50]))
    assert tables.words == len(sentences_of(TextBuffer.of(paragraphs[:50])).hashes)
    counts = KeywordCounts()
    counts.add(tables)
    assert held(counts, "word") == held(counted(paragraphs[:50]), "word")


def test_what_is_dropped_on_the_way_would_not_be_listed(paragraphs, monkeypatch):
    sides = (
        counted(paragraphs[:200]),
        counted([f"{one} Overall so." for one in paragraphs[200:400]]),
    )
    found = [log_odds(*sides, top=top) for top in (2, 30)]
    monkeypatch.setattr("synthtools.measure.keywords._Kind.keep", lambda *_: None)
    assert [log_odds(*sides, top=top) for top in (2, 30)] == found
    assert any(row["p"] <= 0.05 for row in found[0]) and any(row["p"] > 0.05 for row in found[1])


@pytest.mark.parametrize("at_once", [1, 2, 200])
def test_snippets_stand_in_their_texts(at_once, monkeypatch):
    monkeypatch.setattr("synthtools.measure.keywords._AT_ONCE", at_once)
    texts = [
        "One. In short, it ends.\n\nNot in short words. " + "Long tail follows. " * 20,
        "x" * 200 + " said that in  short\nhe knew. " + "y" * 200,
        "In short it is.",
    ]
    asked = [("two_words", "in short"), ("opening", "in short"), ("word", "z")]
    two, opening, none = snippets(texts, asked)
    assert [one[1] for one in two] == ["In short", "in short"] and none == []
    assert two[0][0] == "One. " and two[0][2].startswith(", it ends. Not in short words. Long")
    assert two[0][2].endswith("…") and len(two[0][2]) <= 61
    assert (two[1][0], two[1][2]) == ("…said that ", " he knew…")
    assert opening == [two[0], ["", "In short", " it is."]]


# ---------------------------------------------------------------- through the binary


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("keywords")
    draw = np.random.default_rng(5)
    sides = {"human": texts_of(draw, 150), "model": texts_of(draw, 150)}
    for i in range(0, 150, 4):
        sides["model"][i] += " It delves. Overall w1 w2."
        sides["human"][i] += " Anyway <b>ok</b>."
    for name, texts in sides.items():
        lines = (json.dumps({"text": text, "by": name}) + "\n" for text in texts)
        (path / f"{name}.jsonl").write_text("".join(lines))
    lines = [json.dumps({"text": "a b", "by": i}) + "\n" for i in range(21)]
    (path / "many.jsonl").write_text("".join(lines))
    return path


def test_stats_tells_inputs_and_groups_apart(folder):
    two = ("stats", "human.jsonl", "model.jsonl")
    found, also = (
        json.loads(running.synth(*two, "--keywords", "--jobs", jobs, cwd=folder)) for jobs in (1, 2)
    )
    assert found["keywords"] == also["keywords"] and found["measures"] == ["keywords", "lengths"]
    (comparison,) = found["keywords"]
    assert (comparison["reference"], comparison["other"]) == ("human.jsonl", "model.jsonl")
    claimed = {(k["kind"], k["text"]): k for k in comparison["keywords"] if k["p"] <= 0.05}
    assert claimed["opening", "it delves"]["documents"] == [0, 38]
    assert claimed["word", "anyway"]["z"] < 0 < claimed["word", "delves"]["z"]
    assert claimed["word", "delves"]["examples"][0][1:] == ["delves", ". Overall w1 w2."]
    (folder / "all.jsonl").write_text(
        "".join((folder / f"{name}.jsonl").read_text() for name in ("human", "model"))
    )
    grouped = json.loads(
        running.synth("stats", "all.jsonl", "--by", "by", "--measures", "keywords", cwd=folder)
    )
    rows = grouped["keywords"][0]
    assert (rows["reference"], rows["other"]) == ("human", "model")
    assert [{**k, "examples": 0} for k in rows["keywords"]] == [
        {**k, "examples": 0} for k in comparison["keywords"]
    ]


def test_keywords_as_a_person_sees_them(folder):
    running.synth(
        *("stats", "human.jsonl", "model.jsonl", "--keywords", "--report", "k.json"),
        *("--plot", "k.svg"),
        cwd=folder,
    )
    report = json.loads((folder / "k.json").read_text())
    lines = reports.lines(report)
    assert any(line.startswith("It delves …") and " 38 " in line for line in lines)
    assert any(line == "model.jsonl more than human.jsonl" for line in lines)
    running.synth("plot", "k.json", "--data", "k.csv", "-o", "k.html", cwd=folder)
    assert "model.jsonl,delves," in (folder / "k.csv").read_text()
    page = (folder / "k.html").read_text()
    assert "Anyway" in page and "<b>ok</b>" not in page and "&lt;b&gt;ok" in page
    drawn = (folder / "k.svg").read_text()
    assert drawn.startswith("<?xml")


def test_what_keywords_cannot_do(folder):
    error = running.synth("stats", "human.jsonl", "--keywords", code=2, cwd=folder)
    assert "name two inputs, or a field with --by" in error
    error = running.synth("stats", "many.jsonl", "--keywords", "--by", "by", code=1, cwd=folder)
    assert "more than 20 groups" in error
    (folder / "empty.jsonl").write_text("")
    found = json.loads(
        running.synth("stats", "human.jsonl", "empty.jsonl", "--keywords", cwd=folder)
    )
    assert found["keywords"][0]["keywords"] == []
    assert any("no word or phrase" in line for line in reports.lines(found))
