"""How much of each source goes into a mixture, which documents, and in which order.

Shares are exact to less than one document per source. The choice of documents depends on the seed and on each document;
the order keeps every source as close to its share as whole documents allow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from synthtools.curate.weighted_draws import allocated
from synthtools.draws import lane_of, record_uniforms
from synthtools.errors import SynthError, parameter


@dataclass(frozen=True)
class MeasuredSource:
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
class MixturePart:
    """The part of a source in a mixture.

    Attributes:
        share: requested.
        wanted: the units for it.
        passes: the documents taken in each pass over the source, int64, ascending.
    """

    source: MeasuredSource
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
        """Sizes of the documents in output order."""
        return np.concatenate([np.zeros(0, np.int64), *(self.source.sizes[t] for t in self.passes)])


def by_shares(
    sources: Sequence[MeasuredSource],
    shares: Sequence[float | Fraction],
    total: int | None,
    epochs: int,
    seed: int,
    whole: bool,
) -> list[MixturePart]:
    """Parts with the requested shares.

    Args:
        shares: interpreted as exact decimal numbers; 0 leaves a source out.
        total: units of the mixture; None: the maximum for ``epochs`` passes.
        epochs: passes over a source at most; each is completed before the next begins.
        whole: units are documents, whose number is met exactly.

    Raises:
        SynthError: a source is too small; the message gives the possible total.
    """
    exact = [Fraction(str(share)) for share in shares]
    for source, share in zip(sources, exact, strict=True):
        if share and not source.total:
            raise SynthError(f"{source.name}: is empty; nothing can be taken from it")
    given = [(source, share) for source, share in zip(sources, exact, strict=True) if share]
    most = int(min(epochs * source.total / share for source, share in given))
    if total is None:
        total = most
    wanted = [share * total for share in exact]
    if whole:
        # As whole numbers with the right sum: largest remainders.
        common = math.lcm(*(share.denominator for share in exact))
        sizes = [int(share * common) * total for share in exact]
        wanted = [Fraction(part) for part in allocated(total, sizes, False)]
    for source, share, units in zip(sources, exact, wanted, strict=True):
        if units > epochs * source.total:
            raise SynthError(
                f"{source.name}: holds {source.total:,}, but a share of {float(share):g} of "
                f"{total:,} needs {math.ceil(units):,}; there is enough for {parameter('total')} {most:,}, or "
                f"raise {parameter('epochs')}"
            )
    return [
        MixturePart(source, float(share), float(units), _passes(source, units, lane, seed))
        for lane, (source, share, units) in enumerate(zip(sources, exact, wanted, strict=True))
    ]


def _passes(source: MeasuredSource, wanted: Fraction, place: int, seed: int) -> list[np.ndarray]:
    everything = np.arange(len(source.sizes), dtype=np.int64)
    full = int(wanted // source.total) if wanted else 0
    passes = [everything] * full
    left = wanted - full * source.total
    if left > 0:
        draws = _draws(source, place, seed, full)
        passes.append(_subset(source.sizes, draws, float(left)))
    return [taken for taken in passes if len(taken)]


def _draws(source: MeasuredSource, place: int, seed: int, turn: int = 0) -> np.ndarray:
    """One number for each document of a source, uniform in (0, 1), independent for documents with the same id in
    different sources."""
    return record_uniforms(seed, source.keys, lane_of("mix", str(place), str(turn)))


def _subset(sizes: np.ndarray, draws: np.ndarray, wanted: float) -> np.ndarray:
    """Documents drawn until their sizes add up to ``wanted``, as closely as possible with whole documents."""
    order = np.argsort(draws, kind="stable")
    sums = np.cumsum(sizes[order])
    count = int(np.searchsorted(sums, wanted))  # sums[count] is the first to reach it
    before = float(sums[count - 1]) if count else 0.0
    if count < len(sums) and float(sums[count]) - wanted < wanted - before:
        count += 1
    return np.sort(order[:count])


def everything(sources: Sequence[MeasuredSource]) -> list[MixturePart]:
    """All documents of all sources, once (the workflow accumulate)."""
    total = sum(source.total for source in sources) or 1
    return [
        MixturePart(s, s.total / total, s.total, [np.arange(len(s.sizes), dtype=np.int64)])
        for s in sources
    ]


def subsample(sources: Sequence[MeasuredSource], total: int, seed: int) -> list[MixturePart]:
    """A sample of ``total`` units from the pool of all sources (accumulate-subsample, arXiv 2410.16713). Raises
    SynthError: the pool is too small."""
    pool = sum(source.total for source in sources)
    if total > pool:
        raise SynthError(f"{parameter('total')} {total:,}: all generations together hold {pool:,}")
    draws = np.concatenate([_draws(source, place, seed) for place, source in enumerate(sources)])
    taken = _subset(np.concatenate([s.sizes for s in sources]), draws, total)
    ends = np.cumsum([len(source.sizes) for source in sources])
    parts = []
    for source, end in zip(sources, ends.tolist(), strict=True):
        start = end - len(source.sizes)
        own = taken[(taken >= start) & (taken < end)] - start
        share = source.total / pool if pool else 0.0
        parts.append(MixturePart(source, share, share * total, [own] if len(own) else []))
    return parts


def interleaved(parts: Sequence[MixturePart]) -> np.ndarray:
    """The part of each document of the mixture, int32 [documents]. Documents keep their order within a part, and are
    sorted by where their middle would be if each part were spread evenly, so that no prefix of the mixture favours
    a source."""
    places, owners = [np.zeros(0)], [np.zeros(0, np.int32)]
    for index, part in enumerate(parts):
        sizes = part.sizes().astype(np.float64)
        if len(sizes):
            sizes = np.maximum(sizes, 1e-9 * max(1.0, sizes.sum()))  # empty documents, too, spread
            places.append((np.cumsum(sizes) - sizes / 2) / sizes.sum())
            owners.append(np.full(len(sizes), index, np.int32))
    order = np.argsort(np.concatenate(places), kind="stable")
    return np.concatenate(owners)[order]


def shuffled(parts: Sequence[MixturePart], seed: int) -> list[np.ndarray]:
    """For each part, the positions of its documents in a full shuffle of the mixture, int64."""
    draws = []
    for index, part in enumerate(parts):
        for turn, taken in enumerate(part.passes):
            lane = lane_of("mix --shuffle", str(index), str(turn))
            draws.append(record_uniforms(seed, part.source.keys[taken], lane))
    every = np.concatenate([np.zeros(0), *draws])
    ranks = np.empty(len(every), np.int64)
    ranks[np.argsort(every, kind="stable")] = np.arange(len(every))
    ends = np.cumsum([part.documents for part in parts])
    return np.split(ranks, ends[:-1])


def manifest(parts: Sequence[MixturePart]) -> list[dict[str, Any]]:
    """The resulting parts, for the report."""
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
