"""A signal ends a tool, whatever native code it is in; a second one ends it at once."""

import os
import signal
import subprocess
import sys
import time

import pytest

# A tool that has begun a file and is in native code for hours, and computes on while it ends.
TOOL = """
import hashlib, re, sys
from pathlib import Path
from synthtools.cli import app, interrupts
from synthtools.records.atomic_files import AtomicFile

def run():
    file = AtomicFile(Path("a"))
    file.write(b"x")
    Path("begun").touch()
    {before}
    try:
        {native}
    finally:
        {native}

interrupts._PATIENCE = {patience}
app._run = run
app.main()
"""
# It hears no signal, but lets other threads run.
OPEN = 'hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1)'
# It lets nothing else of Python run: a sum in C, an expression without end.
SHUT = ["sum(range(10**15))", 're.match("(a|aa)+$", "a" * 200 + "b")']


def begun(tmp_path, patience, before="", native=OPEN):
    code = TOOL.format(patience=patience, before=before, native=native)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(0.3)
    return process


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_native_code_does_not_keep_a_tool_from_ending(tmp_path, number):
    process = begun(tmp_path, 0.1)
    process.send_signal(number)
    assert process.wait(60) == 130
    assert sorted(os.listdir(tmp_path)) == ["begun"]


def test_a_signal_at_the_very_end_changes_nothing(tmp_path):
    code = (
        "import atexit, os, signal\nfrom synthtools.cli import app\napp._run = lambda: 0\n"
        "atexit.register(lambda: [os.kill(os.getpid(), signal.SIGTERM), print('on')])\napp.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_second_signal_waits_for_nothing(tmp_path):
    process = begun(tmp_path, 3600)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert process.wait(60) == 130
    assert sorted(os.listdir(tmp_path)) == ["begun"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("native", SHUT)
def test_native_code_that_keeps_the_lock(tmp_path, number, native):
    process = begun(tmp_path, 0.1, native=native)
    process.send_signal(number)
    assert process.wait(60) == 130
    assert "a" not in os.listdir(tmp_path)  # what was begun is the next run's to remove
    after = "from pathlib import Path; from synthtools.records.atomic_files import write_whole; write_whole(Path('a'), b'y')"
    subprocess.run([sys.executable, "-c", after], cwd=tmp_path, check=True)
    assert sorted(os.listdir(tmp_path)) == ["a", "begun"]


def test_a_second_signal_does_not_wait_for_the_lock_either(tmp_path):
    process = begun(tmp_path, 3600, native=SHUT[0])
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert process.wait(60) == 130


def test_a_wish_ends_nothing_and_the_next_signal_does(tmp_path):
    wish = "interrupts.let_tool_handle_signal(); import signal; signal.signal(signal.SIGINT, lambda *_: None)"
    process = begun(tmp_path, 0.1, wish)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert sorted(os.listdir(tmp_path)) == ["begun"]


ENCODING = """
import sys
from pathlib import Path
from synthtools.cli import app, interrupts
from synthtools.lm import text_tokenizer

encoded = text_tokenizer.encoded

def watched(*given):
    Path("begun").touch()
    found = encoded(*given)
    Path("ended").touch()
    return found

text_tokenizer.encoded = watched
interrupts._PATIENCE = 0.1
app.main()
"""


@pytest.mark.parametrize(
    "words",
    [
        ["ppl", "t.jsonl", "-o", "out.jsonl"],
        ["mix", "t.jsonl=1", "--tokenizer", "builtin", "-o", "out.jsonl"],
    ],
    ids=["ppl", "mix"],
)
def test_a_tokenizer_in_the_middle_of_a_huge_text(tmp_path, words):
    with open(tmp_path / "t.jsonl", "w") as file:
        file.write('{"text": "' + "Some words of English, and more of them. " * 800_000 + '"}\n')
    command = [sys.executable, "-c", ENCODING, *words]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert not {"ended", "out.jsonl"} & set(os.listdir(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left(tmp_path, number):
    process = begun(tmp_path, 0.1)
    helpers = children(process.pid)
    assert len(helpers) == 1
    process.send_signal(number)
    process.wait(60)
    # Nothing of the program's is held open: the end of its stderr comes with its own.
    assert process.communicate(timeout=60) == (None, b"")
    until = time.monotonic() + 60
    while any(map(alive, helpers)):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_forked_child_is_no_part_of_the_program(tmp_path):
    fork = """
    import os, signal, time
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        Path("ready").touch(); signal.pause()
    while not Path("ready").exists():
        time.sleep(0.01)
    os.kill(child, signal.SIGTERM)
    Path(f"code{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}").touch()
"""
    process = begun(tmp_path, 0.1, fork)
    until = time.monotonic() + 60
    while not (tmp_path / "code7").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(1)
    assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 130
