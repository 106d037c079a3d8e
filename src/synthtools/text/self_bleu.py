"""Self-BLEU in linear time: each sentence against all others, by sacreBLEU's definition.

What a sentence's n-gram can match is the most often that it stands in any one other sentence. The
two largest counts of each n-gram, and whose the largest is, tell this for every sentence at once; so
one pass over all n-grams replaces the comparison of each pair.

Tokens are those of mteval-v13a, "13a" in sacreBLEU: four rules, one after the other, each over the whole sentence
with a space before and behind it. A rule that takes two characters goes on behind both, as a regular expression
does.

    a mark of ASCII, but not ' , - .       stands alone
    . or , after what is not a digit       stands alone
    . or , before what is not a digit      stands alone
    - after a digit                        stands alone
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.tokeniser import GOLDEN, buffers, decode, finalise, longest_of
from synthtools.text.unicode import SPACE, unicode

_U = np.uint64
_BLANK, _DASH = 0x20, 0x2D
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))

_ALONE, _POINT, _DIGIT = 1, 2, 4
_KINDS = np.zeros(256, np.uint8)
for _low, _high in ((0x20, 0x26), (0x28, 0x2B), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)):
    _KINDS[_low : _high + 1] = _ALONE
_KINDS[ord("/")] = _ALONE
_KINDS[[ord("."), ord(",")]] = _POINT
_KINDS[ord("0") : ord("9") + 1] = _DIGIT


def cleaned(line: str) -> str:
    """What is done before the rules: a mark of the evaluation taken out, entities read."""
    line = line.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in line:
        for entity, sign in _ENTITIES:
            line = line.replace(entity, sign)
    return line


def token_hashes(lines: TextBuffer) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of cleaned lines.

    Returns:
        (hashes, starts): uint64 [tokens], equal where tokens are equal; int64 [lines + 1].
    """
    return _token_hashes(*buffers(lines), unicode().classes)


@compiled
def _token_hashes(data, offsets, classes):
    size = 3 * (longest_of(offsets) + 2)
    one, other = np.empty(3 * size, np.uint8), np.empty(3 * size, np.uint8)
    hashes = np.empty(offsets[-1] - offsets[0], np.uint64)
    starts = np.empty(offsets.size, np.int64)
    count = 0
    for line in range(offsets.size - 1):
        starts[line] = count
        used = _marks(data, offsets[line], offsets[line + 1], one)
        left = _pairs(one, used, other, True)
        used = _pairs(other, left, one, False)
        left = _dashes(one, used, other)
        count = _split(other, left, classes, hashes, count)
    starts[offsets.size - 1] = count
    return hashes[:count].copy(), starts


@compiled
def _marks(data, start, end, out):
    out[0] = _BLANK
    to = 1
    for at in range(start, end):
        if _KINDS[data[at]] == _ALONE:
            out[to], out[to + 1], out[to + 2] = _BLANK, data[at], _BLANK
            to += 3
        else:
            out[to] = data[at]
            to += 1
    out[to] = _BLANK
    return to + 1


@compiled
def _pairs(text, size, out, behind):
    """A point or comma behind, or before, what is not a digit."""
    at = 0
    to = 0
    while at < size:
        out[to] = text[at]
        if at + 1 < size:
            first, second = _KINDS[text[at]], _KINDS[text[at + 1]]
            if behind and first != _DIGIT and second == _POINT:
                out[to + 1], out[to + 2], out[to + 3] = _BLANK, text[at + 1], _BLANK
                to += 4
                at += 2
                continue
            if not behind and first == _POINT and second != _DIGIT:
                out[to], out[to + 1] = _BLANK, text[at]
                out[to + 2], out[to + 3] = _BLANK, text[at + 1]
                to += 4
                at += 2
                continue
        to += 1
        at += 1
    return to


@compiled
def _dashes(text, size, out):
    to = 0
    for at in range(size):
        if text[at] == _DASH and at > 0 and _KINDS[text[at - 1]] == _DIGIT:
            out[to], out[to + 1], out[to + 2] = _BLANK, _DASH, _BLANK
            to += 3
        else:
            out[to] = text[at]
            to += 1
    return to


@compiled
def _split(text, size, classes, hashes, count):
    """Tokens between white space, hashed byte by byte."""
    at = 0
    length = 0
    value = _U(0)
    while at < size:
        code, width = np.int64(text[at]), 1
        if code >= 0x80:
            code, width = decode(text, at)
        if classes[code] & SPACE:
            if length:
                hashes[count] = finalise(value + _U(length) * GOLDEN)
                count += 1
                value, length = _U(0), 0
        else:
            for index in range(at, at + width):
                value = (value ^ _U(text[index])) * GOLDEN
                value ^= value >> _U(29)
            length += width
        at += width
    return count


ORDERS = 4

# Where a sentence ends [ours]: after its mark and what closes it, before white space; after a
# full-width mark; at a line's end.
_END = re.compile(r"([.!?…][\"'”’)\]]*)\s+")
_FULL_WIDTH = re.compile(r"([。！？])")
FEWEST_WORDS = 4


def sentences(text: str) -> list[str]:
    """Sentences of four words or more; words stand between white space."""
    # Taken apart and joined: a replacement by a template costs three times as much.
    parts = _END.split(text)
    parts[1::2] = [mark + "\n" for mark in parts[1::2]]
    text = "".join(parts)
    if "。" in text or "！" in text or "？" in text:
        text = _FULL_WIDTH.sub(r"\1\n", text)
    lines = map(str.strip, text.split("\n"))
    return [part for part in lines if len(part.split(None, FEWEST_WORDS - 1)) == FEWEST_WORDS]


