"""One writer per output: a hidden file beside it, locked by the writing process.

The lock is the system's (flock), so that it ends with its process; the file names the holder. Some file
systems lock within one machine only, and some not at all: there a claim is valid as long as its holder keeps
updating the file's time.
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

# Seconds between heartbeats, and seconds without one after which a holder without a lock counts as dead
# [ours].
HEARTBEAT_SECONDS = 20.0
FRESH = 90.0

_NO_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL)
# Longer names are shortened, so that suffixes fit into the maximal length of file names.
_LONGEST = 40


def hidden(name: str) -> str:
    """The prefix of an output's hidden files, different for each output."""
    if len(name) <= _LONGEST:
        return f".{name}"
    return f".{name[:_LONGEST]}~{blake2b(os.fsencode(name), digest_size=4).hexdigest()}"


class OutputLock:
    """A claim of this process to write an output, until released; a context manager.

    Args:
        path: of the lock file; output: what is claimed.

    Raises:
        OutputInUseError: another run holds the claim.
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
        """Claims a file; removes what killed runs have left of it."""
        claim = cls(_claim_path(path), path)
        remove_partial(path.parent, re.escape(hidden(path.name)))
        return claim

    @classmethod
    def clear(cls, path: Path) -> None:
        """Removes the lock file that a killed run has left beside a complete output."""
        if _claim_path(path).exists():
            # A running process removes its own; in a read-only folder the file does no harm.
            with suppress(OutputInUseError, OSError):
                cls.of_file(path).release()

    @classmethod
    def of_folder(cls, folder: Path) -> OutputLock:
        """Claims an existing directory."""
        return cls(folder / ".synth.claim", folder)

    def _take(self) -> None:
        """Opens and locks the file; takes nothing if its last holder removed it meanwhile."""
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
            if not mine:  # owned by another user, whose process is dead
                self._path.unlink()
                return
            with _HOLDING:
                with suppress(OSError):  # a full disk: the lock is held anyway
                    os.ftruncate(file, 0)
                    os.pwrite(file, _description(), 0)
                self._file, file = file, -1
                _HELD.add(self)
        finally:
            if file >= 0:
                os.close(file)
        _start_heartbeat()

    def _opened(self) -> tuple[int, bool]:
        """The file, and whether it is writable."""
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
        """Whether the lock file still exists: False if it was removed, possibly with its folder."""
        return self._file >= 0 and self._is(self._file)

    def touch(self) -> None:
        """Updates the file's time (heartbeat)."""
        with suppress(OSError):
            os.utime(self._file)

    def release(self) -> None:
        """Releases the claim and removes the file."""
        with _HOLDING:
            file, self._file = self._file, -1
            _HELD.discard(self)
        if file < 0:
            return
        with suppress(OSError):  # a read-only disk keeps the file, unlocked
            if self._is(file):
                self._path.unlink()
        os.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _claim_path(path: Path) -> Path:
    return path.with_name(f"{hidden(path.name)}.claim")


def remove_partial(folder: Path, names: str) -> None:
    """Removes partial files and folders of killed runs; called by the holder of the claim.

    Args:
        names: a pattern that matches the start of their names.
    """
    pattern = re.compile(rf"{names}\.[0-9a-f]{{8}}\.partial")
    for entry in os.scandir(folder):
        if pattern.fullmatch(entry.name):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def release_all() -> None:
    """Releases all claims of an interrupted program."""
    for claim in list(_HELD):
        claim.release()


def _lock(file: int) -> bool | None:
    """True if the lock was free and is ours now, False if taken; None if the file system has no locks."""
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
    """The holder named in the file; empty if it does not name one (yet)."""
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


# ---------------------------------------------------------------- heartbeats

_HELD: set[OutputLock] = set()
_HOLDING = threading.RLock()  # reentrant: a signal may arrive while it is held
_heartbeat_thread: threading.Thread | None = None


def _start_heartbeat() -> None:
    global _heartbeat_thread
    if _heartbeat_thread is None:
        _heartbeat_thread = threading.Thread(target=_heartbeat, name="claims", daemon=True)
        _heartbeat_thread.start()


def _heartbeat() -> None:
    while True:
        time.sleep(HEARTBEAT_SECONDS)
        with _HOLDING:
            for claim in _HELD:
                claim.touch()


def _release_in_child() -> None:
    """Drops the locks in a forked child, which must not outlive its parent's claim."""
    global _HOLDING, _heartbeat_thread
    _HOLDING, _heartbeat_thread = threading.RLock(), None
    for claim in _HELD:
        os.close(claim._file)
        claim._file = -1
    _HELD.clear()


os.register_at_fork(after_in_child=_release_in_child)
