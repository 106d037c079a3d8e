"""One writer an output: a hidden file beside it, locked by the process that writes.

The lock is the system's (flock), so that it dies with its process, however that dies; the file says who
holds it. Some file systems lock for one machine alone, and some not at all: there a claim counts for
as long as its holder keeps its time fresh.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import threading
import time
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

from synthtools.errors import OutputInUseError

# Seconds between two signs of life, and after how many without one a holder that no lock tells of
# is taken for dead [ours].
BEAT = 20.0
FRESH = 90.0

_NO_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL)
# Longer names are shortened, so that what is added to them makes them no longer than names may be.
_LONGEST = 40


def hidden(name: str) -> str:
    """How the names of the hidden files beside an output begin, another for each output."""
    if len(name) <= _LONGEST:
        return f".{name}"
    return f".{name[:_LONGEST]}~{blake2b(os.fsencode(name), digest_size=4).hexdigest()}"


class OutputLock:
    """That this process writes an output, until it is released; a context too.

    Args:
        path: of the claim's file; output: what is claimed.

    Raises:
        OutputInUseError: another run writes there.
        OSError: the folder is missing or cannot be written to.
    """

    def __init__(self, path: Path, output: Path) -> None:
        self._path = path
        self._output = output
        self._file = -1
        while self._file < 0:
            self._take()

    @classmethod
    def of_file(cls, path: Path) -> OutputLock:
        """The claim on a file; what killed runs have left of it is removed."""
        claim = cls(_beside(path), path)
        remove_partial(path.parent, re.escape(hidden(path.name)))
        return claim

    @classmethod
    def clear(cls, path: Path) -> None:
        """Removes what a run that was killed after its last step has left beside a whole output."""
        if _beside(path).exists():
            # A run that lives removes it itself; where nothing can be written it is in nobody's way.
            with suppress(OutputInUseError, OSError):
                cls.of_file(path).release()

    @classmethod
    def of_folder(cls, folder: Path) -> OutputLock:
        """The claim on a directory, which is there."""
        return cls(folder / ".synth.claim", folder)

    def _take(self) -> None:
        """Opens and locks the file; nothing is held where its last holder removed it meanwhile."""
        file, mine = self._opened()
        try:
            locked = _lock(file)
            holder = _holder(file)
            fresh = time.time() - os.fstat(file).st_mtime < FRESH
            elsewhere = locked is None or holder.get("host") != os.uname().nodename
            if locked is False or (holder and fresh and elsewhere):
                raise OutputInUseError(
                    f"{self._output}: {_in_use_message(holder, locked is False)}"
                )
            if not self._is(file):
                return
            if not mine:  # of another user, whose process is dead
                self._path.unlink()
                return
            with _HOLDING:
                with suppress(OSError):  # a full disk: the lock holds all the same
                    os.ftruncate(file, 0)
                    os.pwrite(file, _description(), 0)
                self._file, file = file, -1
                _HELD.add(self)
        finally:
            if file >= 0:
                os.close(file)
        _start_beating()

    def _opened(self) -> tuple[int, bool]:
        """The file, and whether it may be written."""
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), True
        except PermissionError:
            if not self._path.exists():
                raise
            return os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW), False

    def _is(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self._path))
        except FileNotFoundError:
            return False

    def stands(self) -> bool:
        """Whether the claim is there still: false where somebody removed it, with all of its folder
        perhaps."""
        return self._file >= 0 and self._is(self._file)

    def touch(self) -> None:
        """Gives a sign of life."""
        with suppress(OSError):
            os.utime(self._file)

    def release(self) -> None:
        """Lets others write; removes the file."""
        with _HOLDING:
            file, self._file = self._file, -1
            _HELD.discard(self)
        if file < 0:
            return
        with suppress(OSError):  # a disk that became read-only keeps it: nobody holds it then
            if self._is(file):
                self._path.unlink()
        os.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _beside(path: Path) -> Path:
    return path.with_name(f"{hidden(path.name)}.claim")


def remove_partial(folder: Path, names: str) -> None:
    """Removes the beginnings of files and folders that killed runs left; called by the holder of the claim.

    Args:
        names: a pattern of the names' beginnings.
    """
    pattern = re.compile(rf"{names}\.[0-9a-f]{{8}}\.partial")
    for entry in os.scandir(folder):
        if pattern.fullmatch(entry.name):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def release_all() -> None:
    """Lets go of what an interrupted program holds."""
    for claim in list(_HELD):
        claim.release()


def _lock(file: int) -> bool | None:
    """Whether the lock was free and is ours now; None where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise


def _description() -> bytes:
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    holder = {"pid": os.getpid(), "host": os.uname().nodename, "since": now}
    return json.dumps(holder).encode() + b"\n"


def _holder(file: int) -> dict[str, Any]:
    """What the file says of who holds it; nothing where it says nothing (yet)."""
    try:
        content = json.loads(os.pread(file, 1000, 0))
        return {name: content[name] for name in ("pid", "host", "since")}
    except (ValueError, LookupError, TypeError):
        return {}


def _in_use_message(holder: dict[str, Any], locked: bool) -> str:
    who = "another process"
    if holder:
        who = f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    rest = "wait for its end, or name another output"
    if not locked:
        rest += f" (a killed one is taken for dead {FRESH:.0f} s after its last sign of life)"
    return f"another run writes it ({who}); {rest}"


# ---------------------------------------------------------------- the signs of life

_HELD: set[OutputLock] = set()
_HOLDING = threading.RLock()  # a signal may come while it is held
_beating: threading.Thread | None = None


def _start_beating() -> None:
    global _beating
    if _beating is None:
        _beating = threading.Thread(target=_beat, name="claims", daemon=True)
        _beating.start()


def _beat() -> None:
    while True:
        time.sleep(BEAT)
        with _HOLDING:
            for claim in _HELD:
                claim.touch()


def _let_go_in_child() -> None:
    """A forked child writes nothing, and must not hold the lock when its parent has died."""
    global _HOLDING, _beating
    _HOLDING, _beating = threading.RLock(), None
    for claim in _HELD:
        os.close(claim._file)
        claim._file = -1
    _HELD.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
