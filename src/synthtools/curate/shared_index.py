"""The index of several machines: ``datasketch.MinHashLSH`` in a Redis store.

Under NAME of ``redis://HOST:PORT/NAME`` stand datasketch's keys (``NAME_keys``, ``NAME_bucket_…``; made with
``params=(bands, rows)`` and ``prepickle=False``, so that nothing is ever unpickled) and three of ours: the
signatures by the keys (``NAME_signatures``), what all must agree in (``NAME_settings``) and the runs that
ended (``NAME_jobs``). A key is a hash of 16 bytes of the signature: equal ones are kept once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from synthtools.closeable import Closeable
from synthtools.errors import SynthError, UsageError
from synthtools.records.jsonl import json_bytes
from synthtools.redaction import hide
from synthtools.text.minhash import EMPTY

SCHEME = "redis://"
_AT_ONCE = 1000  # signatures a request


class SharedIndex(Closeable):
    """Signatures of the texts of all runs that use it, at the same time perhaps.

    Args:
        url: redis://[USER:PASSWORD@]HOST[:PORT]/NAME.
        settings: that signatures are made with; bands, rows: of a signature, see ``shape``.

    Raises:
        UsageError: the URL names no host or no index.
        SynthError: the packages are missing, the server is, or other settings were used.
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
        wanted = json_bytes(settings)
        self._redis.setnx(f"{self._name}_settings", wanted)
        stored = self._redis.get(f"{self._name}_settings")
        if stored != wanted:
            raise SynthError(
                f"{self.path}: was made with {bytes(stored or b'').decode('utf-8', 'replace')}, not "
                f"{wanted.decode()}; use the same, or another name"
            )

    def ends_with(self, job: str) -> bool:
        """Whether this job's texts were added."""
        with self._named_errors():
            return bool(self._redis.sismember(f"{self._name}_jobs", job))

    def near(self, rows: np.ndarray) -> np.ndarray:
        """The signatures in the index that share a band with one of ``rows``, each once in the order of
        their keys; both uint32 [any, permutations]."""
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
                signatures += self._redis.hmget(
                    f"{self._name}_signatures", keys[at : at + _AT_ONCE]
                )
        if None in signatures:
            raise SynthError(f"{self.path}: signatures are missing; make the index again")
        array = np.frombuffer(b"".join(signatures), "<u4").astype(np.uint32)
        return array.reshape(-1, rows.shape[1])

    def add(self, rows: np.ndarray, job: str) -> None:
        """Adds the signatures of a run; what is there already stays as it is, so that a run that was
        killed here can do it again."""
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
        """The signatures of texts that have shingles by their keys, some at a time."""
        for at in range(0, len(rows), _AT_ONCE):
            some = [row for row in rows[at : at + _AT_ONCE] if (row != EMPTY).any()]
            if some:
                yield {
                    blake2b(row.astype("<u4").tobytes(), digest_size=16).digest(): row
                    for row in some
                }
