"""Records without duplicates, and the duplicates with references to the kept texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthtools.curate.known_texts import DuplicateClusters, KnownTexts
from synthtools.curate.text_fingerprints import without_pieces
from synthtools.records.added_column import Column
from synthtools.records.batch import Batch
from synthtools.records.inputs import Shard
from synthtools.records.reread_records import picked
from synthtools.records.text_buffer import TextBuffer

_EXCERPT = 400  # characters of an example


class DeduplicatedRecords:
    """The second pass over the run's own records.

    Args:
        clusters: of duplicate texts; mark: keep duplicates, marked.
        examples: number of removed texts in the report.

    Attributes:
        changed: kept records that lost paragraphs or lines; emptied: records that lost all text.
        done: records so far.
    """

    def __init__(
        self,
        texts: KnownTexts,
        clusters: DuplicateClusters,
        text_field: str,
        mark: bool,
        examples: int,
    ) -> None:
        self._texts, self._clusters = texts, clusters
        self._text_field, self._mark = text_field, mark
        self._removed = clusters.removed()
        self._sizes = clusters.sizes() if mark else None
        self._shown = clusters.examples(examples)
        self._excerpts: dict[int, str] = {}
        shown = (one for text in self._shown for one in (text, int(clusters.kept[text])))
        self._wanted = {texts.own_record(text) for text in shown} - {None}
        self.done = self.changed = self.emptied = 0

    def parted(self, batch: Batch, texts: TextBuffer) -> tuple[Batch, Batch]:
        """Splits the next records into kept ones and removed ones with ``cluster``, ``duplicate_of``, ``reason``
        and, for near-duplicates, ``similarity``; for paragraphs and lines, the removed part of each text."""
        starts = self._texts.texts_of(self.done, len(batch))
        for record in range(self.done, self.done + len(batch)) if self._wanted else ():
            if record in self._wanted:
                self._excerpts[record] = texts[record - self.done][:_EXCERPT]
        self.done += len(batch)
        if self._mark:
            return self._marked(batch, starts), batch.take([])
        if self._texts.comparison.unit != "record":
            return self._reduced(batch, texts, starts)
        own = np.flatnonzero(np.diff(starts))
        gone = np.zeros(len(batch), bool)
        gone[own] = self._removed[starts[own]]
        if not gone.any():
            return batch, batch.take([])
        removed = np.flatnonzero(gone)
        kept = batch.take(np.flatnonzero(~gone).tolist())
        return kept, self._with_reason(batch.take(removed.tolist()), starts[removed])

    def _marked(self, batch: Batch, starts: np.ndarray) -> Batch:
        assert self._sizes is not None
        has_text = np.diff(starts) > 0
        firsts = [int(t) if one else None for t, one in zip(starts, has_text, strict=False)]
        roots, sizes = self._clusters.roots, self._sizes
        return batch.adding(
            {
                "cluster": Column("int", [None if t is None else int(roots[t]) for t in firsts]),
                "cluster_size": Column("int", [1 if t is None else int(sizes[t]) for t in firsts]),
            }
        )

    def _reduced(
        self, batch: Batch, texts: TextBuffer, starts: np.ndarray
    ) -> tuple[Batch, Batch]:  # fmt: skip
        gone = self._removed[starts[0] : starts[-1]]
        if not gone.any():
            return batch, batch.take([])
        pieces, long = self._texts.comparison.pieces(texts)
        every = np.zeros(len(long), bool)
        every[long] = gone
        left = without_pieces(texts, pieces, every)
        strings: list[str] = batch.column(self._text_field)
        taken = batch.take(list(left))
        lost = Column("string", [piece for _, piece in left.values()])
        first = [int(starts[i] + np.argmax(gone[starts[i] - starts[0] :])) for i in left]
        taken = self._with_reason(taken, np.array(first)).adding({self._text_field: lost})
        for index, (text, _) in left.items():
            strings[index] = text
        emptied = {index for index, (text, _) in left.items() if not text.strip()}
        self.emptied += len(emptied)
        self.changed += len(left) - len(emptied)
        if len(emptied) < len(left):
            batch = batch.adding({self._text_field: Column("string", strings)})
        return batch.take([i for i in range(len(batch)) if i not in emptied]), taken

    def _with_reason(self, batch: Batch, texts: np.ndarray) -> Batch:
        kept = self._clusters.kept[texts]
        places = (self._texts.place(text) for text in kept.tolist())
        comparison = self._texts.comparison
        unit = "value" if comparison.field else comparison.unit
        reason = "near-duplicate" if comparison.method == "near" else f"equal {unit}"
        columns = {
            "cluster": Column("int", self._clusters.roots[texts].tolist()),
            "duplicate_of": Column("string", [f"{file}:{number}" for file, number in places]),
            "reason": Column("string", [reason] * len(texts)),
        }
        if comparison.method == "near":
            similarity = self._texts.similarity(texts, kept)
            columns["similarity"] = Column("float", similarity.tolist())
        return batch.adding(columns)

    def report(self, beside: list[Shard]) -> dict[str, Any]:
        """Counts, and examples with the texts that they repeat. ``beside``: shards of records that are only read."""
        report = self._texts.summary(self._clusters)
        if self._texts.comparison.unit != "record":
            report |= {"records_changed": self.changed, "records_emptied": self.emptied}
        kept = self._clusters.kept[self._shown].tolist()
        similarity = self._texts.similarity(np.array(self._shown, np.int64), np.array(kept, int))
        report["examples"] = [
            {"similarity": s, "removed": self._example(a, beside), "kept": self._example(b, beside)}
            for s, a, b in zip(similarity.tolist(), self._shown, kept, strict=True)
        ]
        return report

    def _example(self, text: int, beside: list[Shard]) -> dict[str, Any]:
        file, number = self._texts.place(text)
        record = self._texts.own_record(text)
        excerpt = None if record is None else self._excerpts.get(record)
        shards = [shard for shard in beside if shard.name == file]
        if record is None and shards:
            batch = next(picked(shards[:1], [np.array([number])]))
            excerpt = batch.column(self._text_field)[0][:_EXCERPT]
        return {"file": file, "line": number, "text": excerpt}
