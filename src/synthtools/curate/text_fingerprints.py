"""Fingerprints of records, paragraphs or lines for finding duplicates; texts that do not repeat earlier ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import numpy as np

from synthtools.curate.fingerprint_store import ArrayFile, FingerprintIndex
from synthtools.records.batch import MISSING, Batch
from synthtools.records.jsonl import json_bytes
from synthtools.records.record_faults import no_field
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.fingerprints import Pieces, pieces
from synthtools.text.minhash import EMPTY, signatures
from synthtools.text.near_duplicates import hash_rows
from synthtools.text.shingles import Shingles, shingles
from synthtools.text.similar_clusters import shape


class Fingerprints(NamedTuple):
    """Fingerprints of a batch.

    Attributes:
        rows: uint64 [texts, 2] for exact, uint32 [texts, permutations] for near.
        counts: texts of each record, int64.
        keys: float64 [records], for choosing the kept text of a cluster; None: the first.
        sets: of shingles, if similar texts are verified.
    """

    rows: np.ndarray
    counts: np.ndarray
    keys: np.ndarray | None
    sets: Shingles | None


@dataclass(frozen=True)
class DocumentComparison:
    """The definition of duplicates.

    Attributes:
        method: "exact": equal; "near": similar by their MinHash signatures.
        unit: of comparison; shortest: minimum length of a paragraph or line, in characters.
        normalized: compare only words in lower case.
        field: compare this field's values instead of texts.
        hash: "fast", or "sha1": signatures of datasketch, only for words.
        order: the kept text of a cluster: "first", "longest", "max" or "min" of ``order_field``.
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
        """The settings that must be equal for fingerprints to be comparable."""
        names: tuple[str, ...] = ("permutations", "shingle", "shingle_unit", "hash")
        if self.method == "exact":
            names = ("shortest", "normalized", "field")
        return {name: getattr(self, name) for name in ("method", "unit", *names)}

    @property
    def row(self) -> tuple[type[np.generic], tuple[int, ...]]:
        """Type and shape of a fingerprint."""
        if self.method == "near":
            return np.uint32, (self.permutations,)
        return np.uint64, (2,)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields needed besides the text."""
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
        numbers = [
            value if type(value) in (int, float) else np.nan
            for value in batch.column(self.order_field)
        ]
        return np.array(numbers, np.float64) * (-1 if self.order == "min" else 1)


def _of_values(values: Sequence[Any]) -> np.ndarray:
    known = (json_bytes(value) for value in values if value is not MISSING)
    digests = (blake2b(value, digest_size=16).digest() for value in known)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64).reshape(-1, 2)


def without_pieces(
    texts: TextBuffer, parts: Pieces, gone: np.ndarray
) -> dict[int, tuple[str, str]]:
    """Texts without the pieces marked in ``gone``, bool. By the number of each changed text: the rest (without trailing
    white space if its last piece is removed), and the removed text."""
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


class Fingerprint(NamedTuple):
    """The fingerprint of a text.

    Attributes:
        exact: 16 bytes; None if only the signature is known.
        row: MinHash signature, uint32 [permutations]; bands: hashes of its bands. None and empty if only equal
            texts are searched for.
    """

    exact: bytes | None
    row: np.ndarray | None
    bands: Sequence[int]


class DistinctTexts:
    """A set of texts, to test whether another text repeats one of them. ``similarity``: the minimum estimated Jaccard
    index of near-duplicates; None: only equal texts.

    Memory: 200 bytes per text, 3 KB with near-duplicates.
    """

    def __init__(self, similarity: float | None) -> None:
        self.comparison = DocumentComparison("exact" if similarity is None else "near")
        permutations = self.comparison.permutations
        self._least = int(np.ceil((similarity or 1) * permutations - 1e-9))
        self._shape = shape(similarity or 1, permutations)
        self._equal: dict[bytes, int] = {}
        self._near: list[dict[int, list[int]]] = [{} for _ in range(self._shape[0])]
        self._rows = np.empty((0 if similarity is None else 1024, permutations), np.uint32)
        self._places: list[tuple[str, int]] = []
        self._own = 0

    def fingerprints(self, buffer: TextBuffer) -> list[Fingerprint]:
        """Of each text."""
        exact = [row.tobytes() for row in self.comparison.pieces(buffer)[0].fingerprints()]
        if self.comparison.method == "exact":
            return [Fingerprint(one, None, ()) for one in exact]
        text_shingles = shingles(buffer, self.comparison.shingle, self.comparison.shingle_unit)
        return self._signed(text_shingles.signatures(self.comparison.permutations), exact)

    def _signed(self, rows: np.ndarray, exact: Sequence[bytes | None]) -> list[Fingerprint]:
        bands, width = self._shape
        hashes = [hash_rows(rows, band * width, (band + 1) * width) for band in range(bands)]
        each = np.stack(hashes, axis=1).tolist()
        return [Fingerprint(*one) for one in zip(exact, rows, each, strict=True)]

    def repeated(self, fingerprint: Fingerprint) -> str | None:
        """The text that a text repeats, in words; None if it is new."""
        if fingerprint.exact is not None and fingerprint.exact in self._equal:
            return f"equal to {self._place(self._equal[fingerprint.exact])}"
        if fingerprint.row is None or not (fingerprint.row != EMPTY).any():
            return None
        bands = zip(self._near, fingerprint.bands, strict=True)
        met = {text for band, value in bands for text in band.get(value, ())}
        if not met:
            return None
        others = np.array(sorted(met))
        same = (self._rows[others] == fingerprint.row).sum(axis=1)
        best = int(same.argmax())
        if same[best] < self._least:
            return None
        likeness = same[best] / len(fingerprint.row)
        return f"{likeness:.2f} similar to {self._place(int(others[best]))}"

    def _place(self, text: int) -> str:
        source, number = self._places[text]
        return f"{source}:{number}" if source else f"answer {number} of this run"

    def add(self, fingerprint: Fingerprint, source: str = "", number: int = 0) -> None:
        """Adds a text. ``source``: its file, empty for an answer of this run; ``number``: its line there."""
        text = len(self._places)
        self._own += not source
        self._places.append((source, number or self._own))
        if fingerprint.exact is not None:
            self._equal.setdefault(fingerprint.exact, text)
        if fingerprint.row is None:
            return
        if text >= len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[text] = fingerprint.row
        for band, value in zip(self._near, fingerprint.bands, strict=True):
            band.setdefault(value, []).append(text)

    def add_records(self, batches: Iterable[Batch], fields: Sequence[str]) -> None:
        """Adds the texts of records, from the first of the fields with one. Raises RecordError: a record has none."""
        for batch in batches:
            columns = [batch.column(name) for name in fields]
            texts = [
                next((value for value in values if isinstance(value, str)), None)
                for values in zip(*columns, strict=True)
            ]
            if None in texts:
                index = texts.index(None)
                raise batch.fault(index, no_field(batch, index, fields[0]))
            buffer = TextBuffer.of([text for text in texts if text is not None])
            for index, one in enumerate(self.fingerprints(buffer)):
                self.add(one, batch.fault(index, "").source, int(batch.numbers[index]))

    def add_index(self, path: str) -> None:
        """Adds the fingerprints of an index of ``synth dedup``. Raises SynthError: it is damaged, or made with other
        settings."""
        with (
            FingerprintIndex(path, self.comparison.settings) as index,
            ArrayFile(*self.comparison.row) as store,
        ):
            index.into(store)
            rows = store.array()
            if self.comparison.method == "near":
                some = self._signed(np.array(rows), [None] * len(rows)) if len(rows) else []
            else:
                some = [Fingerprint(row.tobytes(), None, ()) for row in rows]
        for number, one in enumerate(some, 1):
            self.add(one, path, number)
