"""Weighted draws of records in one pass: without replacement (Gumbel top-k) or with it."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.draws import record_uniforms, uniforms
from synthtools.errors import SynthError, parameter
from synthtools.records.batch import MISSING, Batch
from synthtools.records.jsonl import number_in
from synthtools.records.record_faults import no_field, without
from synthtools.records.record_keys import ID_FIELD, RecordKeys, hashes
from synthtools.records.rejects import Rejects
from synthtools.records.reread_records import RereadRecords
from synthtools.records.spool import Spool

# Records kept beyond twice the requested number before the lowest are dropped.
_SPARE = 1 << 14


class TopRecords:
    """Keeps the ``count`` records with the highest scores; ties go to the earlier.

    Args:
        spool: stores the records, or can read them again.

    Disk: about count · (1 + ln(records / count)) records in the spool. Memory: 24 bytes per record, and the spool's.
    """

    def __init__(self, count: int, spool: Spool | RereadRecords) -> None:
        self.spool = spool
        self._count = count
        self._threshold = -np.inf
        self._scores: list[np.ndarray] = []
        self._values: list[np.ndarray] = []
        self._handles: list[np.ndarray] = []
        self._held = 0

    def add(self, scores: np.ndarray, values: np.ndarray, batch: Batch) -> None:
        """Takes the next records. ``scores``: float64 [records]; -inf for records that must not be chosen.
        ``values``: float64 [records], returned with the best."""
        better = np.flatnonzero(scores > self._threshold)
        if not len(better) or not self._count:
            return
        self._handles.append(self.spool.add(batch, better))
        self._scores.append(scores[better])
        self._values.append(values[better])
        self._held += len(better)
        if self._held > 2 * self._count + _SPARE:
            self._prune()

    def _prune(self) -> None:
        scores, handles = np.concatenate(self._scores), np.concatenate(self._handles)
        # Handles ascend with the input, so that ties go to the earlier record.
        order = np.lexsort((handles, -scores))
        best = np.sort(order[: self._count])
        self.spool.drop(handles[order[self._count :]])
        self._scores, self._handles = [scores[best]], [handles[best]]
        self._values = [np.concatenate(self._values)[best]]
        self._held = len(best)
        if self._held == self._count:
            self._threshold = float(scores[best].min())

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(scores, values, handles) of the best in input order; fewer than ``count`` if there are no more."""
        if not self._held:
            return np.zeros(0), np.zeros(0), np.zeros(0, np.int64)
        self._prune()
        return self._scores[0], self._values[0], self._handles[0]


@dataclass(frozen=True)
class Chosen:
    """Records chosen for several targets, in input order: int64 or float64 [records] each.

    Attributes:
        lanes: the target of each record.
        handles: of the record in the spool of that target.
        values: from ``TopRecords.add``.
    """

    lanes: np.ndarray
    handles: np.ndarray
    values: np.ndarray


def choose(tops: Sequence[TopRecords], counts: Sequence[int]) -> Chosen:
    """Each target in turn takes its best remaining records. As earlier targets may take records from later ones,
    ``tops[i]`` must be made for ``sum(counts[: i + 1])`` records."""
    taken = np.zeros(0, np.int64)
    lanes, handles, values = [], [], []
    for lane, (top, count) in enumerate(zip(tops, counts, strict=True)):
        scores, best_values, best = top.result()
        ordinals = top.spool.ordinals(best)
        free = np.flatnonzero(~np.isin(ordinals, taken))
        picked = np.sort(free[np.lexsort((best[free], -scores[free]))[:count]])
        taken = np.concatenate([taken, ordinals[picked]])
        lanes.append(np.full(len(picked), lane))
        handles.append(best[picked])
        values.append(best_values[picked])
    order = np.argsort(taken, kind="stable")
    return Chosen(*(np.concatenate(part)[order] for part in (lanes, handles, values)))


