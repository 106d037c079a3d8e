"""Layout and punctuation of texts, counted in one pass: compiled.

Words are those of ``words``, sentences end as in ``phrases``.
"""

from __future__ import annotations

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.tokeniser import SLACK, buffers, decode, longest_of
from synthtools.text.unicode import SPACE, unicode, word_breaks
from synthtools.text.words import hash_of_word, next_word, word_hashes

_U = np.uint64
_SIEVE = _U(52)
COUNTS = (
    *("words", "sentences", "paragraphs", "lines", "list_items", "headings", "bold", "code"),
    *("questions", "exclamations", "commas", "semicolons", "colons", "dashes", "parentheses"),
    *("quotations", "first_person", "contractions", "numbers"),
)
(
    _WORDS, _SENTENCES, _PARAGRAPHS, _LINES, _ITEMS, _HEADINGS, _BOLD, _CODE, _QUESTIONS, _EXCLAMATIONS,
    _COMMAS, _SEMICOLONS, _COLONS, _DASHES, _PARENTHESES, _QUOTATIONS, _FIRST, _CONTRACTIONS, _NUMBERS,
) = range(len(COUNTS))  # fmt: skip

_PERSON = (
    "i me my mine myself we us our ours ourselves i'm i've i'll i'd we're we've we'll we'd let's"
)
_LONGEST_PERSON = 10  # bytes
# Marks that are counted themselves; other ends of sentences; marks that may follow these.
_MARKS = {
    ",": _COMMAS, "，": _COMMAS, ";": _SEMICOLONS, "；": _SEMICOLONS, ":": _COLONS, "：": _COLONS,
    "!": _EXCLAMATIONS, "！": _EXCLAMATIONS, "—": _DASHES, "–": _DASHES, "(": _PARENTHESES,
    "（": _PARENTHESES, '"': _QUOTATIONS, "“": _QUOTATIONS, "”": _QUOTATIONS, "«": _QUOTATIONS,
    "»": _QUOTATIONS, "„": _QUOTATIONS,
}  # fmt: skip
_MARK_CODES = np.array([ord(mark) for mark in _MARKS])
_MARK_COLUMNS = np.array(list(_MARKS.values()))
_ENDING, _FULL_WIDTH = np.array([ord(c) for c in ".!?…"]), np.array([ord(c) for c in "。！？"])
_ASKING = np.array([ord(c) for c in "?？"])
_CLOSING = np.array([ord(c) for c in "\"'”’)]"])
_BULLETS = np.array([ord(c) for c in "-*+•·–"])
_NEWLINE, _BLANK, _STAR, _TICK, _HASH, _STOP, _BRACKET = (ord(c) for c in "\n *`#.)")
_APOSTROPHE, _CURLY = 0x27, 0x99  # the last byte of ’


def layout_counts(texts: TextBuffer) -> np.ndarray:
    """int64 [texts, counts], columns as in ``COUNTS``; safe in any thread.

    Paragraphs are separated by blank lines; a list item is a line that begins with ``- * + • ·`` or a number of up
    to three digits with ``.`` or ``)``, before white space; a heading one of up to six ``#``. Bold counts pairs of
    ``**``, code pairs of backticks, single or triple. Questions are sentences that end with a question
    mark; only non-blank lines count. First-person words are the English ones, with apostrophes ``'`` or ``’``.
    """
    person, _ = word_hashes(TextBuffer.of([_PERSON + " " + _PERSON.replace("'", "’")]))
    counts = np.zeros((len(texts), len(COUNTS)), np.int64)
    _count(*buffers(texts), unicode(), word_breaks(), np.unique(person), counts)
    return counts


