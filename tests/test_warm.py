"""``synth warm``: tools in a script start at once, and are what they are without it."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time

import pytest

from running import COLD, command


def warm(*command, **more):
    more = {"capture_output": True, "text": True, "timeout": 300, "input": "", **more}
    return subprocess.run([*COLD, "warm", *map(str, command)], **more)


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """A script that does all that the tests look at in one start of the warm process."""
    folder = tmp_path_factory.mktemp("warm")
    (folder / "script.sh").write_text(
        """cd "$1"
        printf '{"text": "one two"}\\n{"text": "three"}\\n' > in.jsonl
        synth ppl in.jsonl > ppl.jsonl; echo "ppl $?"
        synth ppl in.jsonl | synth cat --select ppl > piped.jsonl; echo "pipe $?"
        synth cat no-such.jsonl 2> error; echo "missing $?"
        synth cat --nonsense 2> /dev/null; echo "usage $?"
        synth cat < in.jsonl > stdin.jsonl; echo "stdin $?"
        (ulimit -f 0; synth cat in.jsonl -o limited.jsonl 2>&1; echo "limit $?")
        synth ppl in.jsonl --summary | head -c 1 > /dev/null; echo "closed ${PIPESTATUS[0]}"
        OMP_NUM_THREADS=7 synth cat in.jsonl --count; echo "other $?"
        exit 7
        """
    )
    done = warm("bash", folder / "script.sh", folder)
    done.folder = folder
    return done


def test_tools_in_a_script_do_what_they_do(script):
    assert script.returncode == 7
    told = dict(line.split() for line in script.stdout.splitlines() if line.count(" ") == 1)
    wanted = {"ppl": "0", "pipe": "0", "missing": "1", "usage": "2", "stdin": "0"}
    assert told == {**wanted, "limit": "1", "closed": "0", "other": "0"}
    assert script.stdout.splitlines()[-2] == "2"
    folder = script.folder
    cold = subprocess.run([*COLD, "ppl", folder / "in.jsonl"], capture_output=True, text=True)
    assert (folder / "ppl.jsonl").read_text() == cold.stdout
    assert (folder / "stdin.jsonl").read_text() == (folder / "in.jsonl").read_text()
    assert (folder / "error").read_text().startswith("synth: no-such.jsonl: No such file")
    assert "limited.jsonl: cannot be written: File too large" in script.stdout


def test_a_command_that_is_not_there_is_one_line():
    done = warm("no-such-command")
    assert done.returncode == 2
    assert done.stderr == "synth: no-such-command: no such command\n"


def test_options_behind_the_command_are_the_commands():
    done = warm("echo", "--help", "-n", "x")
    assert (done.returncode, done.stdout) == (0, "--help -n x\n")


def test_the_end_by_a_signal_is_handed_on(tmp_path):
    process = subprocess.Popen(
        [
            *COLD,
            "warm",
            "sh",
            "-c",
            f"trap 'exit 5' TERM; touch {tmp_path}/up; while :; do sleep 0.1; done",
        ]
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "up").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 5
    killed = warm("sh", "-c", "kill -KILL $$")
    assert killed.returncode == -signal.SIGKILL


def test_where_the_warm_process_is_gone_tools_start_as_usual(tmp_path):
    """With its command, also where that is killed; what it needed goes with it."""
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n')
    done = warm("sh", "-c", "tail -n 1 $(command -v synth); kill -KILL $$")
    *client, _ = shlex.split(done.stdout.removeprefix("exec "))
    deadline = time.monotonic() + 60
    while True:
        with socket.socket(socket.AF_UNIX) as server:
            if server.connect_ex(f"\0{client[-1]}"):
                break
        assert time.monotonic() < deadline
        time.sleep(0.02)
    done = subprocess.run([*client, "cat", tmp_path / "in.jsonl", "--count"], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"1\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another")
def test_others_are_not_worked_for():
    line = [
        sys.executable,
        "-c",
        # Asks as another than the process is of, with a word that is no request.
        "import os, socket, sys\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\n"
        "s.connect(chr(0) + sys.argv[-1])\ns.sendall(b'x')\nprint(s.recv(9))",
    ]
    done = subprocess.run([*line, command()[-1]], capture_output=True, timeout=60)
    assert (
        done.stdout == b"b''\n" or b"reset by peer" in done.stderr or b"Broken pipe" in done.stderr
    )
