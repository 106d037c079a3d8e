"""Which record is which, so that randomness belongs to a record and not to where it lies.

A record is known by its ``id``; where it has none, by its text and by how many records with the
same text came before it. Neither the layout of the files nor the order of work changes a key (equal
texts are told apart by order alone, and are interchangeable).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from synthtools.records.batch import MISSING

ID_FIELD = "id"


def _hash64(kind: bytes, content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8, person=kind).digest(), "little")


class Keys:
    """Gives each record its key, in input order.

    Memory: about 100 bytes for each distinct text among records without an id.
    """

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}

    def of(self, ids: Sequence[Any], texts: Sequence[str]) -> np.ndarray:
        """Keys of the next records.

        Args:
            ids: value of the id field of each, ``MISSING`` or None where there is none.
            texts: text of each.

        Returns:
            uint64, one per record; equal for records with equal ids.
        """
        return np.array([self._key(i, t) for i, t in zip(ids, texts, strict=True)], dtype=np.uint64)

    def _key(self, identifier: Any, text: str) -> int:
        if identifier is not MISSING and identifier is not None:
            if type(identifier) is float and identifier.is_integer():
                identifier = int(identifier)  # a column of doubles cannot tell 1 from 1.0
            return _hash64(b"id", str(identifier).encode("utf-8", "surrogatepass"))
        content = _hash64(b"text", text.encode("utf-8", "surrogatepass"))
        occurrence = self._seen.get(content, 0)
        self._seen[content] = occurrence + 1
        if occurrence == 0:
            return content
        return _hash64(b"text", content.to_bytes(8, "little") + occurrence.to_bytes(8, "little"))
