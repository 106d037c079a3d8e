"""Files written beside their name and renamed when complete."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import BinaryIO

from synthtools.errors import OutputExistsError, SynthError


class AtomicFile:
    """A file that stands under its name only once it is whole.

    Args:
        path: the final name.
        force: replace an existing file.

    Raises:
        OutputExistsError: the name is taken and ``force`` is not given.
        SynthError: the folder is missing or may not be written to.
    """

    def __init__(self, path: Path, force: bool = False) -> None:
        if not force and os.path.lexists(path):
            raise OutputExistsError(f"{path}: already there; --force replaces it")
        if path.is_dir():
            raise SynthError(f"{path}: is a directory; name a file")
        self.path = path
        self._spares: list[Path] = []
        self._open()

    def _open(self) -> None:
        name = f".{self.path.name[:200]}.{secrets.token_hex(4)}.partial"
        self._temporary = self.path.with_name(name)
        try:
            self.file: BinaryIO = open(self._temporary, "xb", buffering=1 << 20)
        except OSError as error:
            raise SynthError(f"{self.path}: cannot be written: {error.strerror}") from error

    def write(self, data: bytes) -> None:
        self.file.write(data)

    def restart(self) -> Path:
        """Begins the content anew; what was written so far can be read from the returned path."""
        self.file.close()
        self._spares.append(self._temporary)
        self._open()
        return self._spares[-1]

    def commit(self) -> None:
        """Makes the content durable under its name."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self._temporary, self.path)
        self._remove(self._spares)

    def abort(self) -> None:
        """Leaves nothing behind."""
        try:
            self.file.close()
        except OSError:
            pass  # a full disk fails at the close too; the content is thrown away all the same
        self._remove([self._temporary, *self._spares])

    @staticmethod
    def _remove(paths: list[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, force: bool = True) -> None:
    """Writes a small file at once, atomically."""
    file = AtomicFile(path, force=force)
    try:
        file.write(content)
        file.commit()
    except BaseException:
        file.abort()
        raise
