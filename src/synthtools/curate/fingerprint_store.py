"""Fingerprints of many texts on disk: in TMPDIR for one run, in an index from run to run.

An index is a directory of arrays in numpy's format (.npy, version 1.0, no pickles; they can be
memory-mapped) and ``index.json``:

    {"format": "synth-dedup-index", "version": 1,
     "settings": {"method": …, "unit": …, …},          what fingerprints must agree in
     "segments": [{"file": "fingerprints-00000.npy", "texts": 812, "job": "5f0c…"}, …]}

A segment holds the fingerprints of one run's texts in their order: uint64 [texts, 2] where equal
texts are sought, uint32 [texts, permutations] (MinHash signatures) where similar ones are. ``job``
is a hash of the run's arguments and inputs, by which a resumed run knows that it had ended.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from synthtools.closeable import Closeable
from synthtools.errors import SynthError
from synthtools.records.atomic_files import AtomicFile, write_errors, write_whole
from synthtools.records.jsonl import json_bytes, parse_value
from synthtools.records.output_lock import OutputLock, remove_partial

_FORMAT, _VERSION = "synth-dedup-index", 1


class ArrayFile(Closeable):
    """Rows of one width and type in a temporary file (in TMPDIR), read through the page cache.

    Args:
        shape: of a row.
    """

    def __init__(self, dtype: type[np.generic], shape: tuple[int, ...] = ()) -> None:
        self._dtype, self._shape = np.dtype(dtype), shape
        self._where = "fingerprints in TMPDIR"
        self._rows = 0
        with write_errors(self._where):
            self._file: BinaryIO = tempfile.TemporaryFile(prefix="synth-")

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: np.ndarray) -> None:
        """Adds rows, [any, *shape]."""
        with write_errors(self._where):
            np.ascontiguousarray(rows, self._dtype).tofile(self._file)
        self._rows += len(rows)

    def array(self) -> np.ndarray:
        """All rows so far, read-only, mapped into memory."""
        with write_errors(self._where):
            self._file.flush()
        if not self._rows:
            return np.zeros((0, *self._shape), self._dtype)
        mapped = np.memmap(self._file, self._dtype, "r", shape=(self._rows, *self._shape))
        return mapped.view(np.ndarray)

    def close(self) -> None:
        self._file.close()


class FingerprintIndex(Closeable):
    """The fingerprints of earlier runs; this process alone adds to them until it is closed.

    Args:
        path: the directory; made where it is not there.
        settings: that this run's fingerprints are made with.

    Raises:
        SynthError: not an index of fingerprints, a damaged one, or one made with other settings.
        OutputInUseError: another run adds to it.
    """

    def __init__(self, path: str, settings: dict[str, Any]) -> None:
        self.path = Path(path)
        with write_errors(self.path):
            self._made = not self.path.exists()
            self.path.mkdir(exist_ok=True)
            self._claim = OutputLock.of_folder(self.path)
            remove_partial(self.path, r"\.(fingerprints-\d+\.npy|index\.json)")
        try:
            self._segments = self._read(settings)
        except BaseException:
            self.close()
            raise
        self._settings = settings

    def close(self) -> None:
        self._claim.release()
        if self._made:
            with suppress(OSError):  # the run has added to it
                self.path.rmdir()

    def _read(self, settings: dict[str, Any]) -> list[dict[str, Any]]:
        file = self.path / "index.json"
        if not file.exists():
            # A run that was killed while it added the first has left its fingerprints alone.
            begun = re.compile(r"\.|fingerprints-00000\.npy$")
            if not all(map(begun.match, os.listdir(self.path))):
                raise SynthError(f"{self.path}: not an index (no index.json); name a new directory")
            return []
        try:
            content = parse_value(file.read_bytes())
            form, version = content["format"], content["version"]
            made, segments = content["settings"], list(content["segments"])
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise SynthError(f"{file}: not the description of an index; name another") from error
        if form != _FORMAT or version != _VERSION:
            raise SynthError(f"{file}: format {form} {version}; this version reads {_VERSION}")
        for name, value in settings.items():
            if made.get(name) != value:
                raise SynthError(
                    f"{self.path}: was made with {name} {made.get(name)}, not {value}; use the same, "
                    "or another directory"
                )
        return segments

    def ends_with(self, job: str) -> bool:
        """Whether this job's texts were added last."""
        return bool(self._segments) and self._segments[-1]["job"] == job

    def into(self, store: ArrayFile) -> None:
        """Copies all fingerprints in their order.

        Raises:
            SynthError: a segment is missing or not what the description says.
        """
        for segment in self._segments:
            file = self.path / Path(str(segment["file"])).name
            try:
                rows = np.load(file, mmap_mode="r", allow_pickle=False)
                store_like = store.array()
                if len(rows) != segment["texts"] or rows.dtype != store_like.dtype:
                    raise ValueError("its size or type is another")
                if rows.shape[1:] != store_like.shape[1:]:
                    raise ValueError("its width is another")
            except (OSError, ValueError) as error:
                raise SynthError(f"{file}: damaged ({error}); make the index again") from error
            for at in range(0, len(rows), 1 << 16):
                store.append(rows[at : at + (1 << 16)])

    def add(self, rows: np.ndarray, job: str) -> None:
        """Keeps the fingerprints of a run as a segment; the description changes last."""
        name = f"fingerprints-{len(self._segments):05d}.npy"
        file = AtomicFile(self.path / name, force=True, claimed=True)
        try:
            with write_errors(file.path):
                np.save(file.file, rows, allow_pickle=False)
            file.commit()
        except BaseException:
            file.abort()
            raise
        self._segments.append({"file": name, "texts": len(rows), "job": job})
        description = {
            "format": _FORMAT,
            "version": _VERSION,
            "settings": self._settings,
            "segments": self._segments,
        }
        write_whole(self.path / "index.json", json_bytes(description) + b"\n", claimed=True)


def job_hash(job: dict[str, Any]) -> str:
    """What an index knows a run by."""
    return hashlib.sha256(json_bytes(job)).hexdigest()[:16]
