"""``synth compare``: planted differences are found and named, the gate."""

import json
from pydoc_data.topics import topics

import numpy as np
import pytest

import running
import synthtools
from compared_corpora import QUICK, TOPICS, answer, differing, document
from synthtools import reports
from synthtools.cli.parameters import parameters
from synthtools.errors import PartialReportError, UsageError
from synthtools.reports.compare import CompareReport, GateCondition, gate_names
from test_plot import check


@pytest.fixture(scope="module")
def planted():
    return differing()


@pytest.fixture(scope="module")
def report(planted):
    return synthtools.compare(*planted, **QUICK)


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


def test_the_more_varied_corpus_is_not_called_narrow(planted):
    """The other side of a corpus of few words: no remedy against narrowness is offered."""
    narrow = [{"text": "a b c d e f g h i j. " * 5} for _ in range(60)]
    for pair, word, offered in (
        ((planted[0][:60], narrow), "less diverse", True),
        ((narrow, planted[0][:60]), "more diverse", False),
    ):
        found = synthtools.compare(*pair, sample=10, max_tokens=16)
        assert word in answer(found, "diversity")["sentence"]
        remedies = found["pairs"][0]["remedies"]
        assert any(one["finding"].startswith("narrow") for one in remedies) == offered


def test_where_prompts_are_shared_a_difference_of_topics_is_called_one_of_style(planted):
    human, other = ([{"id": i, **one} for i, one in enumerate(side[:250])] for side in planted)
    other = [{**one, "text": f"{'hops malt keg ' * 30} {one['text']}"} for one in other]
    said = "the difference is in style"
    assert said in answer(synthtools.compare(human, other, **QUICK), "coverage")["sentence"]
    other = [{**one, "id": f"other {one['id']}"} for one in other]
    found = answer(synthtools.compare(human, other, **QUICK), "coverage")
    assert found["differs"] and said not in found["sentence"]
