"""Keys of records, so that random draws depend on the record and not on its position in files.

A record's key comes from its ``id``; without one, from its text and the number of earlier records with the
same text. Keys depend neither on the layout of files nor on the order of work (equal texts are distinguished
by order, and are interchangeable).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from synthtools.records.batch import MISSING


class Occurrences:
    """Counts occurrences of 64-bit values in a stream.

    Values are kept in a few sorted arrays, each more than twice as long as the next, so that lookups and
    merges stay cheap.

    Memory: about 8 bytes per distinct value, twice that while arrays are merged, and about 100 per
    repeated value.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []
        self._repeated: dict[int, int] = {}  # counts of repeated values

    def of(self, values: np.ndarray) -> np.ndarray:
        """The number of earlier occurrences of each of the next values: int64 [values].

        Args:
            values: uint64.
        """
        if not len(values):
            return np.zeros(0, np.int64)
        order = np.argsort(values, kind="stable")
        ascending = values[order]
        starts = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
        counts = np.diff(np.append(starts, len(values)))
        distinct = ascending[starts]
        known = self._known(distinct)
        before = np.zeros(len(distinct), np.int64)
        for index in np.flatnonzero(known | (counts > 1)).tolist():
            value = int(distinct[index])
            if known[index]:
                before[index] = self._repeated.get(value, 1)
            self._repeated[value] = int(before[index] + counts[index])
        self._keep(distinct[~known])
        times = np.empty(len(values), np.int64)
        times[order] = np.arange(len(values)) - np.repeat(starts - before, counts)
        return times

    def _known(self, distinct: np.ndarray) -> np.ndarray:
        known = np.zeros(len(distinct), bool)
        for run in self._runs:
            places = np.searchsorted(run, distinct)
            known |= run[np.minimum(places, len(run) - 1)] == distinct
        return known

    def _keep(self, run: np.ndarray) -> None:
        if not len(run):
            return
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort(kind="stable")  # merges the sorted parts
        self._runs.append(run)


ID_FIELD = "id"


# Copies of these cost half of what new ones do.
_ID, _TEXT = (blake2b(digest_size=8, person=kind) for kind in (b"id", b"text"))


def _digest(kind: blake2b, content: bytes | memoryview) -> bytes:
    digest = kind.copy()
    digest.update(content)
    return digest.digest()


def hashes(ids: Sequence[Any], contents: Iterable[bytes | memoryview]) -> RecordHashes:
    """Hashes from which keys are made; thread-safe.

    Args:
        ids: value of each record's id field, ``MISSING`` or None without.
        contents: each record's text in UTF-8.
    """
    by_text = [identifier is MISSING or identifier is None for identifier in ids]
    if not any(by_text):
        digests = [_digest(_ID, _spelled(identifier)) for identifier in ids]
    else:
        digests = [
            _digest(_TEXT, content) if nameless else _digest(_ID, _spelled(identifier))
            for identifier, nameless, content in zip(ids, by_text, contents, strict=True)
        ]
    values = np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)
    return RecordHashes(values, np.array(by_text, bool))


def _spelled(identifier: Any) -> bytes:
    if type(identifier) is str:
        return identifier.encode("utf-8", "surrogatepass")
    if type(identifier) is int:
        return b"%d" % identifier
    if type(identifier) is float and identifier.is_integer():
        identifier = int(identifier)  # a column of doubles does not distinguish 1 from 1.0
    return str(identifier).encode("utf-8", "surrogatepass")


class RecordHashes(NamedTuple):
    """Hash of each record's id, otherwise of its text: uint64 [records]; and which are of texts, bool."""

    values: np.ndarray
    by_text: np.ndarray


class RecordKeys:
    """Gives each record its key, in input order.

    Args:
        apart: give records with equal ids different keys, too, by the number of earlier ones.

    Memory: 8 to 16 bytes per distinct text among records without an id (with ``apart`` also per
    distinct id), and about 100 per repeated one.
    """

    def __init__(self, apart: bool = False) -> None:
        self._apart = apart
        self._seen = Occurrences()

    def of(self, ids: Sequence[Any], texts: Sequence[str]) -> np.ndarray:
        """Keys of the next records: uint64, one per record; equal for records with equal ids."""
        return self.of_hashes(
            hashes(ids, (text.encode("utf-8", "surrogatepass") for text in texts))
        )

    def of_hashes(self, hashes: RecordHashes) -> np.ndarray:
        """Like ``of``, from the result of ``hashes``."""
        keys = hashes.values.copy()
        asked = np.arange(len(keys)) if self._apart else np.flatnonzero(hashes.by_text)
        times = self._seen.of(keys[asked])
        again = np.flatnonzero(times)
        for index, occurrence in zip(asked[again].tolist(), times[again].tolist(), strict=True):
            content = int(keys[index])
            both = content.to_bytes(8, "little") + occurrence.to_bytes(8, "little")
            digest = _digest(_TEXT if hashes.by_text[index] else _ID, both)
            keys[index] = int.from_bytes(digest, "little")
        return keys
