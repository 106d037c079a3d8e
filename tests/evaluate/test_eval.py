"""``synth eval`` as a whole: domains, files, what is refused before anything is loaded."""

import json
import math

import numpy as np
import pytest

import synthtools
from synthtools import reports
from synthtools.evaluate import domains, suites

from .conftest import write


@pytest.fixture(scope="module")
def two(paragraphs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("domains")
    half = len(paragraphs) // 2
    for name, texts in (("one", paragraphs[:8]), ("two", paragraphs[half : half + 5])):
        write(folder / f"{name}.jsonl", [{"id": i, "text": text} for i, text in enumerate(texts)])
    return folder


def test_domains_agree_with_ppl_and_average_as_defined(llama, two, synth, tmp_path):
    valid = [f"{name}={two / name}.jsonl" for name in ("one", "two")]
    words = [word for one in valid for word in ("--valid", one)]
    found = synth("eval", llama, *words, "--samples", tmp_path / "s.jsonl")
    section = found["suites"]["perplexity"]
    rows = {row["domain"]: row for row in section["domains"]}
    for name in ("one", "two"):
        path = two / f"{name}.jsonl"
        summary = synth("ppl", path, "--model", llama, "--summary", "--devices", "cpu")
        for key in ("tokens", "nll", "perplexity", "bits_per_byte", "median"):
            assert rows[name][key] == summary[key]
    figures = section["figures"]
    nll = [rows[name]["nll"] for name in rows]
    tokens = [rows[name]["tokens"] for name in rows]
    assert figures["nll_macro"] == pytest.approx(np.mean(nll))
    assert figures["perplexity_macro_geometric"] == pytest.approx(math.exp(np.mean(nll)))
    arithmetic = (rows["one"]["perplexity"] + rows["two"]["perplexity"]) / 2
    assert figures["perplexity_macro_arithmetic"] == pytest.approx(arithmetic)
    assert figures["perplexity_micro"] == pytest.approx(math.exp(np.average(nll, weights=tokens)))
    samples = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [(s["domain"], s["id"]) for s in samples] == [
        *(("one", i) for i in range(8)),
        *(("two", i) for i in range(5)),
    ]
    assert found["samples"] == {"file": str(tmp_path / "s.jsonl"), "records": 13}
    # What is compared item by item is the figure that the report has.
    means = {
        figure: np.mean([s[name] for s in samples]) for figure, name in section["per_item"].items()
    }
    assert means == pytest.approx({figure: figures[figure] for figure in means})
    assert abs(figures["nll_document"] - figures["nll_macro"]) > 1e-3


def test_domains_without_tokens_have_no_averages():
    row = {"tokens": 0, "bytes": 0, "nll": None, "perplexity": None, "bits_per_byte": None}
    assert set(domains.averages([row]).values()) == {None}


def test_macro_averages_of_perplexity_by_both_means():
    # Domains of perplexity 4 and 16: the arithmetic mean is 10, the geometric one 8.
    rows = [
        {"tokens": n, "bytes": 8, "nll": math.log(x), "perplexity": x, "bits_per_byte": 1.0}
        for n, x in ((10, 4.0), (90, 16.0))
    ]
    found = domains.averages(rows)
    assert found["perplexity_macro_arithmetic"] == pytest.approx(10)
    assert found["perplexity_macro_geometric"] == pytest.approx(8)
    assert found["perplexity_micro"] == pytest.approx(4**0.1 * 16**0.9)
    assert list(found) == list(domains.averages([{**rows[0], "tokens": 0}]))


@pytest.mark.parametrize(
    "words, code, said",
    [
        ([], 2, "name a suite"),
        (["builtin", "--suite", "nonsense"], 2, "unknown"),
        (["--suite", "arc_easy", "--data", "."], 2, "needs a model"),
        (["builtin", "--suite", "arc_easy"], 2, "--data DIR"),
        (["builtin", "--suite", "arc_easy", "--data", "/nowhere"], 1, "does not exist"),
        (["builtin", "--suite", "perplexity"], 2, "--valid"),
        (["builtin", "--valid", "=x"], 2, "NAME=PATH"),
        (["builtin", "--valid", "a=x", "--valid", "a=y"], 2, "twice"),
        (["builtin", "--valid", "a=/nowhere.jsonl"], 1, "/nowhere.jsonl"),
        (["--suite", "self-preference"], 2, "--pairs FILE or --answers FILE"),
        (["--suite", "self-preference", "--answers", "/nowhere"], 1, "/nowhere"),
        (["--suite", "self-preference", "--pairs", "/nowhere"], 1, "/nowhere"),
        (["builtin", "--suite", "arc_easy", "--plot", "x.gif"], 2, ".png or .svg"),
        (["builtin", "--valid", "a=HERE", "--samples", "-"], 2, "name a file"),
        (["builtin", "--suite", "finance", "--data", "."], 1, "none of its suites can be run"),
        (["builtin", "--suite", "/nowhere.json", "--data", "."], 1, "cannot be read"),
        (["./nowhere", "--valid", "a=HERE"], 1, "nowhere"),
    ],
)
def test_what_cannot_be_is_one_line(words, code, said, two, synth):
    words = [str(word).replace("HERE", str(two / "one.jsonl")) for word in words]
    assert said in synth("eval", *words, code=code)


def test_samples_are_not_written_over_and_a_failure_leaves_none(llama, two, synth, tmp_path):
    kept = tmp_path / "samples.jsonl"
    kept.write_text("old\n")
    words = ["eval", llama, "--valid", f"a={two / 'one.jsonl'}", "--samples", kept]
    assert "--force" in synth(*words, code=1)
    assert kept.read_text() == "old\n"
    synth(*words, "--force")
    assert len(kept.read_text().splitlines()) == 8
    bad = write(tmp_path / "bad.jsonl", [{"text": "a b c"}, {"text": None}])
    new = tmp_path / "new.jsonl"
    synth("eval", llama, "--valid", f"a={bad}", "--samples", new, code=1)
    assert not new.exists() and not list(tmp_path.glob(".*"))


def test_records_are_read_in_their_encoding(llama, synth, tmp_path):
    utf8, other = tmp_path / "utf8.jsonl", tmp_path / "other.jsonl"
    utf8.write_text('{"text": "Grüße aus der Stadt"}\n', "utf-8")
    other.write_text(utf8.read_text("utf-8"), "latin-1")
    words = ["eval", llama, "--valid"]
    found = synth(*words, f"a={other}", "--encoding", "latin-1")
    assert found["suites"] == synth(*words, f"a={utf8}")["suites"]
    assert "--encoding" in synth(*words, f"a={other}", code=1)


def test_one_start_serves_all_suites(llama, questions, two, synth, monkeypatch):
    from synthtools.lm import open_models

    opened = []
    original = open_models.open_model
    monkeypatch.setattr(open_models, "open_model", lambda *a: opened.append(1) or original(*a))
    words = ["--suite", "arc_easy,winogrande,mmlu", "--valid", f"a={two / 'one.jsonl'}"]
    found = synth("eval", llama, *words, "--data", questions, "--bootstrap", 0, "-q")
    assert len(found["suites"]) == 4 and len(opened) == 1
    assert list(found["suites"]) == ["arc_easy", "winogrande", "mmlu", "perplexity"]


def test_a_group_has_the_mean_of_what_is_there(llama, questions, synth):
    found = synth("eval", llama, "--suite", "general", "--data", questions, "--bootstrap", 0)
    group = found["groups"]["general"]
    values = [found["suites"][name]["figures"]["accuracy"] for name in ("arc_easy", "winogrande")]
    assert group["suites"] == ["arc_easy", "winogrande"] and group["average"] == np.mean(values)


def test_every_suite_says_what_it_needs(synth):
    listed = synth("eval", "--list", "--json")["suites"]
    assert {row["suite"] for row in listed} >= {*suites.every(), "lm-eval:TASK"}
    assert all(row["about"] and row["needs"] for row in listed)


def test_the_baseline_warns(llama, tiny_models, questions, synth, tmp_path):
    words = ["--suite", "arc_easy", "--data", questions, "--bootstrap", 30]
    first, samples = tmp_path / "first.json", tmp_path / "first.jsonl"
    synth("eval", llama, *words, "--report", first, "--samples", samples)
    same = synth("eval", llama, *words, "--baseline", first)["baseline"]
    assert same[0]["state"] == "no sign" and same[0]["paired"] and same[0]["ece"][2:] == [0, 0]
    report = json.loads(first.read_text())
    called = synthtools.eval(
        str(llama), suite="arc_easy", data=str(questions), bootstrap=30, baseline=report
    )
    assert called["baseline"] == same
    assert called["made_by"]["arguments"]["baseline"] == "<baseline>"
    samples.unlink()
    other = synth("eval", tiny_models["gpt2"], *words, "--baseline", first, "-q")["baseline"]
    assert not other[0]["paired"]
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"kind": "ppl-summary"}')
    message = synth("eval", llama, *words, "--baseline", wrong, code=2)
    assert "not of synth eval" in message


def test_the_report_is_drawn_and_told(llama, questions, two, synth, tmp_path):
    pytest.importorskip("matplotlib")
    words = ["--suite", "arc_easy", "--valid", f"a={two / 'one.jsonl'}", "--data", questions]
    found = synth("eval", llama, *words, "--bootstrap", 10, "--plot", tmp_path / "eval.png")
    assert (tmp_path / "eval.png").read_bytes().startswith(b"\x89PNG")
    drawn = reports.figure(found)
    assert [panel.title.split(":")[0] for panel in drawn.panels] == [
        "Right answers",
        "arc_easy",
        "perplexity",
    ]
    bins = found["suites"]["arc_easy"]["reliability"]["equal_width"]
    assert list(drawn.panels[1].series[1].y) == [row["accuracy"] for row in bins]
    story = reports.story(found)
    assert any("arc_easy" in line for line in story.lines) and len(story.tables) == 2
