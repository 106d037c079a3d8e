"""The quick part of ``make faults``, and the lists that its documents hold."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from faults import cases, command, kills, readers
from faults.fuzzing import files

ROOT = Path(__file__).resolve().parent.parent
ALL = command.load()
QUICK = [name for name, case in ALL.items() if case.quick]
# Readers whose sound files need a model are tried by ``make faults``.
FUZZED = ("jsonl", "gzip", "zstd", "parquet", "arrow-file", "arrow-stream")
FUZZED += ("manifest", "journal", "estimator", "task", "checkpoint")


@pytest.fixture(scope="module", autouse=True)
def tiny_model(llama):
    """The tests' tiny Llama stands for the one that the battery trains."""
    cases._MODEL[:] = [llama]


@pytest.mark.parametrize("name", QUICK)
def test_a_fault_is_one_line_and_loses_nothing(name, tmp_path):
    seen = cases.play(ALL[name], tmp_path / "here", cases.Options(kills=4))
    if seen.skipped:
        pytest.skip(seen.skipped)
    assert not seen.lost, seen.lost


@pytest.mark.parametrize("name", FUZZED)
def test_damaged_files_are_taken_or_refused(name):
    files.fuzz(readers.READERS[name], 25)


@pytest.mark.parametrize("tool", ["mix"])
def test_killed_and_resumed(tool, tmp_path):
    seen = kills.kill_and_resume(tool, tmp_path, kills=2, seed=0)
    assert "2 kills" in seen.line


def test_the_battery_tells_what_is_lost(tmp_path, monkeypatch):
    """The battery itself: a broken promise, a case that breaks, one that cannot be tried."""

    def breaks_a_promise(folder):
        cases.sound(False, "a record is gone")

    def breaks(folder):
        raise KeyError("x")

    def cannot(folder):
        raise cases.Skipped("no such disk")

    found = {}
    for function in (breaks_a_promise, breaks, cannot):
        case = cases.Case(f"family/{function.__name__}", "done | so", function, False)
        found[function.__name__] = cases.play(case, tmp_path / function.__name__, cases.Options())
        assert command.row(case, found[function.__name__]).count(" | ") >= 4
    assert found["breaks_a_promise"].lost == "a record is gone"
    assert "KeyError" in found["breaks"].lost
    assert found["cannot"].skipped == "no such disk" and not found["cannot"].lost


def test_the_table_keeps_rows_that_were_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "TABLE", tmp_path / "faults.md")
    first, second = QUICK[:2]
    command.write({first: cases.Seen("a | line", 1), second: cases.Seen(lost="a record")})
    command.write({second: cases.Seen("now well", 0), first: cases.Seen(skipped="not here")})
    text = command.TABLE.read_text()
    assert "a \\| line" in text and "now well" in text
    assert "a record is lost" not in text.lower().split("| case")[1] and "not here" not in text


def test_every_case_stands_in_the_table():
    told = set(re.findall(r"^\| `([^`]+)`", command.TABLE.read_text(encoding="utf-8"), re.M))
    assert told == set(ALL)


def test_no_loss_is_on_record():
    rows = [
        line.rsplit("|", 2)[1].strip()
        for line in command.TABLE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    assert set(rows) <= {"no", "–"}


def test_every_dependency_is_said_to_be_for_something():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(lines):
        return {re.match(r"[A-Za-z0-9._-]+", line)[0] for line in lines}

    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    base, extras, tests = re.split(r"\n## .*\n", text)[1:]
    rows = r"^\| ([a-z][\w.-]*(?:, [\w.-]+)*) \| \S"
    assert set(re.findall(rows, base, re.M)) - {"package"} == names(project["dependencies"])
    wanted = {
        (extra, name)
        for extra, lines in project["optional-dependencies"].items()
        if extra != "test"
        for name in names(lines)
    }
    assert (
        set(re.findall(r"^\| (\w+) \| ([\w-]+) \| \S", extras, re.M)) - {("extra", "package")}
        == wanted
    )
    found = set(", ".join(re.findall(rows, tests, re.M)).split(", ")) - {"package"}
    also = set(re.findall(r"[a-z-]+", tests.split("\n\n")[-1].split(" are in ")[0])) - {"and"}
    assert found | also == names(project["optional-dependencies"]["test"])
