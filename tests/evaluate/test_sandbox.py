"""Programs run apart: what they may, what they may not, and that each costs its own verdict only."""

import os
import resource
import select
import subprocess
import sys

import pytest

from synthtools.errors import SynthError
from synthtools.evaluate import sandbox


def _works(kind):
    try:
        return sandbox.chosen(kind)
    except SynthError:
        return None


WAY = _works("auto")
confined = pytest.mark.skipif(WAY is None, reason="this machine cannot confine programs")
KINDS = [kind for kind in sandbox.KINDS[:-1] if _works(kind)]

# To OUTSIDE, a directory with files of ours in it, and PARENT, a process of ours.
ATTACKS = {
    "open": "open('OUTSIDE/kept', 'w')",
    "create": "open('OUTSIDE/new', 'x')",
    "remove": "import os; os.remove('OUTSIDE/kept')",
    "rename": "import os; open('a', 'w').close(); os.rename('a', 'OUTSIDE/kept')",
    "replace": "import os; open('a', 'w').close(); os.replace('a', 'OUTSIDE/kept')",
    "rename in": "import os; os.rename('OUTSIDE/kept', 'a')",
    "mkdir": "import os; os.mkdir('OUTSIDE/new')",
    "rmdir": "import os; os.rmdir('OUTSIDE/empty')",
    "dir_fd": "import os; d = os.open('OUTSIDE', os.O_RDONLY); os.open('new', os.O_CREAT | os.O_WRONLY, dir_fd=d)",
    "dir_fd remove": "import os; os.unlink('kept', dir_fd=os.open('OUTSIDE', os.O_PATH))",
    "symlink": "import os; os.symlink('OUTSIDE/kept', 'a'); open('a', 'w')",
    "symlink out": "import os; os.symlink('/etc/passwd', 'OUTSIDE/new')",
    "link": "import os; os.link('OUTSIDE/kept', 'a'); open('a', 'w')",
    "mknod": "import os, stat; os.mknod('OUTSIDE/new', stat.S_IFREG | 0o600)",
    "mknod of a device": "import os, stat; os.mknod('a', stat.S_IFCHR | 0o600, os.makedev(1, 3))",
    "fifo": "import os; os.mkfifo('OUTSIDE/new')",
    "truncate": "import os; os.truncate('OUTSIDE/kept', 0)",
    "chmod": "import os; os.chmod('OUTSIDE/kept', 0o777)",
    "utime": "import os; os.utime('OUTSIDE/kept', (0, 0))",
    "xattr": "import os; os.setxattr('OUTSIDE/kept', 'user.a', b'b')",
    "memory of ours": "open('/proc/PARENT/mem', 'rb')",
    "environment of ours": "open('/proc/PARENT/environ', 'rb')",
    "secrets": "open('OUTSIDE/kept').read()",
    "root": "open('/new', 'w')",
    "shared memory": "open('/dev/shm/synth-new', 'w')",
    "fork": "import os; os.fork()",
    "exec": "import os; os.execv('/bin/true', ['true'])",
    "subprocess": "import subprocess; subprocess.run(['true'])",
    "system": "import os; assert os.system('true') == 0",
    "_posixsubprocess": "import _posixsubprocess, os; r, w = os.pipe(); _posixsubprocess.fork_exec("
    "[b'/bin/touch', b'OUTSIDE/new'], [b'/bin/touch'], True, (w,), None, None, -1, -1, -1, -1, -1, -1,"
    " r, w, True, False, -1, None, None, None, -1, None, False)",
    "kill": "import os, signal; os.kill(PARENT, signal.SIGKILL)",
    "kill by a pipe": "import fcntl, os, signal; r, w = os.pipe(); fcntl.fcntl(r, 10, signal.SIGKILL);"
    "fcntl.fcntl(r, fcntl.F_SETOWN, PARENT); fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC);"
    "os.write(w, b'a')",
    "limits of ours": "import resource; resource.prlimit(PARENT, resource.RLIMIT_CORE, (0, 0))",
    "limits": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))",
    "priority": "import os; os.setpriority(os.PRIO_PROCESS, PARENT, 19)",
    "affinity": "import os; os.sched_setaffinity(PARENT, os.sched_getaffinity(0))",
    "socket": "import socket; socket.socket()",
    "unix socket": "import socket; socket.socket(socket.AF_UNIX)",
    "socket pair": "import socket; socket.socketpair()",
    "memory without a name": "import os; os.memfd_create('a')",
    "io_uring": "import ctypes; libc = ctypes.CDLL(None, use_errno=True);"
    "assert libc.syscall(425, 4, ctypes.create_string_buffer(120)) >= 0",
    "system calls": "import ctypes; libc = ctypes.CDLL(None);"
    "assert libc.open(b'OUTSIDE/new', 0o101, 0o600) >= 0",
    "namespaces": "import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0",
}


