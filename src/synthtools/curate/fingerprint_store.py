"""Fingerprints of many texts: in TMPDIR for one run, or in an index for several runs, on disk or in a Redis store.

An index is a directory of arrays in numpy's format (.npy, version 1.0, no pickles; they can be
memory-mapped) and ``index.json``:

    {"format": "synth-dedup-index", "version": 1,
     "settings": {"method": …, "unit": …, …},          must be equal for comparable fingerprints
     "segments": [{"file": "fingerprints-00000.npy", "texts": 812, "job": "5f0c…"}, …]}

A segment has the fingerprints of one run's texts in order: uint64 [texts, 2] for equal texts, uint32 [texts,
permutations] (MinHash signatures) for similar ones. ``job`` is a hash of the run's arguments and inputs, by which a
resumed run recognises that it had ended.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

import numpy as np

from synthtools.closeable import Closeable
from synthtools.errors import SynthError, UsageError
from synthtools.records.atomic_files import AtomicFile, write_errors, write_whole
from synthtools.records.jsonl import json_bytes, parse_value
from synthtools.records.output_lock import OutputLock, remove_partial
from synthtools.redaction import hide
from synthtools.text.minhash import EMPTY

_FORMAT, _VERSION = "synth-dedup-index", 1


class ArrayFile(Closeable):
    """Rows of one type and ``shape`` in a temporary file (in TMPDIR), read through the page cache."""

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

    def append_parts(self, rows: np.ndarray) -> None:
        """Adds rows that may exceed memory."""
        for at in range(0, len(rows), 1 << 16):
            self.append(rows[at : at + (1 << 16)])

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
    """The fingerprints of earlier runs, locked for this process until closed.

    Args:
        path: the directory; created if missing.
        settings: of this run's fingerprints.

    Raises:
        SynthError: not an index of fingerprints, or damaged, or made with other settings.
        OutputInUseError: another run is adding to it.
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
            # A run that was killed while adding the first segment leaves fingerprints without a description.
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
        """Whether the last segment is from this job."""
        return bool(self._segments) and self._segments[-1]["job"] == job

    def into(self, store: ArrayFile) -> None:
        """Copies all fingerprints in order. Raises SynthError: a segment is missing or does not agree with the
        description."""
        for segment in self._segments:
            file = self.path / Path(str(segment["file"])).name
            try:
                rows = np.load(file, mmap_mode="r", allow_pickle=False)
                like = store.array()
                if len(rows) != segment["texts"] or rows.dtype != like.dtype:
                    raise ValueError("its size or type is another")
                if rows.shape[1:] != like.shape[1:]:
                    raise ValueError("its width is another")
            except (OSError, ValueError) as error:
                raise SynthError(f"{file}: damaged ({error}); make the index again") from error
            store.append_parts(rows)

    def add(self, rows: np.ndarray, job: str) -> None:
        """Adds the fingerprints of a run as a segment; the description is changed last."""
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
        description = {"format": _FORMAT, "version": _VERSION, "settings": self._settings}
        description["segments"] = self._segments
        write_whole(self.path / "index.json", json_bytes(description) + b"\n", claimed=True)


def job_hash(job: dict[str, Any]) -> str:
    """The identity of a run in an index."""
    return hashlib.sha256(json_bytes(job)).hexdigest()[:16]


SCHEME = "redis://"
_AT_ONCE = 1000  # signatures per request


