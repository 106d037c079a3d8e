"""The most frequent n-grams, with their text: exact, or in bounded memory with a known error.

A batch of texts is counted by itself, without the interpreter's lock, so that threads can do it; the
tables are then merged in order. N-grams are known by their 64-bit hash (``kernel_reference.ngram_hash``):
two that share all bits are counted as the first of them, which happens among a thousand million
different ones with a chance of 3 %.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.tokeniser import SLACK, buffers, hash_of_ngram, longest_of, scan
from synthtools.text.unicode import unicode

_U = np.uint64


@dataclass(frozen=True)
class NgramTable:
    """Distinct n-grams in the order of their first occurrence.

    Attributes:
        n: tokens of an n-gram.
        hashes: uint64 [distinct].
        counts: int64 [distinct].
        ends: int64 [distinct], where each one's text ends in ``pool``; it begins where the one
            before ends.
        pool: uint8, the texts in UTF-8: lower-cased tokens joined by one space.
        total: number of all n-grams.
        missed: the most that an n-gram which the table lacks can have occurred.
    """

    n: int
    hashes: np.ndarray
    counts: np.ndarray
    ends: np.ndarray
    pool: np.ndarray
    total: int
    missed: int = 0


@compiled
def grown(array, size):
    """The array with room for ``size`` elements, at least doubled where it must grow."""
    if size <= array.size:
        return array
    larger = np.empty(max(size, 2 * array.size), array.dtype)
    larger[: array.size] = array
    return larger


@compiled
def grown_slots(slots, hashes, held, size):
    """Slots for ``size`` entries, at most half full: uint64 [slots, 2], hash and entry + 1."""
    if 2 * size <= len(slots):
        return slots
    length = len(slots)
    while length < 2 * size:
        length *= 2
    slots = np.zeros((length, 2), np.uint64)
    _fill_slots(slots, hashes, held)
    return slots


@compiled
def _fill_slots(slots, hashes, held):
    for entry in range(held):
        slot = _slot(slots, hashes[entry])
        slots[slot, 0] = hashes[entry]
        slots[slot, 1] = entry + 1


@compiled
def _slot(slots, value):
    """Where a hash stands, or the free slot that it would take."""
    mask = _U(len(slots) - 1)
    slot = value & mask
    while slots[slot, 1] != 0 and slots[slot, 0] != value:
        slot = (slot + _U(1)) & mask
    return slot


@compiled
def add(slots, hashes, counts, ends, pool, held, value, count, text, begin, end):
    """Adds to an n-gram's count, or enters it; there must be room. Returns the number held."""
    slot = _slot(slots, value)
    if slots[slot, 1] != 0:
        counts[slots[slot, 1] - _U(1)] += count
        return held
    start = ends[held - 1] if held > 0 else 0
    for index in range(end - begin):
        pool[start + index] = text[begin + index]
    hashes[held], counts[held], ends[held] = value, count, start + end - begin
    slots[slot, 0] = value
    slots[slot, 1] = held + 1
    return held + 1


@compiled
def _tabulate(data, offsets, classes, lower, n):
    longest = longest_of(offsets)
    tokens = np.empty(longest + SLACK, np.uint64)
    text = np.empty(3 * longest + SLACK, np.uint8)
    token_ends = np.empty(longest + SLACK, np.int64)
    slots, hashes = np.zeros((1 << 12, 2), np.uint64), np.empty(1 << 11, np.uint64)
    counts, ends = np.empty(1 << 11, np.int64), np.empty(1 << 11, np.int64)
    pool = np.empty(1 << 15, np.uint8)
    held = 0
    total = 0
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        count, _, _ = scan(
            data, start, start, end, classes, lower, tokens, 0, end - start + 1, text, token_ends, 0
        )
        hashes, counts, ends = (
            grown(hashes, held + count), grown(counts, held + count), grown(ends, held + count)
        )  # fmt: skip
        slots = grown_slots(slots, hashes, held, held + count)
        for first in range(count - n + 1):
            begin = token_ends[first - 1] + 1 if first > 0 else 0
            stop = token_ends[first + n - 1]
            used = ends[held - 1] if held > 0 else 0
            pool = grown(pool, used + stop - begin)
            value = hash_of_ngram(tokens, first, n)
            held = add(slots, hashes, counts, ends, pool, held, value, 1, text, begin, stop)
        total += max(0, count - n + 1)
    used = ends[held - 1] if held > 0 else 0
    return hashes[:held].copy(), counts[:held].copy(), ends[:held].copy(), pool[:used].copy(), total


@compiled
def _merge(
    slots, hashes, counts, ends, pool, sure, held, more_hashes, more_counts, more_ends, more_pool, missed
):  # fmt: skip
    begin = 0
    for entry in range(more_hashes.size):
        end = more_ends[entry]
        before = held
        held = add(
            slots, hashes, counts, ends, pool, held,
            more_hashes[entry], more_counts[entry], more_pool, begin, end,
        )  # fmt: skip
        if held > before:
            sure[before] = 0
        sure[slots[_slot(slots, more_hashes[entry]), 1] - _U(1)] += missed
        begin = end
    return held


