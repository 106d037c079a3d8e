"""Fingerprints by which duplicates are found, of records, paragraphs or lines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import numpy as np

from synthtools.records.batch import MISSING, Batch
from synthtools.records.jsonl import json_bytes
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.fingerprints import Pieces, pieces
from synthtools.text.minhash import signatures
from synthtools.text.shingles import Shingles, shingles


class Fingerprints(NamedTuple):
    """What is compared of a batch.

    Attributes:
        rows: uint64 [texts, 2] of exact, uint32 [texts, permutations] of near.
        counts: how many of them each record has, int64.
        keys: float64 [records], what the kept one of a cluster is chosen by; None for its place.
        sets: of shingles, where similar texts are verified.
    """

    rows: np.ndarray
    counts: np.ndarray
    keys: np.ndarray | None
    sets: Shingles | None


@dataclass(frozen=True)
class DocumentComparison:
    """What makes two texts duplicates.

    Attributes:
        method: "exact": equal; "near": similar by their MinHash signatures.
        unit: what is compared; shortest: the fewest characters of a paragraph or line that is.
        normalized: words in lower case alone are compared.
        field: compare this field's values in place of texts.
        hash: "fast", or "sha1": the signatures of datasketch, of words alone.
        order: by which a cluster's kept text is chosen: "first", "longest", "max" or "min" of
            ``order_field``.
    """

    method: Literal["exact", "near"] = "exact"
    unit: Literal["record", "paragraph", "line"] = "record"
    shortest: int = 0
    normalized: bool = False
    field: str | None = None
    permutations: int = 128
    shingle: int = 5
    shingle_unit: Literal["words", "characters"] = "words"
    hash: Literal["fast", "sha1"] = "fast"
    verify: bool = False
    order: str = "first"
    order_field: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What fingerprints must agree in to be compared."""
        every = asdict(self)
        names = ["method", "unit"]
        if self.method == "near":
            names += ["permutations", "shingle", "shingle_unit", "hash"]
        else:
            names += ["shortest", "normalized", "field"]
        return {name: every[name] for name in names}

    @property
    def row(self) -> tuple[type[np.generic], tuple[int, ...]]:
        """Type and shape of a fingerprint."""
        if self.method == "near":
            return np.uint32, (self.permutations,)
        return np.uint64, (2,)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that are asked for besides the text."""
        return tuple(name for name in (self.field, self.order_field) if name is not None)

    def __call__(self, batch: Batch, texts: TextBuffer) -> Fingerprints:
        """The fingerprints of records."""
        counts = np.ones(len(texts), np.int64)
        keys = self._keys(batch, texts)
        if self.method == "near":
            if self.hash == "sha1":
                rows = signatures(texts, self.permutations, self.shingle)
                return Fingerprints(rows, counts, keys, None)
            text_shingles = shingles(texts, self.shingle, self.shingle_unit)
            sets = text_shingles.sets() if self.verify else None
            return Fingerprints(text_shingles.signatures(self.permutations), counts, keys, sets)
        if self.field is not None:
            values = batch.column(self.field)
            counts = np.array([value is not MISSING for value in values], np.int64)
            return Fingerprints(_of_values(values), counts, keys, None)
        parts, long = self.pieces(texts)
        if self.unit != "record":
            counts = np.add.reduceat(np.append(long, 0), parts.first_of[:-1]).astype(np.int64)
            counts[np.diff(parts.first_of) == 0] = 0
        return Fingerprints(parts.fingerprints(self.normalized)[long], counts, keys, None)

    def pieces(self, texts: TextBuffer) -> tuple[Pieces, np.ndarray]:
        """The parts of texts, and which of them are long enough, bool."""
        parts = pieces(texts, self.unit)
        if not self.shortest:
            return parts, np.ones(len(parts.begins), bool)
        return parts, parts.lengths() >= self.shortest

    def _keys(self, batch: Batch, texts: TextBuffer) -> np.ndarray | None:
        if self.order == "first":
            return None
        if self.order_field is None:
            return pieces(texts).lengths().astype(np.float64)
        sign = -1 if self.order == "min" else 1
        return np.array(
            [
                sign * value if _is_number(value) else np.nan
                for value in batch.column(self.order_field)
            ],
            np.float64,
        )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _of_values(values: Sequence[Any]) -> np.ndarray:
    digests = (
        blake2b(json_bytes(value), digest_size=16).digest()
        for value in values
        if value is not MISSING
    )
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64).reshape(-1, 2)


def without_pieces(
    texts: TextBuffer, parts: Pieces, gone: np.ndarray
) -> dict[int, tuple[str, str]]:
    """Texts without some of their pieces.

    Args:
        gone: which pieces go, bool.

    Returns:
        By the number of each text that loses one: what is left, which ends without white space
        where its last piece goes; and what goes.
    """
    changed: dict[int, tuple[str, str]] = {}
    owners = np.searchsorted(parts.first_of, np.flatnonzero(gone), side="right") - 1
    for text in np.unique(owners).tolist():
        first, last = int(parts.first_of[text]), int(parts.first_of[text + 1])
        begin, end = int(texts.offsets[text]), int(texts.offsets[text + 1])
        cuts = [*parts.starts[first:last].tolist(), end]
        spans = [parts.data[a:b].tobytes() for a, b in itertools.pairwise(cuts)]
        lost = gone[first:last].tolist()
        left = parts.data[begin : cuts[0]].tobytes()
        left += b"".join(span for span, one in zip(spans, lost, strict=True) if not one)
        taken = b"".join(span for span, one in zip(spans, lost, strict=True) if one)
        whole = left.decode("utf-8")
        changed[text] = (whole.rstrip() if lost[-1] else whole, taken.decode("utf-8"))
    return changed
