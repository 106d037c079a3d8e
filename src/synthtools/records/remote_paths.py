"""Files and directories by URL (``s3://``, ``gs://``, ``hf://``, …), with the needed part of pathlib's interface.

fsspec implements the protocols. Errors of its packages become an ``OSError`` with one line, as for local
files.
"""

from __future__ import annotations

import fnmatch
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from synthtools.errors import SynthError, UsageError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# Protocols on which objects appear when complete, and a rename would be a copy.
_WHOLE_OR_NOT = frozenset(("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "hf", "oss"))
# Packages whose names fsspec does not give.
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs"}
_PACKAGES |= {"az": "adlfs", "http": "aiohttp", "https": "aiohttp", "hf": "huggingface_hub"}
# Keys of listings whose values change with the content.
_MARKS = ("ETag", "etag", "md5Hash", "crc32c", "blob_id", "oid", "sha256", "content_md5")
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")


def path_of(name: str) -> Path | RemotePath:
    """A local path, or a RemotePath for a URL."""
    return RemotePath(name) if _URL.match(name) else Path(name)


@cache
def _system(protocol: str, url: str) -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise UsageError(
            f"{url}: paths on other machines need fsspec: pip install 'synthtools[remote]'"
        ) from error
    try:
        return fsspec.core.url_to_fs(url)[0]
    except ImportError as error:
        package = _PACKAGES.get(protocol, f"the package of fsspec for {protocol}://")
        raise UsageError(f"{url}: {protocol}:// needs {package}: pip install {package}") from error
    except ValueError as error:
        raise UsageError(f"{url}: {protocol}:// is not known to fsspec") from error


@contextmanager
def _as_of_a_file() -> Iterator[None]:
    """Turns all errors of a protocol's package into an OSError with one line."""
    try:
        yield
    except SynthError:
        raise
    except FileNotFoundError as error:
        # Over HTTP it is raised for any failure of the server or connection.
        why = error.__cause__
        status = getattr(why, "status", 404)
        if status != 404:
            raise OSError(5, f"HTTP {status}") from error
        if isinstance(why, OSError):
            raise OSError(5, f"no server answers ({why.strerror or why})") from error
        raise FileNotFoundError(2, "No such file or directory") from error
    except PermissionError as error:
        raise PermissionError(13, "Permission denied (are there credentials?)") from error
    except Exception as error:
        text = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise OSError(5, text[:200] or type(error).__name__) from error


class RemotePath:
    """A file or directory by URL, with methods like a Path.

    Attributes:
        name: the last part.
        shared: visible to other machines.
        single: only named files can be read; no directories, no writing (HTTP).
    """

    def __init__(self, url: str, details: dict[str, Any] | None = None) -> None:
        self._url = url
        self._details = details
        self._protocol = url.partition("://")[0].lower()
        self.name = url.rstrip("/").rpartition("/")[2]
        self.shared = self._protocol != "memory"
        self.single = self._protocol in ("http", "https")

    def __str__(self) -> str:
        return self._url

    def __reduce__(self) -> tuple[type[RemotePath], tuple[str]]:
        return RemotePath, (self._url,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __lt__(self, other: RemotePath) -> bool:
        return self._url < other._url

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self._url.rstrip('/')}/{name}")

    @property
    def parent(self) -> RemotePath:
        return RemotePath(self._url.rstrip("/").rpartition("/")[0])

    @property
    def _key(self) -> str:
        return self._url.rstrip("/")

    @property
    def _fs(self) -> Any:
        # One per host, since for some protocols it is part of the connection.
        head = re.match(r"[^:]+://[^/]*", self._url)
        assert head is not None
        return _system(self._protocol, head[0])

    @property
    def _path(self) -> str:
        return str(self._fs._strip_protocol(self._url))

    # ------------------------------------------------------------ listing

    def details(self) -> dict[str, Any]:
        """The protocol's metadata. Raises OSError."""
        if self._details is None:
            with _as_of_a_file():
                self._details = dict(self._fs.info(self._path))
        return self._details

    def exists(self) -> bool:
        try:
            self.details()
        except FileNotFoundError:
            return False
        return True

    def is_file(self) -> bool:
        return self.exists() and self.details().get("type") != "directory"

    def is_dir(self) -> bool:
        return self.exists() and self.details().get("type") == "directory"

    def mark(self) -> str | None:
        """A value that changes with the content, None if the protocol has none."""
        details = self.details()
        for name in (*_MARKS, *_TIMES):
            if details.get(name):
                return f"{name} {details[name]}"
        return None

    def walk(self) -> list[RemotePath]:
        """All files below, in name order."""
        with _as_of_a_file():
            entries = self._fs.find(self._path, detail=True)
        root, base = self._path.rstrip("/"), self._url.rstrip("/")
        return sorted(RemotePath(base + path[len(root) :], dict(i)) for path, i in entries.items())

    def iterdir(self) -> Iterator[RemotePath]:
        self._fs.invalidate_cache()
        base = self._url.rstrip("/")
        try:
            with _as_of_a_file():
                names = self._fs.ls(self._path, detail=False)
        except FileNotFoundError:
            return  # object stores have no empty directories
        yield from (RemotePath(f"{base}/{path.rstrip('/').rpartition('/')[2]}") for path in names)

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        return (place for place in self.iterdir() if fnmatch.fnmatch(place.name, pattern))

    # ------------------------------------------------------------ reading and writing

    def open(self) -> io.RawIOBase:
        """Opens the file for reading, with seek."""
        with _as_of_a_file():
            return _Reader(self._fs.open(self._path, "rb"))

    def read_bytes(self) -> bytes:
        with self.open() as file:
            return file.read()

    def mkdir(self, parents: bool = True, exist_ok: bool = True) -> None:
        with _as_of_a_file():
            self._fs.makedirs(self._path, exist_ok=exist_ok)

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with _as_of_a_file():
                self._fs.rm_file(self._path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def put(self, source: Path) -> None:
        """Uploads a local file, completely or not at all."""
        with _as_of_a_file():
            if self._protocol in _WHOLE_OR_NOT:
                self._fs.put_file(os.fspath(source), self._path)
                return
            folder, _, name = self._path.rpartition("/")
            partial = f"{folder}/.{name[:40]}.partial"
            self._fs.put_file(os.fspath(source), partial)
            self._fs.mv(partial, self._path)
        self._details = None


class _Reader(io.RawIOBase):
    """A file of fsspec that raises OSError."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def _done(self, function: Callable[..., Any], *words: Any) -> Any:
        with _as_of_a_file():
            return function(*words)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def readinto(self, buffer: Any) -> int:
        data = self._done(self._file.read, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._done(self._file.seek, offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
