"""Runs programs written by a model, isolated from this process.

Each runs in a separate process in an empty directory, without our environment, confined by the kernel: by bubblewrap
if installed, else by Landlock, and by seccomp in both cases (``confinement``). It can write only in its directory, read
only Python's own files, and has no network and no other processes; time, memory and files are limited. Nothing that
it does or writes affects other verdicts. It can, however, claim to have passed: the program and its tests share one
interpreter, as in the suites' own harnesses.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

from synthtools.errors import SynthError, parameter

# CPU time, so that verdicts do not depend on the load of the machine; …
SECONDS = 10
# … and as a backstop, for programs that sleep, this many times as long in wall time.
_PATIENCE = 4
_MEMORY = 2 << 30
_FILE = 16 << 20
# Totals over all files, which the kernel does not limit: checked while the program runs.
_FILES, _FOLDER = 1000, 256 << 20
_OPEN_FILES = 32
# Bytes kept of a program's output, from its beginning and from its end.
_KEPT = 64 << 10
_INTERVAL = 0.05

KINDS = ("bubblewrap", "landlock", "none")


class ProgramOutcome(NamedTuple):
    """Whether a program ran to its end, else the reason, in a line; and the first and last 64 KB of its output to
    stdout and stderr."""

    passed: bool
    reason: str
    output: str = ""


@functools.cache
def chosen(requested: str) -> str:
    """The way of ``KINDS`` in which programs are confined here: the requested one, or with ``auto`` the first that
    contains a program that tries to escape. Raises SynthError: none does."""
    if requested == "none":
        return requested
    reasons = []
    with tempfile.TemporaryDirectory(prefix="synth-outside-") as outside:
        attempts = (f"open({outside + '/a'!r}, 'w')", "__import__('socket').socket()")
        code = "".join(
            f"try:\n    {attempt}\nexcept OSError:\n    pass\nelse:\n    raise SystemExit('not confined')\n"
            for attempt in attempts
        )
        for kind in KINDS[:-1] if requested == "auto" else (requested,):
            if kind == "bubblewrap" and shutil.which("bwrap") is None:
                reasons.append("bubblewrap is not installed")
                continue
            outcome = run(code, kind)
            if outcome.passed:
                return kind
            reasons.append(f"{kind}: {outcome.reason}")
    raise SynthError(
        f"programs cannot be confined here ({'; '.join(reasons)}): install bubblewrap, or run them "
        f"unprotected ({parameter('sandbox', 'none')})"
    )


def run(code: str, kind: str, seconds: int = SECONDS) -> ProgramOutcome:
    """Runs a program to its end or its limits. ``kind``: of ``KINDS``."""
    # Success must be reported with the mark: exiting early is not enough.
    mark = secrets.token_hex(16)
    limits = {"RLIMIT_CPU": (seconds, seconds + 1), "RLIMIT_CORE": (0, 0)}
    for name, value in (("AS", _MEMORY), ("FSIZE", _FILE), ("NOFILE", _OPEN_FILES)):
        limits[f"RLIMIT_{name}"] = (value, value)
    task = {"code": code, "mark": mark, "kind": kind, "parent": os.getpid()}
    task |= {"readable": _readable(), "limits": limits}
    folder = os.path.realpath(tempfile.mkdtemp(prefix="synth-code-"))
    try:
        with tempfile.TemporaryFile() as task_file:
            task_file.write(json.dumps(task).encode())
            task_file.seek(0)
            process = subprocess.Popen(  # noqa: S603 (that is what this is for)
                _command(kind, folder),
                stdin=task_file,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={"PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder},
                start_new_session=True,
            )
        output = _Ends()
        stopped = _watched(process, output, folder, _PATIENCE * seconds + 5)
    finally:
        # Not shutil.rmtree, which is limited by Python's stack: a program may nest directories deeper.
        subprocess.run(["rm", "-rf", "--", folder], stderr=subprocess.DEVNULL, check=False)  # noqa: S603, S607
    verdict = _verdict(bytes(output.last), mark)
    wrote = output.text()
    # Killed by the time limit, directly or via bubblewrap.
    late = process.returncode in (-24, -9, 152, 137) if stopped is None else stopped == "late"
    if late:
        stopped = f"ran longer than {seconds} s"
    if stopped or verdict is None:
        last = wrote.strip().rpartition("\n")[2][-150:]
        return ProgramOutcome(False, stopped or f"ended early{': ' * bool(last)}{last}", wrote)
    wrote = wrote.partition(f"\n{mark}")[0]
    return ProgramOutcome(verdict == "passed", "" if verdict == "passed" else verdict, wrote)


def run_all(programs: Iterable[str], kind: str, jobs: int) -> Iterator[ProgramOutcome]:
    """Runs programs in parallel; outcomes in their order."""
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        yield from pool.map(lambda code: run(code, kind), programs)


def _readable() -> list[str]:
    system = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/zero", "/dev/urandom"]
    return sorted(
        {*system, os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix)}
    )


def _command(kind: str, folder: str) -> list[str]:
    source = Path(__file__).with_name("confinement.py").read_text(encoding="utf-8")
    # Not that of a virtual environment, whose directory is not readable in the sandbox.
    python = os.path.realpath(sys.executable)
    command = [python, "-I", "-S", "-c", source]
    if kind != "bubblewrap":
        return command
    words = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent"]
    for path in _readable():
        words += ["--dev-bind" if path.startswith("/dev") else "--ro-bind-try", path, path]
    words += ["--dev-bind", "/dev/null", "/dev/null", "--bind", folder, folder, "--chdir", folder]
    return [*words, "--remount-ro", "/", "--", *command]


class _Ends:
    """The first and the last bytes of a stream."""

    def __init__(self) -> None:
        self.first = bytearray()
        self.last = bytearray()
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        self.first += piece[: _KEPT - len(self.first)]
        self.last += piece
        del self.last[:-_KEPT]

    def text(self) -> str:
        beyond = self._size - len(self.first)
        between = b""
        if beyond > _KEPT:
            between = f"\n… {beyond - _KEPT} bytes left out …\n".encode()
        tail = self.last[-beyond:] if beyond else b""
        return bytes(self.first + between + tail).decode("utf-8", "replace")


def _watched(
    process: subprocess.Popen[bytes], output: _Ends, folder: str, seconds: float
) -> str | None:
    """Collects a process's output until it ends, and kills it at its limits. Returns why it was stopped
    (``late``: after ``seconds``); None if it ended by itself."""
    assert process.stdout is not None
    end = time.monotonic() + seconds
    stopped = None
    os.set_blocking(process.stdout.fileno(), False)
    with process.stdout, selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        checked_at = 0.0
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if selector.get_map():
                if selector.select(_INTERVAL) and _taken(process.stdout, output) == b"":
                    selector.unregister(process.stdout)
            else:
                time.sleep(_INTERVAL / 10)
            now = time.monotonic()
            if now > end:
                stopped = "late"
            elif now > checked_at + _INTERVAL:
                checked_at = now
                stopped = _too_much(folder)
            if stopped:
                break
        try:  # not yet reaped, so the process group is still its own
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        while _taken(process.stdout, output):
            pass
    return stopped


def _taken(pipe: IO[bytes], output: _Ends) -> bytes | None:
    """Reads a piece; empty at the end, None if nothing is available yet."""
    try:
        piece = os.read(pipe.fileno(), _KEPT)
    except BlockingIOError:
        return None
    output.add(piece)
    return piece


def _too_much(folder: str) -> str | None:
    size, count, folders = 0, 0, [folder]
    try:
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    count += 1
                    size += entry.stat(follow_symlinks=False).st_size
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    if count > _FILES or size > _FOLDER:
                        return f"wrote more than {_FILES} files or {_FOLDER >> 20} MB"
    except FileNotFoundError:
        return None  # deleted meanwhile; the next check counts
    except OSError:
        return "wrote folders that cannot be read"
    return None


def _verdict(tail: bytes, mark: str) -> str | None:
    """The verdict in the output; None if it is missing or unreadable."""
    _, marked, text = tail.decode("utf-8", "replace").rpartition(mark)
    try:
        verdict = json.loads(text) if marked else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(verdict, str):
        return None
    # An unpaired surrogate could not be written to a file.
    return verdict[:200].encode("utf-8", "replace").decode()