def keys_of(keys: RecordKeys, batch: Batch, text_field: str) -> np.ndarray:
    """Keys of records, which may lack a text: from the id, else the text, else the whole record."""
    contents = (
        value.encode("utf-8", "surrogatepass") if isinstance(value, str) else batch.raw(index)
        for index, value in enumerate(batch.column(text_field))
    )
    return keys.of_hashes(hashes(batch.column(ID_FIELD), contents))


def with_log_weights(
    batch: Batch, field: str, log: bool, rejects: Rejects, bias: float | None = None
) -> tuple[Batch, np.ndarray]:
    """Records and the logarithm of the weight in a field, float64; bad ones go to ``rejects``.

    Args:
        log: the field has the logarithm.
        bias: b, if the field has the probability q of being synthetic: the weight is (1 − q)^b (Drayson et al.
            2025, arXiv 2502.15654, as in their code).
    """
    bad: dict[int, str] = {}
    log_weights = np.full(len(batch), -np.inf)
    for index, value in enumerate(batch.column(field)):
        if type(value) is str:  # a value of CSV
            value = number_in(value)
        if value is MISSING:
            bad[index] = no_field(batch, index, field, f"see {parameter('by')}")
        elif fault := _fault(value, log, bias is not None):
            bad[index] = f'field "{field}" is {fault} (see {parameter("by")})'
        elif log:
            log_weights[index] = value
        elif bias is not None:
            log_weights[index] = bias * math.log1p(-value) if value < 1 else -math.inf
        elif value > 0:
            log_weights[index] = math.log(value)
    sound = without(batch, bad, rejects)
    return sound, np.delete(log_weights, list(bad)) if bad else log_weights


def _fault(value: Any, log: bool, probability: bool) -> str | None:
    if type(value) not in (int, float):
        return "not a number"
    if value != value:
        return "NaN, not a weight"
    if probability and not 0 <= value <= 1:
        return f"{value}, not a probability"
    if value < 0 and not log:
        return "negative, not a weight"
    # Integers are unlimited; as the logarithm of a weight they need a limit.
    most = sys.float_info.max
    if value == math.inf or (log and type(value) is int and abs(value) > most):
        return "infinite, not a weight"
    return None


class Strata:
    """Draws without replacement from each stratum. ``count``: records in total."""

    def __init__(self, count: int, spool: Spool) -> None:
        self._count, self._spool = count, spool
        self._best: dict[str, TopRecords] = {}
        self._sizes: dict[str, int] = {}

    def add(self, batch: Batch, strata: list[str], scores: np.ndarray) -> None:
        """Takes records with the names of their strata."""
        names = np.array(strata, object)
        for name in dict.fromkeys(strata):
            members = np.flatnonzero(names == name)
            if name not in self._best:
                self._best[name] = TopRecords(self._count, self._spool)
                self._sizes[name] = 0
            some = batch if len(members) == len(batch) else batch.take(members.tolist())
            self._best[name].add(scores[members], np.zeros(len(members)), some)
            self._sizes[name] += int(np.isfinite(scores[members]).sum())

    def result(self, equal: bool) -> tuple[np.ndarray, dict[str, tuple[int, int]]]:
        """Handles of the drawn records, in input order; and (records, drawn) for each stratum."""
        names = sorted(self._sizes)
        parts = allocated(self._count, [self._sizes[name] for name in names], equal)
        chosen = [np.zeros(0, np.int64)]
        for name, part in zip(names, parts, strict=True):
            scores, _, handles = self._best[name].result()
            chosen.append(handles[np.lexsort((handles, -scores))[:part]])
        handles = np.concatenate(chosen)
        order = np.argsort(self._spool.ordinals(handles), kind="stable")
        drawn = {n: (self._sizes[n], part) for n, part in zip(names, parts, strict=True)}
        return handles[order], drawn


