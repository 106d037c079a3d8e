"""One draw of records from a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.curation.sampling import Strata, WithReplacement, scored, scores
from synthtools.draws import lane_of
from synthtools.errors import SynthError
from synthtools.records.batch import MISSING, Batch
from synthtools.records.jsonl import json_bytes
from synthtools.records.rejects import Rejects
from synthtools.records.spool import Spool


@dataclass(frozen=True)
class Drawing:
    """How records are drawn.

    Attributes:
        by: the field of the weight, None for equal weights; log: it holds logarithms; inverse: with
            probability ∝ 1/weight.
        stratify_by: the field whose values are drawn from apart; equal: as many from each.
    """

    count: int
    seed: int
    text_field: str
    by: str | None = None
    log: bool = False
    inverse: bool = False
    with_replacement: bool = False
    stratify_by: str | None = None
    equal: bool = False


def draw(
    batches: Iterable[Batch], drawing: Drawing, rejects: Rejects
) -> tuple[Iterator[Batch], dict[str, Any]]:
    """Reads all records, then gives the drawn ones in input order and a report of the draw.

    Raises:
        SynthError: there are fewer records of weight above 0 than are wanted.
    """
    spool = Spool()
    strata = Strata(drawing.count, spool)
    lane = lane_of("sample", drawing.by or "")
    repeated = None
    if drawing.with_replacement:
        repeated = WithReplacement(drawing.count, spool, drawing.seed, lane)
    seen = eligible = 0
    for batch, log_weights, keys in scored(
        batches,
        drawing.text_field,
        drawing.by,
        drawing.log,
        drawing.inverse,
        rejects,
    ):
        seen += len(batch)
        eligible += int(np.isfinite(log_weights).sum())
        if repeated is not None:
            repeated.add(batch, log_weights, keys)
        else:
            names = strata_of(batch, drawing.stratify_by)
            strata.add(batch, names, scores(log_weights, drawing.seed, keys, lane))
    least = 1 if repeated is not None else drawing.count
    if eligible < least:
        s = "" if seen == 1 else "s"
        weighted = "" if eligible == seen else f", {eligible:,} of them with a weight above 0"
        raise SynthError(f"-n {drawing.count:,}: there are only {seen:,} record{s}{weighted}")
    report: dict[str, Any] = {"records_seen": seen, "eligible": eligible, "drawn": drawing.count}
    if repeated is not None:
        handles = repeated.result()
        report["distinct"] = len(np.unique(handles))
    else:
        handles, drawn = strata.result(drawing.equal)
        if drawing.stratify_by is not None:
            report["strata"] = {
                name: {"records": size, "drawn": part} for name, (size, part) in drawn.items()
            }
    return _closing(spool, handles), report


def _closing(spool: Spool, handles: np.ndarray) -> Iterator[Batch]:
    at = 0
    with spool:
        for batch in spool.batches(handles):
            # A record drawn twice may end one shard and begin the next: a resumed run counts draws.
            batch.ordinals = np.arange(at, at + len(batch), dtype=np.int64)
            at += len(batch)
            yield batch


def strata_of(batch: Batch, field: str | None) -> list[str]:
    """The name of each record's stratum: the field's value, as JSON where it is no string."""
    if field is None:
        return [""] * len(batch)
    values = batch.column(field)
    return [
        "(none)" if v is MISSING else v if isinstance(v, str) else json_bytes(v).decode()
        for v in values
    ]
