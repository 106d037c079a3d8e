"""Words, phrases and openings of sentences, counted by token and by document: compiled.

Words are those of ``words``. A phrase is two or three words of one sentence, an opening the first two
words of one [ours]. A sentence ends at a line's end, after ``. ! ? …`` and closing marks before white
space, and after ``。！？``, as in ``sentences``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.tokeniser import SLACK, buffers, decode, hash_of_ngram, longest_of
from synthtools.text.unicode import SPACE, unicode, word_breaks
from synthtools.text.words import hash_of_word, lowered, next_word

_U = np.uint64
_ZERO, _ONE, _HALF, _LOW = _U(0), _U(1), _U(32), _U(0xFFFFFFFF)
# Kind → number of words.
KINDS = {"word": 1, "two_words": 2, "three_words": 3, "opening": 2}

# What is rarer than once in so many words of a batch is left out of its tables.
_RARE_BITS = 18
_MOST_MISSED = 200
_CELL_BITS = 20
_CELL_SHIFT = _U(64 - _CELL_BITS)

_BLANK, _NEWLINE, _ELLIPSIS = 0x20, 0x0A, 0x2026
_STOP, _EXCLAMATION, _QUESTION = 0x2E, 0x21, 0x3F
_FULL_STOP, _FULL_EXCLAMATION, _FULL_QUESTION = 0x3002, 0xFF01, 0xFF1F
# " ' ” ’ ) ]
_CLOSING = np.array([0x22, 0x27, 0x201D, 0x2019, 0x29, 0x5D])


class Sentences(NamedTuple):
    """The words of texts.

    Attributes:
        hashes: uint64 [words], of the lower case; begins, ends: int64 [words], bytes of the buffer.
        opens: bool [words], whether a word is the first of a sentence.
        starts: int64 [texts + 1], the first word of each text.
    """

    hashes: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    opens: np.ndarray
    starts: np.ndarray


class PhraseTable(NamedTuple):
    """Distinct phrases of a kind by their hash, ascending.

    Attributes:
        hashes: uint64 [distinct].
        tokens, documents: int64 [distinct], occurrences, and texts with one.
        words: uint64 [distinct, n], the hashes of the words.
        total: number of all occurrences of all phrases.
        missed: the most that a phrase which the table lacks can have occurred.
    """

    hashes: np.ndarray
    tokens: np.ndarray
    documents: np.ndarray
    words: np.ndarray
    total: int
    missed: int


class PhraseTables(NamedTuple):
    """What one batch holds.

    Attributes:
        tables: by kind.
        pool, ends: uint8, the words of ``tables["word"]`` in lower case; int64, where each ends.
        documents, words: of the batch.
    """

    tables: dict[str, PhraseTable]
    pool: np.ndarray
    ends: np.ndarray
    documents: int
    words: int


def sentences_of(texts: TextBuffer) -> Sentences:
    """Memory: 13 bytes a byte of the texts at the most, while they are read; 25 a word."""
    return Sentences(*_sentences(*buffers(texts), unicode(), word_breaks()))


def tabulate_phrases(texts: TextBuffer) -> PhraseTables:
    """Counts each kind; safe in any thread.

    A table lacks what occurs less than once in 2^18 words of the texts: of fewer words nothing.
    """
    sentences = sentences_of(texts)
    missed = min(len(sentences.hashes) >> _RARE_BITS, _MOST_MISSED)
    tables = {}
    pool, ends = np.zeros(0, np.uint8), np.zeros(0, np.int64)
    for kind, n in KINDS.items():
        keys = phrase_hashes(sentences, kind)
        rows, total = _tally(keys, sentences.starts, missed + 1)
        tokens, documents, places = (rows[:, i].astype(np.int64) for i in (1, 2, 3))
        words = sentences.hashes[places[:, None] + np.arange(1 - n, 1)]
        tables[kind] = PhraseTable(rows[:, 0], tokens, documents & 0xFFFFFFFF, words, total, missed)
        if n == 1:
            places_of = (sentences.begins, sentences.ends, sentences.starts, places)
            pool, ends = _pool(*buffers(texts), unicode(), *places_of)
    return PhraseTables(tables, pool, ends, len(texts), len(sentences.hashes))


def phrase_hashes(sentences: Sentences, kind: str) -> np.ndarray:
    """Hash of the phrase whose last word each word is, uint64 [words]; 0 where it is of none."""
    keys: np.ndarray = _keys(
        sentences.hashes, sentences.opens, sentences.starts, KINDS[kind], kind == "opening"
    )
    return keys


@compiled
def ends_sentence(data, at, stop, classes):
    """Whether a sentence ends in what stands between two words."""
    if stop - at == 1 and data[at] == _BLANK:
        return False
    ended = False
    while at < stop:
        code, size = decode(data, at)
        at += size
        if code == _NEWLINE:
            return True
        if code in (_FULL_STOP, _FULL_EXCLAMATION, _FULL_QUESTION):
            return True
        if code in (_STOP, _EXCLAMATION, _QUESTION, _ELLIPSIS):
            ended = True
        elif ended:
            if classes[code] & SPACE:
                return True
            ended = (code == _CLOSING).any()
    return False


@compiled
def _sentences(data, offsets, tables, breaks):
    text = np.empty(3 * longest_of(offsets) + SLACK, np.uint8)
    room = (offsets[-1] - offsets[0]) // 2 + offsets.size
    hashes = np.empty(room, np.uint64)
    begins, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    opens = np.empty(room, np.bool_)
    starts = np.empty(offsets.size, np.int64)
    count = 0
    for document in range(offsets.size - 1):
        starts[document] = count
        start, end = offsets[document], offsets[document + 1]
        position = start
        while True:
            before = position
            begin, position, value, known = next_word(data, position, end, breaks)
            if begin == position:
                break
            if not known:
                value = hash_of_word(data, start, begin, position, end, tables, text)
            hashes[count], begins[count], ends[count] = value, begin, position
            opens[count] = count == starts[document] or ends_sentence(
                data, before, begin, tables.classes
            )
            count += 1
    starts[offsets.size - 1] = count
    return (
        hashes[:count].copy(), begins[:count].copy(), ends[:count].copy(), opens[:count].copy(), starts
    )  # fmt: skip


@compiled
def _keys(hashes, opens, starts, n, opening):
    keys = np.zeros(hashes.size, np.uint64)
    for document in range(starts.size - 1):
        run = 0
        for at in range(starts[document], starts[document + 1]):
            run = 1 if opens[at] else run + 1
            if run == n or (run > n and not opening):
                keys[at] = hash_of_ngram(hashes, at + 1 - n, n)
    return keys


@compiled
def _tally(keys, starts, least):
    """Distinct keys that come at least so often, ascending; those of rare cells are not looked at."""
    cells = np.zeros(1 << _CELL_BITS if least > 1 else 1, np.uint8)
    if least > 1:
        for key in keys:
            if key != _ZERO and cells[key >> _CELL_SHIFT] < 255:
                cells[key >> _CELL_SHIFT] += np.uint8(1)
    # Of each key in one line of the cache: itself, tokens, last document and documents, its place.
    slots = np.zeros((1 << 12, 4), np.uint64)
    held, total, often = 0, 0, 0
    for document in range(starts.size - 1):
        stamp = _U(document + 1) << _HALF
        for at in range(starts[document], starts[document + 1]):
            key = keys[at]
            if key == _ZERO:
                continue
            total += 1
            if least > 1 and cells[key >> _CELL_SHIFT] < least:
                continue
            slot = _slot(slots, key)
            if slots[slot, 1] == _ZERO:
                if 2 * held >= len(slots):
                    slots = _doubled(slots)
                    slot = _slot(slots, key)
                slots[slot, 0], slots[slot, 3] = key, _U(at)
                held += 1
            slots[slot, 1] += _ONE
            often += slots[slot, 1] == _U(least)
            seen = slots[slot, 2]
            if seen & ~_LOW != stamp:
                slots[slot, 2] = stamp | ((seen & _LOW) + _ONE)
    rows = np.empty((often, 4), np.uint64)
    held = 0
    for slot in range(len(slots)):
        if slots[slot, 1] >= _U(least):
            rows[held] = slots[slot]
            held += 1
    return rows[np.argsort(rows[:, 0])], total


@compiled
def _slot(slots, key):
    """Where a key stands, or the free slot that it would take."""
    mask = _U(len(slots) - 1)
    slot = key & mask
    while slots[slot, 1] != _ZERO and slots[slot, 0] != key:
        slot = (slot + _ONE) & mask
    return slot


@compiled
def _doubled(slots):
    larger = np.zeros((2 * len(slots), 4), np.uint64)
    for old in range(len(slots)):
        if slots[old, 1] != _ZERO:
            larger[_slot(larger, slots[old, 0])] = slots[old]
    return larger


@compiled
def _pool(data, offsets, tables, begins, ends, starts, places):
    """Words in lower case, one after the other, and where each ends."""
    size = 0
    for place in places:
        size += 3 * (ends[place] - begins[place]) + SLACK
    pool, stops = np.empty(size, np.uint8), np.empty(places.size, np.int64)
    used = 0
    for entry in range(places.size):
        place = places[entry]
        document = np.searchsorted(starts, place, side="right") - 1
        used += lowered(
            data, offsets[document], begins[place], ends[place], offsets[document + 1], tables, pool[used:]
        )  # fmt: skip
        stops[entry] = used
    return pool[:used].copy(), stops
