"""The buckets of the n-grams of each text, as sparse rows."""

from __future__ import annotations

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.ngram_buckets import fast_buckets
from synthtools.text.tokeniser import CHUNK, SLACK, buffers, scan
from synthtools.text.unicode import unicode


def bucket_lists(
    texts: TextBuffer, orders: tuple[int, ...], buckets: int
) -> tuple[np.ndarray, np.ndarray]:
    """The bucket of each n-gram, in the order of ``NgramHasher`` with the fast hash.

    Args:
        orders: lengths of the n-grams, ascending.

    Returns:
        int32, those of text i at ``offsets[i]:offsets[i + 1]``; int64 [texts + 1], the offsets.
    """
    room = len(orders) * (int(texts.offsets[-1] - texts.offsets[0]) + SLACK)
    found, offsets = np.empty(room, np.int32), np.zeros(len(texts) + 1, np.int64)
    _list(*buffers(texts), *unicode(), np.array(orders), np.uint64(buckets), found, offsets)
    return found[: offsets[-1]], offsets


@compiled
def _list(data, offsets, classes, lower, orders, buckets, found, found_offsets):
    kept = orders[-1] - 1
    hashes = np.empty(kept + CHUNK + SLACK, np.uint64)
    text, ends = np.empty(0, np.uint8), np.empty(0, np.int64)
    some = np.empty(orders.size * (CHUNK + SLACK), np.int32)
    count = 0
    for document in range(offsets.size - 1):
        start, end = offsets[document], offsets[document + 1]
        position, known = start, 0
        while position < end:
            tokens, position, _ = scan(
                data, start, position, end, classes, lower,
                hashes, known, known + CHUNK, text, ends, 0,
            )  # fmt: skip
            number = fast_buckets(hashes, known, tokens, orders, buckets, some)
            found[count : count + number] = some[:number]
            count += number
            known = min(kept, tokens)
            for index in range(known):
                hashes[index] = hashes[tokens - known + index]
        found_offsets[document + 1] = count
