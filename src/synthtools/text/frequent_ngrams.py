"""Hashed n-gram counts and the frequent n-grams of a batch, in one pass over its texts.

Most distinct n-grams are rare, and a table of all of them does not fit in any cache: counting them costs
ten times as much as reading them. So each batch first counts hashes in a small array of cells, and
only n-grams whose cell reaches ``least`` enter the table, with their exact count. An n-gram that does
not enter it occurred fewer than ``least`` times in the batch (the first step of Manku and
Motwani's lossy counting, 2002, with the cells as a filter).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.heavy_hitters import NgramTable
from synthtools.text.tokeniser import SLACK, bucket_of, buffers, hash_of_ngram, scan
from synthtools.text.unicode import unicode

_U = np.uint64
_CELL_BITS = 15
_CELL_SHIFT = _U(64 - _CELL_BITS)
# A batch keeps n-grams that make up at least this share of it.
_SHARE_BITS = 13
_COLD = -2


def sifted(
    texts: TextBuffer, orders: Sequence[int], buckets: int
) -> tuple[np.ndarray, list[NgramTable]]:
    """Counts by bucket of the fast hash, and a table of the frequent n-grams of each order.

    A table lacks n-grams that make up less than 2^-13 of the batch's n-grams of that order; with fewer
    than 2^14 n-grams in the batch it is complete.

    Returns:
        (response, tables): int64 [buckets]; ``missed`` of a table is the largest possible count of
        an n-gram that it lacks.
    """
    hashes, token_ends, starts, text = _tokens(*buffers(texts), *unicode())
    response = np.zeros(buckets, np.int64)
    tables = []
    for n in orders:
        ngrams, counts, places, total, missed = _sift(hashes, starts, n, response)
        ends, pool = _texts(token_ends, text, places, n)
        tables.append(NgramTable(n, ngrams, counts, ends, pool, total, missed))
    return response, tables


@compiled
def _tokens(data, offsets, classes, lower):
    """Hash of each token, its end in the lower-cased text, the first token of each document."""
    size = offsets[-1] - offsets[0]
    hashes = np.empty(size + SLACK, np.uint64)
    ends = np.empty(size + SLACK, np.int64)
    text = np.empty(3 * size + SLACK, np.uint8)
    starts = np.empty(offsets.size, np.int64)
    count, written = 0, 0
    for document in range(offsets.size - 1):
        starts[document] = count
        start, end = offsets[document], offsets[document + 1]
        count, _, written = scan(
            data, start, start, end, classes, lower, hashes, count, count + end - start + 1,
            text, ends, written,
        )  # fmt: skip
    starts[offsets.size - 1] = count
    return hashes, ends, starts, text


@compiled
def _sift(tokens, starts, n, response):
    cells = np.zeros(1 << _CELL_BITS, np.uint32)
    buckets = _U(response.size)
    total = 0
    for document in range(starts.size - 1):
        first, last = starts[document], starts[document + 1] - n
        for at in range(first, last + 1):
            value = hash_of_ngram(tokens, at, n)
            response[bucket_of(value, buckets)] += 1
            cells[value >> _CELL_SHIFT] += np.uint32(1)
        total += max(0, last + 1 - first)
    least = np.uint32(max(1, total >> _SHARE_BITS))
    # Sized for the worst case; unused pages are never touched.
    most = 0
    for cell in range(cells.size):
        if cells[cell] >= least:
            most += cells[cell]
    hashes, counts = np.empty(most, np.uint64), np.empty(most, np.int64)
    places, following = np.empty(most, np.int64), np.empty(most, np.int32)
    # Newest entry of each cell, ``following`` has the others; _COLD where the cell is too small.
    newest = np.full(cells.size, -1, np.int32)
    for cell in range(cells.size):
        if cells[cell] < least:
            newest[cell] = _COLD
    held = 0
    for document in range(starts.size - 1):
        for at in range(starts[document], starts[document + 1] - n + 1):
            value = hash_of_ngram(tokens, at, n)
            cell = value >> _CELL_SHIFT
            entry = newest[cell]
            if entry == _COLD:
                continue
            while entry >= 0 and hashes[entry] != value:
                entry = following[entry]
            if entry < 0:
                entry = held
                hashes[entry], counts[entry], places[entry] = value, 0, at
                following[entry] = newest[cell]
                newest[cell] = entry
                held += 1
            counts[entry] += 1
    return (
        hashes[:held].copy(), counts[:held].copy(), places[:held].copy(), total, np.int64(least) - 1
    )  # fmt: skip


@compiled
def _texts(token_ends, text, places, n):
    """The concatenated texts of n-grams, and the end of each.

    Args:
        places: token at which each begins.
    """
    ends = np.empty(places.size, np.int64)
    used = 0
    for entry in range(places.size):
        at = places[entry]
        used += token_ends[at + n - 1] - (token_ends[at - 1] + 1 if at > 0 else 0)
        ends[entry] = used
    pool = np.empty(used, np.uint8)
    used = 0
    for entry in range(places.size):
        at = places[entry]
        for index in range(token_ends[at - 1] + 1 if at > 0 else 0, token_ends[at + n - 1]):
            pool[used] = text[index]
            used += 1
    return ends, pool
