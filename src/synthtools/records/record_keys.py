"""Which record is which, so that randomness belongs to a record and not to where it lies.

A record is known by its ``id``; where it has none, by its text and by how many records with the
same text came before it. Neither the layout of the files nor the order of work changes a key (equal
texts are told apart by order alone, and are interchangeable).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from synthtools.records.batch import MISSING
from synthtools.records.occurrences import Occurrences

ID_FIELD = "id"


_ID, _TEXT = b"id", b"text"


def _digest(kind: bytes, content: bytes | memoryview) -> bytes:
    return blake2b(content, digest_size=8, person=kind).digest()


def hashes(ids: Sequence[Any], contents: Iterable[bytes | memoryview]) -> RecordHashes:
    """What the keys of records are made of; safe in any thread.

    Args:
        ids: value of the id field of each, ``MISSING`` or None where there is none.
        contents: text of each in UTF-8.
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
    if type(identifier) is int:
        return b"%d" % identifier
    if type(identifier) is float and identifier.is_integer():
        identifier = int(identifier)  # a column of doubles cannot tell 1 from 1.0
    return str(identifier).encode("utf-8", "surrogatepass")


class RecordHashes(NamedTuple):
    """Hash of each record's id, else of its text: uint64 [records]; which are of texts, bool."""

    values: np.ndarray
    by_text: np.ndarray


class RecordKeys:
    """Gives each record its key, in input order.

    Args:
        apart: records with equal ids get different keys, too, by how many came before.

    Memory: 8 to 16 bytes for each distinct text among records without an id (with ``apart`` for
    each distinct id, too), and about 100 for each that comes more than once.
    """

    def __init__(self, apart: bool = False) -> None:
        self._apart = apart
        self._seen = Occurrences()

    def of(self, ids: Sequence[Any], texts: Sequence[str]) -> np.ndarray:
        """Keys of the next records: uint64, one per record; equal for records with equal ids."""
        return self.of_hashes(
            hashes(ids, (text.encode("utf-8", "surrogatepass") for text in texts))
        )

    def of_hashes(self, found: RecordHashes) -> np.ndarray:
        """Like ``of``, from what ``hashes`` gave."""
        keys = found.values.copy()
        asked = np.arange(len(keys)) if self._apart else np.flatnonzero(found.by_text)
        times = self._seen.of(keys[asked])
        again = np.flatnonzero(times)
        for index, occurrence in zip(asked[again].tolist(), times[again].tolist(), strict=True):
            content = int(keys[index])
            both = content.to_bytes(8, "little") + occurrence.to_bytes(8, "little")
            digest = _digest(_TEXT if found.by_text[index] else _ID, both)
            keys[index] = int.from_bytes(digest, "little")
        return keys