def self_bleu_of(sets: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """Self-BLEU of the sentences of each set, see ``self_bleu``."""
    lines = [cleaned(line) for one in sets for line in one]
    hashes, starts = token_hashes(TextBuffer.of(lines))
    ends = np.cumsum([0, *(len(one) for one in sets)])
    return np.split(self_bleu(hashes.view(np.int64), starts, ends), ends[1:-1])


def self_bleu(tokens: np.ndarray, starts: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """BLEU of each sentence against all others of its set, 0…100: float64 [sentences].

    sacreBLEU's sentence BLEU: n ≤ 4, effective order, exponential smoothing, the closest length
    (the shorter of two). NaN for a sentence that is alone in its set.

    Args:
        tokens: int64, equal where tokens are equal; the order of the numbers means nothing.
        starts: int64 [sentences + 1], where each sentence begins.
        sets: int64 [sets + 1], the sentences with which each set begins.

    Memory: 200 bytes a token of the largest set.
    """
    scores = np.full(len(starts) - 1, np.nan)
    _self_bleu(*(np.ascontiguousarray(one, np.int64) for one in (tokens, starts, sets)), scores)
    return scores


@compiled
def _self_bleu(tokens, starts, sets, scores):
    most = 0
    for one in range(sets.size - 1):
        most = max(most, starts[sets[one + 1]] - starts[sets[one]])
    size = 16
    while size < 2 * most:
        size *= 2
    # An n-gram is its last token after the number of the (n-1)-gram before it.
    before, last = np.empty(size, np.int64), np.empty(size, np.int64)
    stamps, numbers = np.full(size, -1, np.int64), np.empty(size, np.int64)
    grams, prefix = np.empty(most, np.int64), np.empty(most, np.int64)
    # Of each n-gram: the sentence in hand and its count; the largest count, whose it is, the next.
    sentence_of, count = np.empty(most, np.int64), np.empty(most, np.int64)
    largest, second = np.empty(most, np.int64), np.empty(most, np.int64)
    whose = np.empty(most, np.int64)
    stamp = 0
    for one in range(sets.size - 1):
        first, end = sets[one], sets[one + 1]
        if end - first < 2:
            continue
        base = starts[first]
        correct = np.zeros((end - first, ORDERS), np.int64)
        for order in range(1, ORDERS + 1):
            stamp += 1
            held = 0
            for sentence in range(first, end):
                for at in range(starts[sentence] + order - 1, starts[sentence + 1]):
                    left = prefix[at - 1 - base] if order > 1 else 0
                    token = tokens[at]
                    slot = np.int64(finalise(finalise(_U(token)) + _U(left)) & _U(size - 1))
                    while stamps[slot] == stamp and (before[slot] != left or last[slot] != token):
                        slot = (slot + 1) & (size - 1)
                    if stamps[slot] != stamp:
                        stamps[slot], before[slot], last[slot] = stamp, left, token
                        numbers[slot] = held
                        sentence_of[held], count[held] = -1, 0
                        largest[held], whose[held], second[held] = 0, -1, 0
                        held += 1
                    gram = numbers[slot]
                    grams[at - base] = gram
                    if sentence_of[gram] != sentence:
                        sentence_of[gram], count[gram] = sentence, 0
                    count[gram] += 1
                    if whose[gram] == sentence:
                        largest[gram] = count[gram]
                    elif count[gram] > largest[gram]:
                        second[gram] = largest[gram]
                        largest[gram], whose[gram] = count[gram], sentence
                    elif count[gram] > second[gram]:
                        second[gram] = count[gram]
            for gram in range(held):
                sentence_of[gram] = -1
            for sentence in range(first, end):
                for at in range(starts[sentence] + order - 1, starts[sentence + 1]):
                    gram = grams[at - base]
                    if sentence_of[gram] != sentence:
                        sentence_of[gram], count[gram] = sentence, 0
                    count[gram] += 1
                    if count[gram] <= (second[gram] if whose[gram] == sentence else largest[gram]):
                        correct[sentence - first, order - 1] += 1
            prefix[: starts[end] - base] = grams[: starts[end] - base]
        lengths = np.sort(starts[first + 1 : end + 1] - starts[first:end])
        for sentence in range(first, end):
            length = starts[sentence + 1] - starts[sentence]
            scores[sentence] = _score(correct[sentence - first], length, _closest(lengths, length))


@compiled
def _closest(lengths, length):
    """The length nearest to one of the ascending lengths, that one left out once; the shorter of two."""
    at = np.searchsorted(lengths, length)
    if at + 1 < lengths.size and lengths[at + 1] == length:
        return length
    if at == 0:
        return lengths[1]
    if at + 1 == lengths.size or length - lengths[at - 1] <= lengths[at + 1] - length:
        return lengths[at - 1]
    return lengths[at + 1]


@compiled
def _score(correct, length, reference):
    if not correct.any():
        return 0.0
    smooth = 1.0
    logarithms = 0.0
    orders = 0
    for order in range(ORDERS):
        total = length - order
        if total <= 0:
            break
        orders += 1
        if correct[order] == 0:
            smooth *= 2
            logarithms += np.log(100.0 / (smooth * total))
        else:
            logarithms += np.log(100.0 * correct[order] / total)
    penalty = 1.0 if length >= reference else np.exp(1 - reference / length)
    return penalty * np.exp(logarithms / orders)
