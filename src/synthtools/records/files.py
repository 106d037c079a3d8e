"""Files written beside their name and renamed when complete."""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from synthtools.errors import OutputExistsError, SynthError
from synthtools.records.places import Place


@contextmanager
def told(name: str | Path | Place) -> Iterator[None]:
    """Turns what the system says of a write into one line."""
    try:
        yield
    except OSError as error:
        raise SynthError(f"{name}: cannot be written: {error.strerror or error}") from error


def special(path: Path) -> int | None:
    """A descriptor for what is no file of its own: a device, a pipe, or the name of a descriptor.

    Such a thing is written to as it is. To rename a file over it would break it for everyone.

    Returns:
        None where the name is that of a file, there or not.
    """
    # Not resolved: /dev/stdout is a link to whatever file the shell has redirected it to.
    name = os.path.abspath(path)
    open_already = _DESCRIPTOR.fullmatch(_STANDARD.get(name, name))
    if open_already:
        return os.dup(int(open_already[1]))
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return None  # nothing there, or what there is will be told when it is opened
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return os.open(path, os.O_WRONLY)


_STANDARD = {"/dev/stdout": "/dev/fd/1", "/dev/stderr": "/dev/fd/2"}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/([0-9]+)")


# Files begun and neither committed nor aborted. A signal may come between any two steps of a
# program, so that whoever began a file may never learn its name.
_BEGUN: set[Path] = set()


def remove_unfinished() -> None:
    """Removes what an interrupted program has begun to write."""
    while _BEGUN:
        try:
            _BEGUN.pop().unlink(missing_ok=True)
        except OSError:
            pass  # the disk became read-only, or was never anything else


class AtomicFile:
    """A file that stands under its name only once it is whole.

    A device or a pipe is written to as it is (see ``special``).

    Args:
        path: the final name.
        force: replace an existing file.

    Raises:
        OutputExistsError: the name is taken and ``force`` is not given.
        SynthError: the folder is missing or may not be written to.
    """

    def __init__(self, path: Path, force: bool = False) -> None:
        self.path = path
        self._spares: list[Path] = []
        self._temporary: Path | None = None
        with told(path):
            descriptor = special(path)
        if descriptor is not None:
            self.file: BinaryIO = open(descriptor, "wb")
            return
        if os.path.isdir(path):
            raise SynthError(f"{path}: is a directory; name a file")
        if not force and os.path.lexists(path):
            raise OutputExistsError(f"{path}: already there; --force replaces it")
        self._open()

    def _open(self) -> None:
        # The name is shortened so that what is added to it makes it no longer than names may be.
        name = f".{self.path.name[:40]}.{secrets.token_hex(4)}.partial"
        with told(self.path):
            self._temporary = self.path.with_name(name)
            _BEGUN.add(self._temporary)
            self.file = open(self._temporary, "xb", buffering=1 << 20)

    def write(self, data: bytes) -> None:
        with told(self.path):
            self.file.write(data)

    def restart(self) -> Path:
        """Begins the content anew; what was written so far can be read from the returned path."""
        assert self._temporary is not None
        self.file.close()
        self._spares.append(self._temporary)
        self._open()
        return self._spares[-1]

    def settle(self) -> None:
        """Makes the content durable, not yet under its name: ``commit`` then has nothing to write."""
        with told(self.path):
            self.file.flush()
            if self._temporary is not None:
                os.fsync(self.file.fileno())

    def commit(self) -> None:
        """Makes the content durable under its name."""
        self.settle()
        with told(self.path):
            self.file.close()
            if self._temporary is not None:
                os.replace(self._temporary, self.path)
                _BEGUN.discard(self._temporary)
            self._remove(self._spares)

    def abort(self) -> None:
        """Leaves nothing behind."""
        try:
            self.file.close()
        except OSError:
            pass  # a full disk fails at the close too; the content is thrown away all the same
        try:
            self._remove([*self._spares, *([self._temporary] if self._temporary else [])])
        except OSError:
            pass  # a disk that became read-only keeps it; the cause of the abort is told

    @staticmethod
    def _remove(paths: list[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)
            _BEGUN.discard(path)


class SentFile(AtomicFile):
    """A file that is written here (in TMPDIR) and stands by its URL only once it is whole.

    Raises:
        OutputExistsError: there is one, and ``force`` is not given.
        SynthError: it cannot be written.
    """

    def __init__(self, place: Place, force: bool = False) -> None:
        self.path = place  # type: ignore[assignment]
        self._spares = []
        with told(place):
            if not force and place.exists():
                raise OutputExistsError(f"{place}: already there; --force replaces it")
        self._open()

    def _open(self) -> None:
        with told("a file on its way, in TMPDIR,"):
            descriptor, name = tempfile.mkstemp(prefix="synth-")
            self._temporary = Path(name)
            _BEGUN.add(self._temporary)
            self.file = open(descriptor, "wb", buffering=1 << 20)

    def commit(self) -> None:
        assert self._temporary is not None and isinstance(self.path, Place)
        with told(self.path):
            self.file.close()
            self.path.put(self._temporary)
        self._remove([*self._spares, self._temporary])


def begun(path: Path | Place, force: bool = False) -> AtomicFile:
    """A file to be written, here or by its URL."""
    return SentFile(path, force) if isinstance(path, Place) else AtomicFile(path, force)


def write_whole(path: Path | Place, content: bytes, force: bool = True) -> None:
    """Writes a small file at once, atomically."""
    file = begun(path, force=force)
    try:
        file.write(content)
        file.commit()
    except BaseException:
        file.abort()
        raise