class SharedIndex(Closeable):
    """An index shared by several machines, possibly at the same time: ``datasketch.MinHashLSH`` in a Redis store.

    Its keys are those of datasketch (``NAME_keys``, ``NAME_bucket_…``; made with ``params=(bands, rows)`` and
    ``prepickle=False``, so that nothing is ever unpickled) and three of ours: signatures by key
    (``NAME_signatures``), common settings (``NAME_settings``) and finished runs (``NAME_jobs``). A key is a 16-byte
    hash of the signature, so that equal ones are stored once.

    Args:
        url: redis://[USER:PASSWORD@]HOST[:PORT]/NAME.
        settings: of the signatures; bands, rows: of a signature, see ``shape``.

    Raises:
        UsageError: the URL has no host or no index.
        SynthError: the packages or the server are missing, or other settings were used.
    """

    def __init__(self, url: str, settings: dict[str, Any], bands: int, rows: int) -> None:
        parts = urlsplit(url)
        name = parts.path.strip("/")
        if not parts.hostname or not name:
            raise UsageError(f"{hide(url)}: name a host and an index: redis://HOST:PORT/NAME")
        self.path = hide(url)
        store: dict[str, Any] = {"host": parts.hostname, "port": parts.port or 6379}
        if parts.password is not None:
            store["password"] = unquote(parts.password)
            store["username"] = unquote(parts.username or "default")
        try:
            import redis
            from datasketch import MinHashLSH
        except ImportError as error:
            raise SynthError(
                f"{self.path}: needs redis and datasketch: pip install 'synthtools[redis]'"
            ) from error
        self._failure = redis.RedisError
        self._name = name
        self._redis = redis.Redis(**store)
        with self._named_errors():
            self._agree({**settings, "bands": bands, "rows": rows})
        self._lsh = MinHashLSH(
            num_perm=settings["permutations"],
            params=(bands, rows),
            storage_config={"type": "redis", "basename": name.encode(), "redis": store},
            prepickle=False,
        )

    def close(self) -> None:
        self._redis.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except self._failure as error:
            raise SynthError(f"{self.path}: {hide(str(error))}; is the server running?") from error

    def _agree(self, settings: dict[str, Any]) -> None:
        own = json_bytes(settings)
        self._redis.setnx(f"{self._name}_settings", own)
        stored = self._redis.get(f"{self._name}_settings")
        if stored != own:
            raise SynthError(
                f"{self.path}: was made with {bytes(stored or b'').decode('utf-8', 'replace')}, not "
                f"{own.decode()}; use the same, or another name"
            )

    def ends_with(self, job: str) -> bool:
        """Whether this job's texts were added."""
        with self._named_errors():
            return bool(self._redis.sismember(f"{self._name}_jobs", job))

    def near(self, rows: np.ndarray) -> np.ndarray:
        """The signatures in the index that share a band with one of ``rows``, each once, in order of their keys;
        both uint32 [any, permutations]."""
        with self._named_errors():
            met: set[bytes] = set()
            tables = list(zip(self._lsh.hashtables, self._lsh.hashranges, strict=True))
            for signed in self._signed(rows):
                own = np.array(list(signed.values()))
                for table, (begin, end) in tables:
                    buckets = [row.tobytes() for row in own[:, begin:end].astype(">u4")]
                    met.update(*table.getmany(*buckets))
            keys = sorted(met)
            signatures: list[bytes] = []
            for at in range(0, len(keys), _AT_ONCE):
                some = keys[at : at + _AT_ONCE]
                signatures += self._redis.hmget(f"{self._name}_signatures", some)
        if None in signatures:
            raise SynthError(f"{self.path}: signatures are missing; make the index again")
        array = np.frombuffer(b"".join(signatures), "<u4").astype(np.uint32)
        return array.reshape(-1, rows.shape[1])

    def add(self, rows: np.ndarray, job: str) -> None:
        """Adds the signatures of a run; existing ones are not changed, so that a killed run can repeat it."""
        from datasketch import LeanMinHash

        with self._named_errors(), self._lsh.insertion_session(buffer_size=_AT_ONCE) as session:
            for signed in self._signed(rows):
                values = {key: row.astype("<u4").tobytes() for key, row in signed.items()}
                self._redis.hset(f"{self._name}_signatures", mapping=values)
                for key, row in signed.items():
                    lean = LeanMinHash(seed=1, hashvalues=row, scheme="affine32")
                    session.insert(key, lean, check_duplication=False)
        with self._named_errors():
            self._redis.sadd(f"{self._name}_jobs", job)

    def _signed(self, rows: np.ndarray) -> Iterator[dict[bytes, np.ndarray]]:
        """The signatures, by key, of texts with shingles, some at a time."""
        for at in range(0, len(rows), _AT_ONCE):
            signed = {
                blake2b(row.astype("<u4").tobytes(), digest_size=16).digest(): row
                for row in rows[at : at + _AT_ONCE]
                if (row != EMPTY).any()
            }
            if signed:
                yield signed