def allocated(count: int, sizes: list[int], equal: bool) -> list[int]:
    """The number of records from each stratum, at most its size: proportional to the sizes by largest remainders; or
    equal, with the shortfall of small strata going to the others."""
    total = sum(sizes)
    count = min(count, total)
    if not equal:
        exact = [count * size / total if total else 0 for size in sizes]
        parts = [int(part) for part in exact]
        order = sorted(range(len(sizes)), key=lambda i: (parts[i] - exact[i], i))
        for index in order[: count - sum(parts)]:
            parts[index] += 1
        return parts
    parts = [0] * len(sizes)
    while sum(parts) < count:
        room = [i for i, size in enumerate(sizes) if parts[i] < size]
        share, more = divmod(count - sum(parts), len(room))
        for turn, index in enumerate(room):
            parts[index] += min(share + (turn < more), sizes[index] - parts[index])
    return parts


class WithReplacement:
    """n independent draws by weight, in one pass.

    Each of n slots has one record. The i-th record takes each slot with probability w_i / W_i, where W_i is the sum of
    weights up to it (Chao 1982, with n reservoirs of one); the slots depend on the seed and the record.

    Raises:
        SynthError: not enough memory for this many draws.
    """

    def __init__(self, count: int, spool: Spool, seed: int, lane: int) -> None:
        try:
            self._slots = np.full(count, -1, np.int64)
        except (MemoryError, ValueError) as error:
            raise SynthError(f"-n {count:,}: takes 8 bytes of memory for each draw") from error
        self._spool, self._seed, self._lane = spool, seed, lane
        self._log_sum = -np.inf
        self._held: list[np.ndarray] = []

    def add(self, batch: Batch, log_weights: np.ndarray, keys: np.ndarray) -> None:
        """Takes the next records."""
        count = len(self._slots)
        sums = np.logaddexp.accumulate(np.concatenate([[self._log_sum], log_weights]))[1:]
        self._log_sum = float(sums[-1])
        weighted = np.isfinite(log_weights)
        chance = np.zeros(len(weighted))
        chance[weighted] = np.exp(log_weights[weighted] - sums[weighted])
        firsts = _gaps(record_uniforms(self._seed, keys, self._lane), chance, count)
        drawn = np.flatnonzero(weighted & (firsts < count))
        if not len(drawn):
            return
        handles = self._spool.add(batch.take(drawn.tolist()))
        self._held.append(handles)
        for handle, index in zip(handles.tolist(), drawn.tolist(), strict=True):
            slots = self._taken(int(firsts[index]), float(chance[index]), int(keys[index]))
            self._slots[slots] = handle
        if sum(map(len, self._held)) > 2 * count + (1 << 14):
            spooled = np.concatenate(self._held)
            kept = np.unique(self._slots)
            self._spool.drop(spooled[~np.isin(spooled, kept)])
            self._held = [kept]

    def _taken(self, first: int, chance: float, key: int) -> np.ndarray:
        """The slots that a record takes, by geometric gaps."""
        count = len(self._slots)
        if chance >= 1:
            return np.arange(count)
        taken = [np.array([first])]
        at, drawn = first, 0
        while at < count:
            more = int((count - at) * chance) + 16
            numbers = uniforms(self._seed, key, 0, np.arange(drawn, drawn + more), self._lane)
            slots = at + np.cumsum(1 + _gaps(1 - numbers, np.full(more, chance), count))
            taken.append(slots[slots < count])
            at, drawn = int(slots[-1]), drawn + more
        return np.concatenate(taken)

    def result(self) -> np.ndarray:
        """Handles of the drawn records in input order; empty if no record has a weight."""
        return np.sort(self._slots) if np.isfinite(self._log_sum) else self._slots[:0]


def _gaps(numbers: np.ndarray, chance: np.ndarray, most: int) -> np.ndarray:
    """Geometric numbers of failures before the next success, int64, at most ``most``. ``numbers``: uniform in (0, 1];
    ``chance``: of success."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        gaps = np.log(numbers) / np.log1p(-chance)
    return np.asarray(np.minimum(np.nan_to_num(gaps, nan=most, posinf=most), most), np.int64)
