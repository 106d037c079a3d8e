"""Programs that a model wrote, run apart from this process.

Each runs in a process of its own in an empty directory, without our environment, with limits on time,
memory and file size. It is cut off from the network by a namespace of its own where the system allows that, and a hook
refuses sockets, other processes, and writing outside its directory. That keeps accidents in; it is no jail
for code that means harm.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

# Of the processor's time, so that no verdict depends on what else the machine does; …
SECONDS = 10
# … and as a backstop, for a program that sleeps, this many times as long by the clock.
_PATIENCE = 4
_MEMORY = 2 << 30
_FILE = 16 << 20
_OUTPUT = 2000

# What the child runs before the program: it reads {"code", "mark", …} from stdin.
_CHILD = r"""
import ctypes, json, os, resource, sys
given = json.load(sys.stdin)
code, mark, here = given["code"], given["mark"], os.getcwd()
libc = ctypes.CDLL(None, use_errno=True)
alone = any(libc.unshare(flags) == 0 for flags in (0x40000000, 0x50000000))
resource.setrlimit(resource.RLIMIT_CPU, (given["seconds"], given["seconds"] + 1))
resource.setrlimit(resource.RLIMIT_AS, (given["memory"], given["memory"]))
resource.setrlimit(resource.RLIMIT_FSIZE, (given["file"], given["file"]))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
write = os.write
del libc, ctypes
barred = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn",
          "os.kill", "ctypes.", "pty.", "shutil.", "os.chown", "os.chmod", "os.symlink", "os.link")
changing = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate")
inside = os.path.realpath(here) + os.sep
def hook(event, arguments):
    if event.startswith(barred):
        raise PermissionError(f"{event} is not allowed here")
    writes = event == "open" and (
        (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"))
        or (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))
    if (writes or event in changing) and not isinstance(arguments[0], int):
        path = os.path.realpath(os.path.join(here, os.fsdecode(arguments[0])))
        if not path.startswith(inside):
            raise PermissionError(f"{event} {path} is not allowed here")
sys.addaudithook(hook)
try:
    exec(compile(code, "<program>", "exec"), {"__name__": "__main__"})
    said = "passed"
except BaseException as error:
    line = (str(error).splitlines() or [""])[0]
    said = f"{type(error).__name__}: {line}"[:200]
write(2, f"\n{mark}{json.dumps({'said': said, 'alone': alone})}\n".encode())
os._exit(0)
"""


class Outcome(NamedTuple):
    """What became of a program.

    Attributes:
        passed: it ran to its end.
        reason: why not, in a line; empty where it did.
        alone: it had no network at all; None where it ended too early to say.
    """

    passed: bool
    reason: str
    alone: bool | None


def run(code: str, seconds: int = SECONDS) -> Outcome:
    """Runs a program to its end or its limits."""
    # Only who knows the mark can say that the end was reached: exiting early is no success.
    mark = secrets.token_hex(16)
    task = {
        "code": code,
        "mark": mark,
        "seconds": seconds,
        "memory": _MEMORY,
        "file": _FILE,
    }
    with tempfile.TemporaryDirectory(prefix="synth-code-") as folder:
        process = subprocess.Popen(  # noqa: S603 (that is what this is for)
            [sys.executable, "-I", "-S", "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder},
            start_new_session=True,
        )
        try:
            _, errors = process.communicate(
                json.dumps(task).encode(), timeout=_PATIENCE * seconds + 5
            )
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return Outcome(False, f"ran longer than {seconds} s", None)
    tail = errors[-_OUTPUT:].decode("utf-8", "replace")
    _, found, said = tail.rpartition(mark)
    if not found:
        late = process.returncode in (-24, -9)
        return Outcome(False, f"ran longer than {seconds} s" if late else "ended early", None)
    told = json.loads(said)
    passed = told["said"] == "passed"
    return Outcome(passed, "" if passed else told["said"], told["alone"])


def run_all(programs: Iterable[str], jobs: int) -> Iterator[Outcome]:
    """Runs programs side by side; outcomes in their order."""
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        yield from pool.map(run, programs)
