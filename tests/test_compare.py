"""``synth compare``: planted differences are found and named, the gate, the page."""

import json
import shutil
import signal
import subprocess
import time
from html.parser import HTMLParser
from importlib.util import find_spec
from pydoc_data.topics import topics
from typing import ClassVar
from unittest import mock

import numpy as np
import pytest

import running
import synthtools
from synthtools import reports
from synthtools.cli.parameters import parameters
from synthtools.errors import PartialReportError, UsageError
from synthtools.lm.scorer import NO_PROMPT, Tokenised
from synthtools.lm.scores import Scores
from synthtools.measure import effects
from synthtools.measure.gate import GateCondition
from synthtools.measure.scored_sample import scored_samples
from synthtools.records.value_journal import ValueJournal
from synthtools.reports.compare import CompareReport, gate_names
from test_plot import check

QUICK = {"sample": 60, "max_tokens": 32}
HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=alert(1)> [x](javascript:y)"
)
TOPICS = {
    "plain": [f"w{n}" for n in range(400)],
    "beer": [
        "hops",
        "malt",
        "yeast",
        "barrel",
        "brewing",
        "lager",
        "stout",
        "foam",
        "bitter",
        "keg",
    ],
}


def document(draw, topic, sentence):
    """Sentences of words by Zipf's law, a third of them of the topic."""
    count = int(draw.integers(40, 80))
    plain = [TOPICS["plain"][n] for n in np.minimum(draw.zipf(1.4, count), 399)]
    special = draw.choice(TOPICS[topic], count)
    mixed = np.where(draw.random(count) < 0.35, special, plain)
    parts = [mixed[at : at + sentence] for at in range(0, count, sentence)]
    return " ".join(f"{' '.join(part).capitalize()}." for part in parts)


@pytest.fixture(scope="module")
def planted():
    """A corpus, and one with a phrase in 2 % of the documents, 5 % near-duplicates of the first, without a
    topic, its sentences half as long."""
    draw = np.random.default_rng(5)
    human = [document(draw, ("plain", "beer")[i % 5 == 0], 14) for i in range(1500)]
    other = [document(draw, "plain", 7) for i in range(1500)]
    for i in range(0, 1500, 50):
        other[i] = f"As a language model I cannot say. {other[i]}"
    for i in range(1, 1500, 20):
        other[i] = human[i] + " And so on."
    return [{"text": text} for text in human], [{"text": text} for text in other]


@pytest.fixture(scope="module")
def report(planted):
    return synthtools.compare(*planted, **QUICK)


def answer(report, question):
    return next(one for one in report["pairs"][0]["answers"] if one["question"] == question)


def test_the_report_is_of_its_type(report):
    check(json.loads(json.dumps(report)), CompareReport, "compare")
    assert report["made_by"]["counts"]["read"] == 3000


def test_a_planted_phrase_is_named(report):
    found = answer(report, "keywords")
    (row,) = [r for r in found["further"]["keywords"] if r["text"] == "as a language"]
    assert row["differs"] and row["documents"] == [0, 30] and "language model" in found["sentence"]
    assert row["examples"][0][1].lower() == "as a language"


def test_planted_near_duplicates_are_counted(report):
    numbers = report["pairs"][0]["numbers"]["near_duplicates"]
    assert 0.04 < numbers["between"] <= 0.05  # a few end below the threshold
    assert f"{100 * numbers['between']:.3g} %" in answer(report, "duplicates")["sentence"]
    commands = [one["command"] for one in report["pairs"][0]["remedies"]]
    assert any("dedup" in one and "--against" in one for one in commands)


def test_remedies_are_commands_of_this_version(report):
    import importlib
    import shlex

    for one in report["pairs"][0]["remedies"]:
        synth, tool, *words = shlex.split(one["command"])
        options = importlib.import_module(f"synthtools.tools.{tool}").Options
        flags = {flag for known in parameters(options) for flag in known.option.flags}
        assert synth == "synth" and {w for w in words if w.startswith("-")} <= flags


