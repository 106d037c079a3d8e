"""Regression cases: command lines and what they print, as folders that a reviewer reads as a diff.

    tests/cases/ppl/summary/cmd         bash, run in a copy of tests/cases/inputs
    tests/cases/ppl/summary/expected    stdout, then stderr and the exit code where they are not empty or 0

A new case is a folder with a ``cmd``. ``make cases`` runs all and writes what they print now; read the
diff before you commit it. ``plain`` in a pipe rounds numbers to five digits and leaves out of a report
what differs from run to run, so that a case holds on every machine.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import running

CASES = Path(__file__).parent / "cases"
FOLDERS = sorted(path.parent for path in CASES.glob("*/*/cmd"))

_PLAIN = """\
import json, sys

def plain(value):
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in ("made_by", "version")}
    return [plain(v) for v in value] if isinstance(value, list) else value

text = sys.stdin.read()
try:
    print(json.dumps(plain(json.loads(text)), indent=1, ensure_ascii=False))
except ValueError:
    for line in text.splitlines():
        print(json.dumps(plain(json.loads(line)), ensure_ascii=False))
"""


def outcome(folder: Path, work: Path) -> str:
    """What a case prints, with its exit code."""
    inputs, programs = work / "inputs", work / "bin"
    shutil.copytree(CASES / "inputs", inputs)
    programs.mkdir()
    words = " ".join(f"'{word}'" for word in running.command())
    for name, text in (
        ("synth", f'#!/bin/sh\nexec {words} "$@"\n'),
        ("plain", f"#!{sys.executable}\n{_PLAIN}"),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", (folder / "cmd").read_text()],
        cwd=inputs,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    found = done.stdout
    if done.stderr:
        found += f"--- stderr\n{done.stderr}"
    return found + (f"--- exit {done.returncode}\n" if done.returncode else "")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_case(folder, tmp_path):
    found = outcome(folder, tmp_path)
    if os.environ.get("REFRESH_CASES"):
        (folder / "expected").write_text(found)
    assert found == (folder / "expected").read_text(), f"make cases writes what {folder} prints now"


def test_every_tool_has_a_case():
    from synthtools.cli.app import TOOLS

    assert {*TOOLS} - {"warm"} <= {folder.parent.name for folder in FOLDERS}
