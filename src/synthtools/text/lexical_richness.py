"""Words of texts, and the lexical richness of each text: compiled.

A word (``kernel_reference.words``) is represented by its 64-bit hash.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.tokeniser import buffers, hash_of_ngram, longest_of
from synthtools.text.words import word_hashes

_U = np.uint64

# McCarthy and Jarvis 2010: a factor ends where the type-token ratio falls to this.
MTLD_THRESHOLD = 0.72
# McCarthy and Jarvis 2007: words in a draw.
HDD_DRAWS = 42

TYPES, TTR, MTLD, HDD, ENTROPY = range(5)


class HashedWords(NamedTuple):
    """The words of texts.

    Attributes:
        hashes: uint64 [words].
        starts: int64 [texts + 1]; the words of text i are ``hashes[starts[i]:starts[i + 1]]``.
        figures: float64 [texts, 5], see ``figures_of``.
    """

    hashes: np.ndarray
    starts: np.ndarray
    figures: np.ndarray


def words_of(texts: TextBuffer) -> HashedWords:
    """Words and figures of each text; safe in any thread.

    Memory: 8 bytes a word, at most 8 bytes a byte of the texts, and about 100 bytes for each word of the longest.
    """
    hashes, starts = word_hashes(texts)
    return HashedWords(hashes, starts, figures_of(hashes, starts))


def figures_of(hashes: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Lexical richness of each text: float64 [texts, 5], NaN where undefined.

    Types (distinct words); type-token ratio; MTLD (McCarthy and Jarvis 2010, mean of both
    directions); HD-D (McCarthy and Jarvis 2007, 42 draws; none below 42 words); entropy of the
    words in nats.

    Args:
        hashes: uint64 [words]; starts: int64 [texts + 1].
    """
    figures = np.full((len(starts) - 1, 5), np.nan)
    _figures(hashes, starts, figures)
    return figures


@compiled
def _figures(hashes, starts, figures):
    longest = longest_of(starts)
    size = 16
    while size < 2 * longest:
        size *= 2
    mask = _U(size - 1)
    # A word, and its document before its number there.
    slots = np.full((size, 2), -1, np.int64)
    ids, counts = np.empty(longest, np.int32), np.empty(longest, np.int64)
    seen = np.zeros(longest, np.int64)
    mark = 0
    for document in range(starts.size - 1):
        begin, words = starts[document], starts[document + 1] - starts[document]
        if words == 0:
            figures[document, TYPES] = 0
            continue
        types = 0
        for at in range(words):
            value = hashes[begin + at]
            slot = (value ^ (value >> _U(32))) & mask
            while slots[slot, 1] >> 32 == document and slots[slot, 0] != np.int64(value):
                slot = (slot + _U(1)) & mask
            if slots[slot, 1] >> 32 != document:
                slots[slot, 0], slots[slot, 1] = value, document << 32 | types
                counts[types] = 0
                types += 1
            word = slots[slot, 1] & 0xFFFFFFFF
            ids[at] = word
            counts[word] += 1
        forward, mark = _mtld(ids, words, types, 1, seen, mark)
        backward, mark = _mtld(ids, words, types, -1, seen, mark)
        figures[document, TYPES] = types
        figures[document, TTR] = types / words
        figures[document, MTLD] = (forward + backward) / 2
        if words >= HDD_DRAWS:
            figures[document, HDD] = _hdd(counts, types, words)
        entropy = 0.0
        for word in range(types):
            share = counts[word] / words
            entropy -= share * np.log(share)
        figures[document, ENTROPY] = max(entropy, 0.0)


@compiled
def _mtld(ids, words, types, step, seen, mark):
    """MTLD in one direction. ``seen`` holds the factor in which a word was last seen."""
    mark += 1
    factors = 0.0
    length, distinct = 0, 0
    ratio = 1.0
    at = 0 if step > 0 else words - 1
    for _ in range(words):
        word = ids[at]
        at += step
        length += 1
        if seen[word] != mark:
            seen[word] = mark
            distinct += 1
        ratio = distinct / length
        if ratio <= MTLD_THRESHOLD:
            factors += 1
            length, distinct = 0, 0
            mark += 1
    if length > 0:
        factors += (1 - ratio) / (1 - MTLD_THRESHOLD)
    if factors == 0:
        # No word occurs twice: one factor, as in the package lexicalrichness.
        factors = 1.0
    return words / factors, mark


@compiled
def _hdd(counts, types, words):
    """Expected type-token ratio of a sample of 42 words."""
    known = np.full(64, -1.0)
    total = 0.0
    for word in range(types):
        count = counts[word]
        missing = known[count] if count < 64 else -1.0
        if missing < 0:
            missing = 1.0
            for drawn in range(HDD_DRAWS):
                missing *= max(words - count - drawn, 0) / (words - drawn)
            if count < 64:
                known[count] = missing
        total += (1 - missing) / HDD_DRAWS
    return total


# ---------------------------------------------------------------- n-grams of a sequence

BREAK = _U(0)  # separates documents in a sequence of words


def ngram_counts(words: np.ndarray, n: int) -> np.ndarray:
    """How often each distinct n-gram of a sequence occurs, int64 [distinct], in no order.

    Args:
        words: uint64; n-grams do not cross a ``BREAK``.

    Memory: 16 bytes a word.
    """
    keys = _ngrams(words, n)
    keys.sort()
    return _runs(keys)


@compiled
def _ngrams(words, n):
    keys = np.empty(words.size, np.uint64)
    count = 0
    run = 0
    for at in range(words.size):
        run = 0 if words[at] == BREAK else run + 1
        if run >= n:
            keys[count] = hash_of_ngram(words, at + 1 - n, n)
            count += 1
    return keys[:count]


@compiled
def _runs(keys):
    """The lengths of runs of equal keys."""
    lengths = np.empty(keys.size, np.int64)
    count = 0
    for at in range(keys.size):
        if at == 0 or keys[at] != keys[at - 1]:
            lengths[count] = 0
            count += 1
        lengths[count - 1] += 1
    return lengths[:count].copy()


@compiled
def sequence_of(hashes, starts, members, room):
    """Words of some of the texts with a ``BREAK`` after each text, cut after ``room`` words.

    Returns:
        (sequence, words): uint64 [words + breaks].
    """
    size = 0
    for member in members:
        size += starts[member + 1] - starts[member] + 1
    sequence = np.empty(min(size, room + members.size), np.uint64)
    used, words = 0, 0
    for member in members:
        for at in range(starts[member], starts[member + 1]):
            if words == room:
                return sequence[:used].copy(), words
            sequence[used] = hashes[at]
            used += 1
            words += 1
        sequence[used] = BREAK
        used += 1
    return sequence[:used].copy(), words


def character_counts(texts: TextBuffer) -> np.ndarray:
    """Code points of each text, int64 [texts]."""
    return _characters(*buffers(texts))


@compiled
def _characters(data, offsets):
    numbers = np.empty(offsets.size - 1, np.int64)
    for document in range(offsets.size - 1):
        count = 0
        for at in range(offsets[document], offsets[document + 1]):
            count += (data[at] & 0xC0) != 0x80
        numbers[document] = count
    return numbers
