"""What the studies share: a step is done once, again when what it depends on changed, and gone on with."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

STUDIES = Path(__file__).resolve().parents[2] / "studies"

# A study of three texts: two are made, the third of both. `slow` makes a directory, line by line.
_STUDY = """#!/usr/bin/env bash
# A study of two words.
#
#   small.sh [OPTION]…
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$STUDIES/steps.sh"
options "$here" "$@"
setting first  one     One     ONE
setting second two     Two     TWO
setting lines  3       30      300
settled
say() { echo "$*"; }
split() { # FILE --rest FILE
    head -n 1 "$1"
    tail -n +2 "$1" > "$3"
}
both() { cat "$1" "$2"; }
slow() { # LINES --cache DIR …
    mkdir -p "$3"
    echo "$seed" > "$3/$seed"
    local n out=${*: -1}
    test "$1" != none
    mkdir -p "$out"
    for ((n = $(cat "$out"/* 2> /dev/null | wc -l); n < $1; n++)); do
        echo "$n of $seed" >> "$out/lines"
        [ -z "${PAUSE:-}" ] || sleep "$PAUSE"
    done
}
step a.txt say "$first"
step b.txt say "$second"
step c.txt both a.txt b.txt
step top.txt split c.txt --rest parts/rest.txt
study() {
    costs train 1M 1K
    step "slow-$seed/" slow "$lines" --cache kept
    step "end-$seed.txt" both parts/rest.txt "slow-$seed/lines"
}
each_seed study
finished
"""


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "small.sh").write_text(_STUDY)
    (folder / "README.md").write_text("# Small\n")

    def start(*words, **more):
        return subprocess.Popen(
            ["bash", folder / "small.sh", "--work", tmp_path / "work", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "STUDIES": str(STUDIES), "STUDY_IS_WARM": "1", **more},
        )

    def run(*words, **more):
        process = start(*words, **more)
        out, errors = process.communicate(timeout=60)
        done = [line.split()[-1] for line in errors.splitlines() if " s  " in line]
        return process.returncode, sorted(done), out, errors

    run.start = start
    run.work = tmp_path / "work"
    return run


ALL = ["a.txt", "b.txt", "c.txt", "end-0.txt", "end-1.txt", "slow-0", "slow-1", "top.txt"]


def test_a_step_is_done_once(study):
    code, done, _, errors = study("--seeds", "0 1")
    assert (code, done) == (0, ALL), errors
    assert (study.work / "end-1.txt").read_text() == "two\n0 of 1\n1 of 1\n2 of 1\n"
    assert study("--seeds", "0 1")[:2] == (0, [])
    # Another seed is more work, not other work.
    assert study("--seeds", "0 1 2")[:2] == (0, ["end-2.txt", "slow-2"])


def test_a_changed_setting_redoes_what_depends_on_it(study):
    study("--seeds", "0 1")
    code, done, *_ = study("--seeds", "0 1", "--set", "second=other")
    assert (code, done) == (0, ["b.txt", "c.txt", "end-0.txt", "end-1.txt", "top.txt"])
    code, done, *_ = study("--seeds", "0 1", "--set", "second=other", "--set", "lines=2")
    assert (code, done) == (0, ["end-0.txt", "end-1.txt", "slow-0", "slow-1"])
    assert (study.work / "end-0.txt").read_text() == "other\n0 of 0\n1 of 0\n"


def test_a_directory_of_a_functions_name_is_not_what_the_step_depends_on(study):
    study("--seeds", "0")
    (study.work / "say").mkdir()
    (study.work / "say" / "more.txt").write_text("more")
    assert study("--seeds", "0")[:2] == (0, [])


def test_what_is_made_beside_the_output_belongs_to_it(study):
    study("--seeds", "0")
    (study.work / "parts" / "rest.txt").unlink()
    assert study("--seeds", "0")[:2] == (0, ["top.txt"])
    assert (study.work / "parts" / "rest.txt").read_text() == "two\n"


def test_a_killed_study_goes_on(study):
    whole = ["--seeds", "0", "--set", "lines=20"]
    process = study.start(*whole, PAUSE="0.2")
    lines = study.work / "slow-0" / "lines"
    deadline = time.monotonic() + 30
    while not (lines.exists() and lines.read_text().count("\n") > 3):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    begun = lines.read_text()
    code, done, *_ = study(*whole)
    assert (code, done) == (0, ["end-0.txt", "slow-0"])
    assert lines.read_text().startswith(begun)
    assert lines.read_text().count("\n") == 20


def test_a_step_that_was_begun_otherwise_begins_anew(study):
    process = study.start("--seeds", "0", "--set", "lines=40", PAUSE="0.1")
    lines = study.work / "slow-0" / "lines"
    deadline = time.monotonic() + 30
    while not lines.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    study("--seeds", "0")
    assert lines.read_text() == "0 of 0\n1 of 0\n2 of 0\n"


def test_a_failing_step_ends_the_study_with_its_line(study):
    # Not its last command fails, but one before.
    code, _, _, errors = study("--seeds", "0 1", "--set", "lines=none")
    assert code == 1
    assert "small: slow-0: exit code 1: " in errors
    assert not (study.work / "end-0.txt").exists()
    assert study("--seeds", "0 1")[0] == 0


def test_the_plan_does_nothing(study):
    code, done, out, _ = study("--dry-run", "--scale", "paper", "--seeds", "0 1 2")
    assert (code, done) == (0, [])
    assert "10 steps to do. Tokens to train: 3e+03." in out
    assert "ONE" in out and not (study.work / "a.txt").exists()
    assert " One\n" in study("--dry-run", "--scale", "small")[2]
    study("--seeds", "0")
    assert "\n0 steps to do." in study("--dry-run", "--seeds", "0")[2]
    # What follows from a change is planned, too.
    out = study("--dry-run", "--seeds", "0", "--set", "first=x")[2]
    planned = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert planned[3:] == ["a.txt", "c.txt", "top.txt", "end-0.txt"]


def test_the_plan_sees_what_is_made_in_a_directory(study, tmp_path):
    script = tmp_path / "small" / "small.sh"
    script.write_text(
        script.read_text().replace("finished\n", "step of.txt find parts\nfinished\n")
    )
    study("--seeds", "0")
    out = study("--dry-run", "--seeds", "0", "--set", "first=x")[2]
    assert "  of.txt " in out and "\n5 steps to do." in out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--nonsense", "1"], "no option --nonsense"),
        (["--scale", "huge"], "--scale is toy, small or paper"),
        (["--set", "third=1"], "no setting third"),
        (["--set", "third"], "is not NAME=VALUE"),
        (["--seeds"], "--seeds needs a value"),
        (["--data", "/no/where"], "--data /no/where: no such directory"),
        (["--readme", "/no/where"], "--readme /no/where: no such file"),
    ],
)
def test_wrong_options_are_one_line(study, words, line):
    code, done, _, errors = study(*words)
    assert (code, done) == (2, [])
    assert line in errors and len(errors.splitlines()) == 1


def test_help(study):
    code, _, out, _ = study("--help")
    assert code == 0
    assert out.startswith("A study of two words.") and "--dry-run" in out