def test_a_missing_topic_is_named():
    draw = np.random.default_rng(5)
    human = [{"text": document(draw, ("plain", "beer")[i % 5 == 0], 14)} for i in range(400)]
    other = [{"text": document(draw, "plain", 14)} for _ in range(400)]
    found = synthtools.compare(human, other, sample=400, max_tokens=64)
    sentence = answer(found, "coverage")["sentence"]
    assert "hardly enters" in sentence and set(TOPICS["beer"]) & set(
        sentence.replace(",", "").split()
    )


def test_halved_sentences_are_named(report):
    numbers = report["pairs"][0]["numbers"]["form"]
    assert numbers["words_per_sentence"] < -1
    assert "fewer words per sentence" in answer(report, "form")["sentence"]


def test_text_at_another_temperature_is_named():
    prompts = [{"id": i, "text": topics[name][:60]} for i, name in enumerate(sorted(topics)[:60])]
    hot, cool = (
        [
            {"text": record["response"]}
            for record in synthtools.generate(
                prompts, continue_=8, max_new_tokens=40, temperature=temperature
            )
        ]
        for temperature in (1.2, 0.7)
    )
    found = synthtools.compare(hot, cool, sample=60, max_tokens=40)
    assert "<records 2> is easier to predict" in answer(found, "perplexity")["sentence"]
    assert found["pairs"][0]["numbers"]["perplexity"]["ratio"] < 0.5


def test_several_corpora_are_a_series(planted):
    human, other = planted
    found = synthtools.compare(human[:300], other[:300], human[300:600], **QUICK)
    assert [pair["other"] for pair in found["pairs"]] == ["<records 2>", "<records 3>"]
    assert len(reports.lines(found)) <= 40
    assert found["level"] == pytest.approx(1 - 0.05 / 7 / 2)


def test_lines_fit_a_terminal(report):
    lines = reports.lines(report)
    assert len(lines) <= 40 and max(map(len, lines)) <= 100
    assert reports.figure(report).panels and reports.story(report).lines


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("near_duplicates.betwen > 0.02", "near it: near_duplicates.between"),
        ("near_duplicates.between", "NAME > NUMBER"),
        ("perplexity.ratio < much", "much is not a number"),
    ],
)
def test_a_wrong_condition_is_wrong_usage(condition, words):
    with pytest.raises(UsageError, match=words):
        synthtools.compare("a.jsonl", "b.jsonl", fail_if=[condition])


def test_a_gate_fails_with_its_reason_and_keeps_the_report(planted, tmp_path):
    kept = tmp_path / "r.json"
    conditions = ["near_duplicates.between > 0.02", "near_duplicates.between > 0.5"]
    with pytest.raises(
        PartialReportError, match=r"between is 0.0\d+ \(near_dup.* 0.02\)$"
    ) as error:
        synthtools.compare(*planted, **QUICK, fail_if=conditions, report=kept)
    assert error.value.report["kind"] == json.loads(kept.read_text())["kind"] == "compare"


def test_names_of_a_gate_are_those_of_the_report(report):
    numbers = report["pairs"][0]["numbers"]
    assert set(gate_names()) == {f"{g}.{n}" for g, found in numbers.items() for n in found}
    for name in gate_names():
        GateCondition.of(f"{name} > 1e9", gate_names()).failure(numbers)


