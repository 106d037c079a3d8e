"""How much of each source goes into a mixture, which documents, and in which order.

Shares are exact: a source is off by less than one document. Which documents is a function of the
seed and of each document; the order is one in which every source stays as near to its share as whole
documents allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.curation.draws import record_uniforms
from synthtools.curation.sampling import allocated
from synthtools.errors import SynthError


@dataclass(frozen=True)
class Measured:
    """A source that has been read.

    Attributes:
        name: as the user wrote it.
        sizes: of each document in the unit of the mixture, int64.
        keys: of each document, uint64.
    """

    name: str
    sizes: np.ndarray
    keys: np.ndarray

    @property
    def total(self) -> int:
        return int(self.sizes.sum())


@dataclass(frozen=True)
class Part:
    """What a source gives.

    Attributes:
        share: that was asked for.
        wanted: units that this makes.
        passes: of each pass over the source the documents taken, int64, ascending.
    """

    source: Measured
    share: float
    wanted: float
    passes: list[np.ndarray]

    @property
    def documents(self) -> int:
        return sum(map(len, self.passes))

    @property
    def units(self) -> int:
        return int(sum(self.source.sizes[taken].sum() for taken in self.passes))

    def sizes(self) -> np.ndarray:
        """Sizes of the documents in the order in which they are given."""
        return np.concatenate([np.zeros(0, np.int64), *(self.source.sizes[t] for t in self.passes)])


def by_shares(
    sources: Sequence[Measured],
    shares: Sequence[float],
    total: int | None,
    epochs: int,
    seed: int,
    whole: bool,
) -> list[Part]:
    """Parts that make the shares.

    Args:
        total: units of the mixture; None: the most that needs no document more than ``epochs`` times.
        epochs: how often a document may come at most; each pass is whole before the next begins.
        whole: units are documents, whose number is met exactly.

    Raises:
        SynthError: a source is too small; the message says what total there is enough for.
    """
    for source, share in zip(sources, shares, strict=True):
        if share > 0 and not source.total:
            raise SynthError(f"{source.name}: is empty; nothing can be taken from it")
    given = [(s, share) for s, share in zip(sources, shares, strict=True) if share > 0]
    most = min(epochs * source.total / share for source, share in given)
    if total is None:
        total = int(most)
        if whole:
            total = int(min(epochs * s.total for s, _ in given) if len(given) == 1 else most)
    wanted = [share * total for share in shares]
    if whole:
        # As whole numbers with the right sum: largest remainders.
        scaled = [round(share * 10**12) for share in shares]
        wanted = [float(part) for part in allocated(total, [s * total for s in scaled], False)]
    for (source, share), units in zip(zip(sources, shares, strict=True), wanted, strict=True):
        if units > epochs * source.total:
            raise SynthError(
                f"{source.name}: holds {source.total:,}, but a share of {share:g} of {total:,} needs "
                f"{units:,.0f}; there is enough for --total {int(most):,}, or raise --epochs"
            )
    return [
        Part(source, share, units, _passes(source, units, lane, seed))
        for lane, (source, share, units) in enumerate(zip(sources, shares, wanted, strict=True))
    ]


def _passes(source: Measured, wanted: float, lane: int, seed: int) -> list[np.ndarray]:
    everything = np.arange(len(source.sizes), dtype=np.int64)
    full = int(wanted // source.total) if source.total else 0
    passes = [everything] * full
    left = wanted - full * source.total
    if left > 0:
        passes.append(_subset(source.sizes, source.keys, left, lane + (full << 20), seed))
    return [taken for taken in passes if len(taken)]


def _subset(sizes: np.ndarray, keys: np.ndarray, wanted: float, lane: int, seed: int) -> np.ndarray:
    """Documents drawn until their sizes make what is wanted, as nearly as whole documents can."""
    order = np.argsort(record_uniforms(seed, keys, lane), kind="stable")
    sums = np.cumsum(sizes[order])
    count = int(np.searchsorted(sums, wanted))  # sums[count] is the first to reach it
    before = float(sums[count - 1]) if count else 0.0
    if count < len(sums) and float(sums[count]) - wanted < wanted - before:
        count += 1
    return np.sort(order[:count])


def everything(sources: Sequence[Measured]) -> list[Part]:
    """All documents of all sources, once (the workflow accumulate)."""
    total = sum(source.total for source in sources) or 1
    return [
        Part(s, s.total / total, s.total, [np.arange(len(s.sizes), dtype=np.int64)])
        for s in sources
    ]


def subsample(sources: Sequence[Measured], total: int, seed: int) -> list[Part]:
    """A sample of one size from the pool of all sources (accumulate-subsample, arXiv 2410.16713).

    Raises:
        SynthError: the pool is too small.
    """
    pool = sum(source.total for source in sources)
    if total > pool:
        raise SynthError(f"--total {total:,}: all generations together hold {pool:,}")
    keys = np.concatenate([source.keys for source in sources])
    taken = _subset(np.concatenate([s.sizes for s in sources]), keys, total, 0, seed)
    ends = np.cumsum([len(source.sizes) for source in sources])
    parts = []
    for source, end in zip(sources, ends.tolist(), strict=True):
        start = end - len(source.sizes)
        own = taken[(taken >= start) & (taken < end)] - start
        share = source.total / pool if pool else 0.0
        parts.append(Part(source, share, share * total, [own] if len(own) else []))
    return parts


def interleaved(parts: Sequence[Part]) -> np.ndarray:
    """From which part each document of the mixture comes, int32 [documents].

    Within a part documents keep their order. The middle of each stands where its part would stand
    if all were poured evenly, so no prefix of the mixture favours a source.
    """
    places, owners = [np.zeros(0)], [np.zeros(0, np.int32)]
    for index, part in enumerate(parts):
        sizes = part.sizes().astype(np.float64)
        if len(sizes):
            sizes = np.maximum(sizes, 1e-9 * max(1.0, sizes.sum()))  # empty documents, too, spread
            places.append((np.cumsum(sizes) - sizes / 2) / sizes.sum())
            owners.append(np.full(len(sizes), index, np.int32))
    order = np.argsort(np.concatenate(places), kind="stable")
    return np.concatenate(owners)[order]


def shuffled(parts: Sequence[Part], seed: int) -> list[np.ndarray]:
    """For each part the place of each of its documents in a full shuffle of the mixture, int64."""
    draws = []
    for index, part in enumerate(parts):
        for turn, taken in enumerate(part.passes):
            draws.append(record_uniforms(seed, part.source.keys[taken], -1 - index - (turn << 20)))
    every = np.concatenate([np.zeros(0), *draws])
    ranks = np.empty(len(every), np.int64)
    ranks[np.argsort(every, kind="stable")] = np.arange(len(every))
    ends = np.cumsum([part.documents for part in parts])
    return np.split(ranks, ends[:-1])


def manifest(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """What came of the plan, for the report."""
    units = sum(part.units for part in parts) or 1
    return [
        {
            "source": part.source.name,
            "share_asked": part.share,
            "share": part.units / units,
            "units": part.units,
            "documents": part.documents,
            "units_there": part.source.total,
            "documents_there": len(part.source.sizes),
            "epochs": part.units / part.source.total if part.source.total else 0.0,
        }
        for part in parts
    ]