@compiled
def _count(data, offsets, tables, breaks, person, counts):
    text = np.empty(3 * longest_of(offsets) + SLACK, np.uint8)
    sieve = np.zeros(1 << 12, np.bool_)
    for value in person:
        sieve[value >> _SIEVE] = True
    for document in range(offsets.size - 1):
        own = counts[document]
        start, end = offsets[document], offsets[document + 1]
        position = start
        newlines, at_start = 2, True  # since the last word; nothing before it in its line
        begun, ended, asked = False, False, False  # a sentence; its end; a question mark
        marker, hashes, stars, ticks = False, 0, 0, 0  # the line's beginning; runs
        while True:
            at = position
            begin, position, value, known = next_word(data, position, end, breaks)
            while at < begin or (at == begin and begin == position):
                # One iteration past the end closes the last sentence and runs.
                plain = not (ended or marker or hashes > 0 or stars > 0 or ticks > 0)
                if plain and at < begin and data[at] == _BLANK:
                    at += 1
                    continue
                code, size = decode(data, at) if at < begin else (np.int64(_NEWLINE), 1)
                at += size
                if code != _STAR and stars > 0:
                    own[_BOLD] += stars >= 2
                    stars = 0
                if code != _TICK and ticks > 0:
                    own[_CODE] += 1
                    ticks = 0
                blank = tables.classes[code] & SPACE != 0
                full = (code == _FULL_WIDTH).any()
                asked |= (code == _ASKING).any()
                if blank and marker and code != _NEWLINE:
                    own[_ITEMS] += 1
                    begun = False  # a list item's number is not a sentence
                if begun and (code == _NEWLINE or full or (ended and blank)):
                    own[_SENTENCES] += 1
                    own[_QUESTIONS] += asked
                    begun, ended, asked = False, False, False
                if code == _NEWLINE:
                    newlines += 1
                    at_start, marker, hashes = True, False, 0
                    continue
                if blank:
                    own[_HEADINGS] += 0 < hashes <= 6
                    marker, hashes = False, 0
                    continue
                first = newlines > 0
                if first:
                    own[_LINES] += 1
                    own[_PARAGRAPHS] += newlines >= 2
                    newlines = 0
                # After a number that begins a line, or the whole line.
                numbered = marker and code in (_STOP, _BRACKET)
                marker = (first and (code == _BULLETS).any()) or (numbered and not first)
                hashes = hashes + 1 if code == _HASH and (first or hashes > 0) else 0
                at_start = False
                if (code == _ENDING).any():
                    ended = True
                elif ended:
                    ended = (code == _CLOSING).any()
                if not ended:
                    asked = False
                stars += code == _STAR
                ticks += code == _TICK
                for mark in range(_MARK_CODES.size):
                    if code == _MARK_CODES[mark]:
                        own[_MARK_COLUMNS[mark]] += 1
            if begin == position:
                break
            own[_BOLD] += stars >= 2
            own[_CODE] += ticks > 0
            stars, ticks, hashes = 0, 0, 0
            own[_WORDS] += 1
            begun, ended, asked = True, False, False
            digits = 0
            while begin + digits < position and 0x30 <= data[begin + digits] <= 0x39:
                digits += 1
            own[_NUMBERS] += digits > 0
            marker = at_start and 0 < digits <= 3 and begin + digits == position
            if newlines > 0:
                own[_LINES] += 1
                own[_PARAGRAPHS] += newlines >= 2
                newlines = 0
            at_start = False
            if not known:
                for byte in range(begin + 1, position - 1):
                    curly = (
                        data[byte] == _CURLY and data[byte - 1] == 0x80 and data[byte - 2] == 0xE2
                    )
                    if data[byte] == _APOSTROPHE or curly:
                        own[_CONTRACTIONS] += 1
                        break
                if position - begin <= _LONGEST_PERSON:
                    value = hash_of_word(data, start, begin, position, end, tables, text)
                    known = True
            if known and position - begin <= _LONGEST_PERSON:
                own[_FIRST] += sieve[value >> _SIEVE] and (value == person).any()
        own[_BOLD] //= 2
        own[_CODE] //= 2
