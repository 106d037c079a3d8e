"""``synth diff``: reports beside each other, models item by item, runs at growing synthetic share."""

import json

import numpy as np
import pytest

from synthtools import reports
from synthtools.errors import SynthError, UsageError
from synthtools.evaluate import differences, paired_comparison, synthetic_shares

from .conftest import write


def report(**figures):
    return {"kind": "eval", "suites": {"s": {"kind": "x", "n": 9, "figures": figures}}}


def test_every_number_is_found_by_its_path():
    found = differences.figures(
        {
            "kind": "k",
            "a": 1,
            "flag": True,
            "none": None,
            "list": [1, 2],
            "inputs": [{"name": "x", "ppl": 2.5}, {"name": "y", "ppl": 3}],
            "pairs": [{"left": "x", "right": "y", "js": 0.5}],
            "suites": {"s": {"figures": {"accuracy": 0.5}, "intervals": {"accuracy": [0, 1]}}},
            "made_by": {"seconds": 3},
        }
    )
    assert found == {
        "a": 1,
        "list[1]": 1,
        "list[2]": 2,
        "inputs.x.ppl": 2.5,
        "inputs.y.ppl": 3,
        "pairs.x–y.js": 0.5,
        "suites.s.accuracy": 0.5,
    }


def test_what_is_equal_and_what_is_missing_is_counted():
    one = report(accuracy=0.5, ece=0.1, only=1) | {"v": 2}
    one["suites"]["s"]["intervals"] = {"accuracy": [0.4, 0.6]}
    found = differences.table([one, report(accuracy=0.4, ece=0.1) | {"v": 2}])
    assert (found["equal"], found["missing"]) == (3, ["suites.s.only"])
    (row,) = found["rows"]
    assert row["values"] == [0.5, 0.4] and row["intervals"] == [[0.4, 0.6], None]
    assert row["changes"][1] == pytest.approx(-0.1) and row["relative"][1] == pytest.approx(-0.2)


def random_samples(size, seed, shift=0.0):
    draw = np.random.default_rng(seed)
    common = np.random.default_rng(1234).random(size)
    rows = []
    for i in range(size):
        right = int(common[i] + 0.2 * draw.normal() + shift > 0.5)
        confidence = float(draw.random())
        nll = float(draw.gamma(2))
        rows.append(
            {
                "suite": "s",
                "id": i,
                "correct": right,
                "correct_norm": right,
                "confidence": confidence,
                "brier": nll / 2,
                "nll": nll,
            }
        )
    return rows


FIELDS = {"s": {"accuracy": "correct", "nll": "nll"}}


