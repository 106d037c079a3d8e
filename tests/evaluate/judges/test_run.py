"""``synth eval`` with judges, from the command line to the report."""

from __future__ import annotations

import json

import pytest

from synthtools.lm.server import server_pool


@pytest.fixture
def bench(write):
    """A directory with two of FollowBench's groups, and answers of two models."""
    rows = [
        {
            "id": f"{group}-{level}",
            "constraint_type": "style",
            "prompt": f"Write {group}" + "".join(f", c{n}" for n in range(1, level + 1)),
            "example_id": group,
            "level": level,
        }
        for group in (1, 2)
        for level in range(6)
    ]
    data = write("data/followbench/all.jsonl", rows)
    answers = [
        {"prompt": row["prompt"], "response": f"{model} {row['id']}", "model": model}
        for row in rows
        for model in ("a", "b")
    ]
    return data.rsplit("/", 2)[0], write("answers.jsonl", answers)


def says(number, words, code):
    level = words.count("Added constraints: ")
    if "b 2-3" in words:
        return (400, "not this one")
    return f"{code}: {', '.join(['YES'] * level)}"


def test_a_judged_run(synth, bench, serving, tmp_path):
    data, answers = bench
    server = serving(says)
    options = ["--suite", "followbench", "--data", data, "--answers", answers]
    options += ["--judge", "judge", "--judge-server", server.url, "--json", "--bootstrap", "20"]
    samples = tmp_path / "samples.jsonl"
    plot = tmp_path / "picture.png"
    report = synth("eval", *options, "--samples", samples, "--plot", plot)
    section = report["suites"]["followbench"]
    assert section["n"] == 9
    assert section["dropped"] == 1
    assert section["judge"]["failed"] == 1
    assert "not this one" in next(iter(section["judge"]["reasons"]))
    assert section["figures"]["a: hsr"] == section["figures"]["b: hsr"] == 1
    assert section["figures"]["a: csl"] == 5
    assert len(samples.read_text().splitlines()) == 20
    assert plot.read_bytes().startswith(b"\x89PNG")
    # The same words, whatever the order of the server's work: the same bytes.
    again = tmp_path / "again.jsonl"
    synth("eval", *options, "--samples", again)
    assert again.read_bytes() == samples.read_bytes()


def test_a_judge_that_dies_leaves_a_report_and_exit_1(synth, bench, serving, tmp_path, monkeypatch):
    monkeypatch.setattr(server_pool, "_FIRST_PAUSE", 0.01)
    data, answers = bench
    server = serving(
        lambda number, words, code: (403, "no more") if number > 5 else says(number, words, code)
    )
    report = tmp_path / "report.json"
    options = ["--suite", "followbench", "--data", data, "--answers", answers]
    options += ["--judge", "judge", "--judge-server", server.url, "--report", str(report)]
    assert "went away" in synth("eval", *options, "--json", code=1)
    section = json.loads(report.read_text())["suites"]["followbench"]
    assert section["judge"]["questions"] == 20
    assert section["judge"]["failed"] > 0
    assert "no more" in next(iter(section["judge"]["reasons"]))


