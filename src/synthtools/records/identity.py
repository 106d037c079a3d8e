"""Which record is which, so that randomness belongs to a record and not to where it lies.

A record is known by its ``id``; where it has none, by its text and by how many records with the
same text came before it. Neither the layout of the files nor the order of work changes a key (equal
texts are told apart by order alone, and are interchangeable).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from synthtools.records.batch import MISSING
from synthtools.records.occurrences import Occurrences

ID_FIELD = "id"


def _hash64(kind: bytes, content: bytes | memoryview) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8, person=kind).digest(), "little")


def hashes(ids: Sequence[Any], contents: Iterable[bytes | memoryview]) -> Hashes:
    """What the keys of records are made of; safe in any thread.

    Args:
        ids: value of the id field of each, ``MISSING`` or None where there is none.
        contents: text of each in UTF-8.
    """
    found, by_text = [], []
    for identifier, content in zip(ids, contents, strict=True):
        nameless = identifier is MISSING or identifier is None
        by_text.append(nameless)
        if nameless:
            found.append(_hash64(b"text", content))
            continue
        if type(identifier) is float and identifier.is_integer():
            identifier = int(identifier)  # a column of doubles cannot tell 1 from 1.0
        found.append(_hash64(b"id", str(identifier).encode("utf-8", "surrogatepass")))
    return Hashes(np.array(found, np.uint64), np.array(by_text, bool))


class Hashes(NamedTuple):
    """Hash of each record's id, else of its text: uint64 [records]; which are of texts, bool."""

    values: np.ndarray
    by_text: np.ndarray


class Keys:
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

    def of_hashes(self, found: Hashes) -> np.ndarray:
        """Like ``of``, from what ``hashes`` gave."""
        keys = found.values.copy()
        asked = np.arange(len(keys)) if self._apart else np.flatnonzero(found.by_text)
        times = self._seen.of(keys[asked])
        again = np.flatnonzero(times)
        for index, occurrence in zip(asked[again].tolist(), times[again].tolist(), strict=True):
            content = int(keys[index])
            both = content.to_bytes(8, "little") + occurrence.to_bytes(8, "little")
            keys[index] = _hash64(b"text" if found.by_text[index] else b"id", both)
        return keys