def _state(folder):
    """All that a change of a directory or of what is in it would change."""
    entries = sorted(folder.iterdir())
    content = [path.read_bytes() for path in entries if path.is_file()]
    return [(path.name, path.stat()[:10]) for path in (folder, *entries)], content


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    (folder / "empty").mkdir(parents=True)
    (folder / "kept").write_text("kept")
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_program_gets_out(kind, attack, outside):
    victim = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    try:
        before = _state(outside)[0], resource.prlimit(victim.pid, resource.RLIMIT_CORE)
        code = ATTACKS[attack].replace("OUTSIDE", str(outside)).replace("PARENT", str(victim.pid))
        found = sandbox.run(code, kind)
        assert victim.poll() is None
        after = _state(outside), resource.prlimit(victim.pid, resource.RLIMIT_CORE)
        assert os.getpriority(os.PRIO_PROCESS, victim.pid) == os.getpriority(os.PRIO_PROCESS, 0)
    finally:
        victim.kill()
        victim.communicate()
    assert not found.passed, found
    # Times of access may change by our own reading.
    times = slice(0, 7)
    assert [(name, stat[times], stat[8:]) for name, stat in after[0][0]] == [
        (name, stat[times], stat[8:]) for name, stat in before[0]
    ]
    assert after[0][1] == [b"kept"] and after[1] == before[1]
    assert not os.path.exists("/dev/shm/synth-new") and not os.path.exists("/new")


@pytest.mark.parametrize("kind", [*KINDS, "none"])
def test_what_programs_may(kind):
    for code in (
        "open('a', 'w').write('b'); assert open('a').read() == 'b'; print('x' * 10**6)",
        "import os; os.mkdir('a'); os.rename('a', 'b'); open('b/c', 'w'); os.replace('b/c', 'd')",
        "import threading; t = threading.Thread(target=print); t.start(); t.join()",
        "import tempfile; tempfile.TemporaryFile().write(b'a')",
        "import sqlite3, decimal, hashlib, random, datetime; datetime.datetime.now()",
        "import os; assert set(os.environ) <= {'PATH', 'HOME', 'TMPDIR', 'LC_CTYPE', 'PWD'}",
        "input_was_empty = False\ntry:\n    input()\nexcept EOFError:\n    input_was_empty = True\n"
        "assert input_was_empty",
    ):
        assert sandbox.run(code, kind) == sandbox.ProgramOutcome(
            True, "", sandbox.run(code, kind).output
        )


@confined
def test_why_programs_fail():
    for code, words in {
        "import sys; sys.exit(0)": "SystemExit",
        "import os; os._exit(0)": "ended early",
        "import os; os.abort()": "ended early",
        "import ctypes; ctypes.string_at(0)": "ended early",
        "x = [0] * 10**10": "MemoryError",
        "assert False, 'wrong'": "AssertionError: wrong",
        "def f(:": "SyntaxError",
        "open('a', 'wb').write(bytes(20 << 20))": "OSError: [Errno 27] File too large",
        "for i in range(10**6): open(str(i), 'w').close()": "wrote more than 1000 files",
        "for i in range(10**6): open(str(i), 'wb').write(bytes(15 << 20))": "or 256 MB",
    }.items():
        found = sandbox.run(code, WAY)
        assert not found.passed and words in found.reason, (code, found)
    for code in ("while True: pass", "import os; os.close(1); os.close(2)\nwhile True: pass"):
        slow = sandbox.run(code, WAY, 1)
        assert not slow.passed and "longer than 1 s" in slow.reason


