"""Files written under a temporary name and renamed when complete, by one process at a time."""

from __future__ import annotations

import filecmp
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from synthtools.errors import OutputExistsError, SynthError, UsageError, parameter
from synthtools.records.early_sync import EarlySync
from synthtools.records.exclusive_rename import rename_new
from synthtools.records.output_lock import OutputLock, hidden, release_all
from synthtools.records.remote_paths import RemotePath


@contextmanager
def write_errors(name: str | Path | RemotePath) -> Iterator[None]:
    """Turns operating-system errors of a write into one line."""
    try:
        yield
    except OSError as error:
        folder = Path(name).parent if isinstance(name, str | Path) else None
        if isinstance(error, FileNotFoundError) and folder and not folder.exists():
            raise SynthError(f"{name}: directory {folder} does not exist") from error
        raise SynthError(f"{name}: cannot be written: {error.strerror or error}") from error


def open_special_file(path: Path) -> int | None:
    """A descriptor for a special file: a device, a pipe, or a name such as /dev/stdout.

    These are written in place: renaming a file over them would break them for other programs.

    Returns:
        None for a regular file, existing or not.
    """
    open_already = _open_already(path)
    if open_already is not None:
        return os.dup(open_already)
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return None  # missing, or its error comes when it is opened
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return os.open(path, os.O_WRONLY)


def _open_already(path: str | Path) -> int | None:
    # Not resolved: /dev/stdout is a link to the file that the shell redirected it to.
    name = os.path.abspath(path)
    match = _DESCRIPTOR.fullmatch(_STANDARD.get(name, name))
    return int(match[1]) if match else None


_STANDARD = {"/dev/stdout": "/dev/fd/1", "/dev/stderr": "/dev/fd/2"}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/([0-9]+)")


# Files claimed for as long as a command runs: paths, and device and inode of those that exist.
_CLAIMED: ContextVar[Mapping[str, tuple[int, int] | None]] = ContextVar(
    "claimed", default=MappingProxyType({})
)


@contextmanager
def claimed(beside: Iterable[tuple[str, str]], output: str = "-") -> Iterator[None]:
    """Claims the files that a command writes beside its output, so that conflicts are errors at the start.

    Args:
        beside: (option, file) of each.
        output: the command's output; only compared, since the caller has claimed it.

    Raises:
        UsageError: two options name one file.
        OutputInUseError: another run writes one of them.
        SynthError: one is a directory, or cannot be written.
    """
    places = {_resolved(output): "-o"} if _is_file(output) else {}
    claims: dict[str, tuple[int, int] | None] = {}
    with ExitStack() as stack:
        for option, name in beside:
            if not _is_file(name):
                continue  # a device; for a directory the error comes on opening
            place = _resolved(name)
            if place in places:
                raise UsageError(
                    f"{option} {name}: is the file of {places[place]} too; name another"
                )
            places[place] = option
            # The run may create a missing folder.
            if os.path.isdir(os.path.dirname(place)):
                with write_errors(name):
                    stack.enter_context(OutputLock.of_file(Path(name)))
                claims[place] = _identity(os.stat(name)) if os.path.exists(name) else None
        before = _CLAIMED.get()
        _CLAIMED.set({**before, **claims})
        stack.callback(_CLAIMED.set, before)
        yield


def _is_file(name: str) -> bool:
    taken = os.path.exists(name) and not os.path.isfile(name)
    return name != "-" and _open_already(name) is None and not taken


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def refuse_claimed(name: str, status: os.stat_result) -> None:
    """Raises SynthError if an input is also written beside the output."""
    if _identity(status) in _CLAIMED.get().values():
        raise SynthError(f"{name}: is both input and output; write to another file")


def _resolved(name: str | Path) -> str:
    folder, name = os.path.split(os.path.abspath(name))
    return os.path.join(os.path.realpath(folder), name)


# Files neither committed nor aborted yet. A signal may come at any time, before the thread that
# started a file knows its name.
_BEGUN: set[Path] = set()


def remove_unfinished() -> None:
    """Removes the unfinished files of an interrupted program, and releases their claims."""
    while _BEGUN:
        try:
            _BEGUN.pop().unlink(missing_ok=True)
        except OSError:
            pass  # a read-only disk
    release_all()


