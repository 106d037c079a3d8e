"""Texts that repeat none before them, decided one by one as they come; the fingerprints are those of ``synth dedup``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from synthtools.curate.fingerprint_store import ArrayFile, FingerprintIndex
from synthtools.curate.text_fingerprints import DocumentComparison
from synthtools.records.batch import Batch
from synthtools.records.record_faults import no_field
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.minhash import EMPTY
from synthtools.text.near_duplicates import hash_rows
from synthtools.text.shingles import shingles
from synthtools.text.similar_clusters import shape


class Fingerprint(NamedTuple):
    """What is compared of a text.

    Attributes:
        exact: 16 bytes, None where only the signature is known.
        row: MinHash signature, uint32 [permutations]; bands: hashes of its bands. None and empty where only equal
            texts are sought.
    """

    exact: bytes | None
    row: np.ndarray | None
    bands: Sequence[int]


class DistinctTexts:
    """Known texts, and whether another repeats one of them.

    Args:
        similarity: the least estimated Jaccard index of near-duplicates; None: equal texts alone are sought.

    Memory: 200 bytes a text, 3 KB where near-duplicates are sought.
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
        """What a text repeats, in words; None where it is new."""
        if fingerprint.exact is not None and fingerprint.exact in self._equal:
            return f"equal to {self._place(self._equal[fingerprint.exact])}"
        if fingerprint.row is None or not (fingerprint.row != EMPTY).any():
            return None
        met = {
            text
            for band, value in zip(self._near, fingerprint.bands, strict=True)
            for text in band.get(value, ())
        }
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
        """Takes a text.

        Args:
            source: its file, empty for an answer of this run; number: there.
        """
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
        """Takes the texts of records, each in the first of the fields that it has.

        Raises:
            RecordError: a record has none, or no text there.
        """
        for batch in batches:
            columns = [batch.column(name) for name in fields]
            texts = [
                next((value for value in values if isinstance(value, str)), None)
                for values in zip(*columns, strict=True)
            ]
            for index, text in enumerate(texts):
                if text is None:
                    raise batch.fault(index, no_field(batch, index, fields[0]))
            fingerprints = self.fingerprints(
                TextBuffer.of([text for text in texts if text is not None])
            )
            for index, one in enumerate(fingerprints):
                self.add(one, batch.fault(index, "").source, int(batch.numbers[index]))

    def add_index(self, path: str) -> None:
        """Takes the fingerprints of an index of ``synth dedup``.

        Raises:
            SynthError: it is damaged, or made with other settings.
        """
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