# A forged line of result: all that a program can know of the true one, it can find in the frames around it.
_FORGED = """
import os, sys
mark = sys._getframe(1).f_locals["task"]["mark"]
os.write(2, (mark + WHAT).encode())
os._exit(0)
"""


@pytest.mark.parametrize("kind", [*KINDS, "none"])
@pytest.mark.parametrize(
    "what",
    ["'{'", "'[]'", "'null'", "'7'", "'[' * 10**4", "'\"' + 'a' * 10**6 + '\"'", "'1' * 5000"],
)
def test_a_forged_result_costs_its_own_item_only(kind, what):
    codes = [_FORGED.replace("WHAT", what), "pass"]
    forged, after = sandbox.run_all(codes, kind, 1)
    assert not forged.passed and len(forged.reason) <= 200 and after.passed


@confined
def test_what_is_told_can_be_written_to_any_file():
    found = sandbox.run("raise ValueError('\\ud800 \\x1b[2J')", WAY)
    assert not found.passed and found.reason.encode() and found.output == ""
    wild = sandbox.run("import os; os.write(1, bytes(range(256)) * 10)", WAY)
    assert wild.passed and wild.output.encode()


@confined
@pytest.mark.parametrize("descriptor", [1, 2])
def test_a_flood_of_output_is_kept_at_its_ends(descriptor):
    """A program writes 64 MB; no more than its first and last 64 KB are held at any time."""
    code = f"import os\nfor i in range(1024): os.write({descriptor}, b'%06d' % i + bytes([65]) * 65530)"
    script = (
        "import resource\nfrom synthtools.evaluate import sandbox\n"
        "def peak():\n    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"sandbox.run('pass', {WAY!r})\nbefore = peak()\nfound = sandbox.run({code!r}, {WAY!r})\n"
        "print(found.passed, len(found.output), found.output[:6], peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    passed, size, first, grown = done.stdout.split()
    assert (passed, first) == ("True", "000000")
    assert 2 * 65536 - 200 < int(size) < 2 * 65536 + 100 and int(grown) < 8 * 1024


@confined
def test_folders_of_any_depth_and_any_rights_are_cleared_away(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox.tempfile, "tempdir", str(tmp_path))
    deep = "import os\nfor i in range(900):\n    os.mkdir('a'); os.chdir('a')"
    deeper = deep.replace("900", "50000")
    outcomes = list(sandbox.run_all([deep, deeper, "pass"], WAY, 1))
    assert outcomes[2].passed and not outcomes[1].passed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_does_not_outlive_the_one_that_asked(kind, tmp_path):
    code = "import time; open('begun', 'w').close(); time.sleep(60)"
    script = f"from synthtools.evaluate import sandbox\nsandbox.run({code!r}, {kind!r})"
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    while not list(tmp_path.glob("*/begun")):
        assert parent.poll() is None
    with open(f"/proc/{parent.pid}/task/{parent.pid}/children") as file:
        child = os.pidfd_open(int(file.read().split()[0]))
    parent.kill()
    parent.wait()
    assert select.select([child], [], [], 30)[0]
    os.close(child)


def test_where_nothing_confines_the_refusal_says_why(monkeypatch):
    monkeypatch.setenv("PATH", "")
    outcome = sandbox.ProgramOutcome(
        False, "ended early: OSError: Landlock: Function not implemented"
    )
    monkeypatch.setattr(sandbox, "run", lambda code, kind: outcome)
    sandbox.chosen.cache_clear()
    with pytest.raises(SynthError) as refused:
        sandbox.chosen("auto")
    sandbox.chosen.cache_clear()
    for words in ("bubblewrap is not installed", "Landlock: Function not", "--sandbox none"):
        assert words in str(refused.value)


def test_a_sandbox_that_does_not_hold_is_not_taken(monkeypatch):
    held = sandbox.run
    monkeypatch.setattr(sandbox, "run", lambda code, kind: held(code, "none"))
    sandbox.chosen.cache_clear()
    with pytest.raises(SynthError, match="not confined"):
        sandbox.chosen("landlock")
    sandbox.chosen.cache_clear()
