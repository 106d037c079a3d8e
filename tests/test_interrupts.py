"""A signal ends a tool, whatever native code it is in; a second one ends it at once."""

import os
import signal
import subprocess
import sys
import time

import pytest

# A tool that has begun a file and is in native code for hours: it lets other threads run, but hears
# no signal, and computes on while it ends.
TOOL = """
import hashlib, sys
from pathlib import Path
from synthtools.cli import app, interrupts
from synthtools.records.files import AtomicFile

def run():
    file = AtomicFile(Path("a"))
    file.write(b"x")
    Path("begun").touch()
    {before}
    try:
        hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1)
    finally:
        hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1)

interrupts._PATIENCE = {patience}
app._run = run
app.main()
"""


def begun(tmp_path, patience, before=""):
    code = TOOL.format(patience=patience, before=before)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(0.1)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_native_code_does_not_keep_a_tool_from_ending(tmp_path, number):
    process = begun(tmp_path, 0.1)
    process.send_signal(number)
    assert process.wait(60) == 130
    assert sorted(os.listdir(tmp_path)) == ["begun"]


def test_a_second_signal_waits_for_nothing(tmp_path):
    process = begun(tmp_path, 3600)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert process.wait(60) == 130
    assert sorted(os.listdir(tmp_path)) == ["begun"]


def test_a_wish_ends_nothing_and_the_next_signal_does(tmp_path):
    wish = "interrupts.excuse(); import signal; signal.signal(signal.SIGINT, lambda *_: None)"
    process = begun(tmp_path, 0.1, wish)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