@compiled
def _subtract(slots, hashes, counts, ends, pool, sure, held, amount):
    """Takes ``amount`` from every count and drops what is not above 0. Returns the number held."""
    kept = 0
    begin = 0
    used = 0
    for entry in range(held):
        end = ends[entry]
        if counts[entry] > amount:
            hashes[kept], counts[kept] = hashes[entry], counts[entry] - amount
            for index in range(begin, end):
                pool[used] = pool[index]
                used += 1
            ends[kept], sure[kept] = used, sure[entry]
            kept += 1
        begin = end
    slots[:] = 0
    _fill_slots(slots, hashes, kept)
    return kept


def tabulate(texts: TextBuffer, n: int) -> NgramTable:
    """Counts the n-grams of all texts; they never cross texts.

    Memory: about eight times the longest text, and 40 bytes and the text of each distinct n-gram.

    Raises:
        ValueError: n below 1.
    """
    if n < 1:
        raise ValueError(f"n is 1 or more, not {n}")
    return NgramTable(n, *_tabulate(*buffers(texts), *unicode(), n))


class TopNgrams:
    """Merges tables of n-grams and gives the most frequent.

    With a ``capacity``, at most so many n-grams are held after a merge. Where there are more, the
    count at rank capacity/2 + 1 is taken from all and those that come to nothing are dropped (Misra
    and Gries 1982, in the form for merging of Agarwal et al. 2013). A reported count is then too low
    by at most ``error``, which is at most total / (capacity/2 + 1); an n-gram that is not held
    occurred at most ``error`` times. The result depends on how texts were divided into tables, but
    not on where these were made. Without a capacity all counts are exact.

    Memory: 40 to 80 bytes and the text for each n-gram held.

    Attributes:
        total: number of all n-grams.
    """

    def __init__(self, n: int, capacity: int | None = None) -> None:
        if capacity is not None and capacity < 2:
            raise ValueError(f"capacity is 2 or more, not {capacity}")
        self.n = n
        self.capacity = capacity
        self.total = 0
        self._subtracted = 0
        self._held = 0
        self._slots = np.zeros((1 << 12, 2), np.uint64)
        self._hashes = np.empty(0, np.uint64)
        self._counts = np.empty(0, np.int64)
        self._ends = np.empty(0, np.int64)
        # Of what tables have missed, how much cannot have been an n-gram's: it stood in them.
        self._sure = np.empty(0, np.int64)
        self._missed = 0
        self._pool = np.empty(0, np.uint8)

    @property
    def error(self) -> int:
        """The most by which any count can be too low."""
        return self._subtracted + self._missed

    def __len__(self) -> int:
        """Number of distinct n-grams held."""
        return self._held

    def add(self, table: NgramTable) -> None:
        """Takes in a table. Raises ValueError where it counts n-grams of another n."""
        if table.n != self.n:
            raise ValueError(f"a table of {table.n}-grams among {self.n}-grams")
        held, most = self._held, self._held + len(table.hashes)
        used = int(self._ends[held - 1]) if held else 0
        self._hashes = grown(self._hashes, most)
        self._counts = grown(self._counts, most)
        self._ends = grown(self._ends, most)
        self._sure = grown(self._sure, most)
        self._pool = grown(self._pool, used + len(table.pool))
        self._slots = grown_slots(self._slots, self._hashes, held, most)
        self._held = _merge(
            *self._arrays(), held,
            table.hashes, table.counts, table.ends, table.pool, table.missed,
        )  # fmt: skip
        self.total += table.total
        self._missed += table.missed
        if self.capacity is not None and self._held > self.capacity:
            rank = self._held - 1 - self.capacity // 2
            amount = int(np.partition(self._counts[: self._held], rank)[rank])
            self._held = _subtract(*self._arrays(), self._held, amount)
            self._subtracted += amount

    def top(self, k: int) -> list[tuple[str, int]]:
        """The k most frequent n-grams, text and count; equally frequent ones by their text."""
        return [(text, count) for text, count, _ in self._best(k)]

    def error_of(self, k: int) -> int:
        """The most by which one of the ``k`` counts of ``top`` can be too low."""
        return max((error for _, _, error in self._best(k)), default=0)

    def _best(self, k: int) -> list[tuple[str, int, int]]:
        counts = self._counts[: self._held]
        if k < 1 or not self._held:
            return []
        rank = max(0, self._held - k)
        candidates = np.flatnonzero(counts >= np.partition(counts, rank)[rank])
        rows = (
            (self._text(entry), int(counts[entry]), self.error - int(self._sure[entry]))
            for entry in candidates
        )
        return heapq.nsmallest(k, rows, key=lambda row: (-row[1], row[0]))

    def _text(self, entry: int) -> str:
        begin = self._ends[entry - 1] if entry else 0
        return self._pool[begin : self._ends[entry]].tobytes().decode()

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self._slots, self._hashes, self._counts, self._ends, self._pool, self._sure