def test_paired_differences_and_tests_equal_scipy():
    from scipy import stats

    one, other = random_samples(80, 0), random_samples(80, 1, 0.1)
    rows = paired_comparison.compared(
        paired_comparison.by_suite(one), paired_comparison.by_suite(other), FIELDS, 200, 0
    )
    found = {row["figure"]: row for row in rows}
    assert set(found) == {"accuracy", "nll", "ece", "ece_mass", "mce"}
    changes = np.array([b["correct"] - a["correct"] for a, b in zip(one, other)])
    accuracy = found["accuracy"]
    assert accuracy["difference"] == pytest.approx(changes.mean())
    gained, lost = int((changes > 0).sum()), int((changes < 0).sum())
    assert accuracy["p"] == pytest.approx(stats.binomtest(gained, gained + lost).pvalue)
    assert "McNemar" in accuracy["test"]
    low, high = accuracy["interval"]
    assert low < accuracy["difference"] < high
    left, right = (np.array([row["nll"] for row in rows]) for rows in (one, other))
    theirs = stats.permutation_test(
        (left, right),
        lambda a, b, axis: (b - a).mean(axis=axis),
        permutation_type="samples",
        n_resamples=9999,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    assert found["nll"]["p"] == pytest.approx(theirs.pvalue, abs=0.03)
    # Holm: the smaller of two is doubled.
    small = min((accuracy, found["nll"]), key=lambda row: row["p"])
    assert small["p_holm"] == pytest.approx(min(1, 2 * small["p"]))
    assert found["ece"]["p"] is None and found["ece"]["interval"] is not None


def test_items_of_one_model_alone_are_counted():
    one, other = random_samples(30, 0), random_samples(40, 1)
    rows = paired_comparison.compared(
        paired_comparison.by_suite(one),
        paired_comparison.by_suite(list(reversed(other))),
        FIELDS,
        0,
        0,
    )
    assert (rows[0]["n"], rows[0]["only_first"], rows[0]["only_other"]) == (30, 0, 10)
    assert rows[0]["interval"] is None
    means = np.mean([row["correct"] for row in other[:30]])
    assert rows[0]["other"] == pytest.approx(means)
    assert paired_comparison.compared({}, paired_comparison.by_suite(other), FIELDS, 0, 0) == []


def test_equal_models_do_not_differ():
    rows = paired_comparison.by_suite(random_samples(30, 0))
    for row in paired_comparison.compared(rows, rows, FIELDS, 50, 0):
        assert row["difference"] == 0 and row["p"] in (1.0, None) and row["interval"] == [0, 0]


@pytest.mark.parametrize(
    "share, parameters, zone, words",
    [
        (0, None, "safe", "3 %"),
        (0.2, 1e9, "safe", "3 %"),
        (0.25, None, "depends on scale", "6.9B"),
        (0.3, 1e9, "depends on scale", "lose"),
        (0.3, 6.9e9, "depends on scale", "holds"),
        (0.31, 70e9, "too much", "8–15 %"),
    ],
)
def test_the_guidance_of_ratios(share, parameters, zone, words):
    found, said = synthetic_shares.guidance(share, parameters)
    assert found == zone and words in said


def test_a_series_of_runs():
    runs = [
        report(accuracy=0.50, ece=0.05),
        report(accuracy=0.49, ece=0.08),
        report(accuracy=0.45, ece=0.12),
        report(accuracy=0.50, ece=0.12),
    ]
    found = synthetic_shares.series(runs, [0, 0.1, 0.3, 0.5], (), None)
    assert found["figures"] == ["suites.s.accuracy"]
    assert [round(row["loss"], 6) for row in found["rows"]] == [0, 0.02, 0.1, 0]
    assert [row["within"] for row in found["rows"]] == [True, True, False, True]
    # A run that recovers does not make the share before it a safe one.
    assert found["largest_within"] == 0.1 and found["calibration_first"] == 0.1
    assert found["rows"][1]["ece"] == pytest.approx(0.03)
    worse = [report(perplexity_micro=10.0), report(perplexity_micro=12.0)]
    assert synthetic_shares.series(worse, [0, 0.4], (), None)["rows"][1]["loss"] == pytest.approx(
        0.2
    )
    named = synthetic_shares.series(runs, [0, 0.1, 0.3, 0.5], ["suites.s.ece"], None)
    assert named["rows"][1]["loss"] == pytest.approx(0.6)


def test_of_nothing_no_share_can_be_lost():
    runs = [report(accuracy=0.0, ece=0.05), report(accuracy=0.1, ece=0.08)]
    with pytest.raises(UsageError, match="nonzero in the baseline"):
        synthetic_shares.series(runs, [0, 0.1], (), None)
    with pytest.raises(UsageError, match="is 0 in the baseline"):
        synthetic_shares.series(runs, [0, 0.1], ["suites.s.accuracy"], None)
    for run, value in zip(runs, (10.0, 12.0), strict=True):
        run["suites"]["t"] = report(perplexity_micro=value)["suites"]["s"]
    found = synthetic_shares.series(runs, [0, 0.1], (), None)
    assert found["figures"] == ["suites.t.perplexity_micro"]
    assert found["left_out"] == ["suites.s.accuracy"]


@pytest.fixture
def saved(tmp_path):
    """Two reports and their samples, the second's beside it under another folder than it says."""
    for name, seed, shift in (("base", 0, 0.0), ("tuned", 1, 0.2)):
        rows = random_samples(60, seed, shift)
        write(tmp_path / f"{name}.jsonl", rows)
        accuracy = float(np.mean([row["correct"] for row in rows]))
        found = report(accuracy=accuracy, ece=0.1 + shift)
        found["suites"]["s"]["per_item"] = FIELDS["s"]
        found["samples"] = {"file": f"/gone/{name}.jsonl", "records": 60}
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    return tmp_path


def test_the_line_works(saved, synth):
    found = synth("diff", saved / "base.json", saved / "tuned.json", "--json", "--bootstrap", 50)
    assert found["kind"] == "diff" and found["of"] == "eval"
    assert {row["figure"] for row in found["rows"]} == {"suites.s.accuracy", "suites.s.ece"}
    assert {row["figure"] for row in found["paired"]} == {
        "accuracy",
        "nll",
        "ece",
        "ece_mass",
        "mce",
    }
    assert found["made_by"]["inputs"][0]["bytes"] == (saved / "base.json").stat().st_size
    drawn = reports.figure(found)
    assert drawn.panels[0].title.endswith("item by item")
    assert reports.story(found).tables
    named = ["--samples", saved / "base.jsonl", "--samples", saved / "tuned.jsonl"]
    again = synth("diff", saved / "base.json", saved / "tuned.json", *named, "--bootstrap", 50)
    assert again["paired"] == found["paired"]
    for name in ("base", "tuned"):
        (saved / f"{name}.jsonl").unlink()
    alone = synth("diff", saved / "base.json", saved / "tuned.json")
    assert alone["paired"] == [] and alone["rows"] == found["rows"]


def test_a_budget_at_the_command_line(saved, synth):
    words = ["diff", saved / "base.json", saved / "tuned.json", "--budget", "--bootstrap", 0]
    found = synth(*words, "--shares", "0,40%", "--parameters", "1B")
    rows = found["budget"]["rows"]
    assert [row["zone"] for row in rows] == ["safe", "too much"] and rows[1]["loss"] < 0
    assert [panel.title for panel in reports.figure(found).panels][:2] == ["Loss", "Calibration"]
    for shares, words_said in (
        ("0", "1 shares for 2"),
        ("40%,0", "must grow"),
        ("0,2", "from 0 to 1"),
        ("0,x", "from 0 to 1"),
    ):
        assert words_said in synth(*words, "--shares", shares, code=2)
    assert "--shares" in synth(*words, code=2)
    assert "no such figure" in synth(*words, "--shares", "0,1", "--figure", "x", code=2)


def trained(name, **valid):
    report = {"kind": "train", "final_loss": 3.0, "valid": valid}
    return f"{name}.json", report


def test_validation_perplexity_is_lost_when_it_rises():
    runs = [trained("a", human=100.0, machine=50.0), trained("b", human=110.0, machine=40.0)]
    found = synthetic_shares.series([report for _, report in runs], [0, 0.4], (), None)
    assert found["figures"] == ["valid.human", "valid.machine"]
    assert found["rows"][1]["losses"] == pytest.approx({"valid.human": 0.1, "valid.machine": -0.2})
    assert differences.lower_is_better("final_loss") and not differences.lower_is_better("lossless")


def test_mixture_curves_are_the_runs_by_share():
    values = {0.5: (90.0, 94.0), 0.0: (100.0, 104.0), 1.0: (130.0,)}
    runs, shares = [], []
    for share, several in values.items():
        for value in several:
            runs.append(trained(f"{share}", **{"a.b": value, "c": 2 * value}))
            shares.append(share)
    found = synthetic_shares.curves(runs, shares)
    one, two = found["curves"]
    assert (one["name"], one["quantity"], two["name"]) == ("a.b", "perplexity", "c")
    assert one["shares"] == [0, 0.5, 1] and one["runs"] == [2, 2, 1]
    assert one["mean"] == [102, 92, 130] and one["low"] == [100, 90, 130]
    (panel,) = reports.figure(found).panels
    assert [list(s.x) for s in panel.series] == [[0, 50, 100]] * 2
    assert list(panel.series[1].y) == [204, 184, 260] and list(panel.series[0].high) == [
        104,
        94,
        130,
    ]
    lines = reports.story(found).lines
    assert lines[0].endswith("102 at 0 %, 130 at 100 %; lowest at 50 %: 92.")
    bare = reports.figure(synthetic_shares.curves(runs[:1], [0.5])).panels[0].series[0]
    assert bare.low is None  # one run has no range
    for bad, words in (
        (trained("x", c=1.0), "x.json: has no valid.a.b"),
        (trained("x", c=1.0, d=2.0, **{"a.b": 1.0}), "0.5.json: has no valid.d"),
        (("x.json", report(accuracy=1)), "different kinds"),
    ):
        with pytest.raises(SynthError, match=words):
            synthetic_shares.curves([runs[0], bad], [0, 1])
    with pytest.raises(SynthError, match="no perplexity or accuracy"):
        synthetic_shares.curves([trained("x")], [0])


def test_mixture_curves_at_the_command_line(saved, synth, tmp_path):
    words = ["plot", saved / "base.json", saved / "tuned.json", "--shares", "20%,0"]
    picture, data, page = (tmp_path / name for name in ("a.svg", "a.csv", "a.html"))
    synth(*words, "-o", picture, "--data", data)
    panels = [line.split(",")[1] for line in data.read_text().splitlines()[1:]]
    assert set(panels) == {"Accuracy", "ECE"} and picture.read_bytes().startswith(b"<?xml")
    synth(*words, "-o", page)
    assert page.read_text().count("<section") == 3
    assert "1 shares for 2" in synth(*words[:-1], "0", code=2)


def test_reports_of_other_tools(synth, tmp_path):
    for name, repetitions in (("a", 20), ("b", 30)):
        words = ["simulate", "--repetitions", repetitions, "--generations", 3, "-j", 1]
        synth(*words, "--report", tmp_path / f"{name}.json")
    found = synth("diff", tmp_path / "a.json", tmp_path / "b.json", "--json")
    assert found["of"] == "simulate" and found["paired"] == []
    figures = {row["figure"] for row in found["rows"]}
    assert {"repetitions", "workflows.replace.simulated[3]"} <= figures


def test_bad_reports_are_one_line(saved, synth, tmp_path):
    assert "two reports" in synth("diff", code=2)
    assert "two reports" in synth("diff", saved / "base.json", code=2)
    assert "nowhere" in synth("diff", saved / "base.json", "/nowhere.json", code=1)
    other = tmp_path / "other.json"
    other.write_text('{"kind": "stats"}')
    assert "different kinds" in synth("diff", saved / "base.json", other, code=1)
    other.write_text("rubbish")
    assert "not JSON" in synth("diff", saved / "base.json", other, code=1)
    message = synth("diff", saved / "base.json", saved / "tuned.json", "--shares", "0,1", code=2)
    assert "--budget" in message
    one = ["--samples", saved / "base.jsonl"]
    assert "2 files" in synth("diff", saved / "base.json", saved / "tuned.json", *one, code=2)