def test_jobs_change_no_byte(tmp_path):
    lines = [{"id": i, "text": f"word{i % 7} and another {i} of them."} for i in range(60)]
    for name, some in (("a", lines[:30]), ("b", lines[30:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in some))
    found = []
    for jobs in (1, 2):
        words = (
            "compare",
            tmp_path / "a.jsonl",
            tmp_path / "b.jsonl",
            "--sample",
            "20",
            "--jobs",
            jobs,
        )
        result = running.run(*map(str, words))
        assert result.returncode == 0, result.stderr
        made = json.loads(result.stdout)
        del made["made_by"]
        found.append(made)
    assert found[0] == found[1]
    assert any("30 documents" in one for one in found[0]["warnings"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a.jsonl"], "two corpora"),
        (["a.jsonl", "b.jsonl", "--reference", "c.jsonl"], "none of the inputs"),
        (["a.jsonl", "b.jsonl", "-o", "page.pdf"], "name a .html file"),
    ],
)
def test_wrong_usage(words, told, tmp_path):
    result = running.run("compare", *words, cwd=tmp_path)
    assert told in running.one_line(result, 2)


class Elements(HTMLParser):
    """The page's elements, and what would be loaded."""

    def __init__(self, page):
        super().__init__()
        self.names, self.loaded = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.loaded += [
            v for k, v in attrs if k in ("src", "srcset", "action") or (k == "href" and v[0] != "#")
        ]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A page about records full of markup."""
    path = tmp_path_factory.mktemp("page")
    draw = np.random.default_rng(2)
    for name in ("a", "b<i>"):
        texts = [f"{HOSTILE} {document(draw, 'plain', 9)}" for _ in range(120)]
        (path / f"{name}.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    page = path / "page.html"
    synthtools.compare(path / "a.jsonl", path / "b<i>.jsonl", sample=40, max_tokens=64, output=page)
    return page


@pytest.mark.skipif(not find_spec("matplotlib"), reason="needs matplotlib")
def test_text_of_records_stays_text(hostile):
    page = hostile.read_text()
    found = Elements(page)
    assert found.names.count("script") == 1 and "img" not in found.names and "i" not in found.names
    assert all(one.startswith("data:text/csv;base64,") for one in found.loaded)
    assert len(page) < 1_500_000


@pytest.mark.skipif(not find_spec("playwright"), reason="needs playwright")
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_the_page_in_a_browser(hostile):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 400, "height": 800})
        told, asked = [], []
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(hostile.as_uri())
        assert page.title() == "b<i> compared with a" and told == [] and len(asked) == 1
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        page.fill("#words", "onerror")
        shown = page.locator("article:visible").count()
        assert page.inner_text("#shown") == f"{shown} documents shown"
        page.fill("#words", "no such word in any of them")
        assert page.locator("article:visible").count() == 0
        table = page.locator("table.sorts").first
        before = table.locator("tbody tr td:nth-child(2)").all_inner_texts()
        for mark in ("ascending", "descending"):
            table.locator("th button").nth(1).click()
            assert table.locator("th").nth(1).get_attribute("aria-sort") == mark
        after = table.locator("tbody tr td:nth-child(2)").all_inner_texts()
        assert sorted(before) == sorted(after)
        assert [float(v) for v in after] == sorted(map(float, after), reverse=True)
        browser.close()


def test_a_notebook_shows_the_page(report):
    shown = report._repr_html_()
    assert shown.startswith("<iframe") and "&lt;!DOCTYPE html&gt;" in shown


def test_effects_are_those_of_the_formulas():
    from scipy import stats

    draw = np.random.default_rng(0)
    one, other = draw.normal(0, 1, 50), draw.normal(0.5, 2, 70)
    found = effects.of_means("m", one, other, 0.05, ratio=False)
    interval = stats.ttest_ind(other, one, equal_var=False).confidence_interval(0.95)
    assert found["interval"] == pytest.approx([interval.low, interval.high])
    # Newcombe 1998, table II, example (a), method 10: 56/70 against 48/80
    shares = effects.of_shares("s", 48, 80, 56, 70, 0.05)
    assert shares["interval"] == pytest.approx([0.0524, 0.3339], abs=5e-5) and shares["differs"]
    assert not effects.of_shares("s", 10, 100, 10, 100, 0.05)["differs"]
    auc = effects.of_auc("a", [(np.arange(10.0), np.arange(5.0, 15.0))], 0.05)
    u = stats.mannwhitneyu(np.arange(5.0, 15.0), np.arange(10.0)).statistic
    assert auc["value"] == pytest.approx(u / 100)


def test_medians_of_a_corpus_with_two_peaks_differ_by_chance_alone_as_often_as_said():
    """At a level of 1 % 9 of 400 or more would with a probability of 2 %; by the bootstrap 23 did."""
    draw = np.random.default_rng(3)
    claims = 0
    for _ in range(400):
        one, other = draw.choice([3.5, 5.0], (2, 100)) + draw.normal(0, 0.3, (2, 100))
        claims += effects.of_medians("m", one, other, 0.01)["differs"]
    assert claims <= 8


def test_medians_and_spreads_are_those_of_the_formulas():
    from scipy import stats

    draw = np.random.default_rng(1)
    one, other = draw.normal(4, 0.5, 100), draw.normal(3.6, 0.8, 90)
    found = effects.of_medians("m", one, other, 0.05)
    ends = []
    for side in (one, other):
        # Between the k-th value and the next one the sign test does not reject.
        kept = [k for k in range(len(side) + 1) if stats.binomtest(k, len(side)).pvalue > 0.05]
        ends.append((np.median(side), np.sort(side)[min(kept) - 1], np.sort(side)[max(kept)]))
    (p, low, high), (q, first, last) = ends
    interval = [q - p - np.hypot(q - first, high - p), q - p + np.hypot(last - q, p - low)]
    assert found["interval"] == pytest.approx(np.exp(interval)) and found["differs"]
    assert found["value"] == pytest.approx(np.exp(q - p))
    spread = effects.of_spreads("s", one, other, 0.05)
    far = [np.abs(side - np.median(side)) for side in (one, other)]
    assert spread["value"] == pytest.approx(far[1].mean() / far[0].mean()) and spread["differs"]
    drawn = [np.log([draw.choice(side, len(side)).mean() for _ in range(2000)]) for side in far]
    error = np.hypot(*(side.std() for side in drawn))
    reach = np.log(spread["interval"][1] / spread["value"])
    assert reach == pytest.approx(stats.t.ppf(0.975, 89) * error, rel=0.05)
    for few in (effects.of_medians, effects.of_spreads):
        assert few("x", one[:9], other, 0.05)["value"] is None


@pytest.fixture
def two_files(tmp_path):
    draw = np.random.default_rng(4)
    for name in "ab":
        texts = [document(draw, "plain", 9) for _ in range(240)]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    return [tmp_path / f"{name}.jsonl" for name in "ab"]


@pytest.mark.skipif(not find_spec("matplotlib"), reason="needs matplotlib")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_is_resumed_with_its_scores(number, two_files, tmp_path):
    page, journal = tmp_path / "page.html", tmp_path / ".page.html.scores.jsonl"
    words = ["compare", *map(str, two_files), "-o", str(page), "--sample", "240", "--json"]
    killed = subprocess.Popen([*running.COLD, *words], stderr=subprocess.PIPE)
    while killed.poll() is None and not (
        journal.exists() and journal.read_bytes().count(b"\n") > 3
    ):
        time.sleep(0.002)
    killed.send_signal(number)
    killed.communicate()
    assert killed.returncode == (130 if number == signal.SIGINT else -number)
    kept = journal.read_bytes()
    assert kept.count(b'"key"') >= 3 and not page.exists()
    assert "--resume continues with them" in running.synth(*words, code=1)
    if number == signal.SIGINT:
        return
    for more in (["--seed", "2"], ["--sample", "239"], ["--dtype", "bfloat16"]):
        told = running.synth(*words, "--resume", *more, code=1)
        assert "run of other arguments or inputs; --force starts over" in told
    read = two_files[1].read_text()
    two_files[1].write_text(read.replace("W1 ", "W3 ", 1))
    assert "arguments or inputs" in running.synth(*words, "--resume", code=1)
    two_files[1].write_text(read)
    assert journal.read_bytes() == kept
    resumed = running.run(*words, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    batches = kept[: kept.rindex(b"\n")].count(b'"key"')
    assert (
        f"{batches} scored batches of the earlier run are there already" in resumed.stderr.decode()
    )
    assert not journal.exists()
    part = page.read_text().partition("<footer>")[0]
    whole = running.synth(*words, "--force")
    assert page.read_text().partition("<footer>")[0] == part and "<svg" in part
    reports = [json.loads(printed) for printed in (resumed.stdout, whole)]
    for one in reports:
        del one["made_by"]
    assert reports[0] == reports[1]


def test_what_a_resumed_run_takes_up_is_not_scored_again(tmp_path):
    """A time budget chooses the sample once; a changed text is scored anew."""
    scored = []

    class Model:
        description: ClassVar = {"name": "m"}

        def tokenise(self, texts):
            return [
                Tokenised(np.frombuffer(t.encode(), np.uint8).astype(np.int32), NO_PROMPT)
                for t in texts
            ]

        def score(self, documents, request):
            scored.extend(documents)
            return [
                Scores(one.ids, np.full(len(one.ids), -np.pi, np.float32), None)
                for one in documents
            ]

    texts = [f"text {i}" for i in range(300)]
    found = []
    for again, budget in ((False, 1e9), (True, 0.0), (True, 0.0)):
        with mock.patch("synthtools.measure.scored_sample._BUDGET", budget):
            journal = ValueJournal(tmp_path / "journal", "job", again)
            scored.clear()
            (sample,) = scored_samples(
                Model(), [texts], None, 6, lambda *_: None, lambda _: None, journal
            )
            journal.close()
        found.append(
            (len(sample), sample.longer, [one.tobytes() for one in sample.logprobs], len(scored))
        )
        texts = [*texts[:-1], "changed"] if again else texts
    assert found[0][:3] == found[1][:3] and found[0][0] == 300 and found[0][1] == 290
    assert [count for *_, count in found] == [300, 9, 9 + 3]


def rubbish(draw):
    """A document that no page is made for."""
    word = "".join(draw.choice(list('<&"é漢'), 3000))
    return [
        " ".join([word] * 30),
        f"{'x' * 100_000} {word}",
        " ".join("".join(draw.choice(list("<&\"'"), 8)) for _ in range(400)),
        f"{'=' * 100_000}",
        "\x00\x1b[31m\u202e" * 300,
    ][int(draw.integers(0, 5))]


@pytest.mark.skipif(not find_spec("matplotlib"), reason="needs matplotlib")
@pytest.mark.parametrize("corpora", [2, 20])
def test_a_page_of_rubbish_stays_small(corpora, tmp_path):
    draw = np.random.default_rng(8)
    field, names = "field" * 800, [f"{name:03d}{'&' * 150}" for name in range(corpora)]
    for name in names:
        lines = "".join(json.dumps({field: rubbish(draw)}) + "\n" for _ in range(30))
        (tmp_path / f"{name}.jsonl").write_text(lines)
    page = tmp_path / "page.html"
    found = synthtools.compare(
        *(tmp_path / f"{name}.jsonl" for name in names), text_field=field, output=page, **QUICK
    )
    assert (
        len(page.read_bytes()) < 1_500_000 and Elements(page.read_text()).names.count("script") == 1
    )
    if corpora == 2:
        assert max(map(len, reports.lines(found))) <= 400


@pytest.mark.skipif(not find_spec("matplotlib"), reason="needs matplotlib")
def test_what_a_page_leaves_out_is_said(report):
    from synthtools.reports.compare_page import page

    whole = page(dict(report))
    assert "Left out" not in whole and len(whole.encode()) < 1_500_000
    pair = report["pairs"][0]
    others = [f"other {n}" for n in range(200)]
    many = {
        **report,
        "corpora": [
            report["corpora"][0],
            *({**report["corpora"][1], "name": one} for one in others),
        ],
        "pairs": [{**pair, "other": one} for one in others],
        "histogram": {**report["histogram"], "shares": report["histogram"]["shares"][:1] * 201},
        "map": {**report["map"], "points": report["map"]["points"][:1] * 201},
        "examples": report["examples"] * 60,
        "made_by": {**report["made_by"], "inputs": [{"name": "n" * 1000}] * 2000},
    }
    shown = page(many)
    assert len(shown.encode()) < 1_500_000 and "other 48" in shown and "other 49" not in shown
    left_out = shown.partition("Left out so that")[2].partition("</p>")[0]
    for what in ("151 corpora", "pictures of other 9,", "some of the documents", "inputs"):
        assert what in left_out
