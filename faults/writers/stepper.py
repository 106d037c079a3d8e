"""Starts of ``synth`` that are killed or stopped just before a step of their writing.

Run as a program: each line on stdin is a request in JSON, each line on stdout the answer.

    {"words": ["cat", …], "folder": "/…", "at": 7, "signal": 9}   at the 7th step; null for none
    {"go_on": true}                                                what was stopped goes on
    → {"steps": 12, "code": 0, "errors": "…"}                      code -9: killed, null: stopped

A step is a change on disk below the folder: a raw write, a flush to the disk, a rename, a link, the
making and the removal of a file or a directory. Nothing changes between one step and the next, so that
"before the next" is "after this one". A raw write is killed in its middle.
"""

from __future__ import annotations

import builtins
import ctypes
import functools
import io
import json
import mmap
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from typing import Any

_PATHS = ("replace", "rename", "link", "unlink", "remove", "mkdir", "rmdir", "chmod")
_FILES = ("fsync", "ftruncate", "pwrite", "posix_fallocate")


class Steps:
    """Counts steps in memory that parent and child share, and sends the signal at one of them."""

    def __init__(self, folder: str, at: int | None, number: int) -> None:
        self._folder = folder + os.sep
        self._at = at
        self._signal = number
        self._count = mmap.mmap(-1, 8)

    @property
    def count(self) -> int:
        return int.from_bytes(self._count[:8], "little")

    def step(self, half: Callable[[], object] = lambda: None) -> None:
        """One more step.

        Args:
            half: does a part of it, where a kill may come in its middle.
        """
        count = self.count + 1
        self._count[:8] = count.to_bytes(8, "little")
        if count == self._at:
            if self._signal == signal.SIGKILL:
                half()
            os.kill(os.getpid(), self._signal)

    def within(self, path: Any) -> bool:
        return isinstance(path, (str, bytes, os.PathLike)) and os.path.abspath(
            os.fsdecode(path)
        ).startswith(self._folder)

    def watch(self) -> None:
        """From now on this process counts."""
        for name in _PATHS:
            setattr(os, name, self._counted(getattr(os, name), self.within))
        for name in _FILES:
            setattr(os, name, self._counted(getattr(os, name), lambda file: True))
        builtins.open = io.open = functools.partial(self._open, io.open)  # type: ignore[assignment]
        self._watch_libraries()

    def _counted(self, function: Callable, counts: Callable[[Any], bool]) -> Callable:
        def counted(first: Any, *rest: Any, **more: Any) -> Any:
            if counts(first) or "dir_fd" in more:
                self.step()
            return function(first, *rest, **more)

        return counted

    def _watch_libraries(self) -> None:
        """What is written by no function of Python."""
        import safetensors.torch

        library = ctypes.CDLL

        def loaded(name: str | None, *rest: Any, **more: Any) -> Any:
            found = library(name, *rest, **more)
            if name is None:
                found.renameat2 = self._counted(found.renameat2, lambda folder: True)
            return found

        ctypes.CDLL = loaded  # type: ignore[assignment,misc]
        serialize = safetensors.torch.serialize_file  # type: ignore[attr-defined]

        def serialized(tensors: Any, path: Any, *rest: Any, **more: Any) -> None:
            def half() -> None:
                serialize(tensors, path, *rest, **more)
                os.truncate(path, os.path.getsize(path) // 2)

            self.step(half)
            serialize(tensors, path, *rest, **more)

        safetensors.torch.serialize_file = serialized  # type: ignore[attr-defined]

    def _open(
        self,
        plain: Callable,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        *rest: Any,
        **more: Any,
    ) -> Any:
        if not set(mode) & set("wax+") or not self.within(file):
            return plain(file, mode, buffering, *rest, **more)
        steps = self

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                write = super().write
                steps.step(lambda: write(bytes(data)[: len(data) // 2]))
                return write(data)

        self.step()  # the file appears, or is emptied
        raw = Raw(os.fspath(file), mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffered = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *rest, **more)


def _start(request: dict[str, Any], errors: Any) -> tuple[int, Steps]:
    folder = os.path.abspath(request["folder"])
    steps = Steps(folder, request["at"], request["signal"])
    child = os.fork()
    if child:
        return child, steps
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    os.dup2(errors.fileno(), 2)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    sys.argv[1:] = request["words"]
    steps.watch()
    from synthtools.cli.app import main
    from synthtools.warm.server import leave

    try:
        main()
    except SystemExit as end:
        leave(int(end.code or 0))
    raise AssertionError("main always exits")


def _answer(child: int, steps: Steps, errors: Any) -> bool:
    """Waits for the child and tells how it is; whether it has only been stopped."""
    _, status = os.waitpid(child, os.WUNTRACED)
    stopped = os.WIFSTOPPED(status)
    errors.seek(0)
    told = errors.read().decode("utf-8", "replace")
    code = None if stopped else os.waitstatus_to_exitcode(status)
    print(json.dumps({"steps": steps.count, "code": code, "errors": told}), flush=True)
    return stopped


def _serve() -> None:
    from synthtools.warm.server import HEAVY, own_modules, warm_up

    warm_up((*HEAVY, *own_modules()))
    for line in sys.stdin:
        with tempfile.TemporaryFile() as errors:
            child, steps = _start(json.loads(line), errors)
            if _answer(child, steps, errors):
                assert json.loads(sys.stdin.readline()) == {"go_on": True}
                os.kill(child, signal.SIGCONT)
                _answer(child, steps, errors)


if __name__ == "__main__":
    _serve()