def test_a_judge_that_dies_is_asked_only_for_the_rest(synth, bench, serving, tmp_path, monkeypatch):
    monkeypatch.setattr(server_pool, "_FIRST_PAUSE", 0.01)
    data, answers = bench
    dead = []
    asked = []

    def sometimes(number, words, code):
        if dead and number > 5:
            return (403, "no more")
        asked.append(words)
        return says(number, words.replace("b 2-3", ""), code)

    def options(server, name):
        judge = ["--judge", "judge", "--judge-server", server.url, "--bootstrap", "20"]
        words = ["eval", "--suite", "followbench", "--data", data, "--answers", answers, *judge]
        return [*words, "--samples", tmp_path / name, "--json"]

    whole = synth(*options(serving(sometimes), "whole.jsonl"))
    dead.append(True)
    asked.clear()
    assert "went away" in synth(*options(serving(sometimes), "s.jsonl"), code=1)
    assert len(asked) == 5 and (tmp_path / "s.jsonl").exists()
    dead.clear()
    # On another port, as a server that was started again.
    resumed = synth(*options(serving(sometimes), "s.jsonl"), "--resume")
    assert len(asked) == len(set(asked)) == 20
    assert resumed["suites"] == whole["suites"]
    assert (tmp_path / "s.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not (tmp_path / ".s.jsonl.answers.jsonl").exists()


def test_limits_hold_for_model_and_judge_together(synth, bench, serving):
    """300 a minute are one every 0.2 s: the judge's first waits for the model's last. How much longer
    each waits, the machine decides."""
    server = serving(lambda number, words, code: f"{code}: YES", "model", "judge")
    asked = ["--server", server.url, "--judge", "judge", "--requests-per-minute", 300]
    report = synth(
        *("eval", "model", "--suite", "followbench", "--data", bench[0], "--limit", 2, "--json"),
        *(*asked, "--bootstrap", 0),
    )
    assert report["suites"]["followbench"]["judge"]["model"] == "judge"
    waits = [when - server.times[0] for when in sorted(server.times)]
    assert len(waits) >= 3
    # The first may have come late.
    assert all(waited >= number * 0.2 - 0.1 for number, waited in enumerate(waits))


def test_a_panel_of_two_servers(synth, write, serving, tmp_path):
    """Grades of mt_bench by two live judges: the mean of what both read, each one's account, and after
    the death of one only its own rest is asked again."""
    rows = [{"question_id": n, "category": "coding", "turns": ["One?", "Two?"]} for n in range(3)]
    data = write("data/mt_bench/questions.jsonl", rows).rsplit("/", 2)[0]
    rows = [
        {"question_id": n, "model_id": "m", "choices": [{"index": 0, "turns": ["one", f"two {n}"]}]}
        for n in range(3)
    ]
    answers = write("answers.jsonl", rows)
    dead = []

    def second(number, words, code):
        if dead and number > 2:
            return (403, "no more")
        return "no verdict" if "two 1" in words else f"{code}: 8"

    key = tmp_path / "key"
    key.write_text("a-key-of-judges\n")
    key.chmod(0o600)
    servers = {}

    def run(name, *more, code=0):
        servers["a"] = serving(lambda number, words, code: f"{code}: 5", "a")
        servers["b"] = serving(second, "b")
        judges = [w for j, s in servers.items() for w in ("--judge", j, "--judge-server", s.url)]
        words = ["eval", "--suite", "mt_bench", "--data", data, "--answers", answers, *judges]
        words += ["--judge-retries", 0, "--api-key-file", key, "--bootstrap", 0, "--json"]
        return synth(*words, "--samples", tmp_path / name, *more, code=code)

    whole = run("whole.jsonl")
    section = whole["suites"]["mt_bench"]
    # Six turns; the second judge does not grade the second turn of q1.
    panel = section["judge"]["panel"]
    assert (panel["n"], panel["left_out"]) == (5, 1)
    judges = [(one["judge"], one["n"], one["mean"]) for one in panel["judges"]]
    assert judges == [("a", 6, 5), ("b", 5, 8)]
    grades = [json.loads(line) for line in (tmp_path / "whole.jsonl").read_text().splitlines()]
    assert {row["score"] for row in grades} == {6.5, None}
    accounts = section["judge"]["judges"]
    assert [one["questions"] for one in accounts] == [6, 6]
    assert [one["unreadable"] for one in accounts] == [0, 1]
    assert all(server.keys == {"Bearer a-key-of-judges"} for server in servers.values())

    dead.append(True)
    assert "went away" in run("s.jsonl", "--requests", 1, code=1)
    dead.clear()
    resumed = run("s.jsonl", "--resume")
    assert [server.requests for server in servers.values()] == [0, 4]
    assert resumed["suites"] == whole["suites"]
    assert (tmp_path / "s.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_two_names_of_one_judge_are_no_panel(synth, bench, serving):
    """The default name stands for whatever a server has: two judges then had one account."""
    data, answers = bench
    words = ["eval", "--suite", "followbench", "--data", data, "--answers", answers]
    for name in ("judge", "builtin"):
        server = serving(lambda number, words, code: f"{code}: YES")
        words += ["--judge", name, "--judge-server", server.url]
    assert "--judge: two of them are judge" in synth(*words, code=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--suite", "followbench", "--data", "."], "needs a model"),
        (["m", "--suite", "followbench", "--data", "."], "--judge MODEL"),
        (["m", "--suite", "ifeval"], "--data DIR"),
        (["--suite", "ifeval", "--judge-server", "http://x"], "needs"),
        (
            ["--suite", "alpaca_eval", "--data", ".", "--answers", "x", "--judge", "y"],
            "--reference FILE",
        ),
        (
            ["--suite", "alpaca_eval", "--judgments", "x", "--length-controlled"],
            "needs --answers FILE",
        ),
    ],
)
def test_what_is_missing_is_told_first(synth, options, message):
    assert message in synth("eval", *options, code=2)


def test_the_prompts_are_shown(synth):
    shown = synth("eval", "--show-prompts", "--suite", "mt_bench", "--json")
    assert [one["name"] for one in shown["prompts"]] == [
        *("rate", "rate-reference", "rate-second", "rate-second-reference")
    ]
    assert all("{code}" in one["words"] for one in shown["prompts"])