class AtomicFile:
    """A file that appears under its name when it is complete, and is claimed while it is written.

    A device or a pipe is written in place (see ``open_special_file``).

    Args:
        path: the final name.
        force: replace an existing file.
        claimed: the caller holds the claim on it, or on its folder.
        same: an existing file is accepted if it has the same content; a run killed just after the
            rename leaves one.

    Raises:
        OutputInUseError: another run writes it.
        OutputExistsError: the file exists, without ``force``.
        SynthError: the folder is missing or not writable.
    """

    _early: EarlySync | None = None

    def __init__(
        self, path: Path, force: bool = False, claimed: bool = False, same: bool = False
    ) -> None:
        self.path = path
        self._force = force
        self._same = same
        self._spares: list[Path] = []
        self._temporary: Path | None = None
        self._claim: OutputLock | None = None
        with write_errors(path):
            descriptor = open_special_file(path)
        if descriptor is not None:
            self.file: BinaryIO = open(descriptor, "wb")
            return
        if os.path.isdir(path):
            raise SynthError(f"{path}: is a directory; name a file")
        if not claimed and _resolved(path) not in _CLAIMED.get():
            with write_errors(path):
                self._claim = OutputLock.of_file(path)
        try:
            if not force and not same and os.path.lexists(path):
                raise OutputExistsError(f"{path}: already there; {parameter('force')} replaces it")
            self._open()
        except BaseException:
            self._release()
            raise

    def _open(self) -> None:
        name = f"{hidden(self.path.name)}.{os.urandom(4).hex()}.partial"
        with write_errors(self.path):
            self._temporary = self.path.with_name(name)
            _BEGUN.add(self._temporary)
            self.file = open(self._temporary, "xb", buffering=1 << 20)

    def write(self, data: bytes) -> None:
        with write_errors(self.path):
            self.file.write(data)

    def restart(self) -> Path:
        """Starts the content over; the old content can be read from the returned path."""
        assert self._temporary is not None
        self._await_early()
        self.file.close()
        self._spares.append(self._temporary)
        self._open()
        return self._spares[-1]

    def send_ahead(self) -> None:
        """Sends what was written so far to disk, in a thread, so that ``settle`` waits for little."""
        if self._temporary is not None:
            if self._early is None:
                self._early = EarlySync(self.file)
            self._early.sync_if_due()

    def _await_early(self) -> OSError | None:
        early, self._early = self._early, None
        return None if early is None else early.finish()

    def settle(self) -> None:
        """Flushes the content to disk, so that ``commit`` only has to rename."""
        with write_errors(self.path):
            if error := self._await_early():
                raise error
            self.file.flush()
            if self._temporary is not None:
                os.fsync(self.file.fileno())

    def commit(self) -> None:
        """Flushes the content to disk and renames the file."""
        self.settle()
        with write_errors(self.path):
            self.file.close()
            if self._temporary is not None:
                self._rename(self._temporary)
                _BEGUN.discard(self._temporary)
            self._remove(self._spares)
        self._release()

    def _rename(self, temporary: Path) -> None:
        if self._force:
            os.replace(temporary, self.path)
            return
        try:
            rename_new(temporary, self.path)
        except FileExistsError as error:
            if self._same and filecmp.cmp(temporary, self.path, shallow=False):
                temporary.unlink()
                return
            raise OutputExistsError(
                f"{self.path}: was made by another program meanwhile; nothing was replaced"
            ) from error

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.release()

    def abort(self) -> None:
        """Removes the temporary file."""
        self._await_early()
        try:
            self.file.close()
        except OSError:
            pass  # closing may fail on a full disk; the content is discarded anyway
        try:
            self._remove([*self._spares, *([self._temporary] if self._temporary else [])])
        except OSError:
            pass  # a read-only disk; the cause of the abort is reported
        self._release()

    @staticmethod
    def _remove(paths: list[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)
            _BEGUN.discard(path)


class SentFile(AtomicFile):
    """A file that is written to TMPDIR and uploaded to its URL when complete.

    It is not claimed: object stores have no locks that end with their process.

    Raises:
        OutputExistsError: the file exists, without ``force``.
        SynthError: it cannot be written.
    """

    def __init__(self, place: RemotePath, force: bool = False) -> None:
        self.path = place  # type: ignore[assignment]
        self._force = force
        self._spares = []
        self._claim = None
        if not force and self._is_there(place):
            raise OutputExistsError(f"{place}: already there; {parameter('force')} replaces it")
        self._open()

    @staticmethod
    def _is_there(place: RemotePath) -> bool:
        with write_errors(place):
            return RemotePath(str(place)).exists()  # not from the listing cache

    def _open(self) -> None:
        with write_errors("a file on its way, in TMPDIR,"):
            descriptor, name = tempfile.mkstemp(prefix="synth-")
            self._temporary = Path(name)
            _BEGUN.add(self._temporary)
            self.file = open(descriptor, "wb", buffering=1 << 20)

    def commit(self) -> None:
        assert self._temporary is not None and isinstance(self.path, RemotePath)
        if not self._force and self._is_there(self.path):
            raise OutputExistsError(
                f"{self.path}: was made by another program meanwhile; nothing was replaced"
            )
        with write_errors(self.path):
            self.file.close()
            self.path.put(self._temporary)
        self._remove([*self._spares, self._temporary])


def atomic_file(
    path: Path | RemotePath, force: bool = False, claimed: bool = False, same: bool = False
) -> AtomicFile:
    """A local or remote file to be written (see ``AtomicFile``)."""
    if isinstance(path, RemotePath):
        return SentFile(path, force)
    return AtomicFile(path, force, claimed, same)


def write_whole(
    path: Path | RemotePath, content: bytes, force: bool = True, claimed: bool = False
) -> None:
    """Writes a small file atomically (see ``AtomicFile``)."""
    file = atomic_file(path, force, claimed)
    try:
        file.write(content)
        file.commit()
    except BaseException:
        file.abort()
        raise
